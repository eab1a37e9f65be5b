"""Chamfer distance on points whose distances are known, and against every pair's distance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.geometry import Chamfer, ChamferSides, chamfer_distance, chamfer_inside_outside

SEEDS = st.integers(0, 10_000)


def cloud(seed: int, count: int) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at_0(original: Tensor, edited: Tensor) -> ChamferSides:
    """What lies right of 0 is inside."""
    return chamfer_inside_outside(original, edited, original[:, 0] > 0, edited[:, 0] > 0)


def points(*along_x: float) -> Tensor:
    return torch.tensor([[x, 0.0, 0.0] for x in along_x])


def test_chamfer_by_hand():
    found = chamfer_distance(points(0, 1, 5), points(0, 2))
    assert found.original_to_edited == pytest.approx((0 + 1 + 3) / 3)
    assert found.edited_to_original == pytest.approx((0 + 1) / 2)
    assert found.symmetric == pytest.approx((4 / 3 + 1 / 2) / 2)
    assert (found.original_points, found.edited_points) == (3, 2)


def test_identical_clouds_are_at_0_in_any_order():
    some = cloud(0, 100)
    found = chamfer_distance(some, some.flip(0))
    assert (found.original_to_edited, found.edited_to_original, found.symmetric) == (0.0, 0.0, 0.0)


@given(SEEDS, st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=30)
def test_chamfer_is_the_least_of_all_pairs(seed, count, other_count):
    original, edited = cloud(seed, count), cloud(seed + 1, other_count)
    found, pairs = chamfer_distance(original, edited), torch.cdist(original, edited)
    assert found.original_to_edited == pytest.approx(pairs.min(1).values.mean().item())
    assert found.edited_to_original == pytest.approx(pairs.min(0).values.mean().item())
    swapped = chamfer_distance(edited, original)
    assert (swapped.original_to_edited, swapped.edited_to_original) == (
        found.edited_to_original,
        found.original_to_edited,
    )
    scaled = chamfer_distance(3 * original + 1, 3 * edited + 1)  # moves with both, grows with the unit
    assert found.symmetric is not None
    assert scaled.symmetric == pytest.approx(3 * found.symmetric)


def test_what_was_removed_and_what_was_added_show_in_one_direction_each():
    whole, part = points(*range(10)), points(*range(5))
    removed = chamfer_distance(whole, part)
    assert removed.original_to_edited == pytest.approx((1 + 2 + 3 + 4 + 5) / 10)
    assert removed.edited_to_original == 0.0
    added = chamfer_distance(part, whole)
    assert (added.original_to_edited, added.edited_to_original) == (0.0, removed.original_to_edited)


def test_inside_and_outside_by_hand():
    original, edited = points(-2, -1, 1, 2), points(-2, -1, 1, 6)
    inside, outside = at_0(original, edited)
    assert inside == Chamfer(pytest.approx(0.5), pytest.approx(2.0), 2, 2)  # pyright: ignore[reportArgumentType]
    assert outside == Chamfer(0.0, 0.0, 2, 2)


def test_a_surface_that_crosses_the_border_is_not_torn():
    # 0.1 is the nearest original point of -0.1 and lies on the other side
    _, outside = at_0(points(0.1, -3), points(-0.1, -3))
    assert outside.edited_to_original == pytest.approx(0.1)


@given(SEEDS)
@settings(max_examples=20)
def test_both_sides_weigh_up_to_the_whole(seed):
    original, edited = cloud(seed, 40), cloud(seed + 1, 50)
    whole, (inside, outside) = chamfer_distance(original, edited), at_0(original, edited)
    assert (inside.original_points + outside.original_points, inside.edited_points + outside.edited_points) == (40, 50)
    for direction, count in (("original_to_edited", "original_points"), ("edited_to_original", "edited_points")):
        total = sum((getattr(side, direction) or 0.0) * getattr(side, count) for side in (inside, outside))
        assert total / getattr(whole, count) == pytest.approx(getattr(whole, direction))


def test_an_object_that_is_gone_leaves_nothing_to_ask_about():
    inside, outside = at_0(points(-1, 1), points(-1))
    assert inside == Chamfer(2.0, None, 1, 0)
    assert inside.symmetric is None
    assert outside.symmetric == 0.0


def test_a_region_of_ours_can_ask():
    region = Region(resolution=8)  # empty: nothing is inside
    before, after = points(-1, 1), points(-1)
    inside, outside = chamfer_inside_outside(before, after, region.weight_at(before) > 0, region.weight_at(after) > 0)
    assert inside == Chamfer(None, None, 0, 0) and outside == Chamfer(1.0, 0.0, 2, 1), "what is known stays known"


def test_a_side_without_any_point_tells_nothing():
    inside, outside = at_0(points(1, 2), points(1, 2, 3))
    assert outside.symmetric is None and inside.symmetric == pytest.approx(0.5 / 3)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        (torch.zeros(2), "torch.float32 of shape"),
        (torch.zeros(2, 3, dtype=torch.bool), r"shape \[2, 3\]"),
        (torch.zeros(3, dtype=torch.bool), r"shape \[3\] for 2 points"),
        (True, "is True for 2 points"),
    ],
)
def test_each_point_is_on_one_side(inside, message):
    right = torch.tensor([False, True])
    with pytest.raises(BlendingNerfError, match=f"edited_inside.*{message}"):
        chamfer_inside_outside(points(-1, 1), points(-1, 1), right, inside)
    with pytest.raises(BlendingNerfError, match=f"original_inside.*{message}"):
        chamfer_inside_outside(points(-1, 1), points(-1, 1), inside, right)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (torch.zeros(0, 3), r"shape \[0, 3\]"),
        (torch.zeros(4, 2), r"shape \[4, 2\]"),
        (torch.zeros(4, 3, dtype=torch.int64), "int64"),
        (torch.full((4, 3), torch.nan), "12 of 12 values are NaN"),
        ([[0.0, 0.0, 0.0]], "a list"),
    ],
)
def test_broken_clouds_are_refused(broken, message):
    with pytest.raises(BlendingNerfError, match=f"edited points.*{message}"):
        chamfer_distance(points(0), broken)
    with pytest.raises(BlendingNerfError, match=f"original points.*{message}"):
        chamfer_distance(broken, points(0))
