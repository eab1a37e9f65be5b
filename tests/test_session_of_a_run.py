"""What a person asks of a real pipeline, granted without a viewer and without a training loop."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from open_run import STEPS, grant, open_pipeline

from blending_nerf_ns.edits.file import load_edit
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.rendering.blending import AS_TRAINED, Strengths
from blending_nerf_ns.runs.look import apply_look, look_of
from blending_nerf_ns.steering.session import Session
from blending_nerf_ns.steering.wishes import Wishes
from blending_nerf_ns.viewer.stack_folder import StackFolder


def test_other_words_leave_an_edit_done_until_it_is_started(done: BlendingPipeline) -> None:
    done.session.pause()
    done.session.set_texts("a red ball", "a green ball")
    done.session.set_operations(("add", "change"))
    assert grant(done) == "" and done.work.is_done and done.stage == "done"
    info = done.model.edit.info
    assert (info.name, info.target_text, info.shown) == ("a blue ball", "a blue ball", Strengths(0.0, 0.0, 1.0)), (
        "as it was made"
    )
    assert done.session.texts == ("a red ball", "a green ball") and done.session.operations == ("add", "change"), (
        "and asked"
    )
    done.session.start()
    grant(done)
    assert (done.stage, int(done.progress[1]), done.work.end) == ("edit", 0, STEPS), "all of another round"
    info = done.model.edit.info
    assert (info.name, info.target_text, info.operations) == ("a green ball", "a green ball", ("add", "change"))


def test_what_is_asked_for_next_is_not_what_a_kept_layer_was_made_by(done: BlendingPipeline) -> None:
    done.session.set_operations(("add",))
    done.session.set_texts("a green cube", "a cube with a hat")
    done.session.layers.new()
    assert "'a blue ball' is kept" in grant(done)
    kept = done.model.layers.all()[0].info
    assert (kept.source_text, kept.target_text, kept.operations) == ("a red ball", "a blue ball", ("change",))
    info = done.model.edit.info
    assert (info.target_text, info.operations) == ("a cube with a hat", ("add",)), "of the next one"
    assert done.work.texts == ("a green cube", "a cube with a hat") and done.stage == "done", "which waits for Start"


def test_a_removal_that_is_done_stays_done_under_other_words(capture: Path) -> None:
    pipeline = open_pipeline(capture, "an empty floor", ("remove",))
    pipeline.work.find_region()
    pipeline.model.edit.field.start_from_removal()
    pipeline.work.prepare()
    pipeline.progress[1] = 1
    ends = pipeline.work.end
    pipeline.take_texts("a ball", "an empty floor")
    assert ends < pipeline.work.end < STEPS / 2, "from now on: not all of its steps"


def test_an_undo_brings_back_what_had_settled_and_trains_nothing(done: BlendingPipeline) -> None:
    done.clock.times["edit_seconds"] = 3.0
    steps, bias = int(done.progress[1]), done.model.edit.field.shape_head.bias.clone()
    done.session.reset()
    grant(done)
    assert int(done.progress[1]) == 0 and done.work.end == STEPS
    done.session.start()
    grant(done)
    assert done.stage == "edit"
    done.session.undo()
    grant(done)
    assert int(done.progress[1]) == done.work.end == steps and done.stage == "done"
    assert torch.allclose(done.model.edit.field.shape_head.bias, bias, atol=1e-3), "kept in half precision"
    assert (done.clock.times["edit_seconds"], done.clock.times["edit_steps"]) == (3.0, steps)


def test_an_undo_leaves_alone_how_an_edit_is_shown_and_called(done: BlendingPipeline) -> None:
    done.session.reset()
    grant(done)
    done.model.edit.info = replace(done.model.edit.info, name="mine", visible=False).with_strengths(change=0.3)
    done.session.undo()
    grant(done)
    info = done.model.edit.info
    assert done.work.is_done and (info.name, info.visible, info.strengths.change) == ("mine", False, 0.3)
    assert info.target_text == "a blue ball"


def test_two_undos_are_two(done: BlendingPipeline) -> None:
    for target in ("a green ball", "a yellow ball"):
        done.session.set_texts("a red ball", target)
        grant(done)
    done.session.undo()
    assert grant(done) == "" and done.work.texts[1] == "a green ball"
    done.session.undo()
    assert grant(done) == "" and done.work.texts[1] == "a blue ball"
    done.session.undo()
    assert grant(done) == "undo: nothing to undo"


def test_the_edit_in_work_is_deleted_and_not_trained_again(done: BlendingPipeline) -> None:
    done.model.edit.info = replace(done.model.edit.info, visible=False).with_strengths(change=0.3)
    done.progress[1] = 5  # in the middle
    done.work.settling.restart()
    done.clock.begin("edit", "Edit", STEPS, 5)
    assert done.stage == "edit"
    done.session.layers.delete(done.model.edit.info.id)
    grant(done)
    info = done.model.edit.info
    assert done.stage == "done" and not bool(done.model.edit_ready) and not done.clock.on
    assert info.visible and info.strengths == AS_TRAINED and done.work.texts == ("", ""), (
        "nothing for a resume to make again"
    )
    done.session.undo()
    grant(done)
    assert int(done.progress[1]) == 5 and done.stage == "done" and done.model.edit.info.strengths.change == 0.3
    assert done.work.texts == ("a red ball", "a blue ball")


def test_a_new_layer_is_shown_as_it_is_trained_and_has_no_words_yet(done: BlendingPipeline) -> None:
    done.model.edit.info = replace(done.model.edit.info, visible=False).with_strengths(change=0.3)
    done.session.layers.new()
    assert "'a blue ball' is kept" in grant(done)
    lower, upper = done.model.layers.all()
    assert (lower.info.visible, lower.info.strengths.change, lower.info.name) == (False, 0.3, "a blue ball")
    assert upper.info.visible and upper.info.strengths == AS_TRAINED
    assert done.work.texts == ("", "") and done.stage == "done", "nothing for a resume to go on with"


def test_what_follows_a_deleted_edit_is_another(done: BlendingPipeline) -> None:
    done.model.layers.freeze_copy()
    old, below = done.model.edit.info.id, done.model.layers.all()[0].info.id
    look = look_of(done.model.layers, False)
    done.session.layers.delete(old)
    grant(done)
    new = done.model.edit.info.id
    assert new != old and done.model.layers.order == [below, new]
    apply_look(look, done.model.layers)
    assert done.model.edit.info.id == new and done.model.edit.info.name == ""


def test_after_a_layer_is_deleted_an_undo_takes_back_nothing_else(done: BlendingPipeline) -> None:
    done.session.set_texts("a red ball", "a green ball")
    grant(done)
    layer = done.model.layers.freeze_copy()
    done.session.layers.delete(layer.info.id)
    assert grant(done) == "Layer 'a blue ball' is deleted for good."
    done.session.undo()
    assert grant(done) == "undo: nothing to undo" and bool(done.model.edit_ready)


def test_a_done_edit_that_is_to_start_again_wakes_a_sleeping_run(done: BlendingPipeline) -> None:
    optimizer = torch.optim.Adam(done.model.edit.field.parameters())
    done.trainer = SimpleNamespace(
        training_state="paused",
        save_config=lambda: None,
        optimizers=SimpleNamespace(optimizers={"edit_field": optimizer}),
    )
    done.session.set_texts("a red ball", "a green ball", restart=True)
    grant(done)
    assert done.stage == "edit" and done.trainer.training_state == "training"


def test_words_that_mean_the_same_are_refused_in_the_middle_too(capture: Path) -> None:
    pipeline = open_pipeline(capture, "an empty floor", ("remove",))
    pipeline.work.find_region()
    pipeline.work.prepare()
    pipeline.session.set_texts("a red ball", "a red ball")
    assert "mean the same to the guide" in grant(pipeline)
    assert pipeline.work.texts == ("a red ball", "an empty floor")


def test_words_that_are_refused_start_nothing_by_those_of_before(done: BlendingPipeline) -> None:
    done.work.prepare()
    done.session.set_texts("a red ball", "a red ball", start=True)
    assert "mean the same to the guide" in grant(done)
    assert done.work.is_done and done.stage == "done" and done.session.history.last is None
    done.session.set_texts("a red ball", "a green ball", start=True)
    assert grant(done) == "", "what was refused before is not said any more"
    assert (done.stage, done.work.texts[1], int(done.progress[1])) == ("edit", "a green ball", 0)


def test_start_with_other_words_is_not_lost_to_what_is_applied_before_it_is_granted(done: BlendingPipeline) -> None:
    done.session.set_texts("a red ball", "a green ball", start=True)
    done.session.set_texts("a red ball", "a yellow ball")
    grant(done)
    assert done.stage == "edit" and done.session.running and done.work.texts[1] == "a yellow ball"
    done.session.pause()
    done.session.set_texts("a red ball", "a yellow ball", start=True)  # the same once more
    grant(done)
    done.session.undo()
    grant(done)
    assert done.work.texts[1] == "a green ball", "what changed nothing is no step back"


def test_a_refusal_is_said_until_something_else_is_asked_for(done: BlendingPipeline) -> None:
    cut = done.session.region.cut
    cut(threshold=1.5)
    assert grant(done).startswith("region's threshold: ")
    done.session.layers.change(done.model.edit.info.id, change=0.5)
    assert grant(done).startswith("region's threshold: "), "a slider of something else is no answer"
    cut(threshold=0.4)
    assert grant(done) == ""
    done.session.say("Saved a.edit.safetensors (1.0 MB).")
    cut(threshold=0.5)
    assert "Saved" in grant(done)
    done.session.errands.stop_for(OSError("No space left on device"))
    done.session.start()
    assert grant(done) == ""


def test_while_a_region_is_looked_for_the_panel_says_so(done: BlendingPipeline) -> None:
    shown = []

    def look() -> None:
        done.session.refresh()
        shown.append(done.session.status.stage)
        raise BlendingNerfError("nothing was found")

    done.work.find_region = look  # type: ignore[method-assign]
    done.session.region.find()
    grant(done)
    done.session.errands.run()
    done.session.refresh()
    assert shown == ["region"] and done.session.status.stage == "done"
    assert done.session.status.message == "nothing was found"


def test_a_start_that_follows_a_search_counts(done: BlendingPipeline) -> None:
    """Both were asked for before a picture was made."""
    session = done.session
    session.running = True
    session.region.find()
    grant(done)
    assert not session.running and done.stage == "done", "a search alone is for the eye"
    session.region.find()
    session.start()
    grant(done)
    session.errands.run()
    assert session.running and done.stage == "edit" and bool(done.model.edit_ready) and done.work.done == 0


def test_words_that_the_guide_does_not_know_are_told_in_the_panel(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.config.target_text = "a blue zzyzx"
    assert pipeline.session.errands.attempt(pipeline.work.prepare)
    assert "does not know 'zzyzx'" in pipeline.session.status.message, "at the start"
    pipeline.session.set_texts("a red ball", "a green flumph")
    assert "does not know 'flumph'" in grant(pipeline), "and when they are changed in the middle"
    pipeline.session.set_texts("a red ball", "a green ball")
    assert grant(pipeline) == ""

    def nothing_there() -> None:
        pipeline.take_texts("a red ball", "a snark")
        raise BlendingNerfError("nothing was found")

    assert not pipeline.session.errands.attempt(nothing_there)
    said = pipeline.session.status.message
    assert "does not know 'snark'" in said and said.endswith("nothing was found"), "what explains it is said with it"


def test_a_judge_says_nothing_before_there_is_an_edit(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = open_pipeline(capture)
    assert pipeline.config.judge_model == "embedded-judge"
    for trains, said in ((False, True), (True, False)):
        pipeline.trainer = SimpleNamespace() if trains else None
        assert "psnr" in pipeline.get_average_eval_image_metrics() and pipeline.model.score is None
        assert ("No figures of a judge: there is no edit in this run yet" in capsys.readouterr().out) == said


def test_a_deleted_edit_leaves_no_name(done: BlendingPipeline) -> None:
    done.model.edit.info = replace(done.model.edit.info, name="my hat")
    done.session.layers.delete(done.model.edit.info.id)
    done.session.set_texts("a red ball", "a red cap")
    assert grant(done) == "" and done.model.edit.info.name == "a red cap"


def test_the_uppermost_edit_is_saved_and_over_no_other(done: BlendingPipeline, tmp_path: Path) -> None:
    done.config.run_dir = tmp_path
    first = done.model.edit.info.id
    done.session.layers.new()
    done.session.layers.save_uppermost()
    assert "a_blue_ball.edit.safetensors" in grant(done), "not the empty one on top"
    done.session.layers.change(first, name="a black/white ball")
    done.session.layers.save_uppermost()
    assert "a_black_white_ball.edit" in grant(done)
    done.model.layers.add(load_edit(tmp_path / "edits" / "a_blue_ball.edit.safetensors", "", any_base=True))
    other = done.model.layers.all()[1].info
    assert other.id != first and other.name == "a blue ball"
    for _ in range(2):
        done.session.layers.save(other.id)
        assert f"a_blue_ball_{other.id}.edit" in grant(done)
    assert len(list((tmp_path / "edits").iterdir())) == 3
    fresh = open_pipeline(done.config.datamanager.data)  # type: ignore[attr-defined]
    fresh.session.layers.save_uppermost()
    assert "there is no edit yet" in grant(fresh)


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
    pipeline.work.find_region()
    pipeline.model.edit.field.start_from_removal()
    pipeline.work.prepare()
    pipeline.session.set_texts("a red ball", " ")
    assert "prompts: " in grant(pipeline)
    assert pipeline.work.texts == ("a red ball", "an empty floor") and pipeline.session.history.last is None
    assert pipeline.model.edit.info.target_text == "an empty floor"


def test_a_name_may_have_brackets(done: BlendingPipeline, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ball [/new]", "[red]ball"):
        for say in (
            partial(Session.say, done.session),
            Wishes().on_error,
        ):  # of a run (the fixture's only keeps it), and of a model alone
            say(f"{name} is kept")
            assert f"{name} is kept" in capsys.readouterr().out


def test_the_panel_shows_the_threshold_that_the_region_has(done: BlendingPipeline) -> None:
    before = done.session.region.threshold
    done.session.reset()
    grant(done)
    done.session.region.cut(threshold=0.31)
    grant(done)
    assert done.session.region.threshold == done.config.region.threshold == 0.31
    done.session.region.cut(threshold=1.5)
    assert "region's threshold" in grant(done)
    assert done.session.region.threshold == done.config.region.threshold == 0.31, "what was refused is not looked for"
    done.session.undo()
    grant(done)
    assert done.session.region.threshold == before == done.config.region.threshold, (
        "and is looked for by when it is found again"
    )


def test_a_step_back_takes_the_margin_of_the_next_region_back(done: BlendingPipeline) -> None:
    before = done.session.region.margin
    done.session.reset()
    grant(done)
    done.session.region.cut(margin=0.3)
    grant(done)
    assert done.session.region.margin == done.config.region.margin == 0.3
    done.session.undo()
    grant(done)
    assert done.session.region.margin == before and done.config.region.margin is None, "nobody has said one"
    done.session.redo()
    grant(done)
    assert done.config.region.margin == 0.3
