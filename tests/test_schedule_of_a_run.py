"""Learning rates and the end of an edit, as a real pipeline sets them step by step."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from open_run import STEPS, open_pipeline
from tiny_run import write_tiny_capture

from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.training import progress
from blending_nerf_ns.training.editing import METRICS
from blending_nerf_ns.training.progress import StageClock


@pytest.fixture
def pipeline(tmp_path: Path) -> BlendingPipeline:
    pipeline = open_pipeline(write_tiny_capture(tmp_path / "capture"))
    groups = {name: [{"params": [torch.zeros(1)], "lr": 0.5}] for name in ("fields", "edit_field")}
    optimizers = {name: torch.optim.SGD(group) for name, group in groups.items()}
    pipeline.trainer = cast(Any, SimpleNamespace(optimizers=SimpleNamespace(optimizers=optimizers)))
    return pipeline


def rates(pipeline: BlendingPipeline, step: int) -> dict[str, float]:
    pipeline.stages.before_step(step)
    return {name: one.param_groups[0]["lr"] for name, one in pipeline.trainer.optimizers.optimizers.items()}


def test_the_bases_rates_fall_over_its_own_steps(pipeline: BlendingPipeline) -> None:
    pipeline.model.base_frozen.fill_(False)
    pipeline.config.base_steps, pipeline.config.base_final_rate = 100, 0.01
    for done, factor in ((0, 1.0), (50, 0.1), (100, 0.01)):
        pipeline.progress[0] = done
        assert rates(pipeline, done) == pytest.approx({"fields": 0.5 * factor, "edit_field": 0.5})


def test_a_base_that_is_told_to_end_earlier_than_it_is_takes_none_of_the_edits_steps(
    pipeline: BlendingPipeline,
) -> None:
    pipeline.config.base_steps = 100
    for done, left in ((40, 60), (99, 1), (100, 1), (300, 1)):
        pipeline.model.base_frozen.fill_(False)
        pipeline.progress[0] = done
        assert pipeline.steps_left == left + STEPS, "the next step is the one that ends it"
        pipeline.model.freeze_base()
        assert pipeline.steps_left == STEPS


def test_the_edits_rate_falls_over_the_edits_share_of_its_stage(pipeline: BlendingPipeline) -> None:
    pipeline.work.find_region()
    pipeline.work.training = cast(Any, SimpleNamespace())
    pipeline.config.edit_final_rate = 0.04
    assert pipeline.stage == "edit"
    for done, factor in ((0, 1.0), (STEPS // 2, 0.2)):
        pipeline.progress[1] = done
        assert rates(pipeline, 1000 + done) == pytest.approx({"fields": 0.5, "edit_field": 0.5 * factor})


def test_a_base_that_is_not_frozen_learns_as_the_edit_does(pipeline: BlendingPipeline) -> None:
    """What starts as a copy of the base is the edit's, in its steps and not in the base's."""
    optimizers = pipeline.trainer.optimizers.optimizers
    optimizers["moving_fields"] = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.1}])
    pipeline.model.base_frozen.fill_(False)
    pipeline.config.base_steps, pipeline.config.base_final_rate, pipeline.config.edit_final_rate = 100, 0.01, 0.04
    pipeline.progress[0] = 50
    assert rates(pipeline, 50) == pytest.approx({"fields": 0.05, "edit_field": 0.5, "moving_fields": 0.1})
    pipeline.model.base_frozen.fill_(True)
    pipeline.work.find_region()
    pipeline.work.training = cast(Any, SimpleNamespace())
    pipeline.progress[1] = STEPS // 2
    assert rates(pipeline, 1000) == pytest.approx({"fields": 0.05, "edit_field": 0.1, "moving_fields": 0.02})


def test_an_edit_settles_by_how_much_nearer_the_target_it_is_than_the_original(
    pipeline: BlendingPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.work.find_region()
    metrics: dict[str, float] = dict(zip(METRICS, (0.7, 0.2, 0.0, 0.0, 0.0), strict=True))
    asked = []

    def step(done: int, share: float, scale: float) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        asked.append((done, share, scale))
        return {"blended": torch.tensor(1.0), "nothing": torch.tensor(0.0)}, metrics

    pipeline.work.training = cast(Any, SimpleNamespace(step=step))
    followed = []
    monkeypatch.setattr(pipeline.work.settling, "follow", lambda *told: followed.append(told) or False)
    pipeline.progress[1] = STEPS // 4
    losses, _ = pipeline.work.step(8.0)
    assert asked == [(STEPS // 4, pytest.approx(0.25), 8.0)] and set(losses) == {"blended", "nothing"}
    assert followed == [], "before the optimiser has stepped"
    pipeline.work.count()
    assert followed == [(STEPS // 4 + 1, STEPS, pytest.approx(0.5))]


def test_seconds_of_a_stage_are_all_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 3.0, 10.0, 14.0, 20.0, 21.0])  # each part's begin and end
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(moments)))

    def train(clock: StageClock) -> float:
        clock.begin("edit", "Edit", 9, 0)
        clock.end(tmp_path)
        return json.loads((tmp_path / "stages.json").read_text())["edit_seconds"]

    clock = StageClock()
    assert [train(clock), train(clock)] == [3.0, 7.0], "it was paused once"
    resumed = StageClock(resumed=tmp_path)
    assert train(resumed) == 8.0, "in its own folder"
    resumed.forget("edit")
    resumed.end(tmp_path)
    assert json.loads((tmp_path / "stages.json").read_text()) == {}, "nor in the file"
    assert resumed.times == {} and StageClock().times == {}
    (tmp_path / "stages.json").write_text("{")
    assert StageClock(resumed=tmp_path).times == {}


def test_the_bases_seconds_are_not_the_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts may be changed, and changed back, while the base trains."""
    moments = iter([0.0, 7.0, 9.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    clock = StageClock()
    clock.begin("base", "Base", 9, 0)
    assert (clock.seconds_of("edit"), clock.seconds_of("base")) == (0.0, 7.0)
    clock.end(tmp_path / "nowhere")
    assert clock.times == {"base_seconds": 9.0} and clock.on == ""


def test_what_a_pause_ends_is_the_edit(pipeline: BlendingPipeline, tmp_path: Path) -> None:
    pipeline.config.run_dir = tmp_path
    pipeline.clock.begin("edit", "Edit", STEPS, 0)
    pipeline.session.running = False  # it is to stand, and Ctrl-C comes before it sleeps
    pipeline.stages.end()
    assert set(json.loads((tmp_path / "stages.json").read_text())) == {"edit_seconds", "edit_steps"}
