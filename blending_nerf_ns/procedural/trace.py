"""Geometry of a picture: which part each ray hits, where, facing which way, and whether in shadow.

Appearance is not here, so that one traced picture can be shaded many times (training) or once (`render`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from blending_nerf_ns.procedural.scene import Part, Scene
from blending_nerf_ns.procedural.shapes import INTERSECT, MISS

SURROUNDINGS, GROUND, FIRST_PART = 0, 1, 2
"""Surface labels: 0 is what lies beyond everything, 1 the ground, 2 + i the scene's i-th part."""


@dataclass(frozen=True)
class Geometry:
    """What each ray of a picture sees."""

    surface: Int[Tensor, "*rays"]
    """Labels as above."""
    position: Float[Tensor, "*rays 3"]
    """Where the ray ends; for the surroundings the ray's unit direction instead."""
    normal: Float[Tensor, "*rays 3"]
    """Unit normal towards the viewer's side; zero for the surroundings."""
    shadow: Bool[Tensor, "*rays"]
    """True where a part blocks the light."""


def camera_rays(
    camera_to_world: Float[np.ndarray, "4 4"], fx: float, fy: float, cx: float, cy: float, width: int, height: int
) -> Tuple[Float[Tensor, "3"], Float[Tensor, "height width 3"]]:
    """Origin and unit directions of the rays through the pixel centres; OpenGL camera: looks along -z, y up."""
    pose = torch.as_tensor(np.asarray(camera_to_world), dtype=torch.float32)
    x = (torch.arange(width) + 0.5 - cx) / fx
    y = -(torch.arange(height) + 0.5 - cy) / fy
    local = torch.stack([x.expand(height, width), y[:, None].expand(height, width), -torch.ones(height, width)], -1)
    directions = local @ pose[:3, :3].T
    return pose[:3, 3], directions / directions.norm(dim=-1, keepdim=True)


def scene_parts(scene: Scene) -> Tuple[List[Part], List[int]]:
    """All parts of the scene in order, and the object that each belongs to."""
    parts = [part for thing in scene.things for part in thing.parts]
    owners = [index for index, thing in enumerate(scene.things) for _ in thing.parts]
    return parts, owners


def _near_part(part: Part, o: Tensor, d: Tensor) -> Tensor:
    """Indices of the rays (unit directions) that pass the part's bounding ball."""
    offset = torch.as_tensor(part.centre, dtype=torch.float32) - o
    along = (offset * d).sum(-1)
    reach = part.radius * 1.01
    return (((offset * offset).sum(-1) - along.clamp_min(0) ** 2) < reach * reach).nonzero()[:, 0]


def _hit_part(part: Part, o: Tensor, d: Tensor) -> Tuple[Tensor, Tensor]:
    """(t, unit world normal) of rays [N, 3] against one part."""
    rotation = torch.as_tensor(part.rotation, dtype=torch.float32)
    size = torch.as_tensor(part.size, dtype=torch.float32)
    centre = torch.as_tensor(part.centre, dtype=torch.float32)
    t, normal = INTERSECT[part.kind](((o - centre) @ rotation) / size, (d @ rotation) / size, tube=part.tube)
    normal = (normal / size) @ rotation.T
    return t, normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def nearest(
    parts: Sequence[Part], origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]
) -> Tuple[Float[Tensor, "rays"], Int[Tensor, "rays"], Float[Tensor, "rays 3"]]:
    """Nearest hit of each ray: depth (MISS if none), index of the part (-1 if none), normal."""
    t = torch.full(directions.shape[:1], MISS)
    index = torch.full(directions.shape[:1], -1, dtype=torch.long)
    normal = torch.zeros_like(directions)
    for i, part in enumerate(parts):
        rays = _near_part(part, origin, directions)
        if len(rays) == 0:
            continue
        part_t, part_normal = _hit_part(part, origin.expand(len(rays), 3), directions[rays])
        closer = part_t < t[rays]
        rays = rays[closer]
        t[rays], index[rays], normal[rays] = part_t[closer], i, part_normal[closer]
    return t, index, normal


def in_shadow(parts: Sequence[Part], points: Float[Tensor, "points 3"], light: Float[Tensor, "3"]) -> Tensor:
    """True for the points from which some part hides the light, bool [points]."""
    blocked = torch.zeros(len(points), dtype=torch.bool)
    directions = light.expand(len(points), 3)
    for part in parts:
        rays = _near_part(part, points, directions)
        rays = rays[~blocked[rays]]
        if len(rays):
            blocked[rays] = _hit_part(part, points[rays], directions[rays])[0] < MISS
    return blocked


def trace(scene: Scene, origin: Float[Tensor, "3"], directions: Float[Tensor, "*rays 3"]) -> Geometry:
    """Follow rays from one origin into the scene.

    Args:
        scene: what to look at.
        origin: camera centre.
        directions: unit vectors.
    """
    shape = directions.shape[:-1]
    d = directions.reshape(-1, 3)
    parts, _ = scene_parts(scene)
    t, index, normal = nearest(parts, origin, d)
    surface = torch.where(index >= 0, index + FIRST_PART, torch.full_like(index, SURROUNDINGS))
    if scene.ground is not None:
        down = torch.where(d[:, 2].abs() < 1e-6, torch.full_like(d[:, 2], 1e-6), d[:, 2])
        ground_t = -origin[2] / down
        radius = (origin[:2] + d[:, :2] * ground_t[:, None]).norm(dim=-1)
        # beyond 60 units the ground's texture is noise only: let the surroundings begin there
        ground = (ground_t > 0) & (ground_t < t) & (radius < min(scene.ground_radius, 60.0))
        t = torch.where(ground, ground_t, t)
        surface = torch.where(ground, torch.full_like(surface, GROUND), surface)
        normal[ground] = torch.tensor([0.0, 0.0, 1.0])
    seen = surface != SURROUNDINGS
    position = torch.where(seen[:, None], origin + d * torch.where(seen, t, torch.zeros_like(t))[:, None], d)
    light = torch.as_tensor(np.asarray(scene.light.direction), dtype=torch.float32)
    shadow = torch.zeros_like(seen)
    lit = (seen & ((normal * light).sum(-1) > 0)).nonzero()[:, 0]
    shadow[lit] = in_shadow(parts, position[lit] + 0.01 * normal[lit], light)
    return Geometry(
        surface.reshape(shape), position.reshape(*shape, 3), normal.reshape(*shape, 3), shadow.reshape(shape)
    )
