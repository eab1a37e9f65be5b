"""A solid with a soft edge, in light and shade: what the density and the colour of an addition start from (ours)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

SOFTNESS = 0.3
"""Width, in radii, of the soft edge around the solid that an addition starts from."""
SHARP = 0.1
"""The same of one that takes an object's place: a box's edges came out round and crooked, for what is learned moves a soft edge far."""
SHADE = 0.7
"""How much darker that solid is where it faces away from the light."""
NO_END = 1e6
"""Reach, in radii, of what may grow wherever there is room: finite, for differences of infinities are no numbers."""
LIGHT = (0.36, 0.48, 0.8)
"""Where the light comes from: above, and a little from the side, so that a box shows its edges."""


class Seed(NamedTuple):
    """A soft solid of density: a superellipsoid, sum |(x - center) / radii|^power <= 1."""

    center: Float[Tensor, "3"]
    """In grid coordinates."""
    radii: Float[Tensor, "3"]
    """In grid coordinates, > 0."""
    power: float | Float[Tensor, ""] = 2.0
    """2: an ellipsoid; 8: a box with rounded edges."""


class SoftSolid(NamedTuple):
    """A seed at some points."""

    lift: Float[Tensor, " points"]
    """Of what stands before a density's activation."""
    room: Float[Tensor, " points"]
    """How much of a density may be there, in [0, 1]."""
    shade: Float[Tensor, "points 1"]
    """Of a colour, in (0, 1]."""


def soft_solid(
    points: Float[Tensor, "points 3"],
    seed: Seed,
    lift: float,
    reach: float | Tensor = NO_END,
    softness: float | Tensor = SOFTNESS,
) -> SoftSolid:
    """A solid as an addition starts from it, in light from above: a flat colour was not read as the shape it has.

    Args:
        points: grid coordinates.
        seed: the solid.
        lift: at its surface; the same again for each `softness` further in, and 0 from that far outside on.
        reach: how far from its centre there may be density at all, in radii, fading out over the last `SOFTNESS`.
        softness: width of its edge, in radii, > 0.

    Example:
        >>> ball = Seed(torch.zeros(3), torch.ones(3))
        >>> points = torch.tensor([[0.0, 0.0, 0.7], [0.0, 0.0, 1.0], [0.0, 0.0, 1.45], [0.0, 0.0, 1.6]])
        >>> found = soft_solid(points, ball, 6.0, reach=1.6)
        >>> found.lift.round(), found.room
        (tensor([12.,  6.,  0.,  0.]), tensor([1.0000, 1.0000, 0.5000, 0.0000]))
    """
    place = (points - seed.center) / seed.radii
    away = place.abs()
    largest = away.amax(dim=-1, keepdim=True).clamp_min(1e-9)  # powers of what is not above 1
    powers = (away / largest).pow(seed.power - 1.0)
    distance = largest[:, 0] * (powers * away / largest).sum(dim=-1).pow(1.0 / seed.power)
    lifted = lift / softness * (1.0 + softness - distance).clamp_min(0.0)
    normal = F.normalize(powers * place.sign() / seed.radii, dim=-1)
    room = ((reach - distance) / SOFTNESS).clamp(0.0, 1.0)
    shade = 1.0 - SHADE * (1.0 - normal @ _light(normal.device).to(normal.dtype))[:, None] / 2.0
    return SoftSolid(lifted, room, shade)


@cache
def _light(device: torch.device) -> Float[Tensor, "3"]:
    """Brought to a GPU once: the copy waits for all that is being done there."""
    return torch.tensor(LIGHT, device=device)
