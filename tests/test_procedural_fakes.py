"""What passes for an edit where only colours are looked at: by hand, and in the groups that a judge learns from."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blending_nerf_ns.procedural.backgrounds import texture_bank
from blending_nerf_ns.procedural.batches import Painter
from blending_nerf_ns.procedural.edited import (
    GHOST,
    ORIGINAL,
    PAINTED,
    PICTURES,
    RECOLOURED,
    REMOVED,
    REPLACED,
    SPILLED,
    EditPainter,
    Groups,
)
from blending_nerf_ns.procedural.fakes import camouflaged, flooded, nearest_name
from blending_nerf_ns.procedural.stock import load_stock, make_stock
from blending_nerf_ns.procedural.variants import STATES, variant_shot

SIDE, SCENES = 48, 24


@pytest.fixture(scope="module")
def painter(tmp_path_factory) -> EditPainter:
    folder = tmp_path_factory.mktemp("fakes")
    make_stock(folder, STATES * SCENES, SIDE, seed=8, shot=variant_shot)
    return EditPainter(Painter(load_stock(folder), texture_bank(6, 32, seed=0), seed=0, size=SIDE))


@pytest.fixture(scope="module")
def groups(painter) -> Groups:
    painter.painter.ease = 1.0  # hardly any noise
    return painter.draw(SCENES)


def _mine(groups: Groups, picture: int) -> torch.Tensor:
    count = len(groups.subject)
    masks = groups.batch.masks.view(PICTURES, count, -1, SIDE, SIDE)
    return masks[picture, torch.arange(count), groups.subject] > 0.99


def test_a_camouflaged_object_has_the_colour_behind_it_and_its_own_shade():
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 4:12, 4:8] = 0.2  # a dark half and a bright one: 2/3 and 4/3 of the mean
    picture[..., 4:12, 8:12] = 0.4
    behind = torch.tensor([0.6, 0.3, 0.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, 4:12, 4:12] = True
    hidden = camouflaged(picture, behind, mask, torch.tensor([1.0]))[0]
    assert hidden[:, 6, 5].tolist() == pytest.approx([0.4, 0.2, 0.0], abs=1e-6)
    assert hidden[:, 6, 10].tolist() == pytest.approx([0.8, 0.4, 0.0], abs=1e-6)
    assert torch.equal(hidden[:, ~mask[0]], picture[0][:, ~mask[0]])
    flat = camouflaged(picture, behind, mask, torch.tensor([0.0]))[0]
    assert flat[:, 6, 5].tolist() == pytest.approx([0.6, 0.3, 0.0], abs=1e-6)
    nothing = camouflaged(picture, behind, torch.zeros_like(mask), torch.ones(1))
    assert torch.equal(nothing, picture)


def test_a_flood_tints_all_but_the_objects():
    picture = torch.full((2, 3, 4, 4), 0.5)
    objects = torch.zeros(2, 4, 4, dtype=torch.bool)
    objects[:, 0] = True
    red = torch.tensor([[1.0, 0.0, 0.0]]).expand(2, 3)
    tinted = flooded(picture, objects, red, torch.tensor([0.0, 1.0]))
    assert torch.equal(tinted[0], picture[0]) and torch.equal(tinted[1, :, 0], picture[1, :, 0])
    assert tinted[1, :, 2, 2].tolist() == pytest.approx([0.8, 0.0, 0.0], abs=1e-6)


def test_a_colour_has_the_name_of_its_nearest_sample():
    named = torch.tensor([[[1.0, 0.0, 0.0], [0.6, 0.1, 0.1]], [[0.0, 0.0, 1.0], [0.1, 0.1, 0.5]]])
    assert nearest_name(torch.tensor([[0.5, 0.2, 0.2], [0.2, 0.2, 0.4]]), named).tolist() == [0, 1]


def test_half_of_the_ghosts_are_camouflaged_and_are_called_by_the_colour_they_have(painter, groups):
    count = len(groups.subject)
    images = groups.batch.images.view(PICTURES, count, 3, SIDE, SIDE)
    facts = groups.batch.facts
    rows = torch.arange(count)
    called = facts.colour.view(PICTURES, count, -1)[:, rows, groups.subject]
    assert torch.equal(facts.shape.view(PICTURES, count, -1)[GHOST], facts.shape.view(PICTURES, count, -1)[ORIGINAL])
    mask = _mine(groups, ORIGINAL)
    hidden = [g for g in range(count) if mask[g].sum() > 40 and called[GHOST, g] not in called[:2, g]]
    assert 3 <= len(hidden) < count
    well_named = 0
    for g in hidden:
        ghost, whole, gone = (images[kind, g][:, mask[g]].mean(1) for kind in (GHOST, ORIGINAL, REMOVED))
        assert (ghost - gone).abs().mean() < (whole - gone).abs().mean(), (
            "nearer to what lies behind than the object is"
        )
        assert (images[GHOST, g] - images[REMOVED, g])[:, mask[g]].abs().mean() > 0.01, "and there all the same"
        named = torch.from_numpy(painter.painter.named).float()
        near = torch.cdist(ghost[None], named.flatten(0, 1)).view(len(named), -1).amin(1)
        well_named += bool(near[called[GHOST, g]] < near.min() + 0.08)
    assert well_named > 0.6 * len(hidden), "by all of the object, of which the crop may have another part"


def test_the_rest_has_the_colour_of_what_was_to_come(groups):
    count = len(groups.subject)
    facts = groups.batch.facts
    colour, seen = (getattr(facts, name).view(PICTURES, count, -1) for name in ("colour", "seen"))
    images = groups.batch.images.view(PICTURES, count, 3, SIDE, SIDE)
    masks = groups.batch.masks.view(PICTURES, count, -1, SIDE, SIDE)
    beside = shown = 0
    for g in range(count):
        me = int(groups.subject[g])
        assert seen[PAINTED, g, me] == 0, "it is not there"
        for other in range(me):
            assert colour[PAINTED, g, other] == colour[ORIGINAL, g, me]
            mask = masks[REMOVED, g, other] > 0.99
            if mask.sum() > 40 and colour[ORIGINAL, g, other] != colour[ORIGINAL, g, me]:
                beside += 1
                shown += bool((images[PAINTED, g] - images[REMOVED, g])[:, mask].abs().mean() > 0.05)
    assert beside > 5 and shown >= beside - 1, "two words may name nearly the same"
    alone = (groups.subject == 0) & ((images[ORIGINAL] - images[REMOVED]).abs().amax((1, 2, 3)) > 0.1)
    changed = (images[PAINTED] - images[REMOVED]).abs().mean((1, 2, 3))
    assert alone.any() and (changed[alone] > 0.01).all(), "where nothing else stands, the surroundings have it"


def test_where_it_spills_all_has_the_new_colour(groups):
    count = len(groups.subject)
    colour = groups.batch.facts.colour.view(PICTURES, count, -1)
    images = groups.batch.images.view(PICTURES, count, 3, SIDE, SIDE)
    mask = _mine(groups, ORIGINAL)
    for g in range(count):
        me = int(groups.subject[g])
        assert (colour[SPILLED, g, : me + 1] == colour[RECOLOURED, g, me]).all()
        near = F.max_pool2d(mask[g][None].float(), 9, 1, 4)[0] > 0
        outside = (images[SPILLED, g] - images[RECOLOURED, g])[:, ~near].abs().mean()
        assert outside > 0.01 or not (~near).any()
    same = (
        colour[RECOLOURED, torch.arange(count), groups.subject] == colour[REPLACED, torch.arange(count), groups.subject]
    )
    assert 0.3 < same.float().mean() < 0.9, "a replacement's colour without its shape is no replacement"
