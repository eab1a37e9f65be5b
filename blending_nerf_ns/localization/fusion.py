"""Fuse what a localiser says of many views into one probability grid (the rules are ours).

Several grids are filled from the same evidence: coarse ones that find where the object is, then the final one.

- A voxel's probability is the mean over the pixels that show it, weighted by the base's rendering weights.
- Rays also say where nothing is: from the camera to just before they end, space is FREE.
- A voxel is SEEN (a surface) if enough of the light that came to it stopped in it, FREE if light went through, HIDDEN
  if none came there.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Optional

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from blending_nerf_ns.edits.components import keep_parts
from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN, RegionShape, diagonal
from blending_nerf_ns.errors import NothingFound
from blending_nerf_ns.localization.evidence import Evidence, ToGrid
from blending_nerf_ns.localization.free_space import passed_light

STOPPED_LIGHT = 0.05
"""Rendering weight that a voxel must have received to count as seen, in rays."""
STOPPED_SHARE = 0.15
"""...and the share that it must have of the light that came to it: haze lets nearly everything through."""
PASSED_LIGHT = 0.05
"""Length of rays, in voxels, that must have passed a voxel to call it free."""
GAP_VOXELS = 2
"""Gaps between rays up to twice this wide are closed."""
FOCUS_THRESHOLDS = (0.5, 0.8)
"""The coarse passes look for the object at these shares of the threshold: large voxels mix it with its surroundings."""
COARSE_RAYS = 32768
"""Rays that the coarse passes follow through free space; large voxels need no more."""
FINE_RAYS = 160_000
"""The same for the final grid: at 128 voxels a side some ten points of rays for each voxel."""
POINTS_AT_ONCE = 2**22
"""Points that are added to a grid at a time: each takes some 200 bytes, and a foggy base has a hundred million of them."""


class VoxelGrid(NamedTuple):
    """Evidence on a grid."""

    probability: Float[Tensor, "z y x"]
    """In [0, 1]; 0 where no surface was seen."""
    state: UInt8[Tensor, "z y x"]
    """shape.HIDDEN, FREE or SEEN."""
    light: Float[Tensor, "z y x"]
    """Rendering weight that each voxel received from pixels of the object, in rays."""
    lower: Float[Tensor, "3"]
    upper: Float[Tensor, "3"]


def find_box(
    evidence: Evidence,
    grid_box: Box,
    to_grid: ToGrid,
    contracted: bool,
    shape: RegionShape,
    coarse_resolution: int = 64,
) -> Box:
    """Where the object is, with room around it: two looks with a coarse grid, the first over the whole scene.

    The room lets the margin be moved later; a threshold moved far below the one given here may find the object cut off at the box.

    Args:
        evidence: of all views.
        grid_box: the whole scene's (lower, upper), in grid coordinates.
        to_grid: scene to grid coordinates.
        contracted: whether these are contracted.
        shape: threshold, margin and the like.
        coarse_resolution: voxels along each side of the coarse grid.

    Raises:
        NothingFound: nothing reaches the threshold; the message has the highest probability met.
    """
    scene: Box = (grid_box[0].to(evidence.points), grid_box[1].to(evidence.points))
    box = scene
    for share in FOCUS_THRESHOLDS:
        coarse = fill_grid(evidence, box, to_grid, contracted, coarse_resolution, most_rays=COARSE_RAYS)
        box = focus(coarse, shape, share, scene)
    return box


def fill_grid(
    evidence: Evidence, box: Box, to_grid: ToGrid, contracted: bool, resolution: int, most_rays: Optional[int] = None
) -> VoxelGrid:
    """Evidence on a grid over a box.

    Args:
        evidence: of all views.
        box: (lower, upper), in grid coordinates.
        to_grid: scene to grid coordinates.
        contracted: whether these are contracted.
        resolution: voxels along each side.
        most_rays: follow about this many rays through free space, evenly scattered, to stand for all; None for all.
    """
    lower, upper = box
    cube = (resolution, resolution, resolution)
    places = (evidence.points - lower) * (resolution / (upper - lower))  # in voxels; centres at .5
    stopped, belongs = splat(
        places, torch.stack([evidence.weights, evidence.weights * evidence.probabilities]), resolution
    )
    every = 1 if most_rays is None else -(-evidence.ends.shape[0] // most_rays)
    chosen = one_of_every(every, evidence.ends.shape[0]).to(evidence.ends.device)
    rays = evidence.origins[chosen], evidence.directions[chosen], evidence.ends[chosen]
    passed = every * passed_light(*rays, box, to_grid, contracted, resolution)
    seen = (stopped >= STOPPED_LIGHT) & (stopped >= STOPPED_SHARE * (stopped + passed))
    free = ~seen & (passed >= PASSED_LIGHT)
    free = close_gaps(free.view(cube), seen.view(cube)).flatten()
    state = torch.full_like(seen, HIDDEN, dtype=torch.uint8).masked_fill_(free, FREE).masked_fill_(seen, SEEN)
    probability = torch.where(seen, belongs / stopped.clamp_min(1e-12), torch.zeros_like(belongs)).clamp(0.0, 1.0)
    return VoxelGrid(probability.view(cube), state.view(cube), belongs.view(cube), lower, upper)


def one_of_every(every: int, count: int) -> Int[Tensor, " chosen"]:
    """Indices, one from each run of so many: another one in each, for the same one of all could lie in a few columns of a picture.

    Example:
        >>> one_of_every(4, 18)
        tensor([ 0,  5, 11, 12, 17])
    """
    runs = torch.arange(-(-count // every))
    scattered = torch.frac(runs.double() * math.sqrt(2.0)) * every  # not by the golden ratio, as rays' starts are
    return (every * runs + scattered.long()).clamp_max(count - 1)


def close_gaps(free: Bool[Tensor, "z y x"], seen: Bool[Tensor, "z y x"]) -> Bool[Tensor, "z y x"]:
    """Free space without the gaps between sparse rays.

    A voxel becomes free if no surface is among its 26 neighbours and a third of them are free: next to a surface the
    inside of a thing would be taken for a gap.
    """
    touching = F.max_pool3d(seen[None].float(), kernel_size=3, stride=1, padding=1)[0] > 0
    for _ in range(GAP_VOXELS):
        share = F.avg_pool3d(free[None].float(), kernel_size=3, stride=1, padding=1)[0]
        free = free | (~touching & (share >= 1 / 3))
    return free


def focus(grid: VoxelGrid, shape: RegionShape, share: float, scene: Box) -> Box:
    """The box around everything that reaches a share of the threshold, with room for the margin.

    Parts count by how much of the views they fill: a few wrong pixels of a far background are many voxels, but little
    light beside the object that the views look at.

    Args:
        grid: a coarse look.
        shape: threshold and margin.
        share: of the threshold, in (0, 1].
        scene: the result does not reach beyond this box.
    """
    state, probability = grid.state.cpu().numpy(), grid.probability.cpu().numpy()
    shell = (state == SEEN) & (probability >= share * shape.threshold)
    if not shell.any():
        raise NothingFound(
            f"nothing reaches the threshold of {shape.threshold:.3g}: the highest probability that the views "
            f"agree on is {float(probability.max()):.3g}. Lower the threshold, describe the object in other words, or "
            "give a box"
        )
    core = keep_parts(shell, shape.keep, grid.light.cpu().numpy())
    voxel = (grid.upper - grid.lower) / core.shape[0]
    z, y, x = voxel.flip(0).cpu().tolist()
    room = shape.room(diagonal(core, (z, y, x))) + 1.5 * voxel
    index = torch.nonzero(torch.from_numpy(core)).flip(-1).to(voxel)
    lower = grid.lower + index.amin(0) * voxel - room
    upper = grid.lower + (index.amax(0) + 1) * voxel + room
    return torch.maximum(lower, scene[0]), torch.minimum(upper, scene[1])


def splat(
    places: Float[Tensor, "points 3"], values: Float[Tensor, "channels points"], resolution: int
) -> Float[Tensor, "channels voxels"]:
    """Add values to the 8 voxels around each place, with trilinear shares; what falls outside the grid is lost.

    Args:
        places: (x, y, z) in voxels, where the centre of voxel i lies at i + 0.5.
        values: what each point adds.
        resolution: voxels along each side; the result is flat, in the order [z, y, x].
    """
    out = values.new_zeros(values.shape[0], resolution**3)
    for some, theirs in zip(places.split(POINTS_AT_ONCE), values.split(POINTS_AT_ONCE, dim=1), strict=True):
        _splat_into(out, some, theirs, resolution)
    return out


def _splat_into(out: Tensor, places: Tensor, values: Tensor, resolution: int) -> None:
    near = ((places > -0.5) & (places < resolution + 0.5)).all(dim=-1)
    places, values = places[near].T.contiguous() - 0.5, values[:, near]  # an axis at a time: rows of three are slow
    first = places.floor()
    beyond, first = places - first, first.long()
    sides = [
        list(zip(i.clamp(0, resolution - 1), share * ((i >= 0) & (i < resolution))))
        for i, share in ((first, 1.0 - beyond), (first + 1, beyond))
    ]
    for corner in range(8):
        (x, of_x), (y, of_y), (z, of_z) = (sides[corner >> axis & 1][axis] for axis in range(3))
        index, share = (z * resolution + y) * resolution + x, of_x * of_y * of_z
        for total, one in zip(out, values):  # one row after the other: adding up single numbers is faster
            total.index_add_(0, index, one * share)
