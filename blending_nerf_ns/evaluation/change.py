"""Where an edit acted: its amounts inside and outside a mask, and the share of it that leaked out.

`dilation` is always stated: that many pixels around the mask count as inside.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import ROUNDING, as_amounts, as_picture_pair
from blending_nerf_ns.evaluation.masks import split_by_mask


class InsideOutside(NamedTuple):
    """A mean on each side of a mask."""

    inside: float
    outside: float


def mean_inside_outside(
    amounts: Float[Tensor, "views height width"], mask: Bool[Tensor, "views height width"], *, dilation: int
) -> InsideOutside:
    """Mean of an accumulated opacity (what was added, removed or changed) inside and outside a mask.

    Formula: sum of E over a side's pixels in all views / number of those pixels.
    Range: [0, 1] each; without an edit both are 0.
    Better: lower outside; inside it is the edit's size, and neither way is better.
    Source: ours; the accumulated opacities follow Blending-NeRF (arXiv 2308.11974).

    Args:
        amounts: E_add, E_remove or E_change of each pixel.
        mask: the subject's pixels.
        dilation: pixels around the mask that count as inside.

    Example:
        >>> import torch
        >>> added = torch.tensor([[[0.8, 0.4, 0.0, 0.2]]])
        >>> mask = torch.tensor([[[True, True, False, False]]])
        >>> [round(mean, 6) for mean in mean_inside_outside(added, mask, dilation=0)]
        [0.6, 0.1]
    """
    amounts = as_amounts("the amount", amounts)
    sides = split_by_mask(mask, amounts, dilation)
    return InsideOutside(amounts[sides.inside].mean().item(), amounts[sides.outside].mean().item())


def leaked_pixels(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    *,
    dilation: int,
    threshold: float,
) -> float:
    """Leakage: share of the changed pixels that lie outside a mask.

    Formula: changed pixels outside / changed pixels, in all views together; a pixel has changed where |I - I'| of
        some channel is above the threshold.
    Range: [0, 1]; 0 where no pixel has changed, so identical pictures give 0. A change that is spread evenly gives the
        outside's share of the pixels.
    Better: lower, at the same edit strength only.
    Source: ours.

    Args:
        original, edited: pictures of the same views.
        mask: the subject's pixels.
        dilation: pixels around the mask that count as inside.
        threshold: in [1e-5, 1). State it. Pictures of 8 bits need more than 1/255, such as 1.5/255, or rounding is change.

    Example:
        >>> import torch
        >>> original, edited = torch.zeros(1, 1, 4, 3), torch.zeros(1, 1, 4, 3)
        >>> edited[0, 0, :, 0] = torch.tensor([0.9, 0.9, 0.9, 0.01])
        >>> mask = torch.tensor([[[True, True, False, False]]])
        >>> round(leaked_pixels(original, edited, mask, dilation=0, threshold=0.05), 6)
        0.333333
    """
    if not isinstance(threshold, float | int) or not ROUNDING <= threshold < 1:
        raise BlendingNerfError(f"the threshold of change is {threshold!r}, wanted a number in [{ROUNDING}, 1).")
    original, edited = as_picture_pair(original, edited)
    outside = split_by_mask(mask, original, dilation).outside
    changed = (original - edited).abs().amax(-1) > threshold
    return _share(changed.double(), outside)


def leaked_change(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    *,
    dilation: int,
) -> float:
    """Leakage, weighed: share of the change that lies outside a mask.

    Formula: sum of |I - I'| outside / sum of |I - I'|, over channels and pixels of all views together. Differences up
        to 1e-5 are rounding and count as none.
    Range: [0, 1]; 0 where nothing has changed, so identical pictures give 0. A change that is spread evenly gives the
        outside's share of the pixels.
    Better: lower, at the same edit strength only.
    Source: ours.

    Args:
        original, edited: pictures of the same views.
        mask: the subject's pixels.
        dilation: pixels around the mask that count as inside.
    """
    original, edited = as_picture_pair(original, edited)
    outside = split_by_mask(mask, original, dilation).outside
    difference = (original - edited).abs()
    return _share(difference.where(difference > ROUNDING, 0.0).sum(-1), outside)


def kept_inside(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    *,
    dilation: int,
) -> float:
    """Share of the change that lies inside a mask.

    Formula: 1 - `leaked_change`.
    Range: [0, 1]; where nothing has changed there is no share to tell.
    Better: higher.
    Source: ours.

    Args:
        original, edited: pictures of the same views.
        mask: where the change was meant to be, such as our own region.
        dilation: pixels around the mask that count as inside.

    Raises:
        BlendingNerfError: nothing has changed, or the pictures or the mask are not of the same views.

    Example:
        >>> import torch
        >>> original, edited = torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 2, 3)
        >>> edited[0, 0, :, 0] = torch.tensor([0.6, 0.2])
        >>> round(kept_inside(original, edited, torch.tensor([[[True, False]]]), dilation=0), 6)
        0.75
    """
    first, second = as_picture_pair(original, edited)
    if float((first - second).abs().max()) <= ROUNDING:
        raise BlendingNerfError("nothing has changed, so no share of it lies anywhere")
    return 1.0 - leaked_change(original, edited, mask, dilation=dilation)


def _share(amounts: Float[Tensor, "views height width"], side: Bool[Tensor, "views height width"]) -> float:
    """Share of a sum that lies on one side; 0 of a sum that is 0."""
    total = amounts.sum().item()
    return amounts[side].sum().item() / total if total > 0 else 0.0
