"""Surfaces that hang together: the parts of an object, and what stands alone (ours).

Grids are numpy arrays indexed [z, y, x].
"""

from __future__ import annotations

from typing import Literal, Optional, Tuple, cast

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import ndimage

SPECK = 0.02
"""Parts smaller than this share of the core are noise."""
SAME_PART = 2
"""Surfaces at most twice this many voxels apart are one part, for a sparsely seen surface has holes; and so many layers
below its lowest visible one a part may still go on."""
WHOLE = 0.95
"""From this share of its surfaces on, something that stands free is the object as a whole. Of a microphone before white one foot of
three stayed, for a localiser was not sure of its tip; on a floor or a table nothing stands free, and this does nothing."""
HANGING = 0.1
"""What hangs in the air beside an object is no larger than this share of its surfaces: the tip of an ear, and no hat."""
FOOT = 0.25
"""...and does not reach down to this share of its height: near the ground what is left over may be the ground."""
TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a face, an edge or a corner."""
Keep = Literal["all", "largest"]


def made_whole(shell: Bool[ndarray, "z y x"], seen: Bool[ndarray, "z y x"]) -> Bool[ndarray, "z y x"]:
    """The shell, with what stands free and is nearly all of it already (`WHOLE`).

    Nothing else is within `SAME_PART` of what stands free. Not to touch anything is not enough: no view sees the last millimetre
    between a toy and its table.

    Args:
        shell: surfaces of the object.
        seen: all surfaces.
    """
    return shell | _nearly_all_of(shell & seen, seen, label_loosely(seen))


def with_hanging(
    shell: Bool[ndarray, "z y x"],
    seen: Bool[ndarray, "z y x"],
    probability: Float[ndarray, "z y x"],
    least: float,
) -> Bool[ndarray, "z y x"]:
    """The shell, with what would be left hanging in the air without it: of a toy that was taken away the tips of its ears were.

    Surfaces that touch the shell and no others, are small beside it (`HANGING`), well above its lowest layer (`FOOT`; of the part that
    they touch), end within the grid, and of which a localiser is unsure in the mean, but does not deny them.

    Args:
        shell: surfaces of the object.
        seen: all surfaces.
        probability: of being the object, in [0, 1].
        least: mean probability of what is taken along, in (0, 1].
    """
    labels, count = cast(Tuple[np.ndarray, int], ndimage.label(seen & ~shell, TOUCHING))
    fits = ~_at_the_edge(labels)
    fits[0] = False
    parts = label_loosely(shell)
    feet = [0.0] + [box[0].start + FOOT * (box[0].stop - box[0].start) for box in ndimage.find_objects(parts)]
    # of the part that a voxel touches; 0: of none
    foot = ndimage.maximum_filter(np.array(feet, dtype=np.float32)[parts], size=3)
    place = np.nonzero(labels)
    owner, layer = labels[place], place[0]
    sizes = np.bincount(owner, minlength=count + 1)
    believed = np.bincount(owner, probability[place], minlength=count + 1)
    touched, lowest = np.zeros(count + 1), np.full(count + 1, np.inf)
    np.maximum.at(touched, owner, foot[place])
    np.minimum.at(lowest, owner, layer)
    fits &= (sizes <= HANGING * shell.sum()) & (believed >= least * sizes) & (touched > 0) & (lowest >= touched)
    return shell | fits[labels]


def own_surfaces(core: Bool[ndarray, "z y x"], seen: Bool[ndarray, "z y x"]) -> Bool[ndarray, "z y x"]:
    """The object's surfaces and what touches no others: around a toy's foot its shadow on the table, where no view saw how the one
    becomes the other. What takes the toy away may take that; what paints the toy leaves it.

    Args:
        core: the object.
        seen: all surfaces.
    """
    labels = np.empty(seen.shape, dtype=np.int32)
    ndimage.label(seen, TOUCHING, output=labels)
    own = core & seen
    return own | _nearly_all_of(own, seen, labels)


def attached_surfaces(core: Bool[ndarray, "z y x"], seen: Bool[ndarray, "z y x"]) -> Bool[ndarray, "z y x"]:
    """Other surfaces that touch the object, with all that hangs together with them, as far as that ends within the grid.

    Args:
        core: the object.
        seen: all surfaces.
    """
    labels, _ = cast(Tuple[np.ndarray, int], ndimage.label(seen & ~core, TOUCHING))
    fits = ~_at_the_edge(labels)
    touching = np.zeros_like(fits)
    touching[labels[np.asarray(ndimage.binary_dilation(core, TOUCHING), dtype=bool)]] = True
    touching[0] = False
    return (fits & touching)[labels]


def _nearly_all_of(
    own: Bool[ndarray, "z y x"], seen: Bool[ndarray, "z y x"], labels: Int[ndarray, "z y x"]
) -> Bool[ndarray, "z y x"]:
    """The parts of the surfaces that are nearly all the object's (`WHOLE`) and end within the grid."""
    counts, all_of_it = (np.bincount(labels[mask], minlength=labels.max() + 1) for mask in (own, seen))
    whole = counts >= WHOLE * all_of_it
    whole[0] = False  # what is no surface at all
    return (whole & ~_at_the_edge(labels))[labels]


def _at_the_edge(labels: Int[ndarray, "z y x"]) -> Bool[ndarray, "parts_and_none"]:
    """Which parts reach the grid's outermost layer: how much of them lies outside, nobody knows."""
    cut = np.zeros(labels.max() + 1, dtype=bool)
    for axis in range(3):
        cut[np.take(labels, [0, -1], axis)] = True
    return cut


def keep_parts(
    core: Bool[ndarray, "z y x"], keep: str, size: Optional[Float[ndarray, "z y x"]] = None
) -> Bool[ndarray, "z y x"]:
    """Drop specks, or everything but the largest part.

    Args:
        core: some parts.
        keep: "all" or "largest", as in RegionShape.
        size: how much each voxel counts; 1 each by default.
    """
    labels = label_loosely(core)
    sizes = np.bincount(labels.ravel(), None if size is None else size.ravel())
    sizes[0] = 0  # what lies outside is no part
    if keep == "largest":
        return labels == sizes.argmax()
    kept = sizes >= SPECK * sizes.sum()
    kept[0] = False
    return kept[labels] if kept.any() else core  # dust everywhere: there is no object to tell it from


def label_loosely(mask: Bool[ndarray, "z y x"]) -> Int[ndarray, "z y x"]:
    """Parts of a mask, numbered from 1; holes of a few voxels do not part them."""
    wide = ndimage.maximum_filter(mask.view(np.uint8), size=2 * SAME_PART + 1)
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(wide, TOUCHING, output=labels)
    return labels * mask
