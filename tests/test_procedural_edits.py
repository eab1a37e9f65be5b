"""Scenes before and after an edit: what changes and what does not, and which texts say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn_truth import facts_of

from blending_nerf_ns.procedural.backgrounds import texture_bank
from blending_nerf_ns.procedural.batches import Painter
from blending_nerf_ns.procedural.captions import Item, Phrase, item
from blending_nerf_ns.procedural.edit_captions import EMPTY, EditPhrase, draw_edit, edit_holds, near_miss
from blending_nerf_ns.procedural.edited import (
    ELSEWHERE,
    GHOST,
    ORIGINAL,
    PALEST,
    PICTURES,
    RECOLOURED,
    REMOVED,
    REPLACED,
    STRONGEST,
    EditPainter,
)
from blending_nerf_ns.procedural.sampling import figure_parts, place, primitive_part
from blending_nerf_ns.procedural.scene import Scene, Thing, primitive
from blending_nerf_ns.procedural.stock import load_stock, make_stock
from blending_nerf_ns.procedural.trace import nearest
from blending_nerf_ns.procedural.variants import (
    LARGEST,
    SMALLEST,
    STATES,
    _subject_on_another,
    states_of,
    variant_shot,
)

SCENES = 12


@pytest.fixture(scope="module")
def painter(tmp_path_factory) -> EditPainter:
    folder = tmp_path_factory.mktemp("states")
    make_stock(folder, STATES * SCENES, 48, seed=5, shot=variant_shot)
    return EditPainter(Painter(load_stock(folder), texture_bank(6, 32, seed=0), seed=0, size=48))


def test_the_states_of_a_scene_share_camera_light_and_other_objects():
    for index in range(40):
        shots = [variant_shot(3, STATES * index + state) for state in range(STATES)]
        whole, without, other = (shot.scene for shot in shots)
        assert all(np.array_equal(shot.pose, shots[0].pose) and shot.focal == shots[0].focal for shot in shots)
        assert all(scene.light.direction.tolist() == whole.light.direction.tolist() for scene in (without, other))
        assert len(without.things) == len(whole.things) - 1 == len(other.things) - 1
        assert all(repr(a) == repr(b) == repr(c) for a, b, c in zip(whole.things, without.things, other.things))
        assert other.things[-1].shape != whole.things[-1].shape
        assert all(thing.on_top_of != len(whole.things) - 1 for thing in whole.things)


def test_another_object_stands_where_the_first_stood():
    cube = primitive("cube", "red", (1, 0, 0), (2.0, 1.0, 0.4), (0.4, 0.4, 0.4))
    ball = primitive("ball", "blue", (0, 0, 1), (2.0, 1.0, 1.1), (0.3, 0.3, 0.3))
    scene = Scene((cube, type(ball)(ball.shape, ball.colour, ball.rgb, ball.parts, on_top_of=0)))
    stood = 0
    for seed in range(20):
        other = states_of(scene, np.random.default_rng(seed))[2].things[-1]
        if other.shape not in ("cube", "cone", "cylinder"):
            continue
        (part,) = other.parts
        assert part.centre[:2] == pytest.approx([2.0, 1.0])
        lowest = part.centre[2] - np.abs(part.rotation[2]) @ part.size
        assert lowest == pytest.approx(0.8, abs=0.35 if abs(part.rotation[2, 2]) < 0.9 else 1e-6)
        assert other.on_top_of == 0
        stood += 1
    assert stood >= 5


def _scene_of(shape: str, rng: np.random.Generator) -> Scene:
    """One object of a shape beside a ball."""
    parts = figure_parts(0.5, rng) if shape == "toy" else [primitive_part(shape, 0.5, rng)[0]]
    lower = Thing(shape, "red", np.ones((4, 3)), place(parts, np.array([1.0, -1.0, 0.0]), np.eye(3)))
    ball = primitive("ball", "blue", (0, 0, 1), (-2.0, 1.0, 0.3), (0.3, 0.3, 0.3))
    return Scene((lower, ball))


@pytest.mark.parametrize("shape", ["cube", "cylinder", "ball", "toy"])
def test_what_is_put_on_another_rests_on_its_highest_point(shape):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        scene = _scene_of(shape, rng)
        lower, ball = _subject_on_another(scene, rng).things
        (part,) = ball.parts
        if ball.on_top_of < 0:
            assert shape == "toy", "one that ends in a tip"
            continue
        assert repr(lower) == repr(scene.things[0])
        assert 0.3 * SMALLEST <= part.size[0] <= 0.3 * LARGEST and np.ptp(part.size) == 0
        # rays from far above meet nothing of the object higher than the ball's lowest point
        eye = torch.tensor([*part.centre[:2], 100.0], dtype=torch.float32)
        aims = torch.rand(3000, 3, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8
        aims[::2] *= 0.15  # tips of ears are thin
        aims[:, 2], aims[0] = -100.0, torch.tensor([0.0, 0.0, -100.0])
        aims = F.normalize(aims, dim=1)
        heights = 100 + nearest(list(lower.parts), eye, aims)[0] * aims[:, 2]
        highest = float(heights.max())
        assert float(heights[0]) == pytest.approx(highest, abs=0.02), "right under it"
        assert part.centre[2] - part.size[2] == pytest.approx(highest, abs=0.03)


@pytest.mark.parametrize("shape", ["cone", "donut"])
def test_nothing_is_put_on_a_tip_or_into_a_ring(shape):
    rng = np.random.default_rng(0)
    scene = _scene_of(shape, rng)
    assert _subject_on_another(scene, rng) is scene


def test_much_of_what_is_edited_stands_on_another():
    shots = [variant_shot(4, STATES * index).scene for index in range(300)]
    several = [scene for scene in shots if len(scene.things) > 1]
    upper = [scene for scene in several if scene.things[-1].on_top_of >= 0]
    assert 0.35 < len(upper) / len(several) < 0.65
    assert {scene.things[scene.things[-1].on_top_of].shape for scene in upper} == {"cube", "cylinder", "ball", "toy"}


def test_an_edit_changes_its_object_and_nothing_else(painter):
    groups = painter.draw(6, views=2)
    count, batch = len(groups.subject), groups.batch
    assert len(batch.images) == PICTURES * count == PICTURES * 12
    images, masks = batch.images.view(PICTURES, count, 3, 48, 48), batch.masks.view(PICTURES, count, -1, 48, 48)
    mine = masks[torch.arange(PICTURES)[:, None], torch.arange(count), groups.subject]
    assert (mine[REMOVED] == 0).all() and mine[ORIGINAL].sum() > 0 and mine[REPLACED].sum() > 0
    assert torch.equal(mine[ORIGINAL], mine[RECOLOURED]) and torch.equal(mine[ORIGINAL], mine[ELSEWHERE])
    near = F.max_pool2d((mine[ORIGINAL] > 0).float(), 9, 1, 4) > 0  # blur carries the object's colour a little out
    changed = (images[ORIGINAL] - images[RECOLOURED]).abs().amax(1)
    assert changed[~near].max() == 0 and changed[near].max() > 0.1
    others = masks[:, torch.arange(count)] * (torch.arange(4) != groups.subject[:, None])[None, :, :, None, None]
    assert torch.equal(others[ORIGINAL], others[RECOLOURED])
    facts = batch.facts
    colour = facts.colour.view(PICTURES, count, -1)[:, torch.arange(count), groups.subject]
    assert torch.equal(colour[ORIGINAL], colour[ELSEWHERE])
    assert (images[ORIGINAL] - images[ELSEWHERE]).abs().mean() > 0.05


def test_a_ghost_is_still_there_and_a_removal_may_leave_its_shadow(painter, monkeypatch):
    monkeypatch.setattr(painter.painter, "ease", 1.0)  # hardly any noise
    groups = painter.draw(12)
    count, batch = len(groups.subject), groups.batch
    images, masks = batch.images.view(PICTURES, count, 3, 48, 48), batch.masks.view(PICTURES, count, -1, 48, 48)
    mine = masks[ORIGINAL, torch.arange(count), groups.subject] > 0.99
    seen = mine.flatten(1).sum(1) > 40
    whole, gone, ghost = (images[kind].permute(0, 2, 3, 1) for kind in (ORIGINAL, REMOVED, GHOST))
    recoloured = images[RECOLOURED].permute(0, 2, 3, 1)
    assert seen.sum() >= 4
    pale = camouflaged = 0
    for g in seen.nonzero()[:, 0].tolist():
        left = (ghost - gone)[g][mine[g]]
        fits = []  # how far off the best share of the object is, and that share: it may be in either colour
        for full in (whole, recoloured):
            step = (full - gone)[g][mine[g]]
            share = float((left * step).sum() / step.square().sum())
            fits.append((float((left - share * step).abs().mean()), share))
        if min(fits)[0] < 0.02 and PALEST - 0.05 < min(fits)[1] < STRONGEST + 0.05:
            pale += 1
            continue
        # what is not a share of the object has the colours of what lies behind it
        assert left.mean(0).abs().mean() < (whole - gone)[g][mine[g]].mean(0).abs().mean()
        camouflaged += 1
    assert pale >= 2 and camouflaged >= 2
    facts = batch.facts
    shape, there = (getattr(facts, name).view(PICTURES, count, -1) for name in ("shape", "seen"))
    assert torch.equal(shape[GHOST], shape[ORIGINAL]) and torch.equal(there[GHOST], there[ORIGINAL])
    near = F.max_pool2d(mine.float(), 9, 1, 4) > 0
    left = ((whole - gone).abs().amax(-1) * ~near).flatten(1).amax(1)
    assert (left < 0.02).sum() >= 2, "the shadow stays"


def test_groups_can_be_drawn_again(painter):
    start = painter.painter.rng.bit_generator.state, painter.painter.generator.get_state()
    first = painter.draw(3)
    painter.painter.rng.bit_generator.state = start[0]
    painter.painter.generator.set_state(start[1])
    assert torch.equal(painter.draw(3).batch.images, first.batch.images)


def _scene(*things: tuple[str, str]) -> Scene:
    return Scene(
        tuple(primitive(shape, colour, (1, 0, 0), (k, 0, 1), (0.3,) * 3) for k, (colour, shape) in enumerate(things))
    )


RED_BALL, BLUE_BALL, BLUE_CUBE, TOY = item("red", "ball"), item("blue", "ball"), item("blue", "cube"), Item()


@pytest.mark.parametrize(
    ("before", "after", "source", "target", "truth"),
    [
        ([("red", "ball")], [("blue", "ball")], Phrase((RED_BALL,)), Phrase((BLUE_BALL,)), 1),
        ([("red", "ball")], [("blue", "ball")], Phrase((RED_BALL,)), Phrase((BLUE_CUBE,)), 0),
        ([("red", "ball")], [("blue", "ball")], Phrase((TOY,)), Phrase((BLUE_BALL,)), 0),  # a toy it still is
        ([("green", "ball")], [("blue", "ball")], Phrase((RED_BALL,)), Phrase((BLUE_BALL,)), 0),
        ([("red", "ball")], [("red", "ball")], Phrase((RED_BALL,)), Phrase((RED_BALL,)), 0),
        ([("red", "ball")], [], Phrase((RED_BALL,)), EMPTY, 1),
        ([("red", "ball"), ("blue", "cube")], [("blue", "cube")], Phrase((RED_BALL,)), EMPTY, 1),
        ([("red", "ball"), ("blue", "cube")], [("blue", "cube")], Phrase((BLUE_CUBE,)), EMPTY, 0),
        ([("red", "ball"), ("red", "ball")], [("red", "ball")], Phrase((RED_BALL, RED_BALL), "both"), Phrase((RED_BALL,)), 1),
        ([("red", "ball")], [("red", "ball"), ("red", "ball")], Phrase((RED_BALL,)), Phrase((RED_BALL, RED_BALL), "both"), 1),
        ([("red", "ball")], [("blue", "cube")], Phrase((RED_BALL,)), EMPTY, 0),  # replaced, not removed
        ([], [("red", "ball")], EMPTY, Phrase((RED_BALL,)), 1),
        ([("blue", "cube")], [("blue", "cube"), ("red", "ball")], Phrase((BLUE_CUBE,)), Phrase((RED_BALL, BLUE_CUBE), "both"), 1),
        ([("blue", "cube")], [("red", "ball")], Phrase((BLUE_CUBE,)), Phrase((RED_BALL, BLUE_CUBE), "both"), 0),
        ([("blue", "cube"), ("green", "ball")], [("blue", "cube"), ("red", "ball")], Phrase((BLUE_CUBE,)), Phrase((RED_BALL, BLUE_CUBE), "both"), 0),  # painted, not added
        ([("blue", "cube"), ("red", "ball")], [("blue", "cube"), ("green", "ball")], Phrase((RED_BALL, BLUE_CUBE), "both"), Phrase((BLUE_CUBE,)), 0),  # painted, not removed
        ([("blue", "cube"), ("red", "ball")], [("blue", "cube")], Phrase((RED_BALL, BLUE_CUBE), "both"), Phrase((BLUE_CUBE,)), 1),
        ([("blue", "cube"), ("red", "ball")], [("red", "ball")], Phrase((RED_BALL, BLUE_CUBE), "both"), Phrase((BLUE_CUBE,)), 0),
    ],
)  # fmt: skip
def test_which_texts_say_what_happened(before, after, source, target, truth):
    was, is_now = (facts_of([_scene(*things)]) for things in (before, after))
    assert edit_holds(was, is_now, [EditPhrase(source, target)]).tolist() == [[truth]]


def test_an_object_that_is_barely_seen_leaves_an_edit_undecided():
    before, after = (facts_of([_scene((colour, "ball"))]) for colour in ("red", "blue"))
    after.seen[0, 0] = -1
    assert edit_holds(before, after, [EditPhrase(Phrase((RED_BALL,)), Phrase((BLUE_BALL,)))]).item() == -1


def test_what_is_barely_seen_may_be_there_or_not():
    before, after = (facts_of([_scene(("red", "ball"), ("blue", "cube"))]) for _ in range(2))
    gone = EditPhrase(Phrase((RED_BALL,)), EMPTY)
    after.seen[0, 0] = -1
    assert edit_holds(before, after, [gone]).item() == -1, "two objects, or one"
    before.seen[0, 1] = after.seen[0, 1] = -1
    after.seen[0, 0] = 0
    assert edit_holds(before, after, [gone]).item() == 1, "what is as it was may be left out of the count"
    assert edit_holds(before, after, [EditPhrase(EMPTY, Phrase((BLUE_CUBE,)))]).item() == 0, "none came"
    before.seen[0], after.seen[0] = torch.tensor([-1, 1]), torch.tensor([0, -1])
    assert edit_holds(before, after, [EditPhrase(Phrase((BLUE_CUBE,)), EMPTY)]).item() == -1, "one went, or none"


def test_texts_that_say_that_nothing_happened_are_not_drawn():
    before, after = (facts_of([_scene(("green", "cone"), (colour, "ball"))]) for colour in ("red", "blue"))
    rng = np.random.default_rng(0)
    drawn = [draw_edit(before, after, 0, 1, rng) for _ in range(200)]
    said = [edit for edit in drawn if edit is not None]
    assert 150 < len(said) < 200 and all(edit.source != edit.target for edit in said)


@pytest.mark.parametrize("states", [("ball", "cube"), ("ball", None), (None, "ball")])
def test_texts_drawn_for_an_edit_say_it(states):
    colours = {"ball": "red", "cube": "blue"}
    before, after = (
        facts_of([_scene(("green", "cone"), *([(colours[shape], shape)] if shape else []))]) for shape in states
    )
    for facts in (before, after):  # the place of an object that is gone stays, as in a stock
        if facts.seen.shape[1] == 1:
            for name in vars(facts):
                object.__setattr__(facts, name, F.pad(getattr(facts, name), (0, 1), value=0 if name == "seen" else -2))
    rng = np.random.default_rng(0)
    edits = [draw_edit(before, after, 0, 1, rng) for _ in range(100)]
    # "an object" fits every other one, too: it does not say which
    said = [e for e in edits if e is not None and Item() not in e.source.items + e.target.items]
    assert len(said) > 90 and {p.kind for e in said for p in (e.source, e.target)} >= {"one", "both"}
    assert (edit_holds(before, after, said) == 1).all()
    assert (edit_holds(after, before, said) == 0).all()
    missed = edit_holds(before, after, [near_miss(edit, rng) for edit in said])
    assert (missed == 0).all()


def test_a_near_miss_says_another_target():
    rng = np.random.default_rng(0)
    edit = EditPhrase(Phrase((RED_BALL,)), Phrase((BLUE_BALL,)))
    for _ in range(300):
        missed = near_miss(edit, rng)
        assert missed.source == edit.source and missed.target not in (edit.source, edit.target)
        changed = [
            name for name in ("colour", "shape") if getattr(missed.target.items[0], name) != getattr(BLUE_BALL, name)
        ]
        assert len(changed) == 1
    gone = near_miss(EditPhrase(Phrase((RED_BALL,)), EMPTY), rng)
    assert gone.target.items and gone.target.items[0] != RED_BALL


def test_pairs_of_texts_know_what_they_add_and_remove():
    both = Phrase((RED_BALL, BLUE_CUBE), "both")
    assert EditPhrase(Phrase((BLUE_CUBE,)), both).adds and not EditPhrase(Phrase((BLUE_CUBE,)), both).removes
    assert EditPhrase(both, Phrase((BLUE_CUBE,))).removes
    assert EditPhrase(EMPTY, Phrase((BLUE_CUBE,))).adds and EditPhrase(Phrase((BLUE_CUBE,)), EMPTY).removes
    same = EditPhrase(Phrase((RED_BALL,)), Phrase((BLUE_BALL,)))
    assert not same.adds and not same.removes
