"""The two sides of a mask: what lies in it or within a stated distance, and everything else."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import as_mask

Room = Literal["none", "around", "above"]
"""What belongs to an edit beside its subject's pixels; see `with_room`."""


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
    if isinstance(dilation, bool) or not isinstance(dilation, int) or dilation < 0:
        raise BlendingNerfError(f"the mask's dilation is {dilation!r}, wanted a whole number of pixels, 0 or more.")
    window = 2 * dilation + 1
    along_rows = functional.max_pool2d(mask[:, None].float(), (1, window), stride=1, padding=(0, dilation))
    return functional.max_pool2d(along_rows, (window, 1), stride=1, padding=(dilation, 0))[:, 0] > 0


def with_room(mask: Bool[Tensor, "views height width"], room: Room) -> Bool[Tensor, "views height width"]:
    """Each view's mask with the room that an edit was asked to use: another shape has other outlines than its subject, and
    what is put on top of it stands above them. Told by the mask alone, so it is the same for every method (ours).

    Args:
        mask: the subject's pixels, upright. Views without any stay so.
        room: "none": the mask as it is; "around": the rectangle around it, for another shape of that size; "above": that
            rectangle and as much again above it, as far as the picture goes.

    Raises:
        BlendingNerfError: another word.

    Example:
        >>> mask = torch.zeros(1, 4, 3, dtype=torch.bool)
        >>> mask[0, 2, 0] = mask[0, 3, 1] = True
        >>> with_room(mask, "around")[0].int().tolist()
        [[0, 0, 0], [0, 0, 0], [1, 1, 0], [1, 1, 0]]
        >>> bool(with_room(mask, "above")[0, :, :2].all())
        True
    """
    if room not in get_args(Room):
        raise BlendingNerfError(f"--mask-room {room}: choose among {', '.join(get_args(Room))}")
    if room == "none":
        return mask
    roomy = torch.zeros_like(mask)
    for view, seen in enumerate(mask):
        rows, columns = (seen.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        if len(rows):
            top, bottom = int(rows[0]), int(rows[-1]) + 1
            top -= (bottom - top) if room == "above" else 0
            roomy[view, max(0, top) : bottom, int(columns[0]) : int(columns[-1]) + 1] = True
    return roomy


def split_by_mask(mask: Bool[Tensor, "views height width"], pixels: Tensor, dilation: int) -> Sides:
    """Which pixels count as inside a mask and which as outside.

    Args:
        mask: the subject's pixels. Views without any are fine as long as one has some.
        pixels: what will be measured, [views, height, width, ...].
        dilation: pixels around the mask that count as inside: renders blur an outline, additions need room.
    """
    inside = grow(as_mask(mask, pixels), dilation)
    if inside.all():
        raise BlendingNerfError(
            f"the mask, grown by {dilation} pixels, covers all {inside.numel()} pixels in {len(inside)} views: "
            "there is no outside."
        )
    return Sides(inside, ~inside)
