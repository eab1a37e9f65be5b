"""The region of an edit: a 3D object with a weight, exactly 0 wherever the edit may not reach (design section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from blending_nerf_ns.edits.shape import DEFAULT_SHAPE, RegionShape, bounding_box, region_weight
from blending_nerf_ns.errors import BlendingNerfError

SMALLEST_RESOLUTION = 8


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
    """UInt8 [z, y, x]: shape.HIDDEN, FREE or SEEN."""
    weight: Tensor
    """Float [z, y, x] in [0, 1], 0 on the outermost layer."""
    lower: Tensor
    upper: Tensor
    settings: Tensor
    """The five fields of RegionShape as floats."""
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
        self.register_buffer("lower", -torch.ones(3))
        self.register_buffer("upper", torch.ones(3))
        self.register_buffer("reach", torch.stack([self.lower, self.upper]))
        self.register_buffer("settings", _to_numbers(DEFAULT_SHAPE))

    @property
    def resolution(self) -> int:
        """Voxels along each side."""
        return self.weight.shape[0]

    @property
    def shape(self) -> RegionShape:
        """Threshold, margin and the like that the weight was made with."""
        return _from_numbers(self.settings)

    @property
    def voxel_size(self) -> Float[Tensor, "3"]:
        """Size of a voxel along x, y and z, in grid coordinates."""
        return (self.upper - self.lower) / self.resolution

    @property
    def is_empty(self) -> bool:
        """Whether the weight is 0 everywhere, as in a new region."""
        return not bool((self.weight > 0).any())

    def weight_at(self, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
        """Region weight m at points in grid coordinates, by trilinear interpolation.

        Exactly 0 outside the box, and inside it wherever the 8 voxels around a point are 0.

        Args:
            points: finite grid coordinates, anywhere.
        """
        unit = (points.to(self.weight.dtype) - self.lower) * (2.0 / (self.upper - self.lower)) - 1.0
        # the outermost layer is 0 and so is the padding; the clamp keeps far points in the integer range of the kernel
        places = unit.clamp(-2.0, 2.0).view(1, 1, 1, -1, 3)
        found = F.grid_sample(
            self.weight[None, None], places, mode="bilinear", padding_mode="zeros", align_corners=False
        )
        return found.view(points.shape[:-1]).clamp(0.0, 1.0)

    def bounds(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """The smallest box (lower, upper) of grid coordinates outside which `weight_at` is 0; all of it if empty."""
        return self.reach[0], self.reach[1]

    def reshape(self, **changes: float | bool | str) -> None:
        """Cut the region anew from the stored evidence: no view is rendered, no network runs.

        Args:
            changes: fields of RegionShape; those not named stay as they are.

        Raises:
            BlendingNerfError: a value out of range, or nothing reaches the threshold; the region is then as before.
        """
        numbers = _to_numbers(self.shape._replace(**changes).checked())  # type: ignore[arg-type]
        weight = _weight_of(self.probability, self.state, self.lower, self.upper, _from_numbers(numbers))
        self._set_weight(weight)
        self.settings.copy_(numbers)

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
        numbers, half = _to_numbers(shape.checked()), probability.half()
        # from the rounded grid, so that a region that was stored and loaded is cut the same
        weight = _weight_of(half, state, lower.float(), upper.float(), _from_numbers(numbers))
        self.probability.copy_(half)
        self.state.copy_(state)
        self.lower.copy_(lower)
        self.upper.copy_(upper)
        self.settings.copy_(numbers)
        self._set_weight(weight)

    @torch.no_grad()
    def _set_weight(self, weight: Float[Tensor, "z y x"]) -> None:
        self.weight.copy_(weight)
        box = bounding_box(weight.numpy() > 0)
        if box is None:
            self.reach.copy_(torch.stack([self.lower, self.upper]))
            return
        # interpolation carries a voxel's weight as far as the centres of its neighbours
        steps = torch.from_numpy(box[:, ::-1].copy()).to(self.lower) + torch.tensor([[-0.5], [1.5]]).to(self.lower)
        self.reach.copy_(self.lower + steps * self.voxel_size)


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
        state: shape.HIDDEN, FREE or SEEN, of each voxel.
        lower: corner of the grid's box, in grid coordinates (x, y, z).
        upper: opposite corner.
        shape: threshold, margin and the like.

    Raises:
        BlendingNerfError: nothing reaches the threshold, or the grids are not cubes of one size.
    """
    region = Region(probability.shape[0]).to(probability.device)
    region.set_evidence(probability, state, lower, upper, shape)
    return region


def _weight_of(probability: Tensor, state: Tensor, lower: Tensor, upper: Tensor, shape: RegionShape) -> Tensor:
    x, y, z = ((upper - lower) / probability.shape[0]).tolist()
    return torch.from_numpy(region_weight(probability.float().cpu().numpy(), state.cpu().numpy(), (z, y, x), shape))


def _to_numbers(shape: RegionShape) -> Float[Tensor, "5"]:
    numbers = [shape.threshold, shape.margin, shape.soft_edge, shape.margin_over_surfaces, shape.keep == "largest"]
    return torch.tensor([float(number) for number in numbers])


def _from_numbers(numbers: Float[Tensor, "5"]) -> RegionShape:
    threshold, margin, soft_edge, over_surfaces, largest = numbers.tolist()
    return RegionShape(threshold, margin, soft_edge, bool(over_surfaces), "largest" if largest else "all")
