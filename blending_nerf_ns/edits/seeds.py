"""Solids that an addition may start from: balls beside a region's object, or balls and a box in its place (ours)."""

from __future__ import annotations

import math
from functools import partial
from typing import List, Optional, Tuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import ndimage
from scipy.optimize import linprog
from scipy.spatial import ConvexHull
from torch import Tensor

from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.shape import FREE
from blending_nerf_ns.edits.soft_solid import Seed

SIZES = (0.5, 0.3)
"""Radii of the balls, as shares of the object's mean side."""
NEARLY = 0.85
"""Share of its size that a ball may do without: the one place where the largest fits may be anywhere."""
PLACES = 3
"""Balls of each size: one above the middle of the object, the others away from it and each other. Where a region grows only
upwards there is the first alone: a guide was seen to be as glad of a ball that hangs over an edge."""
SHOWN = 0.9
"""A ball starts in the frame of at least this share of the photos that have the object in theirs, ..."""
LEAST = 0.15
"""...if there is room for one whose radius is this share of the object's mean side. Above what a photo's frame cuts off nobody sees it."""
OVER = 0.5
"""What grows upwards starts over this share of the object's bounding box, in the middle, ..."""
SMALLEST = 0.1
"""...if a ball whose radius is this share of the object's mean side fits there: at the tail of a tilted microphone there was a little more
room, and a ball there is not on top of it."""
SOLIDS = ((2.0, math.pi / 6.0), (8.0, 1.0))
"""Powers of a ball and a box, and how much of their own bounding box they fill."""
HELD = 0.9
"""The largest ball that an object's convex hull holds is one more where it has at most this share of the size of one of its volume."""
ASIDE = 1e-3
"""What a ball's way from the middle weighs beside its radius: of equals there is one."""


def seeds_beside(
    region: Region,
    shown: Optional[Float[Tensor, "z y x"]] = None,
    air: Optional[Bool[Tensor, "z y x"]] = None,
) -> List[Seed]:
    """Balls that fit into the free part of a region and touch its object, or come as near as the room allows.

    Args:
        region: any; without free room there is none.
        shown: share of the photos in whose frame each voxel lies; all of them if not given.
        air: room that the region itself takes for its object, see `training/placed.py`.

    Returns:
        balls in grid coordinates; the first of each size is high above the object's middle: on a head, not on an ear. Of a
        region that grows upwards it is the only one.
    """
    spacing = region.voxel_size.flip(0).cpu().tolist()
    core, room = _core(region), _room(region)
    if not core.any():
        return []
    middle, half = (corner.cpu() for corner in _box(region, core))
    if air is not None:
        breath = air.cpu().numpy() & core
        core, room = core & ~breath, room | breath
    if not room.any() or not core.any():
        return []
    side = 2.0 * float(half.mean())
    deep = np.asarray(ndimage.distance_transform_edt(room, spacing))
    if shown is not None:
        often = shown.cpu().numpy()
        framed = np.asarray(ndimage.distance_transform_edt(room & (often >= SHOWN * often[core].max()), spacing))
        deep = framed if framed.max() >= LEAST * side else deep
    away = np.asarray(ndimage.distance_transform_edt(~core, spacing))
    touching = partial(_touching, region, away=away, middle=middle, side=side)
    found = touching(deep)

    def over_the_middle(places: Float[Tensor, "*places 3"]) -> Bool[ndarray, "*places"]:
        return ((places.cpu() - middle)[..., :2].abs() <= OVER * half[:2]).all(dim=-1).numpy()

    if region.shape.grow == "up" and not all(over_the_middle(ball.center) for ball in found):
        central = deep * over_the_middle(_centers(region, np.moveaxis(np.indices(deep.shape), 0, -1)))
        found = touching(central) if central.max() >= SMALLEST * side else found
    return found


def _touching(
    region: Region,
    deep: Float[ndarray, "z y x"],
    away: Float[ndarray, "z y x"],
    middle: Float[Tensor, "3"],
    side: float,
) -> List[Seed]:
    """Balls of each size that touch an object, or come as near as the room allows.

    Args:
        region: of the object.
        deep: radius of the largest ball around each voxel that stays in the room.
        away: distance of each voxel from the object.
        middle: of the object.
        side: its mean side.
    """
    spacing = region.voxel_size.flip(0).cpu().tolist()
    found = []
    large, small = (min(share * side, float(deep.max())) for share in SIZES)
    for radius in (large, small) if small < NEARLY * large else (large,):
        fits = np.argwhere(deep >= NEARLY * radius)
        radii = np.minimum(deep[tuple(fits.T)], radius)
        gaps = away[tuple(fits.T)] - radii
        near = gaps <= gaps.min() + max(spacing)
        centers = _centers(region, fits[near])
        most = 1 if region.shape.grow == "up" else PLACES
        for number in _apart(centers, middle, most):
            ball = region.lower.new_full((3,), float(radii[near][number]))
            found.append(Seed(centers[number].to(region.lower), ball))
    return found


def seeds_in_place(region: Region, air: Optional[Bool[Tensor, "z y x"]] = None) -> List[Seed]:
    """A ball and a box of the volume of a region's object, standing where it stands (+z is up), and the largest ball that it holds, where
    that is another. None is wider than the object's bounding box, so of a box the ball has half the volume. Its volume is that of its convex hull: of a microphone on its stand the bounding box is mostly empty.

    Args:
        region: any; of an empty one there is none.
        air: what of the object is none, see `seeds_beside`.
    """
    core = _core(region)
    if air is not None:
        core = core & ~air.cpu().numpy()
    if not core.any():
        return []
    center, half = _box(region, core)
    hull = _hull(core)
    standing = []
    for power, volume in SOLIDS:
        radii = half * min(1.0, float(hull.volume) / 8.0 / volume) ** (1.0 / 3.0)
        lowered = center.clone()
        lowered[2] -= half[2] - radii[2]
        standing.append(Seed(lowered, radii, power))
    inner, share = _held_ball(hull)
    if share > HELD * float(standing[0].radii[0] / half[0]):
        return standing
    return [*standing, Seed(center + inner.to(half) * half, share * half)]


def _hull(core: Bool[ndarray, "z y x"]) -> ConvexHull:
    """The convex hull of a core's voxels, where its bounding box is [-1, 1]³."""
    inner = np.asarray(ndimage.binary_erosion(core), dtype=bool)
    rim = np.argwhere(core & ~inner)[:, ::-1]
    corners = np.unique((rim[:, None] + np.argwhere(np.ones((2, 2, 2)))).reshape(-1, 3), axis=0)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return ConvexHull(2.0 * (corners - low) / (high - low) - 1.0)


def _held_ball(hull: ConvexHull) -> Tuple[Float[Tensor, "3"], float]:
    """Centre and radius of the largest ball that a hull holds; of several such balls the one nearest to the middle."""
    facets = hull.equations
    # the ball lies behind a facet's plane n x + d <= 0, |n| = 1, where n centre + radius <= -d
    behind = np.hstack([facets[:, :3], np.ones((len(facets), 1)), np.zeros((len(facets), 3))])
    either_way = np.vstack([np.eye(3), -np.eye(3)])  # |centre| <= aside, axis by axis
    aside = np.hstack([either_way, np.zeros((6, 1)), -np.abs(either_way)])
    found = linprog(
        [0.0, 0.0, 0.0, -1.0, *[ASIDE] * 3],
        A_ub=np.vstack([behind, aside]),
        b_ub=np.hstack([-facets[:, 3], np.zeros(6)]),
        bounds=[(-1.0, 1.0)] * 3 + [(0.0, 1.0)] * 4,
    )
    return torch.from_numpy(found.x[:3]), float(found.x[3])


def _room(region: Region) -> Bool[ndarray, "z y x"]:
    return (region.weight.cpu().numpy() > 0.5) & (region.state.cpu().numpy() == FREE)


def _core(region: Region) -> Bool[ndarray, "z y x"]:
    likely = region.probability.float().cpu().numpy() >= region.shape.threshold
    return likely & (region.weight.cpu().numpy() > 0.5) & ~_room(region)


def _box(region: Region, core: Bool[ndarray, "z y x"]) -> Tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Centre and half sides of a core's bounding box, in grid coordinates."""
    places = torch.nonzero(torch.from_numpy(core)).flip(-1).to(region.lower)
    low, high = places.amin(0), places.amax(0) + 1.0
    return region.lower + 0.5 * (low + high) * region.voxel_size, 0.5 * (high - low) * region.voxel_size


def _centers(region: Region, voxels: Int[ndarray, "*places 3"]) -> Float[Tensor, "*places 3"]:
    """Of voxels [z, y, x], in grid coordinates."""
    spacing = np.array(region.voxel_size.flip(0).cpu().tolist())
    return region.lower.cpu() + torch.from_numpy((voxels + 0.5) * spacing).float().flip(-1)


def _apart(centers: Float[Tensor, "n 3"], middle: Float[Tensor, "3"], most: int) -> List[int]:
    """The one that lies highest above a place, each step aside counting as two steps down; then whichever is farthest from those
    that were taken."""
    rise = centers - middle
    height, aside = rise[:, 2], rise[:, :2].norm(dim=-1)
    taken = [int((height - 2.0 * aside).argmax())]
    while len(taken) < min(most, len(centers)):
        gaps = torch.cdist(centers, centers[taken]).amin(dim=-1)
        taken.append(int(gaps.argmax()))
    return taken
