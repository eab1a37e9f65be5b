"""All figures of one edit on some views: the values, why one is missing, and what an edit that does nothing would get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Dict, NamedTuple, Optional

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.change import kept_inside, leaked_change, leaked_pixels, mean_inside_outside
from blending_nerf_ns.evaluation.directions import (
    clip_direction_similarity,
    edit_direction_consistency,
    view_change_consistency,
)
from blending_nerf_ns.evaluation.geometry import ChamferSides, chamfer_distance, chamfer_inside_outside
from blending_nerf_ns.evaluation.masks import split_by_mask
from blending_nerf_ns.evaluation.preservation import lpips_outside, psnr, psnr_outside, ssim, ssim_outside
from blending_nerf_ns.evaluation.shading import shading_correlation
from blending_nerf_ns.evaluation.text import clip_similarity, manipulative_precision, r_precision
from blending_nerf_ns.model import AMOUNTS
from blending_nerf_ns.reporting.pictures import Pictures, Surface

NO_REGION = "this method has no region of its own: it may change the whole scene"
NO_AMOUNTS = "this method does not tell what it adds from what it removes or recolours"
NO_SHADE = "this edit may do more than recolour: another surface has another shade"


class Figure(NamedTuple):
    """One number of the report."""

    value: Optional[float]
    reason: Optional[str] = None
    """Why there is no value."""
    unedited: Optional[float] = None
    """What an edit that does nothing would get."""


@dataclass(frozen=True)
class Case:
    """One edit on some views, and everything by which it is measured."""

    pictures: Pictures
    before: Optional[Float[Tensor, "views features"]]
    """The judge's features of the originals; None without a judge."""
    after: Optional[Float[Tensor, "views features"]]
    source: Optional[Float[Tensor, "features"]]
    """The judge's feature of the source text."""
    pool: Optional[Float[Tensor, "pool features"]]
    """The judge's features of the target text, then of the other texts of the pool."""
    original_surface: Optional[Surface]
    """What the views see; None where nobody knows it."""
    edited_surface: Optional[Surface]
    mask: Optional[Bool[Tensor, "views height width"]]
    """The subject's pixels and the edit's room, told by something else than the edit."""
    subject: Optional[Bool[Tensor, "views height width"]]
    """The subject's pixels alone."""
    close_before: Optional[Float[Tensor, "seen features"]]
    """The judge's features of close-ups of the subject in the originals; None without a judge or a mask."""
    close_after: Optional[Float[Tensor, "seen features"]]
    own: Optional[Bool[Tensor, "views height width"]]
    """Pixels whose rays meet the edit's own region; None where the method has no region."""
    in_region: Callable[[Float[Tensor, "any 3"]], Bool[Tensor, "any"]]
    """Whether points of the scene lie in it."""
    no_surface: Optional[str] = None
    """Why surfaces are not known, if they are not."""
    recolors: bool = True
    """Whether this is a recolour and nothing else, as far as one knows."""

    @property
    def unedited(self) -> Case:
        """The same case if nothing had been done."""
        nothing: Dict[str, Any] = {
            name: torch.zeros_like(amount) for name in AMOUNTS if (amount := getattr(self.pictures, name)) is not None
        }
        pictures = self.pictures._replace(edited=self.pictures.original, **nothing)
        return replace(
            self,
            pictures=pictures,
            after=self.before,
            close_after=self.close_before,
            edited_surface=self.original_surface,
        )


@dataclass(frozen=True)
class Yardstick:
    """What all cases of a report have in common."""

    dilation: int
    """Pixels around the mask that count as inside."""
    threshold: float
    """Of a pixel's change."""
    no_judge: Optional[str]
    """Why the judge is missing, if it is."""
    no_mask: Optional[str]
    """Why the mask is missing, if it is."""
    lpips: Optional[Callable[[Tensor, Tensor], Tensor]]
    no_lpips: Optional[str]


def measure(case: Case, by: Yardstick) -> Dict[str, Figure]:
    """Every figure by its name (see `catalogue`)."""
    edited, nothing = _figures(case, by), _figures(case.unedited, by)
    return {name: figure._replace(unedited=nothing[name].value) for name, figure in edited.items()}


def mean_figures(cases: Sequence[Dict[str, Figure]]) -> Dict[str, Figure]:
    """Each figure's mean over several cases; none where one of them has none."""
    means = {}
    for name in cases[0]:
        values = [case[name].value for case in cases]
        known = [value for value in values if value is not None]
        reason = next((case[name].reason for case in cases if case[name].value is None), None)
        means[name] = Figure(sum(known) / len(known)) if len(known) == len(values) else Figure(None, reason)
    return means


def _figures(case: Case, by: Yardstick) -> Dict[str, Figure]:
    pictures, dilation = case.pictures, by.dilation
    original, edited = pictures.original, pictures.edited
    before: Any = case.before  # any: what is None here is not used, for its figures have a reason to be missing
    after: Any = case.after
    source: Any = case.source
    pool: Any = case.pool
    mask: Any = case.mask
    subject: Any = case.subject
    close_before: Any = case.close_before
    close_after: Any = case.close_after
    amounts: Any = {name: getattr(pictures, name) for name in AMOUNTS}
    figures: Dict[str, Figure] = {}

    def put(name: str, compute: Callable[[], float], missing: Optional[str] = None) -> None:
        try:
            figures[name] = Figure(None, missing) if missing else Figure(compute())
        except BlendingNerfError as error:
            figures[name] = Figure(None, str(error))

    no_judge, no_mask = by.no_judge, by.no_mask
    put("clip_direction_similarity", lambda: clip_direction_similarity(before, after, source, pool[0]), no_judge)
    put("edit_direction_consistency", lambda: edit_direction_consistency(before, after), no_judge)
    put("view_change_consistency", lambda: view_change_consistency(before, after), no_judge)
    put("clip_similarity", lambda: clip_similarity(after, pool[0]), no_judge)
    put("manipulative_precision", lambda: manipulative_precision(original, edited, after, pool[0]), no_judge)
    put("r_precision", lambda: r_precision(after, pool, 0), no_judge)
    put(
        "close_up_direction_similarity",
        lambda: clip_direction_similarity(close_before, close_after, source, pool[0]),
        no_judge or no_mask,
    )
    put("close_up_r_precision", lambda: r_precision(close_after, pool, 0), no_judge or no_mask)

    put("psnr", lambda: psnr(original, edited))
    put("ssim", lambda: ssim(original, edited))
    put("psnr_outside", lambda: psnr_outside(original, edited, mask, dilation=dilation), no_mask)
    put("ssim_outside", lambda: ssim_outside(original, edited, mask, dilation=dilation), no_mask)
    put(
        "lpips_outside",
        lambda: lpips_outside(original, edited, mask, by.lpips, dilation=dilation),
        no_mask or by.no_lpips,
    )
    put(
        "shading_correlation",
        lambda: shading_correlation(original, edited, subject),
        no_mask or (None if case.recolors else NO_SHADE),
    )
    put("leaked_change", lambda: leaked_change(original, edited, mask, dilation=dilation), no_mask)
    put(
        "leaked_pixels",
        lambda: leaked_pixels(original, edited, mask, dilation=dilation, threshold=by.threshold),
        no_mask,
    )
    for name in AMOUNTS:
        amount, missing = amounts[name], no_mask if amounts[name] is not None else NO_AMOUNTS
        for side in ("inside", "outside"):
            put(
                f"{name}_{side}",
                lambda amount=amount, side=side: getattr(mean_inside_outside(amount, mask, dilation=dilation), side),
                missing,
            )

    own: Any = case.own
    no_region = NO_REGION if case.own is None else None
    put(
        "own_region_share_of_change",
        lambda: kept_inside(original, edited, own, dilation=0),
        no_region,
    )
    put("own_region_psnr_outside", lambda: psnr_outside(original, edited, own, dilation=dilation), no_region)
    for name in AMOUNTS:
        amount = amounts[name]
        put(
            f"own_region_{name}_inside",
            lambda amount=amount: mean_inside_outside(amount, own, dilation=0).inside,
            no_region or (NO_AMOUNTS if amount is None else None),
        )

    surface: Any = case.original_surface
    other: Any = case.edited_surface
    put("chamfer", lambda: _known(chamfer_distance(surface.points, other.points).symmetric), case.no_surface)

    def put_sides(prefix: str, is_inside: Callable[[Surface], Tensor], missing: Optional[str]) -> None:
        def compute() -> ChamferSides:
            return chamfer_inside_outside(surface.points, other.points, is_inside(surface), is_inside(other))

        for side in ("inside", "outside"):
            put(f"{prefix}chamfer_{side}", lambda side=side: _known(getattr(compute(), side).symmetric), missing)

    put_sides("", lambda shown: split_by_mask(mask, original, dilation).inside[shown.seen], no_mask or case.no_surface)
    put_sides("own_region_", lambda shown: case.in_region(shown.points), no_region or case.no_surface)
    return figures


def _known(distance: Optional[float]) -> float:
    if distance is None:
        raise BlendingNerfError("one of the two clouds has no point there")
    return distance
