"""Figures of one edit, from what its pixels show to the report."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_run import ring, tiny_model

from blending_nerf_ns.evaluation.directions import (
    clip_direction_similarity,
    edit_direction_consistency,
    view_change_consistency,
)
from blending_nerf_ns.evaluation.text import clip_similarity, manipulative_precision
from blending_nerf_ns.reporting.judge import Judge, JudgeConfig
from blending_nerf_ns.reporting.measuring import Case, Yardstick, measure
from blending_nerf_ns.reporting.pictures import Pictures, Surface, render_pictures
from blending_nerf_ns.reporting.subject import Masks
from blending_nerf_ns.reporting.views import Views
from blending_nerf_ns.reporting.workbench import Bench

BY = Yardstick(0, 0.02, "no judge here", None, None, "no LPIPS here")
MASK = torch.tensor([[[True, False, False, False]]])
"""One row of four pixels; the subject fills the first."""


def wall(*depths: float) -> Surface:
    """A wall ten units wide, seen by four pixels: where it stands before each; NaN is a pixel that sees nothing."""
    points = torch.tensor([[10.0 * i, 0.0, depth] for i, depth in enumerate(depths)])
    seen = ~points[:, 2].isnan()
    return Surface(points[seen], seen[None, None])


def case(original: torch.Tensor, edited: torch.Tensor, **others: Any) -> Case:
    """An edit that no judge reads; the own region is all that stands nearer than 2."""
    nothing = torch.zeros(len(original), 1, 4)
    names = ("before", "after", "source", "pool", "close_before", "close_after", "original_surface", "edited_surface")
    given: dict[str, Any] = {
        **dict.fromkeys(names),
        "mask": MASK,
        "subject": MASK,
        "own": others.get("mask", MASK),
        **others,
    }
    pictures = Pictures(original, edited, nothing, nothing, nothing, nothing, nothing)
    return Case(pictures=pictures, in_region=lambda points: points[:, 2] < 2.0, **given)


def shapes(edited: Surface) -> dict[str, tuple]:
    """What is said of the shape."""
    picture = torch.zeros(1, 1, 4, 3)
    figures = measure(case(picture, picture, original_surface=wall(1.0, 5.0, 5.0, 5.0), edited_surface=edited), BY)
    return {name: (figure.value, figure.reason) for name, figure in figures.items() if "chamfer" in name}


def test_what_an_edit_uncovers_is_inside_the_mask() -> None:
    told = shapes(wall(5.0, 5.0, 5.0, 5.0))  # the object before the first pixel is gone
    assert told["chamfer_outside"] == (0.0, None)
    assert told["chamfer_inside"] == (pytest.approx(4.0), None), "there and back"
    assert told["chamfer"] == (pytest.approx(4.0 / 4), None), "of four pixels one"
    assert told["own_region_chamfer_outside"] == (pytest.approx((0.0 + 4.0 / 4) / 2), None), "the wall behind counts"
    assert told["own_region_chamfer_inside"][0] is None and "no point there" in told["own_region_chamfer_inside"][1]


def test_what_moves_outside_the_mask_is_told() -> None:
    told = shapes(wall(1.0, 5.0, 5.0, 8.0))
    assert told["chamfer_inside"] == (0.0, None)
    assert told["chamfer_outside"] == (pytest.approx(3.0 / 3), None)


def test_a_subject_that_leaves_nothing_behind_it_has_no_figure_inside() -> None:
    told = shapes(wall(float("nan"), 5.0, 5.0, 5.0))
    assert told["chamfer_outside"] == (0.0, None)
    assert told["chamfer_inside"][0] is None and "no point there" in told["chamfer_inside"][1]


@pytest.mark.parametrize(("recolors", "value"), [(True, -1.0), (False, None)])
def test_light_and_shade_are_a_recolours(recolors: bool, value: float | None) -> None:
    before, after = (
        torch.tensor(row).view(1, 1, 4, 1).repeat(1, 1, 1, 3) for row in ([0.2, 0.4, 0.5, 0.5], [0.4, 0.2, 0.5, 0.5])
    )
    subject, room = (torch.tensor([[row]]) for row in ([True, True, False, False], [True, True, True, False]))
    no_surface = "no surface here"
    figure = measure(case(before, after, mask=room, subject=subject, recolors=recolors, no_surface=no_surface), BY)[
        "shading_correlation"
    ]
    assert figure.value == (value if value is None else pytest.approx(value)), (
        "of the two pixels that are the subject's"
    )
    assert figure.unedited == (value if value is None else pytest.approx(1.0))
    assert (figure.reason is None) == recolors


def test_every_figure_of_the_judge_is_of_the_features_that_it_is_said_of() -> None:
    """Texts along axes: the source, the target, another. Before and after, whole and near, all are told apart."""
    source, target, other = torch.eye(3)
    features = {
        "before": torch.tensor([[1.0, 0.1, 0.0], [0.9, 0.2, 0.3]]),
        "after": torch.tensor([[0.2, 0.9, 0.1], [0.1, 0.2, 0.9]]),  # one of two is read as the target
        "close_before": torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.1, 0.9]]),
        "close_after": torch.tensor([[0.1, 0.9, 0.2], [0.0, 1.0, 0.3]]),  # both are
    }
    pictures = torch.rand(2, 2, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    both = MASK.repeat(2, 1, 1)
    pool = torch.stack([target, source, other])
    judged = case(*pictures, mask=both, subject=both, source=source, pool=pool, no_surface="none", **features)
    figures = {name: figure.value for name, figure in measure(judged, replace(BY, no_judge=None)).items()}

    before, after, close_before, close_after = features.values()
    assert figures["clip_direction_similarity"] == clip_direction_similarity(before, after, source, target)
    assert figures["close_up_direction_similarity"] == clip_direction_similarity(
        close_before, close_after, source, target
    )
    assert figures["clip_similarity"] == clip_similarity(after, target)
    assert figures["manipulative_precision"] == manipulative_precision(pictures[0], pictures[1], after, target)
    assert figures["edit_direction_consistency"] == edit_direction_consistency(before, after)
    assert figures["view_change_consistency"] == view_change_consistency(before, after)
    assert (figures["r_precision"], figures["close_up_r_precision"]) == (0.5, 1.0)
    assert len({round(value, 6) for name, value in figures.items() if value is not None and "clip" in name}) == 2


def test_what_changes_in_the_room_of_an_edit_has_not_leaked() -> None:
    model, cameras = tiny_model(), ring(2, size=16)
    plain = render_pictures(model, cameras, "", bar=False)
    subject, room = torch.zeros(2, 2, 16, 16, dtype=torch.bool)
    subject[:, 8:10, 8:10] = room[:, 4:10, 8:10] = True
    edited = plain.original.clone()
    edited[:, 5, 9] = 1.0 - edited[:, 5, 9]  # above the subject
    pictures = plain._replace(edited=edited)
    views = Views("novel", ["a", "b"], cameras, None)
    found = SimpleNamespace(model=model)
    bench = Bench(found, views, plain, Judge(JudgeConfig("nobody"), None, "none"), BY, Masks(subject, room), [])  # type: ignore[arg-type]
    figures = bench.measure([], pictures, "a", "b").figures
    assert figures["leaked_pixels"].value == 0.0 and figures["psnr_outside"].value == 99.0
    bare = bench.of(Masks(subject, subject)).measure([], pictures, "a", "b").figures
    assert bare["leaked_pixels"].value == 1.0 and (bare["psnr_outside"].value or 99.0) < 60.0
