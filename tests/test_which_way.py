"""Which way an edit trains: every loss by numbers that are known beforehand, its gradient, and what ten steps of it do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from color_guide import ColorGuide
from tiny_run import ring, tiny_model
from torch.nn.functional import normalize

from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.guidance.losses import SMALLEST_STEP
from blending_nerf_ns.training.editing import METRICS, EditTraining
from blending_nerf_ns.training.plainness import roughness
from blending_nerf_ns.training.resolution import view_size
from blending_nerf_ns.training.team import Team

WEIGHTS = ("blended", "edit", "direction", "budget", "smooth", "shading", "solid")
NOTHING = dict.fromkeys((f"weight_{name}" for name in WEIGHTS), 0.0)


def training(operations: tuple[str, ...] = ("change",), **changes: float) -> EditTraining:
    model = tiny_model(operations=operations)
    config = replace(GuidanceConfig(image_size=24, views=2, crops=2, lone_crops=1, views_per_step=1), **changes)
    return EditTraining(config, model, ring(4, 24), ColorGuide(), "red", "blue", 0, Team())  # type: ignore[arg-type]


def told(editing: EditTraining, pixels: torch.Tensor) -> tuple[dict[str, float], dict[str, float], list[torch.Tensor]]:
    """Losses and metrics of pixels that all are the same, and the features of originals, edited crops and the edit alone."""
    view, guide = editing.pool[0], editing.guide
    assert isinstance(guide, ColorGuide)
    guide.seen.clear()
    total, (losses, means) = editing._losses(view, pixels.expand(view.num_rays, 10), torch.Generator().manual_seed(0))
    assert float(total) == pytest.approx(sum(float(value) for value in losses.values()), rel=1e-5), "they are added up"
    before, after = guide.seen
    metrics: dict[str, float] = dict(zip(METRICS, means.tolist(), strict=True))
    return {name: float(value) for name, value in losses.items()}, metrics, [before, after[:2], after[2:]]


def test_every_loss_by_hand() -> None:
    weights = {
        "weight_blended": 2.0,
        "weight_edit": 3.0,
        "weight_direction": 5.0,
        "weight_budget": 7.0,
        "weight_solid": 11.0,
    }
    budget = {"budget_add": 0.25, "budget_remove": 0.125, "budget_change": 0.5}
    editing = training(("add", "remove", "change"), **weights, **budget)
    # edited colour, colour and opacity of the edit alone, added, removed, changed
    pixels = torch.tensor([0.1, 0.2, 0.9, 0.0, 0.3, 0.4, 0.8, 0.5, 0.25, 0.75])
    losses, metrics, (before, after, lone) = told(editing, pixels)

    assert losses["blended"] == pytest.approx(2.0 * (1.0 - float(after[:, 2].mean())), rel=1e-5)
    assert losses["edit"] == pytest.approx(3.0 * (1.0 - float(lone[:, 2].mean())), rel=1e-5)
    step = after - before
    along = (step[:, 2] - step[:, 0]) / math.sqrt(2.0)  # from red to blue
    cosine = along / (step.square().sum(dim=-1) + SMALLEST_STEP**2).sqrt()
    assert losses["direction"] == pytest.approx(5.0 * (1.0 - float(cosine.mean())), rel=1e-5)
    assert losses["budget"] == pytest.approx(7.0 * (0.25 + 0.125 + 0.25), rel=1e-5), "what is beyond each"
    assert losses["solid"] == pytest.approx(11.0 * 4 * 0.5 * 0.5, rel=1e-5), "of what is added"
    assert "shading" not in losses
    assert metrics["similarity"] == pytest.approx(float(after[:, 2].mean()), rel=1e-5)
    assert metrics["similarity_before"] == pytest.approx(float(before[:, 2].mean()), rel=1e-5)
    assert [metrics[name] for name in ("added", "removed", "changed")] == pytest.approx([0.5, 0.25, 0.75], rel=1e-5)
    assert metrics["similarity"] > metrics["similarity_before"] + 0.05, "or the two could be mixed up"


def test_amounts_are_those_of_the_object_and_what_is_added_those_of_all_the_room() -> None:
    editing = training(("add", "remove", "change"))
    view, index = editing.pool[0], editing.pool[0].intervals.rays
    coverage = torch.zeros(view.coverage.numel())
    coverage[index[: len(index) // 3]] = 0.6  # an object that a third of the rays meet
    view = view._replace(coverage=coverage.view_as(view.coverage))
    covered = coverage[index] > 0.5
    pixels = torch.zeros(view.num_rays, 10)
    pixels[:, 7:] = covered[:, None].float()
    _, (_, means) = editing._losses(view, pixels, torch.Generator().manual_seed(0))
    shown = dict(zip(METRICS, means.tolist(), strict=True))
    assert shown["removed"] == shown["changed"] == 1.0
    assert shown["added"] == pytest.approx(float(covered.float().mean()))


def gradients(editing: EditTraining) -> torch.Tensor:
    return torch.cat(
        [(p.grad if p.grad is not None else 0 * p).flatten() for p in editing.model.edit.field.parameters()]
    )


def test_a_step_leaves_the_gradient_of_what_it_says() -> None:
    editing = training(weight_smooth=0.7)
    losses, _ = editing.step(0, 1.0)
    found = gradients(editing)
    editing.model.edit.field.zero_grad()

    generator = torch.Generator().manual_seed(0)
    view = editing._draw(generator)
    total, _ = editing._losses(view, editing._render(view, slice(None)), generator)
    field, operations = editing.model.edit.field, editing.model.edit.info.operations
    (total + 0.7 * roughness(field, operations, view, generator)).backward()
    assert torch.allclose(found, gradients(editing), rtol=1e-3, atol=1e-6) and float(found.norm()) > 1e-3
    assert float(losses["smooth"]) > 0


def test_smoothness_alone_has_a_gradient_and_a_gradient_scaler_scales_all_of_it() -> None:
    alone = training(("change",), **{**NOTHING, "weight_smooth": 1.0})
    alone.step(0, 1.0)
    once = gradients(alone).clone()
    assert float(once.norm()) > 1e-4
    alone.model.edit.field.zero_grad()
    alone.step(0, 1.0, scale=8.0)
    assert torch.allclose(gradients(alone), 8.0 * once, rtol=1e-4, atol=1e-7)


def test_several_views_in_a_step_leave_the_mean_of_their_gradients() -> None:
    one, two = training(), training(views_per_step=2)
    each = []
    for step in (0, 1):
        one.step(step, 1.0)
        each.append(gradients(one).clone())
        one.model.edit.field.zero_grad()
    two.step(0, 1.0)
    assert torch.allclose(gradients(two), (each[0] + each[1]) / 2, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(each[0], each[1], rtol=1e-2), "two views"


@pytest.mark.parametrize("term", ["weight_blended", "weight_direction", "weight_edit"])
def test_a_few_steps_by_each_of_the_guides_losses_bring_the_target_nearer(term: str) -> None:
    editing = training(("change",), **{**NOTHING, term: 1.0})
    optimizer = torch.optim.Adam(editing.model.edit.field.parameters(), lr=0.05)

    def blueness() -> float:
        """Of the edit alone: it hardly shows through the fog of this base."""
        with torch.no_grad():
            return float(normalize(editing._pixels(editing.pool[0])[:, 3:6].mean(dim=0), dim=-1)[2])

    before = blueness()
    for step in range(10):
        optimizer.zero_grad()
        editing.step(step, 1.0)
        optimizer.step()
    assert blueness() > before + 0.01


def test_levels_and_views_follow_the_schedule() -> None:
    editing = training(coarse_to_fine=0.5, open_levels=1.0, coarse_views=0.3, image_size=64)
    field = editing.model.edit.field
    for share, levels in ((0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (1.0, 2.0)):
        editing.step(0, share)
        assert float(field.open_levels) == pytest.approx(levels)
        size = view_size(share, 64, ColorGuide.image_size, 0.3)
        assert editing.pool[0].original.shape[:2] == (size, size) and size == (32 if share < 0.3 else 64)
