"""What views see in a solid that the user placed: it claims the air in it as well, where an addition has room (ours).

What a text or masks find is a surface, and thin; that light passes around it the region knows. Of a solid it knows nothing, see
`region_from_solid`: a box in the air would be an object with no room but around it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.bases.base import Base
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN
from blending_nerf_ns.localization.evidence import gather_evidence, join_evidence
from blending_nerf_ns.localization.fusion import FINE_RAYS, fill_grid
from blending_nerf_ns.rendering.compositing import render_weights
from blending_nerf_ns.training.view_pool import GuidanceView

THIN = 3
"""Voxels that a surface reaches to either side of its middle at most; what is SEEN farther in than that was placed."""
NOTHING = 0.02
"""Share of a solid that surfaces in it may fill where it counts as empty: haze of the base."""


def claimed(region: Region) -> Bool[Tensor, "z y x"]:
    """The voxels that a region takes for its object, be they found or placed."""
    return (region.state == SEEN) & (region.probability >= region.shape.threshold)


def placed_solids(region: Region) -> Bool[Tensor, "z y x"]:
    """The voxels of solids that the user placed: those that are SEEN all through.

    Args:
        region: any; of one that views found there is none.
    """
    seen = claimed(region).cpu().numpy()
    deep = ndimage.binary_erosion(seen, iterations=THIN)
    around = ndimage.binary_dilation(deep, np.ones((3, 3, 3)), iterations=THIN) & seen
    return torch.from_numpy(around).to(region.state.device)


def look_into(region: Region, base: Base, views: Iterable[GuidanceView]) -> UInt8[Tensor, "z y x"]:
    """What views see in each voxel of a region's grid: HIDDEN, FREE or SEEN; HIDDEN everywhere where no ray meets it.

    Args:
        region: whose grid it is.
        base: what the views are of.
        views: with the samples of what is not edited on the rays that meet the region.
    """
    parts = [
        gather_evidence(
            view.rays.origins,
            view.rays.directions,
            view.base.edges,
            render_weights(view.base.density, view.base.edges.diff(dim=-1)),
            view.rays.origins.new_zeros(len(view.rays)),
            base.to_grid,
        )
        for view in views
        if view.num_rays
    ]
    if not parts:
        return torch.full_like(region.state, HIDDEN)
    box = region.lower, region.upper
    joined = join_evidence(parts)
    return fill_grid(joined, box, base.to_grid, base.contracted, region.resolution, most_rays=FINE_RAYS).state


def is_empty(solid: Bool[Tensor, "z y x"], seen: UInt8[Tensor, "z y x"]) -> bool:
    """Whether some voxels lie where light passes and next to no surface is.

    Args:
        solid: the voxels.
        seen: from `look_into`.
    """
    inside = seen[solid]
    return bool((inside == FREE).any()) and int((inside == SEEN).sum()) <= NOTHING * len(inside)
