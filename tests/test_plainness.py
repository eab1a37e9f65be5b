"""What an edit's field costs by itself: flecks between neighbours, and stains of a solid."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_editing import training

from blending_nerf_ns.edits.soft_solid import Seed
from blending_nerf_ns.training.plainness import stains

BALL = Seed(torch.tensor([0.2, 0.0, 0.0]), torch.tensor([0.3, 0.2, 0.1]))
NOTHING = {f"weight_{name}": 0.0 for name in ("blended", "edit", "direction", "budget", "smooth", "solid", "shading")}


def colored(tint) -> SimpleNamespace:
    """What a field is asked for, with this tint at its points."""
    return SimpleNamespace(
        solid=BALL, lower=torch.zeros(3), look_along=lambda directions: directions, tint=lambda points, _: tint(points)
    )


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_one_tint_all_over_costs_nothing_and_two_halves_what_they_differ_by() -> None:
    assert float(stains(colored(lambda points: torch.full_like(points, 3.0)), seeded())) == 0.0  # type: ignore[arg-type]
    halves = colored(lambda points: (points[:, :1] > 0.2).float().expand(-1, 3))
    assert float(stains(halves, seeded())) == pytest.approx(0.5, abs=0.01)  # type: ignore[arg-type]


def test_stains_are_looked_for_in_the_solid_and_just_around_it() -> None:
    seen: list[torch.Tensor] = []
    stains(colored(lambda points: seen.append(points) or points), seeded())  # type: ignore[arg-type]
    reach = ((seen[0] - BALL.center) / BALL.radii).abs().amax(dim=0)
    assert bool((reach <= 1.1 + 1e-6).all()) and bool((reach > 1.05).all())


def test_only_a_solid_that_may_take_the_objects_place_is_asked_for_one_tint() -> None:
    editing = training(("add", "remove"), **{**NOTHING, "weight_tint": 1.0})
    assert "tint" not in editing.step(0, 1.0)[0]
    field = editing.model.edit.field
    field.start_from_solid(BALL, torch.tensor([0.8, 0.2, 0.1]))
    losses, _ = editing.step(0, 1.0)
    assert float(losses["tint"]) > 0
    head = [parameter.grad for parameter in field.color_head.parameters() if parameter.grad is not None]
    assert sum(float(one.norm()) for one in head) > 1e-4
    assert not bool(field.shape_head.weight.grad.any()), "the form is not its business"  # type: ignore[union-attr]
    editing.config = replace(editing.config, weight_tint=0.0)
    assert "tint" not in editing.step(0, 1.0)[0]
    beside = training(("add", "change"), **{**NOTHING, "weight_tint": 1.0})
    beside.model.edit.field.start_from_solid(BALL, torch.tensor([0.8, 0.2, 0.1]))
    assert "tint" not in beside.step(0, 1.0)[0]


def test_steps_by_it_alone_take_stains_away() -> None:
    editing = training(("add", "remove"), **{**NOTHING, "weight_tint": 1.0})
    field = editing.model.edit.field
    field.start_from_solid(BALL, torch.tensor([0.8, 0.2, 0.1]), in_place=True)
    optimizer = torch.optim.Adam(field.parameters(), lr=0.02)
    costs = []
    for step in range(20):
        optimizer.zero_grad()
        costs.append(float(editing.step(step, 1.0)[0]["tint"]))
        optimizer.step()
    assert costs[-1] < 0.5 * costs[0]
