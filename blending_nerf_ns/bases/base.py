"""What editing asks of a frozen scene: its samples on every ray, its picture, and its coordinates for a grid.

What renders, finds and edits knows a base by this protocol; what trains and hosts one knows that it is a nerfacto. R rays, S samples,
t = distance along the unit ray direction in scene coordinates (nerfstudio's, after dataparser transform and scale).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor


class BaseSamples(NamedTuple):
    """The base along a chunk of rays: piecewise constant on its own intervals, without gradient."""

    edges: Float[Tensor, "R S+1"]
    """Interval edges t, ascending; interval i is [edges[i], edges[i + 1]]."""
    density: Float[Tensor, "R S"]
    """Density in each interval, >= 0 and finite; 0 in the gaps of a sampler that leaves gaps."""
    rgb: Float[Tensor, "R S 3"]
    """Colour of each interval in [0, 1]."""
    background: Float[Tensor, "R 3"]
    """Colour that shows where accumulation < 1, by the base's own rule; 0 where the base blends none in."""

    def among(self, rays: Bool[Tensor, "R"] | Int[Tensor, "N"] | slice) -> "BaseSamples":
        """Those on some of its rays, by mask, index or slice."""
        return BaseSamples(*(part[rays] for part in self))


class Proposal(NamedTuple):
    """What the base's sampler knew before it placed the samples, enough to place others (see `Base.resample`).

    Only the base reads it; others may take it apart and put it together along the rays.
    """

    spacing: Float[Tensor, "R P+1"]
    """Edges of the last proposal level's P intervals, in the sampler's own spacing between near (0) and far (1)."""
    density: Float[Tensor, "R P"]
    """The proposal's density on them, >= 0."""
    background: Float[Tensor, "R 3"]
    """The background of the original samples, which other samples keep."""

    def among(self, rays: Bool[Tensor, "R"] | Int[Tensor, "N"] | slice) -> "Proposal":
        """The part of it that belongs to some of its rays, by mask, index or slice."""
        return Proposal(*(part[rays] for part in self))


class BaseRender(NamedTuple):
    """One chunk of rays rendered by the base alone."""

    samples: BaseSamples
    outputs: dict[str, Tensor]
    """`rgb`, `depth` and `accumulation`, exactly as the base model's own eval forward returns them for this chunk."""
    proposal: Proposal


class Base(Protocol):
    """A frozen scene that can be edited."""

    @property
    def contracted(self) -> bool:
        """Whether the base contracts space, so that grid coordinates differ from scene coordinates."""
        ...

    @property
    def grid_box(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """Lower and upper corner of the whole scene in grid coordinates."""
        ...

    def to_grid(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Scene coordinates to grid coordinates (contracted ones where the base contracts, else the same)."""
        ...

    def render(self, ray_bundle: RayBundle) -> BaseRender:
        """Render a flat chunk of R rays, without gradient."""
        ...

    def resample(
        self,
        ray_bundle: RayBundle,
        proposal: Proposal,
        kept: Callable[[Float[Tensor, "R P 3"]], Float[Tensor, "R P"]],
    ) -> BaseSamples:
        """Samples placed as if only the share `kept` of the density, in [0, 1] at scene positions, were there."""
        ...
