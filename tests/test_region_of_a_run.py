"""The region of an edit in work: how much room it has, where it is looked for, and what follows it. On a real pipeline, granted
without a viewer and without a training loop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.data.scene_box import OrientedBox
from open_run import grant, margin_of, open_pipeline

from blending_nerf_ns.edits.shape import DEFAULT_SHAPE
from blending_nerf_ns.edits.solids import region_from_solid, sphere
from blending_nerf_ns.localization.file import save_region
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.viewer.panel import EditPanel


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
    session.set_operations(("remove", "change"))
    grant(done)
    assert done.model.version == version, "the same room: what was rendered of it stays"
    session.set_operations(("add", "remove"))
    grant(done)
    assert done.model.edit.region.shape.grow == "box", "room for another shape"
    session.set_operations(("add",))
    grant(done)
    assert done.model.edit.region.shape.grow == "all"


def test_what_a_removal_was_seen_to_take_along_it_takes_until_it_may_do_more(capture: Path) -> None:
    pipeline = open_pipeline(capture, "an empty floor", ("remove",))
    pipeline.work.find_region()
    pipeline.work.prepare()
    assert margin_of(pipeline) == pytest.approx(0.05), "a box spares nothing: there is nothing to look at"
    for left in (
        {"attached": True},
        {"margin": 0.1, "margin_over_surfaces": True},
    ):  # by `clear_surroundings`, now and once
        pipeline.model.make_room(**left)
        pipeline.session.start()
        grant(pipeline)
        assert pipeline.model.edit.region.has_shape(**left)
        pipeline.session.region.cut(margin=0.3)
        grant(pipeline)
        shape = pipeline.model.edit.region.shape
        assert shape.margin == pytest.approx(0.3) and not shape.margin_over_surfaces, "nobody looked at so wide a one"
        assert shape.attached == left.get("attached", False), "that goes by no margin"
        pipeline.config.region.margin = None
        pipeline.session.region.cut(threshold=0.6)
        grant(pipeline)
        assert not pipeline.model.edit.region.shape.attached, "of this object nobody looked what hangs together with it"
        pipeline.model.make_room(**left)
        pipeline.session.set_operations(("add", "remove"))
        grant(pipeline)
        shape = pipeline.model.edit.region.shape
        assert shape.margin == pytest.approx(0.05) and not shape.margin_over_surfaces and not shape.attached
        pipeline.session.set_operations(("remove",))
        grant(pipeline)


def test_the_user_or_a_file_says_how_much_room_there_is(done: BlendingPipeline) -> None:
    done.session.start()
    done.session.region.cut(margin=0.2)
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


def test_the_crop_box_becomes_the_first_region_or_another_one_and_can_be_taken_back(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.config.region.grow = "up"
    model, session = pipeline.model, pipeline.session
    session.region.take_crop_box(None)
    assert "crop is off" in grant(pipeline) and not bool(model.edit_ready)
    places = []
    for middle in (0.0, 0.1):
        session.region.take_crop_box(OrientedBox.from_params((middle, 0.0, 0.0), (0.0, 0.0, 0.0), (0.4, 0.4, 0.4)))
        assert grant(pipeline) == "" and bool(model.edit_ready)
        places.append(torch.stack(model.edit.region.bounds()).clone())
        assert float(places[-1].mean(0)[0]) == pytest.approx(middle, abs=0.05)
        assert torch.equal(field_box(pipeline), places[-1]), "spread over it, for nothing was learned yet"
    assert model.edit.region.shape.grow == "up", "as it is configured"
    session.undo()
    grant(pipeline)
    assert torch.allclose(torch.stack(model.edit.region.bounds()), places[0], atol=1e-3)
    session.undo()
    grant(pipeline)
    assert not bool(model.edit_ready)


def test_a_search_that_is_interrupted_before_the_field_lies_in_its_region_is_made_again(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    pipeline = open_pipeline(capture)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.model.edit, "fit_field_to_region", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.work.find_region()
    assert not pipeline.session.region.is_found, "a run that is saved now looks for it again"
    pipeline.work.find_region()
    assert pipeline.session.region.is_found and margin_of(pipeline) == 0.0


def test_a_crop_box_has_the_room_of_its_operations_though_the_region_before_was_a_files(
    capture: Path, tmp_path: Path
) -> None:
    first = open_pipeline(capture)
    first.work.find_region()
    file = tmp_path / "region.safetensors"
    save_region(first.model.edit.region, file)
    pipeline = open_pipeline(capture, file=file)
    pipeline.work.find_region()
    pipeline.session.region.take_crop_box(OrientedBox.from_params((0.1, 0.0, 0.0), (0.0, 0.0, 0.0), (0.4, 0.4, 0.4)))
    assert grant(pipeline) == ""
    shape = pipeline.model.edit.region.shape
    assert shape.margin == 0.0 and shape.change_in_margin, "a recolour has no room around it"


def field_box(pipeline: BlendingPipeline) -> torch.Tensor:
    field = pipeline.model.edit.field
    return torch.stack([field.lower, field.upper]).clone()


def test_the_field_of_an_edit_that_has_begun_stays_where_it_is(done: BlendingPipeline) -> None:
    before = field_box(done)
    done.session.region.take_crop_box(OrientedBox.from_params((0.1, 0.0, 0.0), (0.0, 0.0, 0.0), (0.4, 0.4, 0.4)))
    assert grant(done) == "" and torch.equal(field_box(done), before)
    done.session.region.cut(margin=0.3)
    assert grant(done) == "" and torch.equal(field_box(done), before)
    done.session.region.take_crop_box(OrientedBox.from_params((0.8, 0.8, 0.8), (0.0, 0.0, 0.0), (0.1, 0.1, 0.1)))
    assert "lies beside what this edit was made for" in grant(done)


def test_an_edit_that_has_not_begun_follows_its_region(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.work.find_region()
    narrow = field_box(pipeline)
    pipeline.session.region.cut(margin=0.3)
    assert grant(pipeline) == ""
    assert torch.equal(field_box(pipeline), torch.stack(pipeline.model.edit.region.bounds()))
    assert bool((field_box(pipeline)[1] > narrow[1]).all())
    beside = OrientedBox.from_params((0.7, 0.7, 0.7), (0.0, 0.0, 0.0), (0.2, 0.2, 0.2))
    pipeline.session.region.take_crop_box(beside)
    assert grant(pipeline) == "", "beside the first: there is nothing of it to lose"
    assert torch.equal(field_box(pipeline), torch.stack(pipeline.model.edit.region.bounds()))


def test_a_region_file_of_another_resolution_is_refused_with_both(capture: Path, tmp_path: Path) -> None:
    solid = sphere((0.0, 0.0, 0.0), 0.3)
    corners = (torch.full((3,), -2.0), torch.full((3,), 2.0))
    region = region_from_solid(solid, corners, True, 32, DEFAULT_SHAPE)
    save_region(region, tmp_path / "region.safetensors")
    pipeline = open_pipeline(capture)
    pipeline.config.region.source, pipeline.config.region.file = "file", tmp_path / "region.safetensors"
    assert not pipeline.session.errands.attempt(pipeline.work.find_region)
    said = pipeline.session.status.message
    assert "24 voxels" in said and "has 32" in said and "--resolution 24" in said
    assert not bool(pipeline.model.edit_ready)


def test_start_looks_where_the_panel_says(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    panel = EditPanel(pipeline.session, True)
    panel.Region._source.default_value = "sphere"
    (start,) = [hook for element, hook in panel.Edit.hooks if element.name == "Start"]
    start(None)
    assert pipeline.config.region.source == "sphere"
    pipeline.work.find_region()
    panel.Region._source.default_value = "box"
    start(None)
    assert pipeline.config.region.source == "sphere", "there is a region: none is looked for"


def test_a_search_for_the_region_wakes_a_run_that_was_falling_asleep(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.trainer = SimpleNamespace(training_state="training")
    pipeline.session.region.find()
    pipeline.trainer.training_state = "paused"  # it saved itself meanwhile
    grant(pipeline)
    assert pipeline.trainer.training_state == "training"
    pipeline.trainer = None
    pipeline.session.errands.run()
    assert bool(pipeline.model.edit_ready)


def test_texts_that_are_applied_to_an_edit_that_stands_find_their_region_at_once(capture: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.session.pause()
    pipeline.model.base_frozen.fill_(False)
    pipeline.session.set_texts("a red ball", "a green ball", new_region=True)
    grant(pipeline)
    assert not pipeline.session.errands.searches, "while the base is trained there is nothing to look at"
    pipeline.model.base_frozen.fill_(True)
    pipeline.session.set_texts("a red ball", "a green ball", new_region=True)
    grant(pipeline)
    assert pipeline.session.errands.searches and not bool(pipeline.model.edit_ready)
    pipeline.session.errands.run()
    assert pipeline.session.region.is_found and not pipeline.session.running and not pipeline.session.errands.searches
    with torch.no_grad():
        pipeline.model.edit.field.shape_head.bias.fill_(1.0)
    pipeline.config.region.source = "text & sphere"  # which does not begin to be found
    pipeline.config.region.localizer = "nowhere/at/all"
    pipeline.session.set_texts("a red ball", "a green ball", new_region=True)
    grant(pipeline)
    pipeline.session.errands.run()
    assert pipeline.session.region.is_found and not pipeline.model.edit.field.untouched, "it stays as it was"
    assert "nowhere/at/all" in pipeline.session.status.message
