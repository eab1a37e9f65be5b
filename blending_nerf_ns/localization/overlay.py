"""A region that no model holds, drawn over views of a scene."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from blending_nerf_ns.bases.memory import RenderMemory
from blending_nerf_ns.edits.edit import accumulated_region
from blending_nerf_ns.edits.intersection import FARTHEST, intersect_region
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.localization.views import INTERVALS, FrozenScene
from blending_nerf_ns.rendering.overlay import region_overlay


@torch.no_grad()
def overlay_view(
    scene: FrozenScene, region: Region, cameras: Cameras, index: int, memory: Optional[RenderMemory] = None
) -> Dict[str, Tensor]:
    """One view of a scene with a region that no model holds: "original", "region", "silhouette" and "overlay",
    [H, W, 3 or 1].

    Args:
        scene: with a frozen base.
        region: on the base's device.
        cameras: the views.
        index: which of them.
        memory: of the scene's base, where it may remember the view.
    """
    rays = cameras.generate_rays(camera_indices=index, keep_shape=True)
    height, width = rays.origins.shape[:2]
    memory = memory or RenderMemory(scene.base)
    memory.begin(rays)
    try:
        parts = [
            _overlay_part(scene, region, rays.get_row_major_sliced_ray_bundle(at, at + scene.chunk), memory)
            for at in range(0, height * width, scene.chunk)
        ]
    finally:
        memory.end()
    original, share, silhouette = (torch.cat(values).view(height, width, -1) for values in zip(*parts))
    overlay = region_overlay(original, share, silhouette)
    return {"original": original, "region": share, "silhouette": silhouette, "overlay": overlay}


def _overlay_part(
    scene: FrozenScene, region: Region, part: RayBundle, memory: RenderMemory
) -> Tuple[Tensor, Tensor, Tensor]:
    """Original, region's share and silhouette of a chunk of rays."""
    render = memory.render(part)
    near = 0.0 if part.nears is None else part.nears.view(-1)
    far = FARTHEST if part.fars is None else part.fars.view(-1).clamp_max(FARTHEST)
    met = intersect_region(
        region, part.origins, part.directions, scene.base.to_grid, scene.base.contracted, near, far, INTERVALS
    )
    share, silhouette = (render.outputs["rgb"].new_zeros(len(part), 1) for _ in range(2))
    edges, density = render.samples.edges[met.rays], render.samples.density[met.rays]
    share[met.rays, 0] = accumulated_region(edges, density, met)
    silhouette[met.rays, 0] = met.region.amax(dim=-1)
    return render.outputs["rgb"], share.clamp(0.0, 1.0), silhouette
