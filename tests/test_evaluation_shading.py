"""Light and shade that a recolour kept, against cases by hand and against torchmetrics."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional import pearson_corrcoef

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.shading import shading_correlation

RAMP = torch.tensor([0.1, 0.2, 0.3, 0.6])
ALL = torch.ones(1, 1, 4, dtype=torch.bool)


def gray(*values: float) -> torch.Tensor:
    """One view, one row of gray pixels."""
    return torch.tensor(values).view(1, 1, -1, 1).repeat(1, 1, 1, 3)


def test_by_hand() -> None:
    # around their means -1, 0, 1 and -1, 1, 0 (tenths): the product is 1, the lengths are sqrt 2
    value = shading_correlation(gray(0.1, 0.2, 0.3), gray(0.1, 0.3, 0.2), ALL[..., :3])
    assert value == pytest.approx(1 / (math.sqrt(2) * math.sqrt(2)), abs=1e-6)


def test_extremes() -> None:
    picture = gray(*RAMP.tolist())
    assert shading_correlation(picture, picture, ALL) == pytest.approx(1.0)
    assert shading_correlation(picture, 1.0 - picture, ALL) == pytest.approx(-1.0)
    assert shading_correlation(picture, torch.full_like(picture, 0.4), ALL) == 0.0


@given(st.floats(0.1, 1.0), st.sampled_from([(1.0, 0.0, 0.0), (0.0, 0.3, 1.0), (0.2, 0.2, 0.2)]))
def test_another_hue_and_another_brightness_keep_it(factor: float, hue: tuple[float, float, float]) -> None:
    picture = gray(*RAMP.tolist())
    assert shading_correlation(picture, factor * picture * torch.tensor(hue), ALL) == pytest.approx(1.0, abs=1e-6)


def test_as_torchmetrics_has_it_view_by_view_and_inside_only() -> None:
    generator = torch.Generator().manual_seed(0)
    original, edited = torch.rand(2, 2, 6, 5, 3, generator=generator)
    mask = torch.rand(2, 6, 5, generator=generator) > 0.4
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    each = [pearson_corrcoef((b @ weights)[m], (a @ weights)[m]).item() for a, b, m in zip(original, edited, mask)]
    assert each[0] != pytest.approx(each[1], abs=0.01), "or one view would do"
    assert shading_correlation(original, edited, mask) == pytest.approx(sum(each) / 2, abs=1e-5)
    elsewhere = torch.where(mask[..., None], edited, torch.rand(2, 6, 5, 3, generator=generator))
    assert shading_correlation(original, elsewhere, mask) == shading_correlation(original, edited, mask)


def test_views_without_a_shade_do_not_count() -> None:
    flat, ramp = gray(0.5, 0.5, 0.5, 0.5), gray(*RAMP.tolist())
    original, edited = torch.cat([flat, ramp, ramp]), torch.cat([ramp, ramp, 1.0 - ramp])
    nobody = torch.zeros_like(ALL)
    assert shading_correlation(original[:2], edited[:2], ALL.repeat(2, 1, 1)) == pytest.approx(1.0)
    assert shading_correlation(original, edited, torch.cat([ALL, ALL, nobody])) == pytest.approx(1.0)
    with pytest.raises(BlendingNerfError, match="no shade to keep"):
        shading_correlation(flat, ramp, ALL)
