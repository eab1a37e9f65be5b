"""How plain an edit is where no text asks for more: what a guide's patches leave behind are flecks and stains (ours)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from blending_nerf_ns.edits.field import EditField
from blending_nerf_ns.training.view_pool import GuidanceView

POINTS = 1024
"""That are compared in each step."""
NEAR = 0.2
"""Scale of how far from each other two of them are, in longest sides of the field's box: 0.16 of these in the mean."""
AROUND = 1.1
"""How far around a solid its stains are looked for, in radii."""


def roughness(
    field: EditField, operations: Sequence[str], view: GuidanceView, generator: torch.Generator
) -> Float[Tensor, ""]:
    """How much colour and blend ratios differ between a point of the region and one near it.

    All colours count, those of the light and shade in which a solid starts too, and the colour's ratio also where nothing may be
    recoloured. Left out, these let the demo's green ball grow pale (docs/table/README.md).

    Args:
        field: of the edit.
        operations: what it may do; what is removed is compared where it may remove.
        view: whose points in the region are taken.
        generator: of points and directions.

    Returns:
        Scalar >= 0: mean differences, added up.
    """
    chosen = torch.randint(view.num_points, (POINTS,), generator=generator)
    points = view.points_in_region(chosen.to(view.reached.device, non_blocking=True))
    drawn = torch.rand(POINTS, 1, generator=generator), torch.randn(POINTS, 3, generator=generator)
    far, step = (one.to(points, non_blocking=True) for one in drawn)
    near = points + (field.upper - field.lower).max() * NEAR * far * step
    views = _views(field, generator)
    here, there = field(points, views), field(near, views)
    pairs = [(here.rgb, there.rgb), (here.color_ratio, there.color_ratio)]
    if "remove" in operations:
        pairs.append((here.density_ratio, there.density_ratio))
    return torch.stack([(one - other).abs().mean() for one, other in pairs]).sum()


def stains(field: EditField, generator: torch.Generator) -> Float[Tensor, ""]:
    """How far the colours of a solid are from one tint, in whatever light and shade.

    A guide of small patches likes spots of another yellow in its yellow. Another tint all over costs nothing.

    Args:
        field: of an edit that started from a solid.
        generator: of points and directions.

    Returns:
        Scalar >= 0: mean difference from the mean, in units of the colours before their sigmoid.
    """
    place = AROUND * (2.0 * torch.rand(POINTS, 3, generator=generator) - 1.0)
    solid = field.solid
    points = solid.center + solid.radii * place.to(solid.center, non_blocking=True)
    tint = field.tint(points, _views(field, generator))
    return (tint - tint.mean(dim=0)).abs().mean()


def _views(field: EditField, generator: torch.Generator) -> Float[Tensor, "points view"]:
    directions = F.normalize(torch.randn(POINTS, 3, generator=generator), dim=-1)
    return field.look_along(directions.to(field.lower, non_blocking=True))
