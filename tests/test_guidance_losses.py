"""Guidance losses on vectors whose cosines are known, and their gradients at the edges."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.guidance.losses import (
    DARKEST,
    SMALLEST_STEP,
    budget_loss,
    directional_loss,
    global_loss,
    shading_loss,
    soft_direction,
)

X, Y, Z = torch.eye(3)


def unit(seed: int, *shape: int) -> Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_global_loss_by_hand():
    images = torch.stack([X, Y, -X, functional.normalize(X + Y, dim=0)])
    for i, expected in enumerate((0.0, 1.0, 2.0, 1 - math.sqrt(0.5))):
        assert global_loss(images[i : i + 1], X).item() == pytest.approx(expected, abs=1e-6)
    assert global_loss(images, X).item() == pytest.approx((0 + 1 + 2 + 1 - math.sqrt(0.5)) / 4, abs=1e-6)


def test_directional_loss_by_hand():
    # the text goes from x to y; the image does the same, the opposite, something else
    assert directional_loss(X[None], Y[None], X, Y, softness=0).item() == pytest.approx(0.0, abs=1e-6)
    assert directional_loss(Y[None], X[None], X, Y, softness=0).item() == pytest.approx(2.0, abs=1e-6)
    # (z - x) against (y - x): cosine 1/2
    assert directional_loss(X[None], Z[None], X, Y, softness=0).item() == pytest.approx(0.5, abs=1e-6)
    # a step of length s counts s / sqrt(s² + softness²)
    step = math.sqrt(2.0)
    expected = 1 - step / math.sqrt(step**2 + SMALLEST_STEP**2)
    assert directional_loss(X[None], Y[None], X, Y).item() == pytest.approx(expected, abs=1e-6)


def test_directional_loss_without_a_change_pulls_towards_the_target():
    original = unit(0, 4, 16)
    edited = original.clone().requires_grad_()
    source, target = unit(1, 16), unit(2, 16)
    loss = directional_loss(original, edited, source, target)
    assert loss.item() == pytest.approx(1.0)
    loss.backward()
    assert edited.grad is not None
    expected = -functional.normalize(target - source, dim=0) / SMALLEST_STEP / 4
    assert torch.allclose(edited.grad, expected.expand(4, 16), atol=1e-4)


def test_directional_loss_with_equal_texts_is_flat():
    edited = unit(3, 2, 8).requires_grad_()
    loss = directional_loss(unit(4, 2, 8), edited, X.repeat(3)[:8], X.repeat(3)[:8])
    assert loss.item() == pytest.approx(1.0)
    loss.backward()
    assert edited.grad is not None
    assert edited.grad.abs().max() == 0


def test_soft_direction():
    assert soft_direction(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert soft_direction(torch.tensor([3.0, 4.0]), softness=0.0).tolist() == pytest.approx([0.6, 0.8])
    assert soft_direction(torch.tensor([SMALLEST_STEP, 0.0]))[0].item() == pytest.approx(math.sqrt(0.5))


def test_shading_by_hand():
    """Two gray pixels; around their mean the log luminances are +- half the log of their ratio."""
    original, flat, weight = gray(0.9, 0.4), gray(0.3, 0.3), torch.ones(2)
    half = math.log((0.9 + DARKEST) / (0.4 + DARKEST)) / 2
    assert half == pytest.approx(math.log(2.0) / 2)
    assert shading_loss(original, flat, weight).item() == pytest.approx(half, abs=1e-6)
    # the dark side bright and the bright side dark: twice as wrong
    assert shading_loss(original, gray(0.4, 0.9), weight).item() == pytest.approx(2 * half, abs=1e-6)
    # a third pixel that is not the object's counts for nothing, in the means either
    beside = torch.tensor([1.0, 1.0, 0.0])
    assert shading_loss(gray(0.9, 0.4, 0.0), gray(0.3, 0.3, 1.0), beside).item() == pytest.approx(half, abs=1e-6)
    assert shading_loss(original, flat, torch.zeros(2)).item() == 0.0


def test_another_hue_or_a_darker_paint_has_the_same_shading():
    bright = torch.tensor([[0.8, 0.0, 0.0], [0.4, 0.0, 0.0]])
    luminance = bright @ torch.tensor([0.2126, 0.7152, 0.0722])
    green = torch.zeros(2, 3)
    green[:, 1] = luminance / 0.7152
    assert shading_loss(bright, green, torch.ones(2)).item() == pytest.approx(0.0, abs=1e-6)
    darker = 0.5 * (gray(0.9, 0.4) + DARKEST) - DARKEST
    assert shading_loss(gray(0.9, 0.4), darker, torch.ones(2)).item() == pytest.approx(0.0, abs=1e-6)


def gray(*values: float) -> Tensor:
    return torch.tensor(values)[:, None].expand(-1, 3)


def test_budget_is_a_hinge():
    used = torch.tensor([0.1, 0.3, 0.6], requires_grad=True)
    loss = budget_loss(used, 0.2)
    assert loss.item() == pytest.approx((0.0 + 0.1 + 0.4) / 3)
    loss.backward()
    assert used.grad is not None
    assert used.grad.tolist() == pytest.approx([0.0, 1 / 3, 1 / 3])
    assert budget_loss(torch.tensor(0.15), 0.2).item() == 0.0


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), exponent=st.floats(-12, 0), size=st.integers(1, 5))
def test_losses_are_bounded_and_gradients_finite(seed: int, exponent: float, size: int):
    original = unit(seed, size, 12)
    nudge = 10**exponent * torch.randn(size, 12, generator=torch.Generator().manual_seed(seed + 1))
    edited = functional.normalize(original + nudge, dim=-1).requires_grad_()
    source, target = unit(seed + 2, 12), unit(seed + 3, 12)
    losses = {
        "global": global_loss(edited, target),
        "direction": directional_loss(original, edited, source, target),
    }
    assert -1e-5 <= losses["global"] <= 2 + 1e-5
    assert -1e-5 <= losses["direction"] <= 2 + 1e-5
    for loss in losses.values():
        (gradient,) = torch.autograd.grad(loss, edited, retain_graph=True)
        assert bool(torch.isfinite(gradient).all())
        assert gradient.norm() <= 2 / SMALLEST_STEP
