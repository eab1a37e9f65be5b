"""The two sides of a mask: what lies in it or within a stated distance, and everything else."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import as_mask


class Sides(NamedTuple):
    """Every pixel is on one side."""

    inside: Bool[Tensor, "views height width"]
    outside: Bool[Tensor, "views height width"]


def grow(mask: Bool[Tensor, "views height width"], dilation: int) -> Bool[Tensor, "views height width"]:
    """Each view's mask with every pixel that lies at most `dilation` away (the larger of the two axes' distances).

    Example:
        >>> import torch
        >>> mask = torch.zeros(1, 3, 5, dtype=torch.bool)
        >>> mask[0, 1, 1] = True
        >>> grow(mask, 1)[0].int().tolist()
        [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    """
    window = 2 * dilation + 1
    along_rows = functional.max_pool2d(mask[:, None].float(), (1, window), stride=1, padding=(0, dilation))
    return functional.max_pool2d(along_rows, (window, 1), stride=1, padding=(dilation, 0))[:, 0] > 0


def split_by_mask(mask: Bool[Tensor, "views height width"], pixels: Tensor, dilation: int) -> Sides:
    """Which pixels count as inside a mask and which as outside.

    Args:
        mask: the subject's pixels. Views without any are fine as long as one has some.
        pixels: what will be measured, [views, height, width, ...].
        dilation: pixels around the mask that count as inside: renders blur an outline, additions need room.
    """
    if isinstance(dilation, bool) or not isinstance(dilation, int) or dilation < 0:
        raise BlendingNerfError(f"the mask's dilation is {dilation!r}, wanted a whole number of pixels, 0 or more.")
    inside = grow(as_mask(mask, pixels), dilation)
    if inside.all():
        raise BlendingNerfError(
            f"the mask, grown by {dilation} pixels, covers all {inside.numel()} pixels in {len(inside)} views: "
            "there is no outside."
        )
    return Sides(inside, ~inside)
