"""Where rays went through: the free space that a view proves."""

from __future__ import annotations

from typing import Tuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box, beyond_unit_cube, slowed, unslowed
from blending_nerf_ns.edits.intersection import ray_grid_box
from blending_nerf_ns.localization.evidence import ToGrid

RAYS_AT_ONCE = 4096
"""Rays followed at a time: bounds the memory, and keeps a CPU's caches warm."""


def passed_light(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    ends: Float[Tensor, " rays"],
    box: Box,
    to_grid: ToGrid,
    contracted: bool,
    resolution: int,
) -> Float[Tensor, " voxels"]:
    """Length of the free parts of all rays in each voxel, in voxels.

    Args:
        origins: scene coordinates.
        directions: unit vectors.
        ends: distance at which each ray's free part ends.
        box: of the grid.
        to_grid: scene to grid coordinates.
        contracted: whether these are contracted.
        resolution: voxels along each side; the result is flat, in the order [z, y, x].
    """
    out = ends.new_zeros(resolution**3)
    # each ray starts elsewhere within the first step, by the golden ratio, so that neighbours meet different voxels
    starts = torch.frac(torch.arange(ends.shape[0], device=ends.device) * 0.6180339887)
    for first in range(0, ends.shape[0], RAYS_AT_ONCE):
        part = slice(first, first + RAYS_AT_ONCE)
        index, length = _free_points(
            origins[part], directions[part], ends[part], starts[part], box, to_grid, contracted, resolution
        )
        out.index_add_(0, index, length)
    return out


def _free_points(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    ends: Float[Tensor, " rays"],
    starts: Float[Tensor, " rays"],
    box: Box,
    to_grid: ToGrid,
    contracted: bool,
    resolution: int,
) -> Tuple[Int[Tensor, " points"], Float[Tensor, " points"]]:
    """Flat voxel index of points along the free parts of rays, and the length of ray, in voxels, each stands for."""
    lower, upper = box
    far_away = contracted and beyond_unit_cube(lower, upper)
    if far_away and bool((lower <= -2.0).all() and (upper >= 2.0).all()):  # all of space, of which a ray leaves nothing
        enter, leave = torch.zeros_like(ends), ends
    else:
        enter, leave = ray_grid_box(origins, directions, lower, upper, to_grid, far_away, float(ends.max()) + 1.0)
        enter, leave = enter.clamp_min(0.0), torch.minimum(leave, ends)
    hits = torch.nonzero(leave > enter).squeeze(-1)
    origins, directions, ends, starts = (values[hits, None] for values in (origins, directions, ends, starts))
    # contracted rays slow down far away: equal steps there are equal steps of disparity
    span = torch.stack([enter[hits], leave[hits]], dim=-1)
    first, last = (slowed(span) if far_away else span).split(1, dim=-1)
    steps = torch.arange(resolution, device=ends.device)  # as many points as the grid has voxels along a side
    distances = first + (last - first) * (steps + starts) / resolution
    distances = unslowed(distances) if far_away else distances

    scale = resolution / (upper - lower)
    points = origins + distances[..., None] * directions
    places = ((to_grid(points) if far_away else points) - lower) * scale  # a contraction leaves the unit cube as it is
    stop = (to_grid(origins + ends[..., None] * directions) - lower) * scale
    length = torch.linalg.norm(places[:, 1:] - places[:, :-1], dim=-1)
    length = torch.cat([length, length[:, -1:]], dim=-1)
    # the surface may lie anywhere in the last voxel
    free = torch.linalg.norm(stop - places, dim=-1) > 1.0
    free &= ((places >= 0) & (places < resolution)).all(dim=-1)
    return flat_index(places[free].long(), resolution), length[free]


def flat_index(index: Int[Tensor, "*points 3"], resolution: int) -> Int[Tensor, "*points"]:
    """Place of voxel (x, y, z) in a flat grid [z, y, x]."""
    x, y, z = index.unbind(-1)
    return (z * resolution + y) * resolution + x
