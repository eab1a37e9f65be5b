"""From a probability grid to a region's core: threshold, fill, keep (the rules are ours).

Grids are numpy arrays indexed [z, y, x]. Every voxel is in one state: a surface was SEEN there, a ray passed FREE through
it, it is HIDDEN behind what the views saw, or it is BARRED by what was taken away from the region. No network and no ray is needed here, so that the threshold
can move live. What grows around the core is in growth.py.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, Optional, Tuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from scipy import ndimage

from blending_nerf_ns.edits.components import SAME_PART, Keep, keep_parts, label_loosely, made_whole, with_hanging
from blending_nerf_ns.errors import BlendingNerfError, NothingFound

HIDDEN, FREE, SEEN, BARRED = 0, 1, 2, 3
"""A BARRED voxel is outside whatever else is said of it: a solid was taken away there."""

HEADROOM = 0.1
"""Room in a region's grid beyond margin and soft edge, as a share of the diagonal: the margin can still be moved."""
HIDDEN_CLAIM = 2.0
"""Inside a part's bounding box a hidden voxel is the part's, up to this many times as far from it as from the nearest
other surface. At 1 the lowest part of a solid, nearer to the ground than to those of its sides that a view saw, would
be the ground's."""
UNSURE = 0.4
"""A surface that the rest of the object roofs belongs to it from this share of the threshold: of what stands in its own
shade, a ball's underside, a localiser is half as sure."""
ENCLOSED = 17
"""Of the 26 voxels around it so many are the object's, and what is not free is the object's, too. In front of a plane there are 9, in
an edge between two 15, in a corner of three 19."""
ENCLOSED_PASSES = 4
"""How often what was found so may enclose more."""
SHADE = 5
"""At most so many voxels from what reaches the threshold itself."""
TIP = 8
"""What would be left hanging ends within so many voxels of the object's bounding box."""

Spacing = Tuple[float, float, float]
"""Size of a voxel along z, y and x."""
Grow = Literal["all", "up", "box"]
CHOICES = {"keep": get_args(Keep), "grow": get_args(Grow)}
"""The fields of RegionShape that are words, and which words."""
SWITCHES = ("margin_over_surfaces", "change_in_margin", "attached")
"""Those that are yes or no."""


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
    into free space and what is hidden near the core, and the table under a toy keeps its colour. What touches the object and nothing
    else is not spared (`components.own_surfaces`)."""
    keep: Keep = "all"
    """Which of several separate parts are the core. Specks are dropped in both cases."""
    margin_distance: float = 0.0
    """A length that is added to the margin, in grid units: scene units inside the unit cube of a contracted scene."""
    grow: Grow = "all"
    """Where margin and soft edge may go: in all directions; only upwards (+z) and not under the object itself, to make room for a
    hat; or in all directions from the bounding boxes of the core's parts, which another shape of that size can fill, as far as no
    other surface is there."""
    change_in_margin: bool = True
    """Whether colours may change in the margin, too, or on the object alone: all that there is in free space around it is haze,
    and what is added has a colour of its own."""
    attached: bool = False
    """Whether other surfaces that hang together with the object go with it, each of them whole, as far as they end within the grid: its
    shadow, where that is a surface of its own before a plain floor; not a table, which goes on."""

    @property
    def of_object(self) -> RegionShape:
        """The same without its margin, nor the rest of its bounding box."""
        grow: Grow = "all" if self.grow == "box" else self.grow
        return self._replace(margin=0.0, margin_distance=0.0, grow=grow)

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
        if not 0.0 <= self.margin_distance < math.inf:
            raise BlendingNerfError(
                f"the region's margin_distance must be finite and at least 0, not {self.margin_distance:g}: "
                "it is a length in grid units"
            )
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                choice = " or ".join(map(repr, words))
                raise BlendingNerfError(f"the region's {name} must be {choice}, not {getattr(self, name)!r}")
        return self

    def lengths(self, diagonal: float) -> Tuple[float, float]:
        """Margin and soft edge around a core of this diagonal, in grid units; together they are the region's reach."""
        return self.margin * diagonal + self.margin_distance, self.soft_edge * diagonal

    def room(self, diagonal: float) -> float:
        """How far a grid must reach beyond such a core, so that the margin can still be moved, in grid units."""
        return sum(self.lengths(diagonal)) + HEADROOM * diagonal


DEFAULT_SHAPE = RegionShape()


class Nearest(NamedTuple):
    """The nearest voxel of a mask, for every voxel of its grid."""

    index: Int[ndarray, "z y x"]
    """Which one, as an index into the flat grid; of several equally near, any."""
    distance: Float[ndarray, "z y x"]
    """How far away, between voxel centres; infinite where the mask is empty."""


def nearest_voxel(mask: Bool[ndarray, "z y x"], spacing: Spacing) -> Nearest:
    """For every voxel the nearest one of a mask; int32 and float32."""
    if not mask.any():
        return Nearest(np.zeros(mask.shape, np.int32), np.full(mask.shape, np.inf, np.float32))
    # a layer more on each side: columns of a grid of 96 or 128 fall on few lines of the cache, which costs a fifth
    padded = np.pad(~mask, (0, 1), constant_values=True)
    # the index alone: scipy computes distances in float64, which costs half as much again
    found = ndimage.distance_transform_edt(padded, spacing, return_distances=False, return_indices=True)
    index, square = np.zeros(mask.shape, np.int32), np.zeros(mask.shape, np.float32)
    for axis, (there, size, step) in enumerate(zip(np.asarray(found)[:, :-1, :-1, :-1], mask.shape, spacing)):
        here = np.expand_dims(np.arange(size, dtype=np.int32), [other for other in range(3) if other != axis])
        square += np.square((there - here) * np.float32(step), dtype=np.float32)
        index = index * size + there
    return Nearest(index, np.sqrt(square))


def find_core(
    probability: Float[ndarray, "z y x"],
    state: UInt8[ndarray, "z y x"],
    surfaces: Nearest,
    spacing: Spacing,
    threshold: float,
    keep: Keep,
) -> Bool[ndarray, "z y x"]:
    """The solid object: its visible shell and the hidden voxels that it encloses, not empty.

    What reaches the threshold is its shell, and so are its own shaded underside and single doubts (`with_doubtful`), the rest of
    what stands free (`made_whole`), and what would be left hanging in the air without it (`with_hanging`).
    Of the hidden voxels in the bounding box of one of its parts those are the object's that lie under its surface, with
    nothing but hidden ones between, or near enough to it (HIDDEN_CLAIM). So the inside of a ball is the ball's, down to
    where it touches the ground, and the ground below it is not. Nor is what light that came through its skin shows inside another
    surface (`with_enclosed`). Free voxels never belong to the core.

    Args:
        probability: of being the object, in [0, 1]; only SEEN voxels have a say.
        state: HIDDEN, FREE, SEEN or BARRED.
        surfaces: the nearest SEEN voxels; they depend on no setting and are found once.
        spacing: size of a voxel along z, y and x.
        threshold: least probability of the object's surfaces.
        keep: which of several parts.

    Raises:
        NothingFound: no surface reaches the threshold.
    """
    seen = state == SEEN
    sure = seen & (probability >= threshold)
    if not sure.any():
        highest = float(probability[seen].max()) if seen.any() else 0.0
        raise NothingFound(
            f"nothing reaches the threshold of {threshold:.3g}: the highest probability is {highest:.3g}. "
            "Lower the threshold, describe the object in other words, or give a box"
        )
    unsure = UNSURE * threshold
    shell = made_whole(with_doubtful(sure, seen & (probability >= unsure), state), seen)
    near = around(shell, wider=TIP + 1)
    shell[near] = with_hanging(shell[near], seen[near], probability[near], unsure)
    crop = around(shell, below=SAME_PART)
    own, hidden = shell[crop], state[crop] == HIDDEN
    to_own = nearest_voxel(own, spacing)
    # where the nearest surface of all is its own, it is near enough as well
    near = to_own.distance <= HIDDEN_CLAIM * surfaces.distance[crop]
    labels = label_loosely(own)
    owner = labels.ravel()[to_own.index] * (hidden & (near | _under(own, hidden)))
    solid = own.copy()
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            box = (slice(max(box[0].start - SAME_PART, 0), box[0].stop), *box[1:])
            solid[box] |= owner[box] == number
    core = np.zeros_like(shell)
    core[crop] = with_enclosed(keep_parts(solid, keep), state[crop])
    return core


def with_enclosed(core: Bool[ndarray, "z y x"], state: UInt8[ndarray, "z y x"]) -> Bool[ndarray, "z y x"]:
    """The object with the doubtful and hidden voxels inside it (`ENCLOSED`): of a ball, specks were left floating in its place.

    Args:
        core: the object.
        state: HIDDEN, FREE, SEEN or BARRED.
    """
    taken = (state == HIDDEN) | (state == SEEN)
    for _ in range(ENCLOSED_PASSES):
        core = core | (taken & (_count_around(core) >= ENCLOSED))
    return core


def with_doubtful(
    sure: Bool[ndarray, "z y x"], unsure: Bool[ndarray, "z y x"], state: UInt8[ndarray, "z y x"]
) -> Bool[ndarray, "z y x"]:
    """The sure surfaces, the unsure ones that they roof, and then single voxels among these.

    - Roofed: straight up from there nothing is free before the object begins. So a ball's underside is the ball's, for above
      it is the inside of the ball, which no view saw. The floor beneath is not: views see it through the gap between the two.
    - Among them: of the surfaces in the 27 voxels around it at least half are the object's, whatever is thought of itself.

    Args:
        sure: surfaces that reach the threshold.
        unsure: surfaces that reach a share of it.
        state: HIDDEN, FREE, SEEN or BARRED.
    """
    crop = around(sure, wider=SHADE + 2)  # nothing changes beyond
    whole, sure, unsure, state = sure.copy(), sure[crop], unsure[crop], state[crop]
    near = ndimage.maximum_filter(sure.view(np.uint8), size=2 * SHADE + 1).view(bool)
    own = sure | (near & unsure & _under(sure, (state != FREE) & ~sure))
    seen = state == SEEN
    votes, voters = (_count_around(mask) for mask in (own, seen))
    whole[crop] = own | (seen & (2 * votes >= voters))
    return whole


def _count_around(mask: Bool[ndarray, "z y x"]) -> UInt8[ndarray, "z y x"]:
    """Voxels of a mask among the 27 around each, itself included; outside of the grid there are none."""
    counts = mask.view(np.uint8)
    for axis in range(3):
        counts = ndimage.correlate1d(counts, [1, 1, 1], axis=axis, mode="constant")
    return counts


def _under(roof: Bool[ndarray, "z y x"], passed: Bool[ndarray, "z y x"]) -> Bool[ndarray, "z y x"]:
    """Above which voxels, or where, the first one that is not passed over is the roof's."""
    top = len(passed) - 1
    level = np.where(passed, top, np.arange(top + 1)[:, None, None])
    return np.take_along_axis(roof, np.minimum.accumulate(level[::-1])[::-1], axis=0)


def diagonal(core: Bool[ndarray, "z y x"], spacing: Spacing) -> float:
    """Length of the diagonal of the core's bounding box."""
    return float(np.linalg.norm([(part.stop - part.start) * step for part, step in zip(around(core), spacing)]))


def bounding_box(mask: Bool[ndarray, "z y x"]) -> Optional[Int[ndarray, "2 3"]]:
    """First and last index of a mask along z, y and x; None where it is empty."""
    if not mask.any():
        return None
    axes = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    return np.array([[axis[0] for axis in axes], [axis[-1] for axis in axes]])


def around(mask: Bool[ndarray, "z y x"], below: int = 0, wider: int = 0) -> Tuple[slice, ...]:
    """The bounding box of a mask that is not empty, to index with; so many layers more below it, and on all sides."""
    box = bounding_box(mask)
    assert box is not None
    first, last = np.maximum(box[0] - wider - [below, 0, 0], 0), box[1] + wider
    return tuple(slice(int(start), int(end) + 1) for start, end in zip(first, last, strict=True))
