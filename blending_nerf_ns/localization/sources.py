"""Where a region can come from: what views say (text, masks), or a solid that the user places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Protocol, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.edits.shape import SEEN, RegionShape, find_core, nearest_voxel
from blending_nerf_ns.edits.solids import Solid, solid_bounds, solid_core, with_room
from blending_nerf_ns.errors import BlendingNerfError, NothingFound
from blending_nerf_ns.localization.combine import Operand
from blending_nerf_ns.localization.evidence import Evidence
from blending_nerf_ns.localization.fusion import FINE_RAYS, VoxelGrid, fill_grid, find_box
from blending_nerf_ns.localization.masks import find_masks, marks_something, read_mask, resize_mask
from blending_nerf_ns.localization.views import FrozenScene, even_cameras, look


class Source(Protocol):
    """Something that says where the region is."""

    def bounds(self, shape: RegionShape, resolution: int) -> Box:
        """The box that its region needs, margin and room to move it included, in grid coordinates."""
        ...

    def fill(self, box: Box, resolution: int, threshold: float) -> Operand:
        """What it says on a grid over a box."""
        ...


@dataclass(frozen=True)
class Seen:
    """What views of the base say: a text or masks."""

    scene: FrozenScene
    evidence: Evidence

    def bounds(self, shape: RegionShape, resolution: int) -> Box:
        """Found with coarse grids; raises NothingFound."""
        base = self.scene.base
        with self.scene.timed("fuse"):
            return find_box(self.evidence, base.grid_box, base.to_grid, base.contracted, shape)

    def fill(self, box: Box, resolution: int, threshold: float) -> Operand:
        """The fused probabilities."""
        base = self.scene.base
        with self.scene.timed("fuse"):
            grid = fill_grid(self.evidence, box, base.to_grid, base.contracted, resolution, most_rays=FINE_RAYS)
        nothing = torch.zeros_like(grid.state, dtype=torch.bool)
        return Operand(grid.probability, grid.state, nothing, solid_body(grid, threshold))


@dataclass(frozen=True)
class Placed:
    """A solid."""

    scene: FrozenScene
    solid: Solid

    def bounds(self, shape: RegionShape, resolution: int) -> Box:
        """Around the solid."""
        base = self.scene.base
        tight = solid_bounds(self.solid, base.grid_box, base.contracted)
        low, high = with_room(tight, base.grid_box, shape, resolution)
        device = self.scene.cameras.device
        return low.to(device), high.to(device)

    def fill(self, box: Box, resolution: int, threshold: float) -> Operand:
        """1 in the solid, 0 elsewhere.

        Raises:
            BlendingNerfError: it lies within the grid and between its voxels.
        """
        base = self.scene.base
        inside = solid_core(self.solid, box, resolution, base.contracted)
        lower, upper = (side.cpu() for side in box)
        low, high = solid_bounds(self.solid, base.grid_box, base.contracted)
        if not bool(inside.any()) and bool((low >= lower).all() and (high <= upper).all()):
            raise BlendingNerfError(
                f"{self.solid.name} holds no voxel of the region's grid, whose voxels measure {((upper - lower) / resolution).tolist()}; "
                "make it larger, or raise --pipeline.model.region-resolution"
            )
        return Operand(inside.float(), None, inside, inside)


def solid_body(grid: VoxelGrid, threshold: float) -> Bool[Tensor, "z y x"]:
    """The object that some evidence describes, its hidden inside included; empty where nothing reaches the threshold."""
    x, y, z = ((grid.upper - grid.lower) / grid.state.shape[0]).tolist()
    state = grid.state.cpu().numpy()
    surfaces = nearest_voxel(state == SEEN, (z, y, x))
    try:
        body = find_core(grid.probability.cpu().numpy(), state, surfaces, (z, y, x), threshold, "all")
    except NothingFound:
        return torch.zeros_like(grid.state, dtype=torch.bool)
    return torch.from_numpy(body).to(grid.state.device)


def mask_evidence(scene: FrozenScene, folder: Path, images: Sequence[Path], views: int, image_size: int) -> Evidence:
    """What mask images say: the base is rendered from their cameras.

    Args:
        scene: with the training cameras.
        folder: of the masks, see `masks.find_masks`.
        images: the training images' files.
        views: masks to use at most, spread evenly; where there are more, of those that mark something.
        image_size: longer side of the pictures, in pixels.
    """
    files = find_masks(folder, images)
    numbered = sorted(files)
    if len(files) > views:  # a folder for a whole capture is blank wherever the object is out of view
        numbered = [index for index in numbered if marks_something(files[index])] or numbered
    cameras, picked = even_cameras(scene, views, image_size, numbered)

    def localize(pictures: Sequence[Tensor], numbers: Sequence[int]) -> List[Tensor]:
        return [resize_mask(read_mask(files[picked[n]]), p.shape[:2]).to(p) for p, n in zip(pictures, numbers)]

    return look(scene, cameras, localize, "Masks")
