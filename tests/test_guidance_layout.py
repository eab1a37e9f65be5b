"""The order of CLIP's tokens: the same features and gradients either way, and what torch does with each."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.embedded import MINI_CLIP_NAME, load_mini
from blending_nerf_ns.guidance.layout import keep_length_first


def read(model: Any) -> tuple[Tensor, Tensor, int]:
    """Features of two pictures, the gradient of one of them, and how many products were made token by token."""
    pictures = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        features = model.encode_image(pictures)
        features[:, 0].sum().backward()
    assert pictures.grad is not None
    return features.detach(), pictures.grad, sum(one.count for one in record.key_averages() if one.key == "aten::bmm")


def test_both_orders_read_the_same_and_one_has_fewer_products() -> None:
    model = load_mini(MINI_CLIP_NAME)
    usual = read(copy.deepcopy(model))
    assert keep_length_first(model)
    ours = read(model)
    torch.testing.assert_close(ours[0], usual[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[1], usual[1], rtol=1e-4, atol=1e-6)
    assert ours[2] < usual[2], "torch multiplies both orders alike now: `guidance.layout` can go"


def test_every_guide_has_it() -> None:
    model = load_clip("embedded")._model
    assert not model.visual.transformer.batch_first
    assert not any(block.attn.batch_first for block in model.visual.transformer.resblocks)
    assert model.transformer.batch_first, "texts are read once"


@pytest.mark.parametrize("visual", [None, nn.Identity(), nn.Sequential()])
def test_other_models_are_left_as_they_are(visual: nn.Module | None) -> None:
    model: Any = nn.Module()
    model.visual = visual
    assert not keep_length_first(model)
