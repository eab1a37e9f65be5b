"""How much has changed on each side of a mask, and what share of it leaks out, on pictures whose differences are known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluation_masks import SEEDS, box_mask, random_pictures

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.change import kept_inside, leaked_change, leaked_pixels, mean_inside_outside
from blending_nerf_ns.evaluation.masks import split_by_mask


def test_mean_inside_outside_by_hand():
    amounts, mask = torch.zeros(2, 20, 24), box_mask()
    amounts[0][mask[0]] = 1.0  # only in the first view
    amounts[1, 0, 0] = 0.5
    inside, outside = mean_inside_outside(amounts, mask, dilation=0)
    assert inside == pytest.approx(0.5)
    assert outside == pytest.approx(0.5 / (2 * (480 - 12)))
    grown = mean_inside_outside(amounts, mask, dilation=1)
    assert grown.inside == pytest.approx(12 / (2 * 30))  # 5 x 6 pixels
    assert mean_inside_outside(torch.zeros(2, 20, 24), mask, dilation=1) == (0.0, 0.0)


@given(SEEDS, st.integers(0, 5))
@settings(max_examples=20)
def test_both_means_weigh_up_to_the_mean_of_all(seed, dilation):
    amounts, mask = random_pictures(seed)[..., 0], box_mask()
    sides = split_by_mask(mask, amounts, dilation)
    inside, outside = mean_inside_outside(amounts, mask, dilation=dilation)
    share = sides.inside.double().mean().item()
    assert share * inside + (1 - share) * outside == pytest.approx(amounts.double().mean().item())
    assert 0 <= inside <= 1 and 0 <= outside <= 1


def test_kept_inside_by_hand_and_where_nothing_has_changed():
    original, edited, mask = torch.zeros(2, 20, 24, 3), torch.zeros(2, 20, 24, 3), box_mask()
    edited[mask] = 0.4  # twelve pixels a view
    assert kept_inside(original, edited, mask, dilation=0) == 1.0
    edited[0, 0, 0] = 0.8
    share = 24 * 0.4 / (24 * 0.4 + 0.8)
    assert kept_inside(original, edited, mask, dilation=0) == pytest.approx(share)
    for same in (original, original + 1e-5, original - 1e-5):  # what rounds to the same picture; what lies below 0 is 0
        with pytest.raises(BlendingNerfError, match="nothing has changed"):
            kept_inside(original, same, mask, dilation=0)
    with pytest.raises(BlendingNerfError, match="not the same views"):
        kept_inside(original, edited[:, :-1], mask, dilation=0)


def test_leakage_by_hand():
    original, edited, mask = torch.zeros(2, 20, 24, 3), torch.zeros(2, 20, 24, 3), box_mask()
    edited[mask] = 0.5  # 24 pixels, 72 numbers
    edited[0, 7, 9:13, 1] = 0.3  # 4 pixels just above the mask, green alone
    edited[1, 0, :2] = 0.1  # 2 pixels far away
    assert leaked_pixels(original, edited, mask, dilation=0, threshold=0.05) == pytest.approx(6 / 30)
    assert leaked_pixels(original, edited, mask, dilation=1, threshold=0.05) == pytest.approx(2 / 30)
    assert leaked_pixels(original, edited, mask, dilation=0, threshold=0.2) == pytest.approx(4 / 28)
    assert leaked_pixels(original, edited, mask, dilation=0, threshold=0.4) == 0.0
    assert leaked_pixels(original, edited, mask, dilation=0, threshold=0.9) == 0.0  # nothing changed that much
    change = 72 * 0.5 + 4 * 0.3 + 6 * 0.1
    assert leaked_change(original, edited, mask, dilation=0) == pytest.approx((4 * 0.3 + 6 * 0.1) / change)
    assert leaked_change(original, edited, mask, dilation=1) == pytest.approx(6 * 0.1 / change)


def test_identical_pictures_leak_nothing_and_rounding_is_no_change():
    pictures = random_pictures(0).double() * 0.9
    for edited in (pictures, pictures + 1e-6):
        assert leaked_pixels(pictures, edited, box_mask(), dilation=0, threshold=1e-5) == 0.0
        assert leaked_change(pictures, edited, box_mask(), dilation=0) == 0.0


def test_a_change_that_is_all_outside_leaks_whole():
    original, mask = torch.zeros(2, 20, 24, 3), box_mask()
    edited = (~mask)[..., None].float().expand(2, 20, 24, 3)
    assert leaked_pixels(original, edited, mask, dilation=0, threshold=0.5) == 1.0
    assert leaked_change(original, edited, mask, dilation=0) == 1.0


def test_a_change_that_is_spread_evenly_leaks_the_outsides_share():
    original, mask = torch.zeros(2, 20, 24, 3), box_mask()
    outside = 1 - 12 / 480
    assert leaked_pixels(original, original + 0.25, mask, dilation=0, threshold=0.1) == pytest.approx(outside)
    assert leaked_change(original, original + 0.25, mask, dilation=0) == pytest.approx(outside)


@given(SEEDS, st.floats(0.01, 0.9))
@settings(max_examples=30)
def test_leakage_properties(seed, threshold):
    original, edited, mask = random_pictures(seed), random_pictures(seed + 1), box_mask()
    pixels = [leaked_pixels(original, edited, mask, dilation=d, threshold=threshold) for d in range(5)]
    change = [leaked_change(original, edited, mask, dilation=d) for d in range(5)]
    for values in (pixels, change):
        assert all(0 <= value <= 1 for value in values)
        assert values == sorted(values, reverse=True)  # a larger mask holds more
    assert leaked_pixels(edited, original, mask, dilation=0, threshold=threshold) == pytest.approx(pixels[0])
    assert leaked_change(edited, original, mask, dilation=0) == pytest.approx(change[0])


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.0, math.nan, None])
def test_a_threshold_is_stated_and_above_rounding(threshold):
    with pytest.raises(BlendingNerfError, match=f"threshold of change is {threshold}"):
        leaked_pixels(random_pictures(0), random_pictures(1), box_mask(), dilation=0, threshold=threshold)
