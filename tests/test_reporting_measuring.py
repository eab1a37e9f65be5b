"""Figures of one edit, from what its pixels show to the report."""

from __future__ import annotations

from typing import Any

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


def case(original: torch.Tensor, edited: torch.Tensor, **others: Any) -> Case:
    """An edit that no judge reads; the own region is all that stands nearer than 2."""
    nothing = torch.zeros(1, 1, 4)
    return Case(
        pictures=Pictures(original, edited, nothing, nothing, nothing, nothing, nothing),
        before=None,
        after=None,
        source=None,
        pool=None,
        **{"original_surface": None, "edited_surface": None, "mask": MASK, "subject": MASK, **others},
        close_before=None,
        close_after=None,
        own=MASK,
        in_region=lambda points: points[:, 2] < 2.0,
    )


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
