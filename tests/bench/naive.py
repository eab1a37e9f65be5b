"""The plain way to blend two fields: both everywhere. What the fast path is compared with, and nothing else uses."""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.field_heads import FieldHeadNames
from torch import Tensor

from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.rendering.blending import EditSamples, blend
from blending_nerf_ns.rendering.compositing import composite_blend

REACH = 2.0
"""The edit's samples lie on each ray from the near plane to here, in scene units: through the whole unit cube."""


@torch.no_grad()
def naive_frame(model: BlendingModel, rays: RayBundle) -> Float[Tensor, "pixels 3"]:
    """The blended picture of a flat bundle, with both fields at all samples of both sets on every ray.

    Args:
        model: with a frozen base and a region; only its edit in work is shown.
        rays: of a whole picture; rendered in the base's chunks.
    """
    chunk = model.base.config.eval_num_rays_per_chunk
    return torch.cat([_naive_chunk(model, rays[start : start + chunk]) for start in range(0, len(rays), chunk)])


def _naive_chunk(model: BlendingModel, rays: RayBundle) -> Float[Tensor, "rays 3"]:
    base, edit = model.base, model.edit
    rays = base.collider(rays) if base.collider is not None else rays
    placed, _, _ = base.proposal_sampler(rays, density_fns=base.density_fns)
    starts, ends, near = placed.frustums.starts[..., 0], placed.frustums.ends[..., 0], rays.nears
    assert near is not None
    share = torch.linspace(0.0, 1.0, model.config.edit_samples_per_ray + 1, device=near.device)
    edges = torch.cat([starts, ends[:, -1:], near + (REACH - near) * share], dim=-1).sort(dim=-1).values

    samples = rays.get_ray_samples(bin_starts=edges[:, :-1, None], bin_ends=edges[:, 1:, None])
    original = base.field.forward(samples)
    density, rgb = original[FieldHeadNames.DENSITY][..., 0], original[FieldHeadNames.RGB]
    points = base.to_grid(samples.frustums.get_positions())
    views = edit.field.look_along(samples.frustums.directions.reshape(-1, 3))
    own = edit.field(points.reshape(-1, 3), views)
    density_of_edit, color, density_ratio, color_ratio = (value.view(*density.shape, *value.shape[1:]) for value in own)
    seen = EditSamples(density_of_edit, color, density_ratio, color_ratio, edit.region.weight_at(points))
    blended = blend(density, rgb, seen, edit.info.shown)
    return composite_blend(blended, color, edges, rgb[:, -1]).rgb
