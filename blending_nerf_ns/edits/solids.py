"""Solids that the user places, an oriented box or a sphere, and the regions they make."""

from __future__ import annotations

import math
from typing import Callable, NamedTuple, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box, uncontract
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import DEFAULT_SHAPE, FREE, SEEN, RegionShape
from blending_nerf_ns.encoding.contraction import contract
from blending_nerf_ns.errors import BlendingNerfError

SURFACE_POINTS = 33
"""Points along each side of a solid that are mapped to find where it lies in contracted space."""
SMALLEST_SHARE = 1e-3
"""A solid smaller than this share of the scene's box in grid coordinates is out of sight."""


class Solid(NamedTuple):
    """A solid in scene coordinates (uncontracted, as in the viewer's crop box)."""

    name: str
    """For messages, with its numbers."""
    inside: Callable[[Float[Tensor, "*points 3"]], Bool[Tensor, "*points"]]
    """Which points lie in it."""
    surface: Float[Tensor, "points 3"]
    """Points all over its surface."""


def oriented_box(centre: Sequence[float], size: Sequence[float], rotation: Sequence[float] = (0.0, 0.0, 0.0)) -> Solid:
    """A box.

    Args:
        centre: in scene coordinates.
        size: full lengths of its sides, in scene units.
        rotation: Euler angles in degrees about the fixed x, then y, then z axis.

    Raises:
        BlendingNerfError: a side is not positive, or a number is not finite.
    """
    if not all(math.isfinite(v) for v in (*centre, *size, *rotation)) or not all(side > 0 for side in size):
        raise BlendingNerfError(
            f"the box's size must be positive and its numbers finite: centre {list(centre)}, size {list(size)}, "
            f"rotation {list(rotation)}"
        )
    middle, sides = torch.tensor([*centre]).float(), torch.tensor([*size]).float()
    return solid_box(
        f"the box with centre {list(centre)} and size {list(size)}", middle, sides, rotation_matrix(rotation)
    )


def solid_box(name: str, centre: Float[Tensor, "3"], size: Float[Tensor, "3"], rotation: Float[Tensor, "3 3"]) -> Solid:
    """The same from tensors; the columns of `rotation` are the box's axes, as in nerfstudio's crop box."""
    return Solid(
        name,
        lambda points: inside_box(points, centre.to(points), size.to(points), rotation.to(points)),
        _cube_surface() * size @ rotation.T + centre,
    )


def sphere(centre: Sequence[float], radius: float) -> Solid:
    """A ball.

    Args:
        centre: in scene coordinates.
        radius: in scene units.

    Raises:
        BlendingNerfError: the radius is not positive, or a number is not finite.
    """
    if not all(math.isfinite(v) for v in (*centre, radius)) or radius <= 0:
        raise BlendingNerfError(
            f"the sphere's radius must be positive and its numbers finite: centre {list(centre)}, radius {radius}"
        )
    middle = torch.tensor([*centre]).float()
    return Solid(
        f"the sphere with centre {list(centre)} and radius {radius}",
        lambda points: (points - middle.to(points)).norm(dim=-1) <= radius,
        radius * torch.nn.functional.normalize(_cube_surface(), dim=-1) + middle,
    )


def solid_bounds(solid: Solid, grid_box: Box, contracted: bool) -> Box:
    """The box around a solid in grid coordinates, cut off where the scene ends.

    Args:
        solid: in scene coordinates.
        grid_box: the whole scene's.
        contracted: whether grid coordinates are contracted.

    Raises:
        BlendingNerfError: the solid lies outside the scene.
    """
    scene_lower, scene_upper = (corner.detach().float().cpu() for corner in grid_box)
    # a continuous map takes the surface of the solid to the surface of its image, so the surface finds the bounds
    image = contract(solid.surface) if contracted else solid.surface
    low, high = torch.maximum(image.amin(0), scene_lower), torch.minimum(image.amax(0), scene_upper)
    if bool(((high - low) < SMALLEST_SHARE * (scene_upper - scene_lower)).any()):
        scene = "contracted scene" if contracted else "scene"
        raise BlendingNerfError(
            f"{solid.name} lies outside the scene or is too small: the {scene} reaches from {scene_lower.tolist()} to "
            f"{scene_upper.tolist()}, this from {image.amin(0).tolist()} to {image.amax(0).tolist()}; give it in the "
            "scene's coordinates"
        )
    return low, high


def with_room(bounds: Box, grid_box: Box, shape: RegionShape, resolution: int) -> Box:
    """Bounds with room for margin and soft edge, and to move them later, within the scene's box."""
    low, high = bounds
    # two voxels more than the margin needs: one for the outermost layer, one for rounding
    room = shape.room(float(torch.linalg.norm(high - low))) + 2.0 * (high - low) / resolution
    return torch.maximum(low - room, grid_box[0].to(low)), torch.minimum(high + room, grid_box[1].to(high))


def solid_core(solid: Solid, box: Box, resolution: int, contracted: bool) -> Bool[Tensor, "z y x"]:
    """The voxels of a grid over a box whose centres lie in a solid."""
    return solid.inside(voxel_positions(*box, resolution, contracted))


def region_from_solid(
    solid: Solid, grid_box: Box, contracted: bool, resolution: int = 96, shape: RegionShape = DEFAULT_SHAPE
) -> Region:
    """A region whose core is a solid. Its margin grows over surfaces, too: nothing says what lies in the solid.

    Args:
        solid: in scene coordinates.
        grid_box: the whole scene's (lower, upper), in grid coordinates.
        contracted: whether grid coordinates are contracted; the solid is still one of uncontracted space.
        resolution: voxels along each side of the region's grid.
        shape: margin and soft edge, as shares of the solid's diagonal in grid coordinates; the threshold plays no part.

    Raises:
        BlendingNerfError: the solid lies outside the scene, or is thinner than a voxel.
    """
    box = with_room(solid_bounds(solid, grid_box, contracted), grid_box, shape, resolution)
    core = solid_core(solid, box, resolution, contracted)
    if not bool(core.any()):
        voxel = ((box[1] - box[0]) / resolution).tolist()
        raise BlendingNerfError(
            f"{solid.name} holds no voxel of its grid, whose voxels measure {voxel}; make it thicker"
        )
    state = torch.where(core, SEEN, FREE).to(torch.uint8)
    return region_from_probability(core.float(), state, *box, shape)


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


def voxel_positions(
    lower: Float[Tensor, "3"], upper: Float[Tensor, "3"], resolution: int, contracted: bool
) -> Float[Tensor, "z y x 3"]:
    """Centres of the voxels of a region's grid, in scene coordinates."""
    steps = (torch.arange(resolution, device=lower.device) + 0.5) / resolution
    x, y, z = (lower[:, None] + steps * (upper - lower)[:, None]).unbind(0)
    grid = torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)
    return uncontract(grid) if contracted else grid


def _cube_surface() -> Float[Tensor, "points 3"]:
    """Points all over the surface of the cube of side 1 around the origin."""
    steps = torch.linspace(-0.5, 0.5, SURFACE_POINTS)
    lattice = torch.cartesian_prod(steps, steps, steps)
    return lattice[lattice.abs().amax(dim=-1) == 0.5]
