"""The report's figures against numbers worked out by hand."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blending_nerf_ns.demo.measure import (
    hsv,
    hue_fraction,
    hue_of_text,
    mean_psnr,
    psnr_outside,
)

CHANNEL = st.integers(0, 255).map(lambda v: v / 255)


@given(st.tuples(CHANNEL, CHANNEL, CHANNEL))
def test_hsv_is_colorsys(rgb):
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    np.testing.assert_allclose(hsv(np.array(rgb)), [360 * hue % 360, saturation, value], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "hue"),
    [
        ("a blue ball", 225.0),  # 206..244
        ("a red ball", 359.5),  # -10..9: wraps
        ("A ball, GREEN and shiny", 120.0),  # 82..158
        ("a violet sphere", 274.0),  # purple: 256..292
        ("a gold ball", 45.0),  # golden: 40..50
        ("a ball", None),
        ("a white ball", None),
        ("a black and blue ball", 225.0),
    ],
)
def test_hue_of_text(text, hue):
    assert hue_of_text(text) == hue


def colour(hue: float, saturation: float = 1.0, value: float = 1.0) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)


def test_hue_fraction_counts_hue_saturation_and_value_inside_the_mask():
    row = [
        colour(225),  # yes
        colour(225 + 29.9),  # yes, at the edge
        colour(225 - 30.1),  # another hue
        colour(225, saturation=0.26),  # yes, pale
        colour(225, saturation=0.24),  # too gray
        colour(225, value=0.11),  # yes, dark
        colour(225, value=0.09),  # too black
        colour(225),  # outside the mask
    ]
    rgb = np.array(row).reshape(1, 1, 8, 3)
    mask = np.array([[[True] * 7 + [False]]])
    assert hue_fraction(rgb, mask, 225.0) == pytest.approx(4 / 7)


def test_hue_wraps_around_red():
    rgb = np.array([colour(350), colour(10), colour(40)]).reshape(1, 1, 3, 3)
    mask = np.ones((1, 1, 3), bool)
    assert hue_fraction(rgb, mask, 359.5) == pytest.approx(2 / 3)
    assert hue_fraction(rgb, mask, 0.5) == pytest.approx(2 / 3)


def test_hue_fraction_has_no_answer_without_hue_or_pixels():
    rgb = np.zeros((1, 2, 2, 3))
    assert hue_fraction(rgb, np.ones((1, 2, 2), bool), None) is None
    assert hue_fraction(rgb, np.zeros((1, 2, 2), bool), 120.0) is None


def test_mean_psnr_averages_views_not_errors():
    a = np.zeros((2, 1, 1, 3))
    b = np.stack([np.full((1, 1, 3), 0.1), np.full((1, 1, 3), 0.01)])
    assert mean_psnr(a, b) == pytest.approx(30.0)


def test_psnr_outside_ignores_the_grown_mask_and_pools_views():
    original = np.zeros((2, 9, 9, 3))
    edited = original.copy()
    mask = np.zeros((2, 9, 9), bool)
    mask[:, 4, 4] = True
    edited[:, 1:8, 1:8] = 1.0  # the mask grown by 3 pixels
    assert psnr_outside(edited, original, mask) == 99.0
    edited[0, 0, 0] = 1.0  # one of the 2 * (81 - 49) pixels outside
    assert psnr_outside(edited, original, mask) == pytest.approx(10 * math.log10(64))
