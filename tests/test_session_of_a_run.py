"""What a person asks of a real pipeline, granted without a viewer and without a training loop."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from nerfstudio.data.scene_box import OrientedBox
from tiny_run import write_tiny_capture

from blending_nerf_ns.adopting import without_effect
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.pipeline import BlendingPipeline, BlendingPipelineConfig
from blending_nerf_ns.rendering.blending import AS_TRAINED
from blending_nerf_ns.settling import Watch
from blending_nerf_ns.trainer import BlendingTrainer
from blending_nerf_ns.viewer.stack_folder import StackFolder
from method_configs.blending_nerf import blending_nerf_cpu

STEPS = 40


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_capture(tmp_path_factory.mktemp("session") / "capture")


def open_pipeline(
    capture: Path,
    target: str = "a blue ball",
    operations: tuple[str, ...] = ("change",),
    resumed: bool = False,
    file: Path | None = None,
) -> BlendingPipeline:
    """With an untrained, frozen base, and no region yet; its session waits for a user."""
    config = cast(BlendingPipelineConfig, deepcopy(blending_nerf_cpu.config.pipeline))
    cast(Any, config.datamanager).data = capture
    cast(Any, config.datamanager).train_num_rays_per_batch = 64
    config.source_text, config.target_text, config.operations = "a red ball", target, cast(Any, operations)
    config.region = RegionConfig(source="file" if file else "box", box_size=(0.5, 0.5, 0.5), file=file)
    config.resumed = resumed
    config.guidance = replace(config.guidance, views=2, image_size=24, crops=2)
    config.model.region_resolution, config.edit_steps = 24, STEPS
    pipeline = config.setup(device="cpu", test_mode="val")
    pipeline.model.freeze_base()
    pipeline.session.waits = True
    pipeline.session.say = pipeline.model.wishes.on_error = lambda message: setattr(
        pipeline.session.status, "message", message
    )
    return pipeline


@pytest.fixture
def done(capture: Path) -> BlendingPipeline:
    """An edit in a box that had settled after 20 steps, and is done."""
    pipeline = open_pipeline(capture)
    pipeline.find_region()
    with torch.no_grad():
        pipeline.model.edit.field.shape_head.bias.fill_(1.0)
    pipeline.settling.watch = Watch(settled=20)
    pipeline.progress[1] = pipeline.edit_end
    assert pipeline.edit_done and int(pipeline.progress[1]) < STEPS
    return pipeline


def grant(pipeline: BlendingPipeline) -> str:
    """Do what was asked; what is said of it."""
    pipeline.session.status.message = ""
    pipeline.model.wishes.grant()
    return pipeline.session.status.message


def test_other_words_leave_an_edit_done_until_it_is_started(done: BlendingPipeline) -> None:
    done.session.pause()
    done.session.set_texts("a red ball", "a green ball")
    done.session.set_operations(("add", "change"))
    assert grant(done) == "" and done.edit_done and done.stage == "done"
    assert done.model.edit.info.target_text == "a green ball"
    done.session.start()
    grant(done)
    assert (done.stage, int(done.progress[1]), done.edit_end) == ("edit", 0, STEPS), "all of another round"


def margin_of(pipeline: BlendingPipeline) -> float:
    """Of the region that is there; the panel shows it."""
    margin = pipeline.model.edit.region.shape.margin
    assert pipeline.session.margin == pytest.approx(margin)
    return margin


def test_a_region_has_room_once_its_edit_may_add(done: BlendingPipeline) -> None:
    session = done.session
    assert margin_of(done) == 0.0, "a recolour"
    session.set_operations(("add", "change"))
    grant(done)
    assert margin_of(done) == 0.0, "done, as it was trained"
    session.start()
    grant(done)
    assert margin_of(done) == pytest.approx(0.05)
    assert not done.model.edit.region.shape.change_in_margin, "on the object alone: around it is haze"
    for operations, margin in ((("change",), 0.0), (("remove",), 0.05)):
        session.set_operations(operations)
        grant(done)
        assert margin_of(done) == pytest.approx(margin)
        assert done.model.edit.region.shape.change_in_margin == (operations == ("change",))
    version = done.model.version
    session.set_operations(("add", "remove"))
    grant(done)
    assert done.model.version == version, "the same room: what was rendered of it stays"


def test_the_user_or_a_file_says_how_much_room_there_is(done: BlendingPipeline) -> None:
    done.session.start()
    done.session.cut_region(margin=0.2)
    done.session.set_operations(("add",))
    grant(done)
    assert margin_of(done) == pytest.approx(0.2)
    done.config.region.margin, done.config.region.source = None, "file"
    done.session.set_operations(("change",))
    grant(done)
    assert margin_of(done) == pytest.approx(0.2)


def test_an_edit_that_starts_afresh_spreads_over_its_room(done: BlendingPipeline) -> None:
    narrow = done.model.edit.field.upper.clone()
    done.session.set_operations(("add", "change"))
    done.session.reset()
    done.session.start()
    grant(done)
    edit = done.model.edit
    assert margin_of(done) == pytest.approx(0.05) and bool((edit.field.upper > narrow).all())
    assert torch.equal(edit.field.upper, edit.region.bounds()[1])


def test_a_resume_with_other_operations_makes_their_room(done: BlendingPipeline, capture: Path) -> None:
    resumed = open_pipeline(capture, operations=("add", "change"), resumed=True)
    resumed.load_state_dict(done.state_dict())
    assert margin_of(resumed) == pytest.approx(0.05)


def test_a_removal_that_is_done_stays_done_under_other_words(capture: Path) -> None:
    pipeline = open_pipeline(capture, "an empty floor", ("remove",))
    pipeline.find_region()
    pipeline.model.edit.field.start_from_removal()
    pipeline.prepare_edit()
    pipeline.progress[1] = 1
    ends = pipeline.edit_end
    pipeline.take_texts("a ball", "an empty floor")
    assert ends < pipeline.edit_end < STEPS / 2, "from now on: not all of its steps"


def test_an_undo_brings_back_what_had_settled_and_trains_nothing(done: BlendingPipeline) -> None:
    steps, bias = int(done.progress[1]), done.model.edit.field.shape_head.bias.clone()
    done.session.reset()
    grant(done)
    assert int(done.progress[1]) == 0 and done.edit_end == STEPS
    done.session.start()
    grant(done)
    assert done.stage == "edit"
    done.session.undo()
    grant(done)
    assert int(done.progress[1]) == done.edit_end == steps and done.stage == "done"
    assert torch.allclose(done.model.edit.field.shape_head.bias, bias, atol=1e-3), "kept in half precision"


def test_two_undos_are_two(done: BlendingPipeline) -> None:
    for target in ("a green ball", "a yellow ball"):
        done.session.set_texts("a red ball", target)
        grant(done)
    done.session.undo()
    done.session.undo()
    assert grant(done) == "" and done.texts[1] == "a blue ball"
    done.session.undo()
    assert grant(done) == "undo: nothing to undo"


def test_the_edit_in_work_is_deleted_and_not_trained_again(done: BlendingPipeline) -> None:
    done.model.edit.info = replace(done.model.edit.info, visible=False).with_strengths(change=0.3)
    done.progress[1] = 5  # in the middle
    done.settling.restart()
    done.clock.begin("Edit", STEPS, 5)
    assert done.stage == "edit"
    done.session.layers.delete(done.model.edit.info.id)
    grant(done)
    info = done.model.edit.info
    assert done.stage == "done" and not bool(done.model.edit_ready) and not done.clock.runs
    assert info.visible and info.strengths == AS_TRAINED and done.texts == ("", ""), (
        "nothing for a resume to make again"
    )
    done.session.undo()
    grant(done)
    assert int(done.progress[1]) == 5 and done.stage == "done" and done.model.edit.info.strengths.change == 0.3
    assert done.texts == ("a red ball", "a blue ball")


def test_a_new_layer_is_shown_as_it_is_trained_and_has_no_words_yet(done: BlendingPipeline) -> None:
    done.model.edit.info = replace(done.model.edit.info, visible=False).with_strengths(change=0.3)
    done.session.layers.new()
    assert "'a blue ball' is kept" in grant(done)
    lower, upper = done.model.layers.all()
    assert (lower.info.visible, lower.info.strengths.change, lower.info.name) == (False, 0.3, "a blue ball")
    assert upper.info.visible and upper.info.strengths == AS_TRAINED
    assert done.texts == ("", "") and done.stage == "done", "nothing for a resume to go on with"


def test_a_second_click_on_delete_takes_no_other_layer(done: BlendingPipeline) -> None:
    first = done.model.layers.freeze_copy()
    second = done.model.layers.freeze_copy()
    second.info = replace(second.info, name=first.info.name)
    folder = StackFolder(done.session, True)
    folder._list.default_value = next(label for label, id in folder._shown_labels.items() if id == first.info.id)
    (delete,) = [hook for element, hook in folder.hooks if element.name == "Layer: delete"]
    for _ in range(2):  # faster than the panel writes its list anew
        delete(None)
        grant(done)
    assert [edit.info.id for edit in done.model.layers.all()] == [second.info.id, done.model.edit.info.id]


def test_an_empty_target_is_refused_whole(capture: Path) -> None:
    pipeline = open_pipeline(capture, "an empty floor", ("remove",))
    pipeline.find_region()
    pipeline.model.edit.field.start_from_removal()
    pipeline.prepare_edit()
    pipeline.session.set_texts("a red ball", " ")
    assert "prompts: " in grant(pipeline)
    assert pipeline.texts == ("a red ball", "an empty floor") and pipeline.session.history.last is None
    assert pipeline.model.edit.info.target_text == "an empty floor"


def test_what_the_disk_refuses_is_said(done: BlendingPipeline, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    done.session.layers.save(done.model.edit.info.id, tmp_path / "taken")
    done.session.set_texts("a red ball", "a green ball")
    assert "saving an edit" in grant(done) and done.texts[1] == "a green ball", "and what was asked next is done"


def test_the_crop_box_becomes_the_first_region_or_another_one_and_can_be_taken_back(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.config.region.grow = "up"
    model, session = pipeline.model, pipeline.session
    session.take_crop_box()
    assert "crop is off" in grant(pipeline) and not bool(model.edit_ready)
    places = []
    for middle in (0.0, 0.1):
        model.crop_box = OrientedBox.from_params((middle, 0.0, 0.0), (0.0, 0.0, 0.0), (0.4, 0.4, 0.4))
        session.take_crop_box()
        assert grant(pipeline) == "" and bool(model.edit_ready)
        places.append(torch.stack(model.edit.region.bounds()).clone())
        assert float(places[-1].mean(0)[0]) == pytest.approx(middle, abs=0.05)
    field = torch.stack([model.edit.field.lower, model.edit.field.upper])
    assert torch.equal(field, places[0]), "spread over the first, and it stays where it is"
    assert model.edit.region.shape.grow == "up", "as it is configured"
    session.undo()
    grant(pipeline)
    assert torch.allclose(torch.stack(model.edit.region.bounds()), places[0], atol=1e-3)
    session.undo()
    grant(pipeline)
    assert not bool(model.edit_ready)


def test_a_search_for_the_region_wakes_a_run_that_was_falling_asleep(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.trainer = SimpleNamespace(training_state="training")
    pipeline.session.find_region()
    pipeline.trainer.training_state = "paused"  # it saved itself meanwhile
    grant(pipeline)
    assert pipeline.trainer.training_state == "training"
    pipeline.trainer = None
    pipeline.session.run_errand()
    assert bool(pipeline.model.edit_ready)


def test_a_resume_by_other_words_is_trained_by_them(done: BlendingPipeline, capture: Path) -> None:
    state = done.state_dict()
    same = open_pipeline(capture)
    same.load_state_dict(state)
    assert same.edit_done
    other = open_pipeline(capture, "a green ball")
    other.load_state_dict(state)
    assert (int(other.progress[1]), other.edit_end) == (0, STEPS) and bool(other.model.edit_ready)
    moved = open_pipeline(capture, resumed=True, file=capture / "region_that_has_gone.safetensors")
    moved.load_state_dict(state)
    assert moved.edit_done, "the checkpoint has its region"
    state["progress"] = torch.tensor([0, 7])
    half = open_pipeline(capture, "a green ball")
    half.load_state_dict(state)
    assert (int(half.progress[1]), half.edit_end) == (7, STEPS), "what had settled had by other words"


def test_flags_that_change_nothing_are_told() -> None:
    given = frozenset({"edits", "region.margin_distance", "target_text"})
    assert without_effect(given, RegionConfig(), False, False) == []
    (edits, margin) = without_effect(given, RegionConfig(), True, True)
    assert edits.startswith("--pipeline.edits: the run that is resumed") and "found again" in margin
    (cut,) = without_effect(given, RegionConfig(source="file"), False, False)
    assert cut.startswith("--pipeline.region.margin-distance: a region from a file is cut as the file says")


def test_where_there_is_nothing_to_train_a_gradient_scaler_is_not_asked(done: BlendingPipeline) -> None:
    trainer: Any = BlendingTrainer.__new__(BlendingTrainer)
    trainer.pipeline, trainer.grad_scaler = done, torch.amp.GradScaler("cpu")
    assert done.idle
    loss, _, _ = trainer.train_iteration(0)
    assert float(loss) == 0.0 and not loss.requires_grad
    trainer.grad_scaler.scale(torch.zeros(1))
    with pytest.raises(AssertionError, match="No inf checks"):  # what nerfstudio's own step would come to
        trainer.grad_scaler.update()
