"""What the judge's training takes for right: pairs of pictures, pairs of texts, and what only passes for an edit."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blending_nerf_ns.procedural.backgrounds import texture_bank
from blending_nerf_ns.procedural.batches import Painter
from blending_nerf_ns.procedural.captions import Item, Phrase
from blending_nerf_ns.procedural.edit_captions import EditPhrase
from blending_nerf_ns.procedural.edited import (
    FAKES,
    GHOST,
    ORIGINAL,
    PAINTED,
    RECOLOURED,
    REMOVED,
    SPILLED,
    STATES_OF_EDITS,
    EditPainter,
    Groups,
)
from blending_nerf_ns.procedural.stock import Shot, load_stock, make_stock
from blending_nerf_ns.procedural.variants import STATES, variant_shot

EXAMPLES = str(Path(__file__).parent.parent / "examples")
EACH = 12


@pytest.fixture(scope="module")
def lessons() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("mini_guidance.lessons")


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> Groups:
    folder = tmp_path_factory.mktemp("lessons")
    make_stock(folder, STATES * 16, 48, seed=3, shot=variant_shot)
    painter = Painter(load_stock(folder), texture_bank(6, 32, seed=0), seed=0, size=48)
    painter.ease = 1.0
    return EditPainter(painter).draw(16)


def test_every_edit_of_a_group_is_drawn_and_every_fake_beside_them(lessons, groups) -> None:
    drawn = lessons.draw_edits(groups, EACH, np.random.default_rng(0))
    count = len(groups.subject)
    steps = list(zip((drawn.before // count).tolist(), (drawn.after // count).tolist()))
    assert len(steps) == count * (EACH + len(FAKES))
    assert set(steps) == {(a, b) for a in STATES_OF_EDITS for b in STATES_OF_EDITS if a != b} | set(FAKES)
    assert torch.equal(drawn.before % count, drawn.after % count), "of one group"
    assert len(drawn.texts) == len(drawn.own) == len(drawn.near_misses) > count
    assert all(steps[pair] not in FAKES for pair in drawn.own), "no text was drawn for what only passes for an edit"


def test_texts_say_what_they_were_drawn_for_and_never_a_fake(lessons, groups) -> None:
    drawn = lessons.draw_edits(groups, EACH, np.random.default_rng(1))
    count = len(groups.subject)
    truth = lessons.truth_of(drawn, groups.batch.facts)
    assert truth.shape == (len(drawn.before), 2 * len(drawn.texts))
    own = truth[torch.tensor(drawn.own), torch.arange(len(drawn.texts))]
    assert (own == 1).float().mean() > 0.7
    after = drawn.after // count
    removals = 0
    for text, pair in enumerate(drawn.own):
        g = int(drawn.before[pair]) % count
        if (int(drawn.before[pair]) // count, int(after[pair])) != (ORIGINAL, REMOVED) or truth[pair, text] != 1:
            continue  # another edit, or one that shows what stood behind
        (ghost,) = ((drawn.before == g) & (after == GHOST)).nonzero()[:, 0].tolist()
        assert truth[ghost, text] == 0, "it is there all the same"
        removals += 1
    assert removals >= 3


def test_a_recolour_is_said_of_what_was_painted_and_not_where_the_colour_spilled(lessons, groups) -> None:
    drawn = lessons.draw_edits(groups, EACH, np.random.default_rng(2))
    count, facts = len(groups.subject), groups.batch.facts

    def said(g: int, thing: int, before: int, after: int) -> int:
        """Whether "an object of the old colour" -> "of the new" is said of a group's step."""
        source, target = (
            Phrase((Item(colour=int(facts.colour[state * count + g, thing])),)) for state in (before, after)
        )
        edit = EditPhrase(source, target)
        (pair,) = ((drawn.before == before * count + g) & (drawn.after == after * count + g)).nonzero()[:, 0].tolist()
        if source == target:
            return -1
        return int(lessons.truth_of(drawn._replace(texts=[edit], near_misses=[edit]), facts)[pair, 0])

    seen = facts.seen.view(-1, count, facts.seen.shape[1])
    lone = [g for g in range(count) if groups.subject[g] == 1 and seen[REMOVED, g].tolist()[:2] == [1, 0]]
    alone = [g for g in range(count) if groups.subject[g] == 0 and seen[ORIGINAL, g, 0] == 1]
    assert {1} <= {said(g, 0, REMOVED, PAINTED) for g in lone} <= {1, -1}
    assert {1} <= {said(g, 0, ORIGINAL, RECOLOURED) for g in alone} <= {1, -1}
    assert {0} <= {said(g, 0, ORIGINAL, SPILLED) for g in alone} <= {0, -1}


def test_scenes_are_traced_anew_where_another_draft_of_them_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    training = importlib.import_module("mini_guidance.training")
    drawn = []

    def shot(seed: int, index: int) -> Shot:
        drawn.append(index)
        return variant_shot(seed, index)

    for draft, traced in (("", True), ("", False), (", stacked", True), (", stacked", False)):
        drawn.clear()
        training.trace_once(tmp_path / "stock", 3, 16, 5, shot, draft)
        assert bool(drawn) is traced, draft
    (tmp_path / "stock" / "done").write_text("")  # as stocks of before: they say nothing, and are no draft
    training.trace_once(tmp_path / "stock", 3, 16, 5, shot)
    assert not drawn
    training.trace_once(tmp_path / "stock", 3, 16, 5, shot, ", stacked")
    assert drawn
