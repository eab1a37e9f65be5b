"""Where rays meet the region, and the edit's own intervals there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from blending_nerf_ns.edits.contraction import scene_box, slowed, unslowed

if TYPE_CHECKING:
    from blending_nerf_ns.edits.region import Region

FARTHEST = 1000.0
"""An unbounded ray is edited up to here, in scene units."""
FAR_PROBES = 192
"""Points tested along a ray where the region reaches into contracted space and a slab test would be wrong."""


class RegionIntervals(NamedTuple):
    """The edit's intervals on the rays that meet the region."""

    rays: Int[Tensor, " hits"]
    """Which rays of the bundle meet it."""
    edges: Float[Tensor, "hits n+1"]
    """Ascending distances along those rays."""
    positions: Float[Tensor, "hits n 3"]
    """Midpoints in grid coordinates."""
    region: Float[Tensor, "hits n"]
    """Region weight at the midpoints, exactly 0 where nothing may change."""
    active: Optional[Int[Tensor, " points"]] = None
    """Places in the flattened `region` where it is not 0, where they are known: a GPU is waited for to find them."""

    def find_active(self) -> Int[Tensor, " points"]:
        """Places in the flattened `region` where the edit is to be evaluated, ascending."""
        if self.active is not None:
            return self.active.long()
        return torch.nonzero(self.region.flatten() > 0).squeeze(-1)

    def with_active(self) -> RegionIntervals:
        """The same, with those places known."""
        return self._replace(active=self.find_active())


def ray_box(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    lower: Float[Tensor, "3"],
    upper: Float[Tensor, "3"],
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Distances at which rays enter and leave an axis-aligned box; leave <= enter where they miss (slab test)."""
    tiny = torch.full_like(directions, 1e-12)
    inverse = 1.0 / torch.where(directions.abs() < 1e-12, tiny, directions)
    one, two = (lower - origins) * inverse, (upper - origins) * inverse
    return torch.minimum(one, two).amax(dim=-1), torch.maximum(one, two).amin(dim=-1)


def ray_contracted_box(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    lower: Float[Tensor, "3"],
    upper: Float[Tensor, "3"],
    to_grid: Callable[[Tensor], Tensor],
    far: float,
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """The same for a box of contracted coordinates, by testing points: dense where a ray enters the box around it in the scene, sparse
    far behind, where of a box that reaches to infinity some rays of a camera far outside may miss it."""
    # a little wider than the box, for probes are few; but never as wide as infinity, which is 2
    below, above = (
        torch.minimum((upper - lower) * 0.05, 0.5 * (2.0 - side.abs()).clamp_min(0.0)) for side in (lower, upper)
    )
    lower, upper = lower - below, upper + above
    # from a camera far away probes would step over the box, if the dense ones were at the camera
    first, last = ray_box(origins, directions, *scene_box(lower, upper, contracted=True))
    start = torch.where(last > first, first, torch.zeros_like(first)).clamp(0.0, max(0.0, far - 2.1))
    steps = torch.linspace(0.0, 1.0, FAR_PROBES, device=origins.device)
    beyond = torch.where(steps < 0.5, 4.0 * steps, 2.0 / (1.0 - (steps - 0.5) / 0.5 * (1.0 - 2.0 / max(far, 2.1))))
    distances = start[:, None] + beyond
    points = to_grid(origins[:, None] + distances[..., None] * directions[:, None])
    inside: Bool[Tensor, "rays probes"] = ((points >= lower) & (points <= upper)).all(dim=-1)
    before = inside.float().argmax(dim=-1, keepdim=True) - 1
    behind = FAR_PROBES - inside.flip(-1).float().argmax(dim=-1, keepdim=True)
    enter = distances.gather(-1, before.clamp_min(0)).squeeze(-1)
    leave = distances.gather(-1, behind.clamp_max(FAR_PROBES - 1)).squeeze(-1)
    met = inside.any(dim=-1)
    # the way through a small box may lie between two probes: that through the box around it stands for it
    between = ~met & (last > 0.0) & (last - first.clamp_min(0.0) <= 4.0 / (FAR_PROBES - 1))
    leave = torch.where(met, leave, torch.zeros_like(leave))
    return torch.where(between, first, enter), torch.where(between, last, leave)


def ray_grid_box(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    lower: Float[Tensor, "3"],
    upper: Float[Tensor, "3"],
    to_grid: Callable[[Tensor], Tensor],
    far_away: bool,
    far: float | Float[Tensor, " rays"],
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """The same for a box of grid coordinates, by the test that fits it.

    Args:
        far_away: whether the box reaches into contracted space, where a slab test would be wrong.
        far: how far points are tested there.
    """
    if far_away:
        return ray_contracted_box(origins, directions, lower, upper, to_grid, float(torch.as_tensor(far).max()))
    return ray_box(origins, directions, lower, upper)


def intersect_region(
    region: Region,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    to_grid: Callable[[Tensor], Tensor],
    contracted: bool,
    near: float | Float[Tensor, " rays"],
    far: float | Float[Tensor, " rays"],
    num_intervals: int,
) -> RegionIntervals:
    """Intervals of equal length across the region's box, on the rays that meet the region itself; of equal disparity far away, where
    a region may go on for a hundred units behind what is edited.

    Args:
        region: where the edit may act.
        origins: scene coordinates.
        directions: unit vectors.
        to_grid: scene to grid coordinates.
        contracted: whether grid coordinates are contracted ones.
        near: nothing in front of this distance is edited (the base's near plane).
        far: nor behind this one.
        num_intervals: intervals per ray.
    """
    lower, upper = region.bounds()
    far_away = contracted and region.reaches_far
    enter, leave = ray_grid_box(origins, directions, lower, upper, to_grid, far_away, far)
    enter, leave = enter.clamp(min=near), leave.clamp(max=far)  # type: ignore[arg-type]
    rays = torch.nonzero(leave > enter).squeeze(-1)
    share = torch.linspace(0.0, 1.0, num_intervals + 1, device=origins.device)
    first, last = enter[rays, None], leave[rays, None]
    if far_away:
        edges = unslowed(torch.lerp(slowed(first), slowed(last), share))
    else:
        edges = first + (last - first) * share
    middle = 0.5 * (edges[:, 1:] + edges[:, :-1])
    positions = origins[rays, None] + middle[..., None] * directions[rays, None]
    positions = to_grid(positions) if far_away else positions  # within the unit cube a contraction changes nothing
    weight = region.weight_at(positions)
    met = torch.nonzero((weight > 0).any(dim=-1)).squeeze(-1)
    return RegionIntervals(rays[met], edges[met], positions[met], weight[met])
