"""The separate parts that a localiser marks, of which one may be meant (ours): the guide reads them (`reading.py`), or the user
points at one.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box, uncontract
from blending_nerf_ns.edits.shape import SEEN
from blending_nerf_ns.localization.combine import Place
from blending_nerf_ns.localization.evidence import Evidence, ToGrid
from blending_nerf_ns.localization.fusion import COARSE_RAYS, VoxelGrid, fill_grid
from blending_nerf_ns.localization.views import FrozenScene

COARSE = 96
"""Voxels along each side of the whole scene, when parts are told apart."""
CLOSE = 48
"""The same for a box around one part: what stands a few hundredths of its size apart may be two objects."""
PART_SHARE = 0.6
"""Parts are looked for at this share of the threshold: what is unsure is for the guide to decide."""
HIGHER = (0.0, 0.3, 0.6)
"""They come apart at the threshold or at these shares of the way from it to certainty."""
BRIGHT_SHARE = 0.15
"""Pieces with at least this share of a part's light are objects of their own."""
ONE_PART = 1
"""Surfaces at most twice this many voxels apart are one part: sparse rays leave gaps in it."""
SMALLEST_PART = 4
"""Voxels; anything smaller is noise."""
MOST_PARTS = 8
"""Parts among which the guide chooses."""
SMALLEST_SHARE = 0.03
"""A part that catches less light than this share of the brightest one's is noise, too."""
IN_PLACE = 0.1
"""Where only a place counts, a part that has less light there than this share of what another has belongs elsewhere."""
THIN_END = 0.005
"""Share of a part's light that may lie outside its box at each end: a fringe on the floor is not the object."""
ROOM = 1.5
"""Voxels around a part that belong to its box: surfaces lie between voxels."""


def marked_parts(
    scene: FrozenScene,
    evidence: Evidence,
    threshold: float,
    box: Optional[Box] = None,
    every: bool = False,
    place: Optional[Place] = None,
) -> List[Box]:
    """Boxes around everything that might be meant, in grid coordinates.

    Args:
        scene: with a frozen base.
        evidence: of the localiser.
        threshold: of the region.
        box: look only in here, with voxels that are small beside it; without it in the whole scene.
        every: however many there are, and however little light they catch: a user points at one.
        place: only those that lie there, at least in part; those with the most light there first.
    """
    most = scene.base.grid_box
    resolution = COARSE if box is None else CLOSE
    box = (most[0].to(evidence.points), most[1].to(evidence.points)) if box is None else box
    with scene.timed("fuse"):
        grid = fill_grid(evidence, box, scene.base.to_grid, scene.base.contracted, resolution, most_rays=COARSE_RAYS)
    parts = find_parts(grid, PART_SHARE * threshold, every or place is not None)
    return parts if place is None else parts_there(parts, only_there(evidence, place, scene.base.contracted), every)


def parts_there(parts: Sequence[Box], evidence: Evidence, every: bool = False) -> List[Box]:
    """The parts that some evidence speaks of, those with the most light first.

    Args:
        parts: found in more evidence than this.
        evidence: what counts, see `only_there`.
        every: all of them that have any light, instead of `MOST_PARTS` at most that are not mere ends of others' places.
    """
    light = evidence.weights * evidence.probabilities
    seen = [float((light * _inside(evidence, part)).sum()) for part in parts]
    least = 0.0 if every else IN_PLACE * max(seen, default=0.0)
    order = sorted(range(len(parts)), key=lambda part: -seen[part])
    return [parts[part] for part in order if seen[part] > 0.0 and seen[part] >= least][: None if every else MOST_PARTS]


def find_parts(grid: VoxelGrid, threshold: float, every: bool = False) -> List[Box]:
    """Boxes around the connected parts of a probability grid, in grid coordinates, those that most pixels show first.

    Args:
        grid: fused evidence.
        threshold: a surface with at least this probability may belong to a part.
        every: all of them, instead of `MOST_PARTS` at most that are no noise.
    """
    probability, light = grid.probability.cpu().numpy(), grid.light.cpu().numpy()
    marked = (grid.state.cpu().numpy() == SEEN) & (probability >= threshold)
    levels = [threshold + share * (1.0 - threshold) for share in HIGHER]
    found = [
        (place, np.where(part, light[place], 0.0))
        for place, whole in _pieces(marked)
        for part in split(whole, probability[place], light[place], levels)
        if part.sum() >= SMALLEST_PART
    ]
    weights = [float(seen.sum()) for _, seen in found]
    step = (grid.upper - grid.lower) / grid.probability.shape[0]
    boxes: List[Box] = []
    for part in sorted(range(len(found)), key=lambda i: -weights[i])[: None if every else MOST_PARTS]:
        if weights[part] > 0 and (every or weights[part] >= SMALLEST_SHARE * max(weights)):
            place, seen = found[part]
            corner = np.array([side.start for side in place])
            first, last = (torch.tensor((corner + end)[::-1].copy()).to(step) for end in _bulk(seen))
            boxes.append((grid.lower + (first - ROOM) * step, grid.lower + (last + ROOM) * step))
    return boxes


def split(
    part: Bool[ndarray, "z y x"],
    probability: Float[ndarray, "z y x"],
    light: Float[ndarray, "z y x"],
    levels: Sequence[float],
) -> List[Bool[ndarray, "z y x"]]:
    """Objects that run together over the floor between them come apart at a higher threshold.

    Where a part has several bright pieces at one of the levels, each of its voxels goes to the nearest of these.

    Args:
        part: connected voxels.
        probability: in [0, 1].
        light: of each voxel, >= 0.
        levels: thresholds to try, ascending.
    """
    for at, level in enumerate(levels):
        pieces = _pieces(part & (probability >= level))
        bright = [one for one in pieces if light[one.place][one.mask].sum() >= BRIGHT_SHARE * light[part].sum()]
        if len(bright) > 1:
            numbered = np.zeros(part.shape, dtype=np.int32)
            for number, piece in enumerate(bright, start=1):
                numbered[piece.place][piece.mask] = number
            nearest = ndimage.distance_transform_edt(numbered == 0, return_distances=False, return_indices=True)
            owner = numbered[tuple(cast(np.ndarray, nearest))] * part
            children = [owner == number for number in range(1, len(bright) + 1)]
            return [small for child in children for small in split(child, probability, light, levels[at + 1 :])]
    return [part]


class Piece(NamedTuple):
    """Connected voxels in a box of a grid: there may be hundreds of specks, which are small beside the grid."""

    place: Tuple[slice, ...]
    """The box, with room for what is connected over small gaps."""
    mask: Bool[ndarray, "z y x"]
    """Which voxels of it."""


def _pieces(mask: Bool[ndarray, "z y x"]) -> List[Piece]:
    """Connected parts of a mask, over small gaps."""
    near = ndimage.maximum_filter(mask.view(np.uint8), size=2 * ONE_PART + 1)
    labels, count = cast(Tuple[np.ndarray, int], ndimage.label(near, structure=np.ones((3, 3, 3))))
    sizes = np.bincount((labels * mask).ravel(), minlength=count + 1)
    pieces = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None and sizes[number] >= SMALLEST_PART:
            place = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
            pieces.append(Piece(place, (labels[place] == number) & mask[place]))
    return pieces


def _bulk(light: Float[ndarray, "z y x"]) -> Tuple[Int[ndarray, "3"], Int[ndarray, "3"]]:
    """First voxel and the one after the last along z, y and x, without the thin ends that hold little of the light."""
    first, last = [], []
    for axis in range(3):
        share = np.cumsum(light.sum(axis=tuple(a for a in range(3) if a != axis))) / light.sum()
        first.append(int(np.searchsorted(share, THIN_END)))
        last.append(int(np.searchsorted(share, 1.0 - THIN_END)) + 1)
    return np.array(first), np.array(last)


def nearest_part(parts: Sequence[Box], point: Float[Tensor, "3"]) -> int:
    """Index of the part whose box is nearest to a point (in it: 0), all in grid coordinates."""
    outside = [torch.maximum(low - point.to(low), point.to(low) - high).clamp_min(0).norm() for low, high in parts]
    middle = [(0.5 * (low + high) - point.to(low)).norm() for low, high in parts]
    return min(range(len(parts)), key=lambda i: (float(outside[i]), float(middle[i])))


def believed_inside(evidence: Evidence, box: Box) -> Evidence:
    """The same evidence without what it says of surfaces outside a box; its rays still prove free space."""
    inside = _inside(evidence, box)
    kept = (evidence.points[inside], evidence.weights[inside], evidence.probabilities[inside])
    return Evidence(*kept, evidence.origins, evidence.directions, evidence.ends)


def only_there(evidence: Evidence, place: Place, contracted: bool) -> Evidence:
    """The same evidence with everything outside a place denied.

    Args:
        evidence: in grid coordinates.
        place: in scene coordinates.
        contracted: whether grid coordinates are contracted.
    """
    there = place(uncontract(evidence.points) if contracted else evidence.points)
    return evidence._replace(probabilities=evidence.probabilities * there)


def in_boxes(boxes: Sequence[Box], to_grid: ToGrid) -> Place:
    """The place that some boxes in grid coordinates are.

    Example:
        >>> place = in_boxes([(torch.zeros(3), torch.ones(3))], lambda points: points)
        >>> place(torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 2.0]])).tolist()
        [True, False]
    """

    def place(points: Tensor) -> Tensor:
        at = to_grid(points)
        return torch.stack([((at >= low.to(at)) & (at <= high.to(at))).all(dim=-1) for low, high in boxes]).any(dim=0)

    return place


def only_inside(evidence: Evidence, box: Box) -> Evidence:
    """The same evidence with everything outside a box denied."""
    return evidence._replace(probabilities=evidence.probabilities * _inside(evidence, box))


def never_inside(evidence: Evidence, box: Box) -> Evidence:
    """The same evidence with everything in a box denied."""
    return evidence._replace(probabilities=evidence.probabilities * ~_inside(evidence, box))


def _inside(evidence: Evidence, box: Box) -> Bool[Tensor, " samples"]:
    return ((evidence.points >= box[0]) & (evidence.points <= box[1])).all(dim=-1)
