"""From grid coordinates back to those of an unbounded scene: the inverse of `encoding.contraction.contract`, for points, rays and boxes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Box = tuple[Float[Tensor, "3"], Float[Tensor, "3"]]
"""(lower, upper) in grid coordinates."""
INFINITY_STARTS = 2.0 - 1e-6
"""Contracted coordinates beyond this one are taken for it: 2 itself stands for infinity."""


def uncontract(points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
    """Inverse of `contract`: contracted coordinates, in [-2, 2]^3, to scene coordinates (at most 1e6 away)."""
    size = points.abs().amax(dim=-1, keepdim=True)
    direction = points / size.clamp_min(1e-12)
    return torch.where(size <= 1, points, direction / (2 - size.clamp_max(INFINITY_STARTS)))


def beyond_unit_cube(lower: Float[Tensor, "3"], upper: Float[Tensor, "3"]) -> bool:
    """Whether a box reaches out of the unit cube, within which a contraction changes nothing. A GPU is waited for."""
    return bool((torch.cat([-lower, upper]) > 1.0).any())


def slowed(distance: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Distances along a ray as a contraction slows them: equal steps of it are equal steps of disparity far away. In [0, 2)."""
    return torch.where(distance < 1, distance, 2 - 1 / distance)


def unslowed(place: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Inverse of `slowed`."""
    return torch.where(place < 1, place, 1 / (2 - place))


def scene_box(
    lower: Float[Tensor, "3"], upper: Float[Tensor, "3"], contracted: bool
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """An axis-aligned box of scene coordinates around a box of grid coordinates.

    Args:
        lower: corner in grid coordinates.
        upper: opposite corner.
        contracted: whether grid coordinates are contracted; what lies at infinity is cut off at 100 scene units.
    """
    if not contracted:
        return lower, upper
    lower, upper = lower.clamp(-1.99, 1.99), upper.clamp(-1.99, 1.99)
    choice = torch.cartesian_prod(*(torch.arange(2, device=lower.device) for _ in range(3)))
    # a coordinate grows with the largest one of its point: on the side that is turned to the centre it is least at the nearest point
    nearest = torch.zeros_like(lower).clamp(lower, upper)
    ends = uncontract(torch.cat([torch.where(choice.bool(), upper, lower), nearest[None]]))
    return ends.amin(dim=0), ends.amax(dim=0)
