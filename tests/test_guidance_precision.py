"""A guide that reads in bfloat16 guides as in float32, or is not let."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from tiny_run import ring, tiny_model
from torch import nn

from blending_nerf_ns.guidance.clip import ClipGuide, load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.guidance.precision import PrecisionErrors, precision_errors, reading_in
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.team import Team


class Straying(nn.Module):
    """A CLIP that sees the pictures upside down where it multiplies in another precision."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "model" else getattr(super().__getattr__("model"), name)

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(-pixels if torch.is_autocast_enabled("cpu") else pixels)


def guiding(guide: ClipGuide, mixed: bool) -> EditTraining:
    config = GuidanceConfig(image_size=24, views=2, crops=2, mixed_precision=mixed)
    model = tiny_model()
    model.edit.info = replace(model.edit.info, operations=("change",))
    return EditTraining(config, model, ring(4, 24), guide, "a red ball", "a blue ball", 0, Team())


def straying() -> ClipGuide:
    guide = load_clip("embedded")
    guide._model = Straying(guide._model)  # what it reads with; the rest stays
    return guide


def test_bfloat16_is_near_float32_and_the_guide_is_left_as_it_was() -> None:
    guide = load_clip("embedded")
    images = torch.rand(3, 3, guide.image_size, guide.image_size, generator=torch.Generator().manual_seed(0))
    target = guide.encode_prompt("a blue ball")
    errors = precision_errors(guide, images, target)
    assert errors.bearable and 0 < errors.loss < 0.01 and 0 < errors.gradient < 0.05, "near, and not the same numbers"
    assert guide.mixed_precision is False
    plain = guide.encode_images(images)
    guide.mixed_precision = True
    mixed = guide.encode_images(images)
    assert mixed.dtype == torch.float32 and not torch.equal(plain, mixed)
    assert torch.allclose(mixed.norm(dim=-1), torch.ones(3), atol=1e-5)
    assert torch.equal(guide.encode_prompt("a blue ball"), target), "texts are read as before"


@pytest.mark.parametrize(
    ("errors", "bearable"),
    [((0.0, 0.0), True), ((0.02, 0.0), False), ((0.0, 0.1), False), ((math.nan, 0.0), False), ((0.0, math.nan), False)],
)
def test_what_is_bearable(errors: tuple[float, float], bearable: bool) -> None:
    assert PrecisionErrors(*errors).bearable is bearable


def test_it_is_used_where_it_is_asked_for_and_harmless() -> None:
    asked, not_asked, harmful = guiding(load_clip("embedded"), True), guiding(load_clip("embedded"), False), straying()
    assert asked.choose_precision().startswith("bfloat16 (loss off by") and asked.guide.mixed_precision
    assert not_asked.choose_precision() == "float32" and not not_asked.guide.mixed_precision
    told = guiding(harmful, True).choose_precision()
    assert told.startswith("float32, for bfloat16 strays (loss off by") and not harmful.mixed_precision


def test_a_step_in_bfloat16_is_nearly_the_step_in_float32() -> None:
    seen = {}
    for mixed in (False, True):
        editing = guiding(load_clip("embedded"), mixed)
        editing.choose_precision()
        losses, _ = editing.step(0, 0.6)
        gradients = [p.grad.flatten() for p in editing.model.edit.field.parameters() if p.grad is not None]
        seen[mixed] = float(losses["blended"]), torch.cat(gradients)
    assert seen[True][0] == pytest.approx(seen[False][0], rel=0.01)
    assert float(torch.cosine_similarity(seen[True][1], seen[False][1], dim=0)) > 0.95


def test_inside_it_reads_so_and_afterwards_as_before_even_if_it_fails() -> None:
    guide = SimpleNamespace(mixed_precision=True)

    def interrupted() -> None:
        with reading_in(cast(ClipGuide, guide), mixed=False):
            assert guide.mixed_precision is False
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert guide.mixed_precision is True
