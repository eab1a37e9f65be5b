"""What a recolour left of a surface's play of light and dark."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import ROUNDING, as_mask, as_picture_pair
from blending_nerf_ns.rendering.shading import luminance


def shading_correlation(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
) -> float:
    """How far what is bright and what is dark in a mask are so still, whatever the colours have become.

    Formula: Pearson's correlation of the luminances (ITU-R BT.709) of I and I' over the mask's pixels in a view, mean over views;
        0 in a view where the edit left one luminance everywhere. Views whose original has one luminance there do not count.
    Range: [-1, 1]; identical pictures give 1, and so do colours that were all made brighter or darker by one factor; a flat
        colour gives 0. Of an edit that takes, puts or reshapes something it says nothing: another surface has another shade.
    Better: higher, of a recolour.
    Source: ours; that shading outlives a change of reflectance is the premise of intrinsic images (Barrow and Tenenbaum,
        1978). Our recolours train by a loss of the same aim, on other views: a check that it does what it says, and what
        leaving it out costs.

    Args:
        original, edited: pictures of the same views.
        mask: the subject's pixels, as they are: around them lies what an edit should not change.

    Raises:
        BlendingNerfError: the original has one luminance in the mask, in every view.

    Example:
        >>> original = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 2, 2, 1).expand(-1, -1, -1, 3)
        >>> red = original * torch.tensor([2.0, 0.0, 0.0])
        >>> mask = torch.ones(1, 2, 2, dtype=torch.bool)
        >>> round(shading_correlation(original, red, mask), 6), round(shading_correlation(original, 1 - original, mask), 6)
        (1.0, -1.0)
        >>> shading_correlation(original, torch.full_like(original, 0.5), mask)
        0.0
    """
    original, edited = as_picture_pair(original, edited)
    mask = as_mask(mask, original)
    kept = []
    for before, after, inside in zip(luminance(original), luminance(edited), mask):
        pair = torch.stack([before[inside], after[inside]])
        if not _varies(pair[0]):
            continue
        kept.append(torch.corrcoef(pair)[0, 1].item() if _varies(pair[1]) else 0.0)
    if not kept:
        raise BlendingNerfError("the original has one luminance in the mask, in every view: there is no shade to keep.")
    return sum(kept) / len(kept)


def _varies(values: Float[Tensor, "pixels"]) -> bool:
    return bool(len(values)) and (values.max() - values.min()).item() > ROUNDING
