"""Contraction of unbounded space into a cube: Mip-NeRF 360 (arXiv 2111.12077, equation 10) in the L-inf norm, as nerfacto uses it."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.field_components.spatial_distortions import SceneContraction
from torch import Tensor, nn


def contract(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Points with max|x| >= 1 to (2 - 1/max|x|) x / max|x|, others to themselves; into [-2, 2]^3.

    The same numbers as nerfstudio's `SceneContraction(order=inf)`. torch's norm over a last dimension of three takes ten times as long as this maximum.
    """
    size = points.abs().amax(-1, keepdim=True)
    return torch.where(size < 1, points, (2 - 1 / size) * (points / size))


class CubeContraction(SceneContraction):
    """nerfstudio's `SceneContraction(order=inf)` for points; Gaussians take nerfstudio's way."""

    def forward(self, positions: Any) -> Any:
        return contract(positions) if isinstance(positions, Tensor) else super().forward(positions)


def use_cube_contractions(model: nn.Module) -> None:
    """Let every contraction of a model that uses the maximum norm be a `CubeContraction`."""
    for module in model.modules():
        if type(module) is SceneContraction and module.order == float("inf"):
            module.__class__ = CubeContraction
