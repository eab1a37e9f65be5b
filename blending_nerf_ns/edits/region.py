"""The region of an edit: a 3D object with a weight, exactly 0 wherever the edit may not reach."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from blending_nerf_ns.edits.components import attached_surfaces
from blending_nerf_ns.edits.contraction import beyond_unit_cube
from blending_nerf_ns.edits.growth import Body, body_around, find_blocked, grow
from blending_nerf_ns.edits.shape import (
    CHOICES,
    DEFAULT_SHAPE,
    SEEN,
    SWITCHES,
    Nearest,
    RegionShape,
    bounding_box,
    diagonal,
    find_core,
    nearest_voxel,
)
from blending_nerf_ns.errors import BlendingNerfError

SMALLEST_RESOLUTION = 8


class Cut(NamedTuple):
    """What a weight was grown from. As long as the evidence stays, the next one starts from here."""

    surfaces: Nearest
    """Depends on the evidence only."""
    settings: tuple[float, str, bool]
    """The threshold, which parts to keep, and whether with what is attached..."""
    body: Body
    """...which is all of RegionShape that this depends on."""


class Region(nn.Module):
    """A weight in [0, 1] on a voxel grid, and the evidence that it is cut from.

    The grid fills an axis-aligned box [lower, upper] of GRID coordinates (contracted ones for a contracted base).
    Tensors are indexed [z, y, x]. Voxels are cells: the centre of voxel i lies at
    lower + (i + 0.5) / resolution * (upper - lower), which is grid_sample's `align_corners=False`.

    Everything is a buffer of a shape that `resolution` alone decides, so that `Region(resolution).load_state_dict(...)`
    takes any region of that resolution. A new region is empty: weight 0 everywhere.

    Args:
        resolution: voxels along each side.

    Example:
        >>> region = region_from_probability(probability, state, lower, upper, RegionShape(threshold=0.4))
        >>> region.weight_at(points)                # m in [0, 1], 0 outside
        >>> region.reshape(threshold=0.5, margin=0.1)   # live: no network pass
    """

    probability: Tensor
    """Half [z, y, x] in [0, 1]: of being the object; only seen voxels have a say."""
    state: Tensor
    """UInt8 [z, y, x]: shape.HIDDEN, FREE, SEEN or BARRED."""
    weight: Tensor
    """Float [z, y, x] in [0, 1], 0 on the outermost layer."""
    color_weight: Tensor
    """The same for what changes colours: nowhere more than `weight`."""
    lower: Tensor
    upper: Tensor
    settings: Tensor
    """The fields of RegionShape as floats, words as their place among the CHOICES."""
    reach: Tensor
    """[2, 3]: the box outside which `weight_at` is 0."""

    def __init__(self, resolution: int = 96) -> None:
        super().__init__()
        if resolution < SMALLEST_RESOLUTION:
            raise BlendingNerfError(f"a region needs at least {SMALLEST_RESOLUTION} voxels a side, not {resolution}")
        grid = (resolution, resolution, resolution)
        self.register_buffer("probability", torch.zeros(grid, dtype=torch.half))
        self.register_buffer("state", torch.zeros(grid, dtype=torch.uint8))
        self.register_buffer("weight", torch.zeros(grid))
        self.register_buffer("color_weight", torch.zeros(grid))
        self.register_buffer("lower", -torch.ones(3))
        self.register_buffer("upper", torch.ones(3))
        self.register_buffer("reach", torch.stack([self.lower, self.upper]))
        self.register_buffer("settings", to_numbers(DEFAULT_SHAPE))
        self._cut: Optional[Cut] = None  # of the evidence in the buffers; None if not known, as after loading
        self._one_weight: Optional[bool] = True  # whether both are the same; None if not known
        self._far: Optional[bool] = None  # whether it reaches far; None if not known

    @property
    def resolution(self) -> int:
        """Voxels along each side."""
        return self.weight.shape[0]

    @property
    def shape(self) -> RegionShape:
        """Threshold, margin and the like that the weight was made with."""
        return _from_numbers(self.settings)

    def has_shape(self, **fields: float | bool | str) -> bool:
        """Whether the shape's fields are these, as they are stored: in float32."""
        return self.shape == _as_stored(self.shape._replace(**fields))  # type: ignore[arg-type]

    def take_shape(self, **fields: float | bool | str) -> bool:
        """Be cut anew where it has another shape than this; whether it had."""
        if self.has_shape(**fields):
            return False
        self.reshape(**fields)
        return True

    @property
    def voxel_size(self) -> Float[Tensor, "3"]:
        """Size of a voxel along x, y and z, in grid coordinates."""
        return (self.upper - self.lower) / self.resolution

    def weight_at(self, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
        """Region weight m at points in grid coordinates, by trilinear interpolation.

        Exactly 0 outside the box, and inside it wherever the 8 voxels around a point are 0.

        Args:
            points: finite grid coordinates, anywhere.
        """
        return self._read(self.weight, points)

    @property
    def changes_everywhere(self) -> bool:
        """Whether colours may change wherever anything may."""
        if self._one_weight is None:  # asked once: a GPU is waited for
            self._one_weight = bool(torch.equal(self.weight, self.color_weight))
        return self._one_weight

    def color_weight_at(self, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
        """The weight of what changes colours at points in grid coordinates, at most `weight_at`."""
        return self._read(self.weight if self.changes_everywhere else self.color_weight, points)

    def _read(self, grid: Float[Tensor, "z y x"], points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
        unit = (points.to(grid.dtype) - self.lower) * (2.0 / (self.upper - self.lower)) - 1.0
        # the outermost layer is 0 and so is the padding; the clamp keeps far points in the integer range of the kernel
        places = unit.clamp(-2.0, 2.0).view(1, 1, 1, -1, 3)
        found = F.grid_sample(grid[None, None], places, mode="bilinear", padding_mode="zeros", align_corners=False)
        return found.view(points.shape[:-1]).clamp(0.0, 1.0)

    def bounds(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """The smallest box (lower, upper) of grid coordinates outside which `weight_at` is 0; all of it if empty."""
        return self.reach[0], self.reach[1]

    @property
    def reaches_far(self) -> bool:
        """Whether some of it lies outside the unit cube, within which a contraction changes nothing."""
        if self._far is None:  # asked once: a GPU is waited for
            self._far = beyond_unit_cube(*self.reach)
        return self._far

    def reshape(self, **changes: float | bool | str) -> None:
        """Cut the region anew from the stored evidence: no view is rendered, no network runs.

        Live: at 128 voxels a side another threshold, or other parts to keep, take a core a third of a second, everything
        else one or two hundredths.

        Args:
            changes: fields of RegionShape; those not named stay as they are.

        Raises:
            BlendingNerfError: a value out of range, or nothing reaches the threshold; the region is then as before.
        """
        shape = _as_stored(self.shape._replace(**changes))  # type: ignore[arg-type]
        cut = _make_cut(self.probability, self.state, self.voxel_size, shape, self._cut)
        self._set_weight(cut, shape)

    @torch.no_grad()
    def set_evidence(
        self,
        probability: Float[Tensor, "z y x"],
        state: UInt8[Tensor, "z y x"],
        lower: Float[Tensor, "3"],
        upper: Float[Tensor, "3"],
        shape: RegionShape = DEFAULT_SHAPE,
    ) -> None:
        """Make this another region, in place; same arguments as `region_from_probability`."""
        if tuple(probability.shape) != tuple(self.weight.shape) or tuple(state.shape) != tuple(self.weight.shape):
            raise BlendingNerfError(
                f"a region of resolution {self.resolution} takes grids of {tuple(self.weight.shape)}, "
                f"not {tuple(probability.shape)} and {tuple(state.shape)}"
            )
        if not bool((upper > lower).all()):
            raise BlendingNerfError(f"the region's box is empty: lower {lower.tolist()}, upper {upper.tolist()}")
        shape, half = _as_stored(shape), probability.half()
        # from the rounded grid, so that a region that was stored and loaded is cut the same
        cut = _make_cut(half, state, (upper.float() - lower.float()) / self.resolution, shape, None)
        self.probability.copy_(half)
        self.state.copy_(state)
        self.lower.copy_(lower)
        self.upper.copy_(upper)
        self._set_weight(cut, shape)

    @torch.no_grad()
    def _set_weight(self, cut: Cut, shape: RegionShape) -> None:
        weight = grow(cut.body, shape)
        self._one_weight = shape.change_in_margin or shape == shape.of_object
        color_weight = weight if self._one_weight else np.minimum(grow(cut.body, shape.of_object), weight)
        self._cut, self._far = cut, None
        self.settings.copy_(to_numbers(shape))
        self.weight.copy_(torch.from_numpy(weight))
        self.color_weight.copy_(torch.from_numpy(color_weight))
        box = bounding_box(weight > 0)
        if box is None:
            self.reach.copy_(torch.stack([self.lower, self.upper]))
            return
        # interpolation carries a voxel's weight as far as the centres of its neighbours
        steps = torch.from_numpy(box[:, ::-1].copy()).to(self.lower) + torch.tensor([[-0.5], [1.5]]).to(self.lower)
        self.reach.copy_(self.lower + steps * self.voxel_size)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        self._cut, self._one_weight, self._far = None, None, None
        super()._load_from_state_dict(state_dict, prefix, *others)


def region_from_probability(
    probability: Float[Tensor, "z y x"],
    state: UInt8[Tensor, "z y x"],
    lower: Float[Tensor, "3"],
    upper: Float[Tensor, "3"],
    shape: RegionShape = DEFAULT_SHAPE,
) -> Region:
    """A region from a probability grid.

    Args:
        probability: of being the object, in [0, 1]; as many voxels along each side.
        state: shape.HIDDEN, FREE, SEEN or BARRED, of each voxel.
        lower: corner of the grid's box, in grid coordinates (x, y, z).
        upper: opposite corner.
        shape: threshold, margin and the like.

    Raises:
        BlendingNerfError: nothing reaches the threshold, or the grids are not cubes of one size.
    """
    region = Region(probability.shape[0]).to(probability.device)
    region.set_evidence(probability, state, lower, upper, shape)
    return region


def _make_cut(
    probability: Float[Tensor, "z y x"],
    state: UInt8[Tensor, "z y x"],
    voxel_size: Float[Tensor, "3"],
    shape: RegionShape,
    last: Optional[Cut],
) -> Cut:
    """The cut of some evidence; `last` is another one of the same evidence, if there is one."""
    settings = (shape.threshold, shape.keep, shape.attached)
    if last is not None and last.settings == settings:
        return last
    x, y, z = voxel_size.tolist()
    spacing, state_grid = (z, y, x), state.cpu().numpy()
    surfaces = nearest_voxel(state_grid == SEEN, spacing) if last is None else last.surfaces
    core = find_core(probability.float().cpu().numpy(), state_grid, surfaces, spacing, shape.threshold, shape.keep)
    size = diagonal(core, spacing)  # of the object: a margin is as wide with its shadow as without
    if shape.attached:
        core = core | attached_surfaces(core, state_grid == SEEN)
    blocked = find_blocked(core, state_grid, surfaces)
    return Cut(surfaces, settings, body_around(core, blocked, state_grid, spacing)._replace(diagonal=size))


def _as_stored(shape: RegionShape) -> RegionShape:
    """With its numbers rounded as `settings` rounds them, so that a stored region is cut the same; and checked."""
    return _from_numbers(to_numbers(shape.checked())).checked()


def to_numbers(shape: RegionShape) -> Float[Tensor, "9"]:
    """The fields of a shape as `Region.settings` keeps them."""
    fields = shape._asdict()
    fields.update({name: words.index(fields[name]) for name, words in CHOICES.items()})
    return torch.tensor([float(value) for value in fields.values()])


def _from_numbers(numbers: Float[Tensor, "9"]) -> RegionShape:
    fields: dict[str, Any] = dict(zip(RegionShape._fields, numbers.tolist()))
    for name, words in CHOICES.items():
        if fields[name] not in range(len(words)):
            raise BlendingNerfError(f"the region's {name} is number {fields[name]:g}, which this version does not know")
        fields[name] = words[int(fields[name])]
    fields.update({name: bool(fields[name]) for name in SWITCHES})
    return RegionShape(**fields)
