"""How far an edit moved surfaces: Chamfer distance of point clouds, all of them or inside and outside a region."""

from __future__ import annotations

from collections.abc import Callable
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
    is_inside: Callable[[Float[Tensor, "any 3"]], Bool[Tensor, "any"]],
) -> ChamferSides:
    """Chamfer distance of the points inside a region, and of those outside.

    Formula: as `chamfer_distance`, each mean over the points of one side alone; the nearest point is looked for in the
        whole other cloud, so that a surface which crosses the border is not torn there.
    Range: [0, infinity) in the points' own unit; identical clouds give 0 on both sides.
    Better: lower outside; inside it is the edit's size, and neither way is better.
    Source: as `chamfer_distance`; the split is ours.

    Args:
        original, edited: points of surfaces.
        is_inside: tells of points (float64, on the CPU) whether they lie in the region, such as
            `lambda points: region.weight_at(points) > 0`.

    Returns:
        Both sides. A direction is None on a side where its cloud has no point: an object that was removed leaves
        nothing inside to ask about, and an addition in free air that did not grow had nothing there before.
    """
    original, edited = as_points("original points", original), as_points("edited points", edited)
    original_inside, edited_inside = _ask(is_inside, original), _ask(is_inside, edited)
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


def _ask(is_inside: Callable[[Tensor], Tensor], points: Tensor) -> Bool[Tensor, "points"]:
    answer = is_inside(points)
    if not isinstance(answer, Tensor) or answer.dtype != torch.bool or answer.shape != points.shape[:1]:
        told = f"{answer.dtype} of shape {list(answer.shape)}" if isinstance(answer, Tensor) else repr(answer)
        raise BlendingNerfError(f"is_inside answered {told} about {len(points)} points, wanted one bool for each.")
    return answer.detach().cpu()
