"""Where a solid stands that is painted into pictures: on top of an object or in its place, smaller where it does not fit (ours)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Tuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray
from torch import Tensor

from blending_nerf_ns.comparing.brush import BRUSH
from blending_nerf_ns.comparing.wishes import Wish
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.masks import Room, with_room
from blending_nerf_ns.procedural.scene import Thing, primitive

TUBE = 0.35
"""Radius of a donut's tube over its own: of what is drawn, that is half its height."""


def room_of(mask: Bool[Tensor, "views height width"], room: Room) -> Bool[Tensor, "views height width"]:
    """An edit's room in the views that show all of its subject; in all of them where none does."""
    whole = ~(mask[:, [0, -1]].flatten(1).any(dim=1) | mask[:, :, [0, -1]].flatten(1).any(dim=1))
    counted = mask & whole[:, None, None]
    return with_room(counted if bool(counted.any()) else mask, room)


def fitted(make: Callable[[float], Thing], cameras: Cameras, room: Bool[Tensor, "views height width"]) -> Thing:
    """A solid as it was drawn, or smaller by and by until it lies in an edit's room in most views, or is the smallest that is tried.

    Args:
        make: the solid at a share of its size, from 1 down.
        cameras: of the views.
        room: rectangles in the views that count, nothing in the others.
    """
    part = 1.0
    while part > BRUSH.smallest and share_inside(make(part), cameras, room) < BRUSH.most_views:
        part *= BRUSH.smaller
    return make(part)


def share_inside(thing: Thing, cameras: Cameras, room: Bool[Tensor, "views height width"]) -> float:
    """Share of the views in which a solid of one part, taken for a ball of its half width, lies in a rectangle.

    Args:
        thing: in the cameras' coordinates.
        cameras: of the views; distortion is left out.
        room: views without any do not count.
    """
    (solid,) = thing.parts
    centre, radius = torch.tensor(solid.centre, dtype=torch.float32), float(max(solid.size))
    inside = []
    for pose, fx, fy, cx, cy, place in zip(
        cameras.camera_to_worlds, cameras.fx, cameras.fy, cameras.cx, cameras.cy, room, strict=True
    ):
        rows, columns = (place.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        if len(rows) == 0:
            continue
        x, y, z = (pose[:, :3].T @ (centre - pose[:, 3])).tolist()
        away = -z
        if away <= radius:
            inside.append(False)
            continue
        column, row = float(cx) + float(fx) * x / away, float(cy) - float(fy) * y / away
        wide, high = float(fx) * radius / away, float(fy) * radius / away
        inside.append(
            int(columns[0]) <= column - wide
            and column + wide <= int(columns[-1]) + 1
            and int(rows[0]) <= row - high
            and row + high <= int(rows[-1]) + 1
        )
    return sum(inside) / max(1, len(inside))


def box_of(points: Float[ndarray, "points 3"]) -> Tuple[Float[ndarray, "3"], Float[ndarray, "3"]]:
    """Lower and upper corner of most points.

    Raises:
        BlendingNerfError: they have no extent.
    """
    if len(points) == 0:
        raise BlendingNerfError("the base shows no surface in the masks: there is nothing to put a solid on")
    low, high = np.quantile(points, [BRUSH.trimmed, 1.0 - BRUSH.trimmed], axis=0)
    if not (high > low).all():
        raise BlendingNerfError(f"the base's surface in the masks has no extent (from {low} to {high})")
    return low, high


def on_top(points: Float[ndarray, "points 3"], wish: Wish, rgb: Float[ndarray, "3"], size: float) -> Thing:
    """A solid above the middle of the object's highest part, on the highest points under it: a ball lies between two ears."""
    low, high = box_of(points)
    height = high[2] - low[2]
    radius = size * height
    middle = points[points[:, 2] >= high[2] - BRUSH.highest * height].mean(axis=0)
    under = points[np.linalg.norm(points[:, :2] - middle[:2], axis=1) < radius]
    top = np.quantile(under[:, 2], 1.0 - BRUSH.trimmed) if len(under) else high[2]
    return _standing(wish, rgb, (middle[0], middle[1], top - BRUSH.sinks * radius), radius)


def in_place(points: Float[ndarray, "points 3"], wish: Wish, rgb: Float[ndarray, "3"], size: float) -> Thing:
    """A solid that stands where the object stood."""
    low, high = box_of(points)
    radius = size * float(np.prod(high - low)) ** (1.0 / 3.0) / 2.0
    middle = (low + high) / 2
    return _standing(wish, rgb, (middle[0], middle[1], low[2]), radius)


def _standing(wish: Wish, rgb: Float[ndarray, "3"], foot: Tuple[float, float, float], radius: float) -> Thing:
    """A solid of a half width, on a point under its middle."""
    half = TUBE * radius if wish.shape == "donut" else radius
    return primitive(wish.shape, wish.colour, rgb, (foot[0], foot[1], foot[2] + half), (radius,) * 3, tube=TUBE)
