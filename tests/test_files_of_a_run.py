"""What a person keeps of a run and takes back in it: edit files, looks, and the record of an edit's steps."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from open_run import grant, open_pipeline
from safetensors.torch import save

from blending_nerf_ns.edits.file import FORMAT, load_edit, save_edit
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.runs.look import apply_look, look_stamp, read_look
from blending_nerf_ns.training.loss_record import read_losses, record_step
from blending_nerf_ns.viewer.edit_folder import EditFolder


def test_a_file_that_holds_another_edit_is_not_written_over(done: BlendingPipeline, tmp_path: Path) -> None:
    """One field of the panel names the file that is loaded and the one that is saved."""
    friend = tmp_path / "hat.edit.safetensors"
    own = done.model.edit.info
    done.model.edit.info = replace(own, id="1a2b3c4d", name="a friend's hat")
    save_edit(done.model.edit, "", friend)
    done.model.edit.info = own
    there, layers = friend.read_bytes(), done.session.layers
    layers.load(friend, any_base=True)
    layers.save_uppermost(friend)
    assert 'holds another edit, "a friend\'s hat"' in grant(done) and friend.read_bytes() == there
    for name in ("config.yml", "step-000000001.ckpt"):
        (tmp_path / name).write_text("of another kind")
        layers.save_uppermost(tmp_path / name)
        assert "an edit file's name ends with .edit.safetensors" in grant(done)
        assert (tmp_path / name).read_text() == "of another kind"
    mine = tmp_path / "mine.edit.safetensors"
    layers.save_uppermost(mine)
    assert "in place of" not in grant(done)
    layers.save_uppermost(mine)
    assert "mine.edit.safetensors in place of what was there" in grant(done), "the same edit, as it is now"


def test_what_is_made_by_other_words_after_a_reset_is_another_edit(done: BlendingPipeline, tmp_path: Path) -> None:
    """It is the same layer, of the same id and the same name if it was given one."""
    done.config.run_dir, mine, layers = tmp_path, tmp_path / "mine.edit.safetensors", done.session.layers
    layers.change(layers.in_work.info.id, name="my edit")
    for path in (mine, None):
        layers.save_uppermost(path)
        assert "Saved" in grant(done)
    there = mine.read_bytes()
    for target in ("a green cube", "a yellow cone"):
        done.session.reset()
        done.session.set_texts("a red ball", target)
        grant(done)
        with torch.no_grad():
            done.model.edit.field.shape_head.bias.fill_(0.5)
        layers.save_uppermost(mine)
        assert "holds another edit" in grant(done) and mine.read_bytes() == there
        layers.save_uppermost()
        assert "in place of" not in grant(done)
        layers.save_uppermost()
        assert "in place of" in grant(done), "the same edit, as it is now"
    files = [load_edit(file, "", any_base=True).info for file in sorted((tmp_path / "edits").iterdir())]
    assert [info.target_text for info in files] == ["a blue ball", "a green cube", "a yellow cone"]


def test_an_edit_that_has_not_begun_is_saved_over_none_and_is_no_layer(done: BlendingPipeline, tmp_path: Path) -> None:
    done.config.run_dir = tmp_path
    done.session.layers.save_uppermost()
    assert "Saved" in grant(done)
    (file,) = (tmp_path / "edits").iterdir()
    done.session.reset()
    grant(done)
    done.session.layers.save_uppermost()
    assert "there is no edit yet" in grant(done)
    assert not load_edit(file, "", any_base=True).field.untouched, "the one that was saved"
    done.session.undo()
    done.session.layers.new()
    grant(done)
    done.work.find_region()
    done.session.layers.save_uppermost()
    assert "in place of what was there" in grant(done), "the layer below: on top there is a region and no edit"
    done.session.layers.new()
    assert "the edit in work is empty" in grant(done) and len(done.model.layers.all()) == 2


def test_an_undo_brings_back_what_the_steps_had_lost(done: BlendingPipeline, tmp_path: Path) -> None:
    done.config.run_dir = tmp_path
    for step in range(done.work.done):
        record_step(tmp_path, done.model.edit.info.id, step, {"blended": 0.5})
    record_step(tmp_path, "another", 0, {"blended": 0.25})
    before = read_losses(tmp_path)
    done.session.start()  # by mistake: another round
    grant(done)
    done.work.prepare()
    record_step(tmp_path, done.model.edit.info.id, 0, {"blended": 9.0})
    assert [line["blended"] for line in read_losses(tmp_path)] == [0.25, 9.0]
    done.session.undo()
    grant(done)
    order = lambda lines: sorted((line["layer"], line["step"], line["blended"]) for line in lines)  # noqa: E731
    assert order(read_losses(tmp_path)) == order(before)
    done.session.redo()
    grant(done)
    assert order(read_losses(tmp_path)) == order([before[-1], {**before[0], "blended": 9.0}])


def test_nothing_is_begun_where_no_steps_were_asked_for(capture: Path) -> None:
    """As in a run that was begun for its base alone: its edit would be done before it has begun, at every press."""
    pipeline = open_pipeline(capture)
    pipeline.config.edit_steps = 0
    pipeline.session.start()
    assert "--pipeline.edit-steps N" in grant(pipeline)
    pipeline.session.set_texts("a red ball", "a green ball", start=True)
    assert "--pipeline.edit-steps N" in grant(pipeline)
    assert pipeline.session.history.last is None
    assert pipeline.session.texts == ("a red ball", "a blue ball"), "nor are other words taken"


def test_start_takes_the_switches_beside_it_once(done: BlendingPipeline) -> None:
    asked: list[str] = []
    folder = EditFolder(done.session, True, before_search=lambda: asked.append("source"))
    done.work.prepare()
    folder._restart.default_value, folder._target.default_value = True, "a red ball"
    folder._begin()
    assert "mean the same" in grant(done) and not folder._taken and done.work.is_done, (
        "what is refused is asked for still"
    )
    folder._target.default_value = "a blue ball"
    folder._begin()
    grant(done)
    assert done.model.edit.field.untouched and bool(done.model.edit_ready) and done.session.running and asked == []
    assert list(folder._taken) == [folder._restart], "the panel switches it off"
    folder._taken.clear()
    folder._restart.default_value = False
    with torch.no_grad():
        done.model.edit.field.shape_head.bias.fill_(1.0)
    folder._begin()
    grant(done)
    assert not done.model.edit.field.untouched and not folder._taken, "on from where it stands"
    folder._new_region.default_value = True
    folder._begin()
    grant(done)
    assert not bool(done.model.edit_ready) and asked == ["source"], "which the training loop finds anew"


def test_a_file_that_is_no_edit_is_said_to_be_none(done: BlendingPipeline, tmp_path: Path) -> None:
    path = tmp_path / "half.edit.safetensors"
    path.write_bytes(save({}, metadata={"format": FORMAT, "edit": "{}", "base": ""}))
    done.session.layers.save_uppermost(path)
    assert "saving an edit: " in grant(done) and path.stat().st_size < 1000


def test_a_deleted_edit_that_is_taken_back_is_the_one_that_its_file_and_its_look_know(
    done: BlendingPipeline, tmp_path: Path
) -> None:
    done.config.run_dir, id = tmp_path, done.model.edit.info.id
    done.model.edit.info = done.model.edit.info.with_strengths(change=0.3)
    done.session.layers.save_look()
    done.session.layers.save_uppermost()
    done.session.layers.delete(id)
    grant(done)
    other = done.model.edit.info.id
    done.session.undo()
    grant(done)
    assert done.model.edit.info.id == id != other and done.model.layers.order == [id]
    done.model.edit.info = done.model.edit.info.with_strengths(change=1.0)
    look = read_look(tmp_path)
    assert look is not None
    apply_look(look, done.model.layers)
    assert done.model.edit.info.strengths.change == 0.3
    done.session.layers.save_uppermost()
    assert "in place of what was there" in grant(done)
    done.session.redo()
    grant(done)
    assert done.model.layers.order == [done.model.edit.info.id] == [other]


def test_a_layer_that_was_loaded_in_the_meantime_keeps_its_id(done: BlendingPipeline, tmp_path: Path) -> None:
    file, id = tmp_path / "blue.edit.safetensors", done.model.edit.info.id
    done.session.layers.save_uppermost(file)
    done.session.layers.delete(id)
    done.session.layers.load(file)
    done.session.undo()
    grant(done)
    assert done.model.layers.order == [id, done.model.edit.info.id] and done.model.edit.info.id != id


def test_a_layer_that_is_deleted_is_in_no_look(
    done: BlendingPipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done.config.run_dir = tmp_path
    layer, layers = done.model.layers.freeze_copy(), done.session.layers
    layers.save_look()
    grant(done)
    os.utime(tmp_path / "look.json", (5.0, 5.0))
    layers.delete(layer.info.id)
    assert "deleted for good" in grant(done)
    look = read_look(tmp_path)
    assert look is not None and [info.id for info in look.layers] == [done.model.edit.info.id]
    assert look_stamp(tmp_path) == 5 * 10**9, "nothing new is said: what was moved since then counts more"
    capsys.readouterr()
    apply_look(look, done.model.layers)
    assert capsys.readouterr().out == ""
    layer = done.model.layers.freeze_copy()
    (tmp_path / "look.json").write_text("{")
    layers.delete(layer.info.id)
    assert (
        "deleted for good; look.json still names it: " in grant(done) and layer.info.id not in done.model.layers.order
    )


def test_a_long_name_is_a_file_all_the_same(done: BlendingPipeline, tmp_path: Path) -> None:
    done.config.run_dir = tmp_path
    for name in ("a ball " * 40, "\N{CJK UNIFIED IDEOGRAPH-7403}" * 200):
        done.model.edit.info = replace(done.model.edit.info, name=name)
        done.session.layers.save_uppermost()
        assert grant(done).startswith("Saved ")


def test_a_layer_that_is_loaded_twice_is_said_to_act_twice(done: BlendingPipeline, tmp_path: Path) -> None:
    file, own = tmp_path / "blue.edit.safetensors", done.model.edit.info.id
    done.session.layers.save_uppermost(file)
    done.session.layers.load(file)
    assert grant(done).endswith("It was already: what is on acts twice.")
    done.session.layers.delete(done.model.edit.info.id)
    done.session.layers.delete(done.model.layers.order[0])
    done.session.layers.load(file)
    assert grant(done) == "Loaded layer 'a blue ball'."
    done.session.layers.delete(done.model.layers.order[0])
    grant(done)
    done.model.layers.call_in_work(own)
    done.session.layers.load(file)
    assert grant(done) == "Loaded layer 'a blue ball'.", "the one in work is empty"
