"""Where an edit starts: from the plain beginning that the guide likes best, as far as the edit may do that."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from color_guide import BLUE, RED, ColorGuide
from tiny_run import clear_field, ring, tiny_model

from blending_nerf_ns.edits.field import ALL_REMOVED
from blending_nerf_ns.edits.seeds import seeds_beside, seeds_in_place
from blending_nerf_ns.edits.soft_solid import Seed
from blending_nerf_ns.edits.solids import voxel_positions
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig, budgets
from blending_nerf_ns.guidance.frames import share_of_frames
from blending_nerf_ns.guidance.losses import solidity_loss
from blending_nerf_ns.training import beginning
from blending_nerf_ns.training.beginning import Place, beginnings, choose_start, preferred, rivals, shown_by_photos
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.team import Team


def guiding(operations: tuple[str, ...], target: str = "a blue ball") -> EditTraining:
    model = tiny_model()
    model.edit.info = replace(model.edit.info, operations=operations)
    clear_field(model.edit)
    config = GuidanceConfig(image_size=24, views=4, crops=2)
    return EditTraining(config, model, ring(4, 24), load_clip("embedded"), "a red ball", target, 0, Team())


def test_each_voxel_knows_who_shows_it() -> None:
    """Four cameras around, whose frames are cut so that none of the three axes is like another."""
    editing = guiding(("add",))
    photos, region = editing.photos, editing.model.edit.region
    photos.cx, photos.cy = photos.cx * torch.tensor([[0.2], [0.6], [1.0], [1.5]]), photos.cy * 0.5
    shown = shown_by_photos(editing)
    centres = voxel_positions(region.lower, region.upper, region.resolution, editing.model.base.contracted)
    exact = share_of_frames(photos, centres)
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)):
        off = float((shown - exact.permute(order)).abs().mean())
        assert off < 0.03 if order == (0, 1, 2) else off > 0.06, (order, off)


# -- what is tried --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        (("change",), ["the original", "one colour"]),
        (("remove",), ["the original", "the object taken away"]),
        (("remove", "change"), ["the original", "one colour", "the object taken away"]),
    ],
)
def test_only_what_the_edit_may_do_is_tried_and_the_field_is_left_alone(
    operations: tuple[str, ...], words: list[str]
) -> None:
    editing = guiding(operations)
    before = {name: value.clone() for name, value in editing.model.edit.field.state_dict().items()}
    with torch.no_grad():
        tried = list(beginnings(editing))
    assert [one.words.partition(",")[0] for one in tried] == words
    after = editing.model.edit.field.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(math.isfinite(one.loss) for one in tried)


def test_an_interrupt_leaves_the_field_alone_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for operations in (("remove",), ("add",)):
        editing = guiding(operations, "a green ball on top of a red ball")
        before = {name: value.clone() for name, value in editing.model.edit.field.state_dict().items()}
        monkeypatch.setattr(editing, "_pixels", interrupt)
        with pytest.raises(KeyboardInterrupt), torch.no_grad():
            list(beginnings(editing))
        after = editing.model.edit.field.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before), operations


def test_balls_are_tried_where_something_may_be_added() -> None:
    editing = guiding(("add",), "a green ball on top of a red ball")
    with torch.no_grad():
        tried = list(beginnings(editing))
    assert tried[0].words == "the original" and tried[1].words.startswith("a ball beside") and len(tried) == 2
    seen = []
    for one in tried:
        one.begin()
        views = [editing.pool[i] for i in range(4)]
        seen.append(max(float((editing.picture(view) - view.original).abs().max()) for view in views))
    assert float(editing.model.edit.field.seed[3]) > 0
    assert seen[1] > 5 * seen[0], "it is seen, through the fog of this base"


def test_a_solid_is_tried_as_it_starts() -> None:
    """In its light and shade, without which a box was taken for a ball: its loss is that of the pictures that the edit begins with."""
    for operations, target in ((("add",), "a green ball on top of a red ball"), (("add", "remove"), "a blue cube")):
        editing = guiding(operations, target)
        with torch.no_grad():
            *_, solid = beginnings(editing)
            solid.begin()
            views = beginning._Views(editing, 4)
            after = editing.guide.encode_images(views.crops(map(editing.picture, views.views)))
        assert solid.words.startswith("a b") and solid.loss == pytest.approx(views.loss(after), abs=0.01), operations


def test_a_ball_is_compared_on_as_many_views_as_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few tell the balls apart: a loss of other views is another number."""
    monkeypatch.setattr(beginning, "seeds_beside", lambda region, *_: seeds_beside(region)[:1])
    losses = []
    for few in (1, 4):
        monkeypatch.setattr(beginning, "BALL_VIEWS", few)
        torch.manual_seed(0)
        with torch.no_grad():
            losses.append([one.loss for one in beginnings(guiding(("add",), "a green ball on top of a red ball"))])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6) and len(losses[0]) == 2


def test_the_best_beginning_is_taken() -> None:
    editing = guiding(("remove", "change"))
    with torch.no_grad():
        best = min(beginnings(editing), key=lambda one: one.loss)
    assert choose_start(editing) == best.words
    bias = editing.model.edit.field.shape_head.bias
    started = {"the original": False, "the object taken away": True}.get(best.words, False)
    assert (float(bias[1].detach()) == ALL_REMOVED) is started
    assert editing.model.edit.field.untouched is (best.words == "the original")


def test_of_solids_in_the_objects_place_the_best_is_taken_and_the_object_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editing = guiding(("add", "remove"))
    region, field = editing.model.edit.region, editing.model.edit.field
    ball, box = seeds_in_place(region)[:2]
    known = {ball.power: (0.7, torch.tensor([0.9, 0.1, 0.1])), box.power: (0.2, torch.tensor([0.1, 0.2, 0.8]))}
    monkeypatch.setattr(beginning, "seeds_beside", lambda *_: [])
    monkeypatch.setattr(beginning, "seeds_in_place", lambda *_: [ball, box])
    monkeypatch.setattr(beginning._Views, "loss", lambda *_: 0.5)
    removed = []

    def best_color(*_: object) -> tuple[torch.Tensor, float]:
        removed.append(field.starts_removed)
        loss, color = known[float(field.seed[-1])]
        return color, loss

    monkeypatch.setattr(beginning._Views, "best_color", best_color)
    assert choose_start(editing) == "a box in its place, 0.10 0.20 0.80 (RGB)"
    assert removed and all(removed), "each is looked at without the object"
    assert field.starts_removed and torch.equal(field.seed[:3], box.center) and float(field.seed[-1]) == box.power
    assert field.first_color.tolist() == pytest.approx([0.1, 0.2, 0.8])


@pytest.mark.parametrize(("source", "target"), [("red", "blue"), ("blue", "red")])
def test_the_colour_that_an_edit_starts_with_is_the_one_that_the_guide_reads(source: str, target: str) -> None:
    editing = guiding(("change",))
    editing.guide = ColorGuide()  # type: ignore[assignment]
    editing.set_texts(source, target)
    assert choose_start(editing).startswith("one colour")
    red, _, blue = editing.model.edit.field.first_color.tolist()
    assert blue > 2 * red if target == "blue" else red > 2 * blue


def test_a_beginning_is_the_better_the_nearer_the_target() -> None:
    editing = guiding(("change",))
    editing.guide = ColorGuide()  # type: ignore[assignment]
    editing.set_texts("red", "blue")
    views = beginning._Views(editing, 2)
    there, back = (color.expand_as(views.before) for color in (BLUE, RED))
    assert views.loss(there) < 0.5 < views.loss(views.before) < views.loss(back)
    assert views.loss(back) > 2.0, "all of the way to the target is left, and it is the wrong direction"


def test_an_edit_that_may_only_remove_and_has_removed_all_is_done() -> None:
    for operations, done in ((("remove",), True), (("remove", "change"), False)):
        edit = guiding(operations).model.edit
        assert not edit.is_all_removed
        edit.field.start_from_removal()
        assert edit.is_all_removed is done


# -- losses ---------------------------------------------------------------------------------------------------------


def test_half_transparent_pixels_cost() -> None:
    assert float(solidity_loss(torch.tensor([0.0, 1.0]))) == 0.0
    assert float(solidity_loss(torch.tensor([0.5]))) == 1.0
    assert float(solidity_loss(torch.tensor([0.25, 0.0]))) == pytest.approx(0.375)


def test_an_edit_that_may_only_remove_may_remove_all() -> None:
    assert budgets(GuidanceConfig(), ("remove",)) == (0.5, 1.0, 1.0)
    assert budgets(GuidanceConfig(), ("add", "remove")) == (0.5, 0.5, 1.0)
    assert budgets(GuidanceConfig(), ("add", "remove"), seeded=True) == (0.5, 1.0, 1.0), (
        "a solid is in the object's place"
    )
    assert budgets(GuidanceConfig(budget_remove=0.25), ("remove",)) == (0.5, 0.25, 1.0)


def test_of_two_balls_in_the_objects_place_that_are_liked_alike_the_smaller_one_is_taken() -> None:
    def place(radius: float, power: float = 2.0, instead: bool = True) -> Place:
        return Place("", Seed(torch.zeros(3), torch.full((3,), radius), power), instead)

    large, small, box, beside = place(0.5), place(0.3), place(0.2, power=8.0), place(0.1, instead=False)
    assert rivals(large, [small, large, box, beside]) == [small, large]
    assert rivals(box, [small, large, box, beside]) == [box], "another shape is no smaller one of it"
    assert rivals(beside, [small, large, box, beside]) == [beside, small, large, box]
    assert rivals(beside, [beside, place(0.2, instead=False)]) == [beside], "what may only add"
    assert preferred([(1.10, large), (1.14, small)], 2.0) is small
    assert preferred([(1.10, large), (1.16, small)], 2.0) is large, "clearly better"
    assert preferred([(1.14, large), (1.10, small)], 2.0) is small
    assert preferred([(1.10, beside)], 2.0) is beside
    assert preferred([(1.96, large), (1.98, small)], 2.0) is small, "it has half of what there is to gain"
    assert preferred([(1.96, large), (1.99, small)], 2.0) is large, "of which the small one has next to nothing"
    assert preferred([(2.01, large), (2.02, small)], 2.0) is large


def test_what_is_asked_for_instead_is_not_put_beside() -> None:
    """A guide that was shown a ball beside a microphone was as glad of it, on three views."""

    def place(power: float, instead: bool) -> Place:
        return Place("", Seed(torch.zeros(3), torch.ones(3) / power, power), instead)

    beside, ball, box = place(2.0, False), place(2.0, True), place(8.0, True)
    assert preferred([(1.00, beside), (1.04, ball), (1.045, box)], 2.0) is ball, "of its shape, not smaller"
    assert preferred([(1.00, beside), (1.20, ball), (1.04, box)], 2.0) is box
    assert preferred([(1.00, beside), (1.20, ball), (1.30, box)], 2.0) is beside, "an object with something beside it"


def test_two_balls_in_the_objects_place_are_compared_on_all_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few views were seen to like the larger one clearly better, and more of them neither."""
    editing = guiding(("add", "remove"))
    region = editing.model.edit.region
    box = seeds_in_place(region)[1]
    large, small = (Seed(box.center, share * box.radii) for share in (1.0, 0.6))
    monkeypatch.setattr(beginning, "BALL_VIEWS", 2)
    monkeypatch.setattr(beginning, "seeds_beside", lambda *_: [])
    monkeypatch.setattr(beginning, "seeds_in_place", lambda *_: [large, small, box])
    known = {(2, large): 0.4, (2, small): 0.5, (2, box): 0.6, (4, large): 0.46, (4, small): 0.48, (4, box): 0.1}

    def best_color(self, *_: object) -> tuple[torch.Tensor, float]:
        now = editing.model.edit.field.seed
        (seed,) = (
            one for one in (large, small, box) if torch.equal(now[3:6], one.radii) and float(now[6]) == one.power
        )
        return torch.tensor([0.9, 0.1, 0.1]), known[len(self.views), seed]

    monkeypatch.setattr(beginning._Views, "best_color", best_color)
    monkeypatch.setattr(beginning._Views, "loss", lambda *_: 1.0)
    with torch.no_grad():
        *_, ball = beginnings(editing)
    assert ball.loss == 0.48 and ball.words.startswith("a ball in its place")
    ball.begin()
    assert torch.equal(editing.model.edit.field.seed[3:6], small.radii)
