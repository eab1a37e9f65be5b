"""Metrics of an edit, pure functions of what was rendered from pictures and points alone.

- `directions`: did the pictures move as the text did, and alike from view to view (CLIP features)
- `text`: do the pictures say the target text (CLIP features)
- `preservation`: what the edit left alone outside a mask (PSNR, SSIM, LPIPS)
- `change`: where the edit acted, and the share of it that leaked out of a mask
- `shading`: how much of a subject's light and shade a recolour kept
- `closeups`: the boxes of the subject that close-ups are cut by
- `geometry`: Chamfer distance of point clouds, inside and outside a region
- `inputs`: what all of them take, and `masks`: the two sides of a mask

Every metric's docstring says its formula, its range, which way is better and where it is from. Every metric pools all
the views that it is given into one figure; for one per view, give it one view (`edited[i : i + 1]`). Nothing is
guessed: a wrong shape, range or an empty mask is a `BlendingNerfError` that states the value.

Preservation never stands alone: pictures that did not change preserve best, and have a direction similarity of 0.
"""
