"""From a probability grid to the weight of a region: threshold, fill, grow, soften (design section 3; rules are ours).

Grids are numpy arrays indexed [z, y, x]. Every voxel is in one of three states: a surface was SEEN there, a ray passed
FREE through it, or it is HIDDEN behind what the views saw. No network and no ray is needed here, so that threshold and
margin can move live; whatever takes time works on a crop around the core.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Optional, Tuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from scipy import ndimage

from blending_nerf_ns.errors import BlendingNerfError

HIDDEN, FREE, SEEN = 0, 1, 2

SPECK = 0.02
"""Parts smaller than this share of the core are noise."""
SAME_PART = 2
"""Surfaces at most twice this many voxels apart are one part: a sparsely seen surface has holes."""
HIDDEN_CLAIM = 2.0
"""Inside a part's bounding box a hidden voxel is the part's, up to this many times as far from it as from the nearest
other surface. At 1 the lowest part of a solid, nearer to the ground than to those of its sides that a view saw, would
be the ground's."""
HARD_EDGE = 1e-6
"""A soft edge of 0 is one of this share of the diagonal."""
TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a face, an edge or a corner."""

Spacing = Tuple[float, float, float]
"""Size of a voxel along z, y and x."""


class RegionShape(NamedTuple):
    """How a region is cut out of its probability grid."""

    threshold: float = 0.5
    """A surface with at least this probability belongs to the core, in (0, 1]."""
    margin: float = 0.05
    """How far the region grows beyond its core, as a share of the core's diagonal; additions need room."""
    soft_edge: float = 0.03
    """Over this further share of the diagonal the weight falls to 0."""
    margin_over_surfaces: bool = False
    """Whether the margin takes along other visible surfaces and what lies behind them. Off by default: the margin grows
    into free space and what is hidden near the core, and the table under a toy keeps its colour."""
    keep: Literal["all", "largest"] = "all"
    """Which of several separate parts are the core. Specks are dropped in both cases."""

    def checked(self) -> RegionShape:
        """Itself, or an error that names the value that is out of range."""
        if not 0.0 < self.threshold <= 1.0:
            raise BlendingNerfError(f"the region's threshold must be in (0, 1], not {self.threshold:g}")
        for name in ("margin", "soft_edge"):
            if not 0.0 <= getattr(self, name) <= 2.0:
                raise BlendingNerfError(
                    f"the region's {name} must be in [0, 2], not {getattr(self, name):g}: "
                    "it is a share of the core's diagonal"
                )
        if self.keep not in ("all", "largest"):
            raise BlendingNerfError(f"keep must be 'all' or 'largest', not {self.keep!r}")
        return self


DEFAULT_SHAPE = RegionShape()


def region_weight(
    probability: Float[ndarray, "z y x"],
    state: UInt8[ndarray, "z y x"],
    spacing: Spacing,
    shape: RegionShape,
) -> Float[ndarray, "z y x"]:
    """The region's weight on the grid, in [0, 1] and 0 on its outermost layer.

    Args:
        probability: of being the object, in [0, 1]; only SEEN voxels have a say.
        state: HIDDEN, FREE or SEEN.
        spacing: size of a voxel along z, y and x.
        shape: threshold, margin and the like.

    Raises:
        BlendingNerfError: no surface reaches the threshold.
    """
    shape = shape.checked()
    core, blocked = find_core(probability, state, spacing, shape)
    return grow(core, blocked, spacing, shape)


def find_core(
    probability: Float[ndarray, "z y x"],
    state: UInt8[ndarray, "z y x"],
    spacing: Spacing,
    shape: RegionShape,
) -> Tuple[Bool[ndarray, "z y x"], Bool[ndarray, "z y x"]]:
    """The solid object, and where its margin may not grow.

    The core is the object's visible shell and the hidden voxels that it encloses: those in the bounding box of one of
    its parts, unless another surface is much nearer. So the inside of a ball is the ball's, down to where it touches
    the ground, and the ground below it is not. Free voxels never belong to the core.

    The margin may not grow onto other surfaces, nor into what is hidden behind them, nor onto the voxels that touch
    those: a weight is read by trilinear interpolation, so a voxel is safe only if its neighbours are blocked as well.

    Args:
        probability, state, spacing, shape: as in `region_weight`.

    Returns:
        core, blocked; the latter only as far as margin and soft edge reach.
    """
    seen = state == SEEN
    shell = seen & (probability >= shape.threshold)
    if not shell.any():
        highest = float(probability[seen].max()) if seen.any() else 0.0
        raise BlendingNerfError(
            f"nothing reaches the threshold of {shape.threshold:.3g}: the highest probability is {highest:.3g}. "
            "Lower the threshold, describe the object in other words, or give a box"
        )
    reach = (shape.margin + shape.soft_edge) * diagonal(shell, spacing)
    crop = around(shell, tuple(int(np.ceil(reach / step)) + 2 for step in spacing))
    own, hidden = shell[crop], state[crop] == HIDDEN
    to_own, nearest = _nearest(own, spacing)
    others = seen[crop] & ~own
    to_others = _distance(others, spacing)

    labels = _label_loosely(own)
    owner = labels[nearest] * (hidden & (to_own <= HIDDEN_CLAIM * to_others))
    solid = own.copy()
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            solid[box] |= owner[box] == number
    solid = keep_parts(solid, shape.keep)

    dropped = own & ~solid
    foreign = others | dropped | (hidden & ~solid & ((to_own > to_others) | dropped[nearest]))
    touching = ndimage.maximum_filter(foreign.view(np.uint8), size=3).view(bool)
    core, blocked = np.zeros_like(shell), np.zeros_like(shell)
    core[crop], blocked[crop] = solid, touching & ~solid
    return core, blocked


def keep_parts(
    core: Bool[ndarray, "z y x"], keep: str, size: Optional[Float[ndarray, "z y x"]] = None
) -> Bool[ndarray, "z y x"]:
    """Drop specks, or everything but the largest part.

    Args:
        core: some parts.
        keep: "all" or "largest", as in RegionShape.
        size: how much each voxel counts; 1 each by default.
    """
    labels = _label_loosely(core)
    sizes = np.bincount(labels.ravel(), None if size is None else size.ravel())
    sizes[0] = 0  # what lies outside is no part
    if keep == "largest":
        return labels == sizes.argmax()
    kept = sizes >= SPECK * sizes.sum()
    kept[0] = False
    return kept[labels] if kept.any() else core  # dust everywhere: there is no object to tell it from


def grow(
    core: Bool[ndarray, "z y x"],
    blocked: Bool[ndarray, "z y x"],
    spacing: Spacing,
    shape: RegionShape,
) -> Float[ndarray, "z y x"]:
    """Weight 1 on the core and its margin, falling linearly to 0 over the soft edge, 0 where it is blocked.

    Args:
        core: the object.
        blocked: from `find_core`; not used where the shape's margin goes over surfaces.
        spacing: size of a voxel along z, y and x; distances are taken between voxel centres.
        shape: margin and soft edge, as shares of the core's diagonal.
    """
    weight = np.zeros(core.shape, dtype=np.float32)
    scale = diagonal(core, spacing)
    margin, soft = shape.margin * scale, shape.soft_edge * scale
    crop = around(core, tuple(int(np.ceil((margin + soft) / step)) + 1 for step in spacing))
    distance = _distance(core[crop], spacing)
    grown = np.clip(1.0 - (distance - margin) / max(soft, HARD_EDGE * scale), 0.0, 1.0)
    if not shape.margin_over_surfaces:
        grown[blocked[crop]] = 0.0
    weight[crop] = grown
    for axis in range(3):  # so that interpolation ends at exactly 0 inside the box
        np.moveaxis(weight, axis, 0)[[0, -1]] = 0.0
    return weight


def diagonal(core: Bool[ndarray, "z y x"], spacing: Spacing) -> float:
    """Length of the diagonal of the core's bounding box."""
    sides = [(part.stop - part.start) * step for part, step in zip(around(core, (0, 0, 0)), spacing)]
    return float(np.linalg.norm(sides))


def bounding_box(mask: Bool[ndarray, "z y x"]) -> Optional[Int[ndarray, "2 3"]]:
    """First and last index of a mask along z, y and x; None where it is empty."""
    if not mask.any():
        return None
    axes = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    return np.array([[axis[0] for axis in axes], [axis[-1] for axis in axes]])


def around(mask: Bool[ndarray, "z y x"], pad: Tuple[int, ...]) -> Tuple[slice, ...]:
    box = bounding_box(mask)
    assert box is not None
    first, last = np.maximum(box[0] - pad, 0), np.minimum(box[1] + 1 + pad, mask.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last))


def _distance(mask: Bool[ndarray, "z y x"], spacing: Spacing) -> Float[ndarray, "z y x"]:
    """Distance of each voxel to the nearest one of a mask; infinite if it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~mask, spacing))


def _nearest(
    mask: Bool[ndarray, "z y x"], spacing: Spacing
) -> Tuple[Float[ndarray, "z y x"], Tuple[Int[ndarray, "z y x"], ...]]:
    """The same, and the index of that voxel along z, y and x."""
    distance, index = np.empty(mask.shape), np.empty((3, *mask.shape), dtype=np.int32)
    ndimage.distance_transform_edt(~mask, spacing, return_indices=True, distances=distance, indices=index)
    return distance, tuple(index)


def _label_loosely(mask: Bool[ndarray, "z y x"]) -> Int[ndarray, "z y x"]:
    """Parts of a mask, numbered from 1; holes of a few voxels do not part them."""
    wide = ndimage.maximum_filter(mask.view(np.uint8), size=2 * SAME_PART + 1)
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(wide, TOUCHING, output=labels)
    return labels * mask
