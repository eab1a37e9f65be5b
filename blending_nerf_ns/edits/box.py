"""A region from an oriented box that the user places (design section 3)."""

from __future__ import annotations

import math
from typing import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.edits.contraction import contract, uncontract
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import DEFAULT_SHAPE, FREE, SEEN, RegionShape
from blending_nerf_ns.errors import BlendingNerfError

HEADROOM = 0.1
"""Room in a region's grid beyond margin and soft edge, as a share of the diagonal: the margin can still be moved."""
FACE_POINTS = 33
"""Points along each side of a box that are mapped to find where it lies in contracted space."""
SMALLEST_SHARE = 1e-3
"""A box smaller than this share of the scene's box in grid coordinates is out of sight."""


def rotation_matrix(degrees: Sequence[float]) -> Float[Tensor, "3 3"]:
    """Rotation by Euler angles about the fixed x, then y, then z axis: Rz Ry Rx, as nerfstudio's crop box has it."""
    matrix = torch.eye(3, dtype=torch.float64)
    for axis, angle in enumerate(degrees):
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3, dtype=torch.float64)
        turn[i, i] = turn[j, j] = cos
        turn[i, j], turn[j, i] = -sin, sin
        matrix = turn @ matrix
    return matrix.float()


def inside_box(
    points: Float[Tensor, "*points 3"],
    centre: Float[Tensor, "3"],
    size: Float[Tensor, "3"],
    rotation: Float[Tensor, "3 3"],
) -> Bool[Tensor, "*points"]:
    """Which points lie in an oriented box; the columns of `rotation` are its axes."""
    return ((points - centre) @ rotation).abs().le(0.5 * size).all(dim=-1)


def region_from_box(
    centre: Sequence[float],
    size: Sequence[float],
    rotation: Sequence[float] = (0.0, 0.0, 0.0),
    *,
    grid_box: tuple[Float[Tensor, "3"], Float[Tensor, "3"]],
    contracted: bool,
    resolution: int = 96,
    shape: RegionShape = DEFAULT_SHAPE,
) -> Region:
    """A region whose core is an oriented box. Its margin grows over surfaces, too: nothing says what lies in the box.

    Args:
        centre: of the box, in scene coordinates.
        size: full lengths of its sides, in scene units.
        rotation: Euler angles in degrees about the fixed x, then y, then z axis.
        grid_box: the whole scene's (lower, upper), in grid coordinates.
        contracted: whether grid coordinates are contracted; the box is still one of uncontracted space.
        resolution: voxels along each side of the region's grid.
        shape: margin and soft edge, as shares of the box's diagonal in grid coordinates; the threshold plays no part.

    Raises:
        BlendingNerfError: a side is not positive, or the box lies outside the scene.
    """
    if not all(math.isfinite(v) for v in (*centre, *size, *rotation)) or not all(side > 0 for side in size):
        raise BlendingNerfError(
            f"the box's size must be positive and its numbers finite: centre {list(centre)}, size {list(size)}, "
            f"rotation {list(rotation)}"
        )
    middle, sides, axes = torch.tensor([*centre]).float(), torch.tensor([*size]).float(), rotation_matrix(rotation)
    scene_lower, scene_upper = (corner.detach().float().cpu() for corner in grid_box)

    # a continuous map takes the surface of the box to the surface of its image, so the surface finds the bounds
    steps = torch.linspace(-0.5, 0.5, FACE_POINTS)
    lattice = torch.cartesian_prod(steps, steps, steps)
    surface = lattice[lattice.abs().amax(dim=-1) == 0.5] * sides @ axes.T + middle
    image = contract(surface) if contracted else surface
    low, high = torch.maximum(image.amin(0), scene_lower), torch.minimum(image.amax(0), scene_upper)
    if bool(((high - low) < SMALLEST_SHARE * (scene_upper - scene_lower)).any()):
        scene = "contracted scene" if contracted else "scene"
        raise BlendingNerfError(
            f"the box with centre {list(centre)} and size {list(size)} lies outside the scene or is too small: the "
            f"{scene} reaches from {scene_lower.tolist()} to {scene_upper.tolist()}, the box from "
            f"{image.amin(0).tolist()} to {image.amax(0).tolist()}; give it in the scene's coordinates"
        )
    # two voxels more than the margin needs: one for the outermost layer, one for rounding
    room = (shape.margin + shape.soft_edge + HEADROOM) * torch.linalg.norm(high - low) + 2.0 * (high - low) / resolution
    lower, upper = torch.maximum(low - room, scene_lower), torch.minimum(high + room, scene_upper)

    core = inside_box(voxel_positions(lower, upper, resolution, contracted), middle, sides, axes)
    if not bool(core.any()):
        voxel = ((upper - lower) / resolution).tolist()
        raise BlendingNerfError(
            f"the box of size {list(size)} holds no voxel of its grid, whose voxels measure {voxel}; make it thicker"
        )
    state = torch.where(core, SEEN, FREE).to(torch.uint8)
    return region_from_probability(core.float(), state, lower, upper, shape)


def voxel_positions(
    lower: Float[Tensor, "3"], upper: Float[Tensor, "3"], resolution: int, contracted: bool
) -> Float[Tensor, "z y x 3"]:
    """Centres of the voxels of a region's grid, in scene coordinates."""
    steps = (torch.arange(resolution, device=lower.device) + 0.5) / resolution
    x, y, z = (lower[:, None] + steps * (upper - lower)[:, None]).unbind(0)
    grid = torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)
    return uncontract(grid) if contracted else grid
