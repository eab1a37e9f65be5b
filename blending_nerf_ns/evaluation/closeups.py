"""Close-ups of a subject: where it is small, a judge of whole pictures reads the rest of the scene."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.evaluation.inputs import as_mask, as_pictures
from blending_nerf_ns.evaluation.masks import grow

ROOM = 1.5
"""Side of a close-up over the larger extent of the grown mask: a judge needs some surroundings, an addition needs room."""


def close_up_boxes(mask: Bool[Tensor, "views height width"], dilation: int) -> list[tuple[int, int, int, int]]:
    """Squares around the subject, one for each view that sees it.

    Args:
        mask: the subject's pixels.
        dilation: pixels around it that belong to it.

    Returns:
        (view, top, left, side) in pixels; every square lies inside its picture and is no larger.

    Example:
        >>> mask = torch.zeros(2, 9, 9, dtype=torch.bool)
        >>> mask[1, 4, 2:6] = True
        >>> close_up_boxes(mask, dilation=0)
        [(1, 1, 1, 6)]
    """
    height, width = mask.shape[1:]
    boxes = []
    for view, grown in enumerate(grow(mask, dilation)):
        rows, columns = (grown.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        if len(rows) == 0:
            continue
        (top, bottom), (left, right) = ((int(line[0]), int(line[-1]) + 1) for line in (rows, columns))
        side = min(round(ROOM * max(bottom - top, right - left)), height, width)
        y, x = (top + bottom - side) // 2, (left + right - side) // 2
        boxes.append((view, max(0, min(y, height - side)), max(0, min(x, width - side)), side))
    return boxes


def close_ups(
    pictures: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    *,
    dilation: int,
    size: int,
) -> Float[Tensor, "seen size size 3"]:
    """Pictures of the subject alone, all of one size; the same mask cuts original and edited pictures alike.

    Args:
        pictures: values in [0, 1].
        mask: the subject's pixels. Views that do not see it have no close-up.
        dilation: pixels around the mask that belong to it; a close-up is `ROOM` times as wide as that.
        size: side of the results, in pixels.

    Raises:
        BlendingNerfError: no view sees the subject; or pictures, mask or dilation are none.
    """
    pictures = as_pictures("pictures", pictures)
    boxes = close_up_boxes(as_mask(mask, pictures), dilation)
    cut = []
    for view, top, left, side in boxes:
        piece = pictures[view, top : top + side, left : left + side].permute(2, 0, 1)[None].float()
        cut.append(functional.interpolate(piece, size=(size, size), mode="bilinear", antialias=True))
    return torch.cat(cut).permute(0, 2, 3, 1).clamp(0.0, 1.0)
