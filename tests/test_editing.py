"""What a step of an edit's training adds up, by what the edit may do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_run import ring, tiny_model

from blending_nerf_ns.editing import EditTraining
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.team import Team


def training(operations: tuple[str, ...], **weights: float) -> EditTraining:
    model = tiny_model()
    model.edit.info = replace(model.edit.info, operations=operations)
    config = GuidanceConfig(image_size=24, views=2, crops=2, **weights)  # type: ignore[arg-type]
    return EditTraining(config, model, ring(4, 24), load_clip("embedded"), "a red ball", "a blue ball", 0, Team())


def test_light_and_shade_count_where_an_edit_may_only_recolour() -> None:
    for operations in (("add", "change"), ("remove",), ("add", "remove", "change")):
        assert "shading" not in training(operations).step(0, 1.0)[0]
    editing = training(("change",))
    with torch.no_grad():
        editing.model.edit.field.shape_head.weight.zero_()
        editing.model.edit.field.shape_head.bias[2] = -30.0
    assert float(editing.step(0, 1.0)[0]["shading"]) == pytest.approx(0.0, abs=1e-5), "as it was"
    editing.model.edit.field.start_from_color(torch.tensor([0.1, 0.2, 0.9]), 0.95)
    flat = float(editing.step(0, 1.0)[0]["shading"])
    assert flat > 0.003, "one colour everywhere, in a scene that is nearly of one luminance"
    twice = training(("change",), weight_shading=1.0)
    twice.model.load_state_dict(editing.model.state_dict())
    assert float(twice.step(0, 1.0)[0]["shading"]) == pytest.approx(2 * flat, rel=1e-4)
