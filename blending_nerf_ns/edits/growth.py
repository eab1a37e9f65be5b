"""From a region's core to its weight: margin and soft edge (the rules are ours).

What does not depend on them is a `Body`, so that both can move live. Grids are numpy arrays indexed [z, y, x].
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from scipy import ndimage

from blending_nerf_ns.edits.components import label_loosely, own_surfaces
from blending_nerf_ns.edits.shape import (
    BARRED,
    FREE,
    HIDDEN,
    SEEN,
    Nearest,
    RegionShape,
    Spacing,
    diagonal,
    nearest_voxel,
)

HARD_EDGE = 1e-5
"""A soft edge of 0 is one of this share of the diagonal: little to the eye, much beside the rounding of float32."""
UPWARD = 0.5
"""Cosine of the widest angle to +z, 60 degrees, at which what grows upwards may lie from its nearest core voxel."""


class Body(NamedTuple):
    """A core and what its margin has to know of the space around it."""

    distance: Float[ndarray, "z y x"]
    """To the nearest core voxel, in grid units between voxel centres; 0 on the core."""
    above: Bool[ndarray, "z y x"]
    """Whether the nearest core voxel lies below, within 60 degrees of straight down, or any straight below (over a head it may be
    the ear beside that is nearest), and none straight above: between a toy's feet is not on top of it. True on the core."""
    blocked: Bool[ndarray, "z y x"]
    """Where a margin that spares other surfaces may not grow."""
    barred: Bool[ndarray, "z y x"]
    """Where nothing may ever be."""
    diagonal: float
    """Of the core's bounding box, in grid units."""
    boxes: List[Tuple[slice, ...]]
    """Bounding boxes of the core's parts, in voxels; none where no voxel is hidden, as of a solid that somebody placed: nothing is known
    of what else is there."""
    spacing: Spacing


def find_blocked(
    core: Bool[ndarray, "z y x"], state: UInt8[ndarray, "z y x"], surfaces: Nearest
) -> Bool[ndarray, "z y x"]:
    """Where a margin that spares other surfaces may not grow.

    Not onto them, nor into what is hidden behind them, nor onto the voxels that touch those: a weight is read by
    trilinear interpolation, so a voxel is safe only if its neighbours are blocked as well. Voxels next to the core are
    left to the margin: the core's own weight reaches their neighbours anyway, and blocked they would keep a skin of the
    object wherever it touches something. What touches the object and nothing else is no other surface (`own_surfaces`).

    Args:
        core: the object.
        state: HIDDEN, FREE, SEEN or BARRED.
        surfaces: the nearest SEEN voxels.
    """
    # a seen voxel is its own nearest surface: this finds other surfaces, parts that were left out, and what is hidden
    # behind either
    own_surface = own_surfaces(core, state == SEEN).ravel()[surfaces.index]
    foreign = (state != FREE) & ~core & ~own_surface
    touching = ndimage.maximum_filter(foreign.view(np.uint8), size=3).view(bool)
    beside = np.asarray(ndimage.binary_dilation(core), dtype=bool)
    return (foreign | (touching & ~beside)) & ~core


def body_around(
    core: Bool[ndarray, "z y x"], blocked: Bool[ndarray, "z y x"], state: UInt8[ndarray, "z y x"], spacing: Spacing
) -> Body:
    """The body of a core.

    Args:
        core: the object; not empty.
        blocked: where its margin may not grow.
        state: HIDDEN, FREE, SEEN or BARRED.
        spacing: size of a voxel along z, y and x.
    """
    nearest = nearest_voxel(core, spacing)
    layers, rows, columns = core.shape
    below = nearest.index // np.int32(rows * columns)
    rise = (np.arange(layers, dtype=np.int32)[:, None, None] - below) * np.float32(spacing[0])
    above = (rise >= UPWARD * nearest.distance) | np.logical_or.accumulate(core, axis=0)
    above &= core | ~np.logical_or.accumulate(core[::-1], axis=0)[::-1]
    boxes = ndimage.find_objects(label_loosely(core)) if bool((state == HIDDEN).any()) else []
    return Body(nearest.distance, above, blocked, state == BARRED, diagonal(core, spacing), boxes, spacing)


def grow(body: Body, shape: RegionShape) -> Float[ndarray, "z y x"]:
    """Weight 1 on the core and its margin, falling linearly to 0 over the soft edge, 0 where neither may go.

    Args:
        body: of the core.
        shape: margin and soft edge, where they go, and whether over other surfaces.
    """
    margin, soft = shape.lengths(body.diagonal)
    distance = _with_boxes(body) if shape.grow == "box" else body.distance
    weight = np.float32(margin) - distance  # in place from here on: this runs while a slider moves
    weight /= np.float32(max(soft, HARD_EDGE * body.diagonal))
    weight += np.float32(1.0)
    np.clip(weight, 0.0, 1.0, out=weight)
    if not shape.margin_over_surfaces:
        weight *= ~body.blocked
    if shape.grow == "up":
        weight *= body.above
    weight *= ~body.barred
    for axis in range(3):  # so that interpolation ends at exactly 0 inside the box
        np.moveaxis(weight, axis, 0)[[0, -1]] = 0.0
    return weight


def _with_boxes(body: Body) -> Float[ndarray, "z y x"]:
    """Distance to the core or the bounding box of one of its parts, in grid units between voxel centres."""
    distance = body.distance
    for box in body.boxes:
        away = np.zeros((), np.float32)
        for axis, (part, step, count) in enumerate(zip(box, body.spacing, distance.shape, strict=True)):
            index = np.arange(count, dtype=np.float32)
            beyond = np.maximum(np.maximum(part.start - index, index - (part.stop - 1)), 0.0) * np.float32(step)
            away = away + np.square(beyond.reshape([-1 if other == axis else 1 for other in range(3)]))
        distance = np.minimum(distance, np.sqrt(away))
    return distance
