"""Pairs of texts that say an edit, and whether two pictures show it.

As with captions, truth is decided from the scenes: a pair of texts that another edit of the batch happens to fit is no
false answer there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Optional, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.captions import ANY, Facts, Item, Phrase, holds

EMPTY = Phrase((), "empty")


@dataclass(frozen=True)
class EditPhrase:
    """What was there, and what is there now: the source and target text of an edit."""

    source: Phrase
    target: Phrase

    @property
    def adds(self) -> bool:
        """The target says more than the source, of which it takes nothing back."""
        return self.source.kind == "empty" or Counter(self.source.items) < Counter(self.target.items)

    @property
    def removes(self) -> bool:
        """The target says less."""
        return self.target.kind == "empty" or Counter(self.target.items) < Counter(self.source.items)


def edit_holds(before: Facts, after: Facts, edits: Sequence[EditPhrase]) -> Int[Tensor, "B T"]:
    """Whether each of T text pairs says what happened between B pictures and what became of them: 1 yes, 0 no, -1 undecided.

    It does where the source was true and the target is; where, moreover, the target was not (unless it only leaves something
    out), and the source is not any more (unless the target only adds something). Of what only adds something there must be more
    objects than before, of what only leaves something out fewer: a red ball that was painted gray is not gone. "Nothing" need not be
    true before or after: "a red ball" -> "an empty floor" is said of the place where it stood.
    """
    sources, targets = [e.source for e in edits], [e.target for e in edits]
    was, is_now = holds(before, sources), holds(after, targets)
    was_already, is_still = holds(before, targets), holds(after, sources)
    more, fewer = _more(before.seen, after.seen)[:, None], _more(after.seen, before.seen)[:, None]
    adds, removes = (torch.tensor([getattr(e, name) for e in edits])[None] for name in ("adds", "removes"))
    filled, emptied = (torch.tensor([p.kind == "empty" for p in side])[None] for side in (sources, targets))
    always, never = torch.ones_like(was), torch.zeros_like(was)
    conditions = torch.stack(
        [
            torch.where(filled, always, was),
            torch.where(emptied, always, is_now),
            torch.where(removes, fewer, _not(was_already)),
            torch.where(adds, more, _not(is_still)),
        ]
    )
    undecided = torch.where((conditions == -1).any(0), -1, 1)
    return torch.where((conditions == 0).any(0), never, undecided)


def _more(before: Int[Tensor, "B K"], after: Int[Tensor, "B L"]) -> Int[Tensor, "B"]:
    """Whether more objects are seen after than before: 1 yes, 0 no, -1 undecided; those barely seen in both are no difference."""
    had, has = (before == 1).sum(1), (after == 1).sum(1)
    barely_before, barely_after = (before == -1).sum(1), (after == -1).sum(1)
    both = min(before.shape[1], after.shape[1])
    unchanged = ((before[:, :both] == -1) & (after[:, :both] == -1)).sum(1)
    surely = has > had + barely_before - unchanged
    perhaps = has + barely_after - unchanged > had
    return torch.where(surely == perhaps, surely.long(), -1)


def _not(truth: Tensor) -> Tensor:
    return torch.where(truth == -1, truth, 1 - truth)


def draw_edit(
    before: Facts, after: Facts, picture: int, subject: int, rng: np.random.Generator
) -> Optional[EditPhrase]:
    """One of the ways to say what happened to an object of a picture; None where too little of it is seen, or where what is said of it
    has not changed.

    Args:
        before, after: the pictures' facts; only the object may differ.
        picture: which of them.
        subject: index of the object.
        rng: draws detail and wording.
    """
    here, there = (int(facts.seen[picture, subject]) == 1 for facts in (before, after))
    if not (here or there):
        return None
    if there and not here:
        edit = draw_edit(after, before, picture, subject, rng)
        return None if edit is None else EditPhrase(edit.target, edit.source)
    detail = rng.random() < 0.9, rng.random() < 0.85, rng.random() < 0.4
    seen = ((before.seen[picture] == 1) & (after.seen[picture] == 1)).nonzero()[:, 0].tolist()
    others = [k for k in seen if k != subject]
    lower = int(before.on[picture, subject])
    other = lower if lower in others and rng.random() < 0.8 else int(rng.choice(others)) if others else None
    mine = _describe(before, picture, subject, detail)
    if other is None or rng.random() > (0.5 if other == lower else 0.25):
        target = Phrase((_describe(after, picture, subject, detail),)) if there else EMPTY
        return _changed(EditPhrase(Phrase((mine,)), target))
    beside = _describe(before, picture, other, (True, rng.random() < 0.8, False))
    kind = "on" if other == lower else "both"
    target = Phrase((_describe(after, picture, subject, detail), beside), kind) if there else Phrase((beside,))
    return _changed(EditPhrase(Phrase((mine, beside), kind), target))


def _changed(edit: EditPhrase) -> Optional[EditPhrase]:
    return None if edit.source == edit.target else edit


def near_miss(edit: EditPhrase, rng: np.random.Generator) -> EditPhrase:
    """The same source, and a target with one word changed, which is not the source again; a removal becomes a recolouring."""
    target = edit.target if edit.target.items else edit.source
    item = target.items[0]
    counts = {"colour": len(words.COLOUR_NAMES), "shape": len(words.PRIMITIVES)}
    named = [name for name in counts if getattr(item, name) != ANY] or ["colour"]
    while True:
        name = str(rng.choice(named))
        changed = replace(item, **{name: _another(getattr(item, name), counts[name], rng)})
        missed = replace(target, items=(changed, *target.items[1:]))
        if missed != edit.source:  # that nothing happened is no edit
            return EditPhrase(edit.source, missed)


def _another(value: int, count: int, rng: np.random.Generator) -> int:
    return int(rng.choice([i for i in range(count) if i != value]))


def _describe(facts: Facts, picture: int, thing: int, detail: tuple[bool, bool, bool]) -> Item:
    colour, shape, finish = (int(v[picture, thing]) for v in (facts.colour, facts.shape, facts.finish))
    return Item(
        colour if detail[0] else ANY,
        shape if detail[1] and shape < len(words.PRIMITIVES) else ANY,
        finish if detail[2] and finish > 0 else ANY,
    )
