"""What a step of an edit's training adds up, by what the edit may do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_run import ring, tiny_model

from blending_nerf_ns.guidance.clip import ClipGuide, load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.team import Team


def training(operations: tuple[str, ...], **changes: float) -> EditTraining:
    model = tiny_model()
    model.edit.info = replace(model.edit.info, operations=operations)
    config = replace(GuidanceConfig(image_size=24, views=2, crops=2), **changes)
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


def test_a_blank_source_is_none() -> None:
    editing = training(("change",))
    editing.set_texts("", "a blue ball")
    unsaid = editing.source
    editing.set_texts(" ", "a blue ball")
    assert torch.equal(editing.source, unsaid)


class Counting:
    """A guide that also tells how many pictures it was shown at a time."""

    def __init__(self, guide: ClipGuide) -> None:
        self.guide, self.shown = guide, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.guide, name)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        self.shown.append(len(images))
        return self.guide.encode_images(images)


def test_the_edit_alone_is_read_in_a_few_of_the_crops_and_not_at_all_where_it_does_not_count() -> None:
    for changes, lone in (
        ({}, 2),
        ({"lone_crops": 1}, 1),
        ({"lone_crops": 9}, 3),
        ({"lone_crops": 0}, 0),
        ({"weight_edit": 0.0}, 0),
    ):
        editing = training(("change",), crops=3, **changes)
        editing.guide = counting = Counting(editing.guide)  # type: ignore[assignment]
        losses, _ = editing.step(0, 1.0)
        assert counting.shown == [3, 3 + lone], "the original's crops, then the edited ones and those of the edit alone"
        assert (float(losses["edit"]) > 0) == (lone > 0)


def test_a_few_crops_of_the_edit_alone_say_on_average_what_all_of_them_say() -> None:
    def losses(lone_crops: int) -> torch.Tensor:
        editing = training(("change",), crops=4, lone_crops=lone_crops)
        return torch.tensor([float(editing.step(step, 1.0)[0]["edit"]) for step in range(16)])

    few, every = losses(2), losses(4)
    assert float(few.mean()) == pytest.approx(float(every.mean()), abs=4 * float(few.std()) / 16**0.5)
    assert float(few.std()) > 0
