"""An edit: a region and a field in it. What a user makes."""

from __future__ import annotations

from typing import Callable, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from blending_nerf_ns.bases.base import BaseSamples
from blending_nerf_ns.edits.field import EditField
from blending_nerf_ns.edits.intersection import RegionIntervals
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.rendering.blending import BlendedSamples, EditSamples, Strengths, blend
from blending_nerf_ns.rendering.compositing import BlendedPixels, composite_blend, render_weights
from blending_nerf_ns.rendering.intervals import Split, split_intervals, take, take_nearest


class BlendedRays(NamedTuple):
    """What the rays that meet the region see."""

    pixels: BlendedPixels
    removed: Float[Tensor, " hits"]
    """Accumulated opacity of what was visible and is not any more (original weights), in [0, 1]."""


class Edit(nn.Module):
    """A region and the editable field inside it.

    Args:
        region: where the edit may act.
        field: what it does there.
    """

    def __init__(self, region: Region, field: EditField) -> None:
        super().__init__()
        self.region = region
        self.field = field

    def fit_field_to_region(self) -> None:
        """Spend the field's resolution on the region: call when the region was made or reshaped before training."""
        self.field.set_box(*self.region.bounds())

    def evaluate(self, intervals: RegionIntervals, directions: Float[Tensor, "hits 3"]) -> EditSamples:
        """The editable field on the region's intervals; points of weight 0 are never evaluated."""
        active = intervals.region > 0
        along = directions[:, None].expand_as(intervals.positions)
        out = self.field(intervals.positions[active], along[active])
        return EditSamples(
            density=_scatter(active, out.density),
            rgb=_scatter(active, out.rgb, fill=0.5),
            density_ratio=_scatter(active, out.density_ratio),
            color_ratio=_scatter(active, out.color_ratio),
            region=intervals.region,
        )

    def kept_at(
        self, to_grid: Callable[[Tensor], Tensor], strength: float
    ) -> Callable[[Float[Tensor, "rays samples 3"]], Float[Tensor, "rays samples"]]:
        """A function of scene positions: the share of the original density that this edit keeps there."""

        def kept(positions: Tensor) -> Tensor:
            points = to_grid(positions)
            weight = self.region.weight_at(points)
            active = weight > 0
            removed = torch.zeros_like(weight)
            removed[active] = weight[active] * self.field.density_ratio(points[active]).to(weight.dtype)
            return 1.0 - (strength * removed).clamp(0.0, 1.0)

        return kept


def blend_rays(
    base: BaseSamples, intervals: RegionIntervals, samples: EditSamples, strengths: Strengths
) -> tuple[BlendedPixels, BlendedSamples, Split]:
    """Split, blend and composite rays that meet the region.

    Args:
        base: the base on those rays.
        intervals: the edit's intervals on them.
        samples: the editable field on these intervals.
        strengths: how much of each operation is shown.
    """
    split = split_intervals(base.edges, intervals.edges)
    edit = EditSamples(
        density=take(samples.density, split.edit),
        rgb=take_nearest(samples.rgb, split.edit),
        density_ratio=take(samples.density_ratio, split.edit),
        color_ratio=take(samples.color_ratio, split.edit),
        region=take(samples.region, split.edit),
    )
    blended = blend(take(base.density, split.base), take_nearest(base.rgb, split.base), edit, strengths)
    return composite_blend(blended, edit.rgb, split.edges, base.background), blended, split


def accumulated_removal(base: BaseSamples, blended: BlendedSamples, split: Split) -> Float[Tensor, " hits"]:
    """E_remove: the ORIGINAL weights times the share removed, summed along the ray."""
    original = render_weights(take(base.density, split.base), split.deltas)
    return (original * blended.removed).sum(dim=-1)


def accumulated_region(base: BaseSamples, intervals: RegionIntervals) -> Float[Tensor, " hits"]:
    """How much of what a ray sees lies in the region: original weights times the region's weight, in [0, 1]."""
    split = split_intervals(base.edges, intervals.edges)
    original = render_weights(take(base.density, split.base), split.deltas)
    return (original * take(intervals.region, split.edit)).sum(dim=-1)


def _scatter(active: Tensor, values: Tensor, fill: float = 0.0) -> Tensor:
    out = values.new_full((*active.shape, *values.shape[1:]), fill)
    out[active] = values
    return out
