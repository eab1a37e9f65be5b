"""One compositing pass: from blended samples to the pixel and its three accumulated opacities."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from blending_nerf_ns.rendering.blending import BlendedSamples


class BlendedPixels(NamedTuple):
    """What one ray sees of a blend."""

    rgb: Float[Tensor, "rays 3"]
    """The blended picture, over the base's background, not clamped."""
    accumulation: Float[Tensor, "rays"]
    """Opacity of the blend in [0, 1]."""
    depth: Float[Tensor, "rays"]
    """Median depth of the blend, a distance along the ray."""
    added: Float[Tensor, "rays"]
    """Accumulated opacity of what was added, in [0, 1]."""
    changed: Float[Tensor, "rays"]
    """Accumulated opacity of what was recoloured, in [0, 1]."""
    edit_rgb: Float[Tensor, "rays 3"]
    """The edit rendered alone, premultiplied: add `(1 - edit_accumulation) * background`."""
    edit_accumulation: Float[Tensor, "rays"]
    """Opacity of the edit rendered alone, in [0, 1]."""


def render_weights(
    density: Float[Tensor, "rays samples"], deltas: Float[Tensor, "rays samples"]
) -> Float[Tensor, "rays samples"]:
    """Quadrature weights w = T (1 - exp(-density * delta)) (Max 1995; NeRF, equation 3).

    Args:
        density: >= 0, constant on each interval.
        deltas: length of each interval, >= 0, in order along the ray.

    Returns:
        weights in [0, 1] whose sum along a ray is its accumulation.
    """
    optical = density * deltas
    # not cumsum - optical: the last interval reaches to the far plane, and its thousands would swallow what came before
    before = F.pad(torch.cumsum(optical[..., :-1], dim=-1), (1, 0))
    return torch.exp(-before) * -torch.expm1(-optical)


def transmittance_at(
    places: Float[Tensor, "rays n"], edges: Float[Tensor, "rays m+1"], density: Float[Tensor, "rays m"]
) -> Float[Tensor, "rays n"]:
    """Share of the light that comes as far as some places on each ray, in [0, 1].

    Between the edges of constant densities the optical depth grows linearly, so nothing has to be split to know what a part of
    the ray hides: the transmittance at its near end less that at its far end.

    Args:
        places: distances along the rays, anywhere; there is nothing before the first edge and beyond the last.
        edges: of the intervals, ascending.
        density: >= 0, constant on each interval.

    Example:
        >>> transmittance_at(torch.tensor([[0.0, 2.0, 9.0]]), torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5]]))
        tensor([[1.0000, 0.6065, 0.3679]])
    """
    depth = F.pad(torch.cumsum(density * (edges[..., 1:] - edges[..., :-1]), dim=-1), (1, 0))
    within = torch.maximum(torch.minimum(places, edges[..., -1:]), edges[..., :1]).contiguous()
    index = (torch.searchsorted(edges.contiguous(), within, right=True) - 1).clamp_(0, density.shape[-1] - 1)
    since = within - edges.gather(-1, index)
    return torch.exp(-(depth.gather(-1, index) + density.gather(-1, index) * since))


def composite(
    weights: Float[Tensor, "rays samples"], rgb: Float[Tensor, "rays samples 3"], background: Float[Tensor, "rays 3"]
) -> Float[Tensor, "rays 3"]:
    """Colour of a ray: what its samples show, over the background; not clamped."""
    left = 1.0 - weights.sum(dim=-1, keepdim=True)
    return (weights[..., None] * rgb).sum(dim=-2) + left * background


def median_depth(
    weights: Float[Tensor, "rays samples"], midpoints: Float[Tensor, "rays samples"]
) -> Float[Tensor, "rays"]:
    """Middle of the interval at which half the light is gone; the last one's where that never happens."""
    half = weights.new_full((*weights.shape[:-1], 1), 0.5)
    index = torch.searchsorted(torch.cumsum(weights, dim=-1), half).clamp_max(weights.shape[-1] - 1)
    return midpoints.gather(-1, index).squeeze(-1)


def composite_blend(
    blended: BlendedSamples,
    edit_rgb: Float[Tensor, "rays samples 3"],
    edges: Float[Tensor, "rays samples+1"],
    background: Float[Tensor, "rays 3"],
) -> BlendedPixels:
    """Composite blended samples along their rays.

    Args:
        blended: the blend on every sub-interval.
        edit_rgb: the editable field's own colour there.
        edges: merged edges, ascending.
        background: the colour behind the ray by the BASE's rule, from the original samples: an edit never moves it.
    """
    deltas, midpoints = edges[..., 1:] - edges[..., :-1], 0.5 * (edges[..., 1:] + edges[..., :-1])
    weights = render_weights(blended.density, deltas)
    alone = render_weights(blended.edit_density, deltas)
    return BlendedPixels(
        rgb=composite(weights, blended.rgb, background),
        accumulation=weights.sum(dim=-1),
        depth=median_depth(weights.detach(), midpoints),
        added=(weights * blended.added_share).sum(dim=-1),
        changed=(weights * blended.kept_share * blended.changed).sum(dim=-1),
        edit_rgb=(alone[..., None] * edit_rgb).sum(dim=-2),
        edit_accumulation=alone.sum(dim=-1),
    )
