"""Between scene and grid coordinates: the L-inf contraction of unbounded scenes, and its inverse.

Contraction of Mip-NeRF 360 (arXiv 2111.12077, equation 10) in the L-inf norm, as nerfacto uses it: the identity inside
[-1, 1]^3, everything else in the shell up to [-2, 2]^3.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

INFINITY_STARTS = 2.0 - 1e-6
"""Contracted coordinates beyond this one are taken for it: 2 itself stands for infinity."""


def contract(points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
    """Scene coordinates to contracted ones, the same numbers as nerfstudio's `SceneContraction(order=inf)`."""
    size = points.abs().amax(dim=-1, keepdim=True)
    return torch.where(size < 1, points, (2 - 1 / size) * (points / size))


def uncontract(points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
    """Inverse of `contract`: contracted coordinates, in [-2, 2]^3, to scene coordinates (at most 1e6 away)."""
    size = points.abs().amax(dim=-1, keepdim=True)
    direction = points / size.clamp_min(1e-12)
    return torch.where(size <= 1, points, direction / (2 - size.clamp_max(INFINITY_STARTS)))
