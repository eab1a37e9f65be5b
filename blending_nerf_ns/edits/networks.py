"""The two small networks behind the edit's hash grid: layer by layer, or for a picture on a GPU in one kernel."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, cast

import torch
from jaxtyping import Float, Int
from nerfstudio.field_components.mlp import MLP
from torch import Tensor, nn
from torch.nn import functional as F

from blending_nerf_ns.encoding.kernels import kernels

TENSOR_CORES = (8, 0)
"""First compute capability whose tensor cores multiply in tf32, three times for float32's precision; without them the kernel is a
tenth as fast as layer by layer (H200)."""


class FieldNetworks(NamedTuple):
    """What reads the hash grid's features, and the direction."""

    trunk: MLP
    """From features."""
    shape_head: nn.Linear
    """From the trunk: density, its ratio and the colour's."""
    color_head: MLP
    """From the trunk and the direction."""

    def read(
        self,
        encoded: Float[Tensor, "points features"],
        gate: Float[Tensor, " features"],
        views: Float[Tensor, "rays view"],
        rays: Optional[Int[Tensor, " points"]] = None,
    ) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
        """What both heads say of points, before any activation.

        Args:
            encoded: features of points.
            gate: how much of each of them is let through.
            views: encoded directions.
            rays: along which of them each point is seen; None: there is one for each point.
        """
        fused = self._fused(encoded)
        if fused is None:
            hidden = self.trunk(encoded * gate).float()
            color = self.color_head(torch.cat([hidden, views if rays is None else views[rays]], dim=-1))
            return self.shape_head(hidden), color.float()
        rays = torch.arange(len(encoded), device=encoded.device) if rays is None else rays
        first, second, toward, last = (*_linears(self.trunk), *_linears(self.color_head))
        of_hidden, of_view = toward.weight.split([second.out_features, views.shape[-1]], dim=1)
        weights = (first.weight * gate, first.bias, second.weight, second.bias)
        weights += (self.shape_head.weight, self.shape_head.bias, of_hidden, last.weight, last.bias)
        return fused.fused_networks(encoded, rays, F.linear(views, of_view, toward.bias), weights)

    def _fused(self, encoded: Tensor) -> Optional[Any]:
        """The kernel, where it runs and is all that is asked for: values in float32."""
        plain = torch.is_grad_enabled() or torch.is_autocast_enabled() or self.trunk.tcnn_encoding is not None
        fused = None if plain else fused_kernel(encoded.device)
        return fused if fused is not None and fused.fits(encoded.shape[1], self.shape_head.in_features) else None


def _linears(network: MLP) -> tuple[nn.Linear, nn.Linear]:
    one, two = cast(nn.ModuleList, network.layers)
    return cast(nn.Linear, one), cast(nn.Linear, two)


def fused_kernel(device: torch.device) -> Optional[Any]:
    """The kernel's module where it can run and is faster: on a GPU with tensor cores. None elsewhere."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < TENSOR_CORES:
        return None
    return kernels("fused_networks", device)
