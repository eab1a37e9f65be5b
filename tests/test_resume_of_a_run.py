"""What a resumed run takes from its checkpoint, its look and its command: a real pipeline, without a training loop."""

from __future__ import annotations

import os
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from open_run import STEPS, grant, margin_of, open_pipeline

from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.runs.adopting import without_effect
from blending_nerf_ns.runs.look import Look, inherit_fade, inherit_look, look_of, look_said_after, read_look, write_look


def test_a_resume_with_other_operations_makes_their_room(done: BlendingPipeline, capture: Path) -> None:
    resumed = open_pipeline(capture, operations=("add", "change"), resumed=True)
    resumed.load_state_dict(done.state_dict())
    assert margin_of(resumed) == pytest.approx(0.05)


def test_a_resume_by_other_words_is_trained_by_them(done: BlendingPipeline, capture: Path) -> None:
    state = done.state_dict()
    same = open_pipeline(capture)
    same.load_state_dict(state)
    assert same.work.is_done
    other = open_pipeline(capture, "a green ball")
    other.load_state_dict(state)
    assert (int(other.progress[1]), other.work.end) == (0, STEPS) and bool(other.model.edit_ready)
    moved = open_pipeline(capture, resumed=True, file=capture / "region_that_has_gone.safetensors")
    moved.load_state_dict(state)
    assert moved.work.is_done, "the checkpoint has its region"
    state["progress"] = torch.tensor([0, 7])
    half = open_pipeline(capture, "a green ball")
    half.load_state_dict(state)
    assert (int(half.progress[1]), half.work.end) == (7, STEPS), "what had settled had by other words"


def test_a_resume_stands_as_the_run_stood(done: BlendingPipeline, capture: Path) -> None:
    done.session.set_texts("a red ball", "a green ball")
    done.session.reset()
    done.session.undo()
    grant(done)
    assert done.stage == "done" and done.work.texts[1] == "a green ball" and not done.session.running
    state = deepcopy(done.state_dict())
    same = open_pipeline(capture, "a green ball")
    same.load_state_dict(state)
    assert same.stage == "done" and same.work.is_done and same.model.edit.info.target_text == "a blue ball", (
        "nobody pressed Start"
    )
    done.session.reset()
    grant(done)
    reset = open_pipeline(capture, "a green ball")
    reset.load_state_dict(done.state_dict())
    assert reset.stage == "done" and int(reset.progress[1]) == 0 and not reset.session.running
    other = open_pipeline(capture, "a yellow ball")
    other.load_state_dict(state)
    assert other.stage == "edit" and other.model.edit.info.target_text == "a yellow ball", "words that are given anew"
    alone = open_pipeline(capture, "a green ball")
    alone.session.waits = False
    alone.load_state_dict(state)
    assert alone.stage == "edit" and alone.model.edit.info.target_text == "a green ball", (
        "without a viewer there is no Start"
    )
    del state["standing._extra_state"]
    older = open_pipeline(capture)
    older.load_state_dict(state)
    assert older.stage == "done" and older.work.is_done and older.session.running


def test_a_resume_shows_the_runs_look(done: BlendingPipeline, capture: Path, tmp_path: Path) -> None:
    done.session.layers.new()
    grant(done)
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    lower, upper = (edit.info for edit in done.model.layers.all())
    write_look(Look((upper, replace(lower, visible=False).with_strengths(change=0.4)), fade=True), old)
    resumed = open_pipeline(capture, resumed=True)
    resumed.config.run_dir, resumed.config.resumed_look = new, old
    resumed.load_state_dict(done.state_dict())
    shown = [edit.info for edit in resumed.model.layers.all()]
    assert [info.id for info in shown] == [upper.id, lower.id] and resumed.session.layers.fade
    assert not shown[1].visible and shown[1].strengths.change == 0.4
    assert not resumed.model.fades, "only a video's frames have a time of their own"
    inherit_look(old, new)
    assert read_look(new) == read_look(old)
    checkpoint = tmp_path / "step.ckpt"
    checkpoint.touch()
    for age, later in ((-60, True), (60, False)):
        os.utime(checkpoint, (time.time() + age, time.time() + age))
        assert look_said_after(checkpoint, old) == later, "what was moved after the look is in the checkpoint"
    assert not look_said_after(checkpoint, tmp_path / "without a look")


def test_of_an_older_look_a_resume_keeps_that_it_fades(done: BlendingPipeline, tmp_path: Path) -> None:
    old, new, layers = tmp_path / "old", tmp_path / "new", done.model.layers
    for folder in (old, new):
        folder.mkdir()
    assert not inherit_fade(old, new, layers)
    (info,) = (edit.info for edit in layers.all())
    for fades in (False, True):
        write_look(Look((replace(info, visible=False),), fade=fades), old)
        assert inherit_fade(old, new, layers) == fades
        found = read_look(new)
        assert (found is not None) == fades
    assert found is not None and found.fade
    assert found.to_dict() == look_of(layers, fade=True).to_dict(), "shown as the checkpoint has it"
    assert inherit_fade(old, old, layers)
    kept = read_look(old)
    assert kept is not None and not kept.layers[0].visible, "a run that goes on in its own folder keeps its look"


def test_all_steps_are_taken_once_that_is_said(done: BlendingPipeline, capture: Path) -> None:
    resumed = open_pipeline(capture, resumed=True)
    resumed.config.guidance.stop_when_settled = False
    resumed.load_state_dict(done.state_dict())
    assert (
        not resumed.work.is_done and resumed.work.end == STEPS and resumed.steps_left == STEPS - int(done.progress[1])
    )


def test_more_steps_alone_let_no_settled_edit_go_on(
    done: BlendingPipeline, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed = open_pipeline(capture, resumed=True)
    resumed.config.edit_steps = 10 * STEPS
    resumed.load_state_dict(done.state_dict())
    assert resumed.work.is_done and resumed.work.share == 1.0 and resumed.work.done == done.work.done < STEPS
    said = " ".join(capsys.readouterr().out.split())
    assert f"after {done.work.done} of {STEPS} steps" in said and f"takes all {10 * STEPS} that" in said


def test_a_text_that_wants_other_shades_gets_them(done: BlendingPipeline, capture: Path) -> None:
    done.model.edit.field.keep_light(0.4)
    for weight, kept in ((0.0, False), (1.0, True)):
        resumed = open_pipeline(capture, "a green cube")
        resumed.config.guidance.weight_shading = weight
        resumed.load_state_dict(done.state_dict())
        resumed.work.prepare()
        assert (resumed.model.edit.field.kept_light is not None) == kept


def test_flags_that_change_nothing_are_told() -> None:
    given = frozenset({"edits", "region.margin_distance", "target_text"})
    assert without_effect(given, RegionConfig(), False, False, False) == []
    (edits, margin) = without_effect(given, RegionConfig(), True, True, True)
    assert edits.startswith("--pipeline.edits: the run that is resumed") and "found again" in margin
    (half,) = without_effect(frozenset({"model.strength_change"}), RegionConfig(), True, True, True)
    assert half.startswith("--pipeline.model.strength-change: ") and "`blending-nerf look`" in half
    assert without_effect(frozenset({"model.strength_change"}), RegionConfig(), False, False, False) == []
    (cut,) = without_effect(given, RegionConfig(source="file"), False, False, False)
    assert cut.startswith("--pipeline.region.margin-distance: a region from a file is cut as the file says")
    (voxels,) = without_effect(frozenset({"model.region_resolution"}), RegionConfig(source="file"), False, False, False)
    assert voxels.startswith("--pipeline.model.region-resolution: a region from a file has its own")
    box = frozenset({"region.box_size", "region.file", "region.threshold"})
    (unread, file) = without_effect(box, RegionConfig(), False, False, False)
    assert unread.endswith("say --pipeline.region.source box.") and file.startswith(
        "--pipeline.region.file: the region's"
    )
    assert len(without_effect(box, RegionConfig(source="text & box"), False, False, False)) == 1
    base = frozenset({"base_run", "model.base.num_levels", "model.edit_samples_per_ray"})
    assert without_effect(base, RegionConfig(), False, False, False) == []
    steps, levels = without_effect(
        base - {"base_run"} | {"base_steps"}, RegionConfig(), False, False, False, has_base=True
    )
    assert steps.startswith("--pipeline.base-steps: the base is that of --pipeline.base-run") and "num-levels" in levels
    stage = frozenset({"base_steps", "base_final_rate"})
    assert without_effect(stage, RegionConfig(), True, False, False) == [], "its base is not done"
    for told in (
        without_effect(stage, RegionConfig(), True, True, True),
        without_effect(stage, RegionConfig(), False, False, False, has_base=True),
    ):
        assert [line.partition(": ")[0] for line in told] == ["--pipeline.base-final-rate", "--pipeline.base-steps"]
    reach = frozenset({"model.edit_field.seed_reach"})
    assert without_effect(reach, RegionConfig(), True, True, False) == []
    assert "counts where it starts again" in without_effect(reach, RegionConfig(), True, True, True)[0]
    (run, levels) = without_effect(base, RegionConfig(), True, False, False)
    assert run.startswith("--pipeline.base-run: ") and levels.startswith(
        "--pipeline.model.base.num-levels: the run that"
    )
