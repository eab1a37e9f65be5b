"""Figures of one edit, from what its pixels show to the report."""

from __future__ import annotations

import pytest
import torch

from blending_nerf_ns.reporting.measuring import Case, Yardstick, measure
from blending_nerf_ns.reporting.pictures import Pictures, Surface

BY = Yardstick(0, 0.02, "no judge here", None, None, "no LPIPS here")
MASK = torch.tensor([[[True, False, False, False]]])
"""One row of four pixels; the subject fills the first."""


def wall(*depths: float) -> Surface:
    """A wall ten units wide, seen by four pixels: where it stands before each; NaN is a pixel that sees nothing."""
    points = torch.tensor([[10.0 * i, 0.0, depth] for i, depth in enumerate(depths)])
    seen = ~points[:, 2].isnan()
    return Surface(points[seen], seen[None, None])


def shapes(edited: Surface) -> dict[str, tuple]:
    """What is said of the shape, where the own region is all that stands nearer than 2."""
    nothing = torch.zeros(1, 1, 4)
    picture = torch.zeros(1, 1, 4, 3)
    case = Case(
        pictures=Pictures(picture, picture, nothing, nothing, nothing, nothing, nothing),
        before=None,
        after=None,
        source=None,
        pool=None,
        original_surface=wall(1.0, 5.0, 5.0, 5.0),
        edited_surface=edited,
        mask=MASK,
        close_before=None,
        close_after=None,
        own=MASK,
        in_region=lambda points: points[:, 2] < 2.0,
    )
    figures = measure(case, BY)
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
