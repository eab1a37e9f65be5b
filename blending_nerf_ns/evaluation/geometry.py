"""How far an edit moved surfaces: Chamfer distance of point clouds, all of them or those inside and those outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from scipy.spatial import KDTree
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import as_points


@dataclass(frozen=True)
class Chamfer:
    """Mean distance from each cloud's points to the nearest of the other cloud, in the points' own unit."""

    original_to_edited: float | None
    """Large where something was taken away; None if there is no original point to ask about."""
    edited_to_original: float | None
    """Large where something was added; None if there is no edited point to ask about."""
    original_points: int
    """How many original points were asked about."""
    edited_points: int
    """How many edited points were asked about."""

    @property
    def symmetric(self) -> float | None:
        """Mean of both directions; None if one is missing."""
        if self.original_to_edited is None or self.edited_to_original is None:
            return None
        return (self.original_to_edited + self.edited_to_original) / 2


class ChamferSides(NamedTuple):
    """Every point of both clouds is on one side."""

    inside: Chamfer
    outside: Chamfer


def chamfer_distance(original: Float[Tensor, "points 3"], edited: Float[Tensor, "other_points 3"]) -> Chamfer:
    """Chamfer distance of two point clouds, both directions.

    Formula: d(A -> B) = mean over a in A of min over b in B of |a - b|, and d(B -> A); `symmetric` is their mean.
    Range: [0, infinity) in the points' own unit; identical clouds give 0. Two samplings of one surface do not: about
        half their spacing. Measure that too (two samplings of the original), and compare with it.
    Better: lower where geometry must be kept; inside an edit it is the edit's size, and neither way is better.
    Source: Fan et al., CVPR 2017, arXiv 1612.00603, there with squared distances and a sum of both directions; the
        plain distance, which has a unit, and the mean are ours.

    Args:
        original, edited: points of surfaces.

    Example:
        >>> chamfer_distance(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 3.0]]))
        Chamfer(original_to_edited=1.0, edited_to_original=2.0, original_points=1, edited_points=2)
    """
    original, edited = as_points("original points", original), as_points("edited points", edited)
    return _chamfer(_nearest(original, edited), _nearest(edited, original))


def chamfer_inside_outside(
    original: Float[Tensor, "points 3"],
    edited: Float[Tensor, "other_points 3"],
    original_inside: Bool[Tensor, "points"],
    edited_inside: Bool[Tensor, "other_points"],
) -> ChamferSides:
    """Chamfer distance of the points inside a mask or a region, and of those outside.

    Formula: as `chamfer_distance`, each mean over the points of one side alone; the nearest point is looked for in the
        whole other cloud, so that a surface which crosses the border is not torn there.
    Range: [0, infinity) in the points' own unit; identical clouds give 0 on both sides.
    Better: lower outside; inside it is the edit's size, and neither way is better.
    Source: as `chamfer_distance`; the split is ours.

    Args:
        original, edited: points of surfaces.
        original_inside, edited_inside: which of them are inside: `mask[seen]` of points that pixels `seen` show, or
            `region.weight_at(points) > 0`.

    Returns:
        Both sides. A direction is None on a side where its cloud has no point: an object that was removed leaves
        nothing inside to ask about, and an addition in free air that did not grow had nothing there before.

    Example:
        >>> before, after = torch.tensor([[0.0, 0, 0], [4, 0, 0]]), torch.tensor([[0.0, 0, 0], [5, 0, 0]])
        >>> moved = torch.tensor([False, True])
        >>> inside, outside = chamfer_inside_outside(before, after, moved, moved)
        >>> inside.symmetric, outside.symmetric
        (1.0, 0.0)
    """
    original, edited = as_points("original points", original), as_points("edited points", edited)
    original_inside = _one_each("original_inside", original_inside, original)
    edited_inside = _one_each("edited_inside", edited_inside, edited)
    to_edited, to_original = _nearest(original, edited), _nearest(edited, original)
    return ChamferSides(
        inside=_chamfer(to_edited[original_inside], to_original[edited_inside]),
        outside=_chamfer(to_edited[~original_inside], to_original[~edited_inside]),
    )


def _nearest(points: Float[Tensor, "points 3"], others: Float[Tensor, "other_points 3"]) -> Float[Tensor, "points"]:
    """Distance from each point to the nearest of the others."""
    distances, _ = KDTree(others.numpy()).query(points.numpy())
    return torch.from_numpy(distances)


def _chamfer(to_edited: Float[Tensor, "points"], to_original: Float[Tensor, "other_points"]) -> Chamfer:
    forward, backward = (each.mean().item() if len(each) else None for each in (to_edited, to_original))
    return Chamfer(forward, backward, len(to_edited), len(to_original))


def _one_each(name: str, inside: Tensor, points: Tensor) -> Bool[Tensor, "points"]:
    if not isinstance(inside, Tensor) or inside.dtype != torch.bool or inside.shape != points.shape[:1]:
        told = f"{inside.dtype} of shape {list(inside.shape)}" if isinstance(inside, Tensor) else repr(inside)
        raise BlendingNerfError(f"{name} is {told} for {len(points)} points, wanted one bool for each.")
    return inside.detach().cpu()
