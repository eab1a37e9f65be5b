"""What one batch of pictures, and one of edits, teaches a mini CLIP."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blending_nerf_ns.procedural import captions
from blending_nerf_ns.procedural.batches import Batch
from blending_nerf_ns.procedural.captions import Facts
from blending_nerf_ns.procedural.edit_captions import EditPhrase, draw_edit, edit_holds, near_miss
from blending_nerf_ns.procedural.edited import FAKES, SPILLED, STATES_OF_EDITS, Groups

from . import objectives
from .objectives import FIXED
from .students import Seen


def clip_losses(student: Any, seen: Seen, batch: Batch, count: int, rng: np.random.Generator) -> Dict[str, Tensor]:
    """The contrast of pictures and captions, and the questions that make it learnable.

    Args:
        student: has `caption`, `clip` and the heads `cells`, `geometry`, `whole`, `text`.
        seen: what its tower made of the batch's pictures.
        batch: the pictures, and what is true of them.
        count: captions of the batch's own pictures, beside the fixed ones.
        rng: draws these.
    """
    owners = rng.choice(len(batch.images), count, replace=False)
    meanings = FIXED + [captions.true_phrase(batch.facts, int(i), rng) for i in owners]
    # the fixed ones without leads and tails: short texts are cheap
    short = [captions.name(p.items[0], rng) if p.items else "nothing" for p in FIXED]
    words_read = torch.cat(
        [student.caption(short), student.caption([captions.say(p, rng) for p in meanings[len(FIXED) :]])]
    )
    scale = student.clip.logit_scale.exp().clamp_max(100)
    logits = scale * F.normalize(seen.features, dim=-1) @ F.normalize(words_read, dim=-1).T
    cells = seen.states[-1][:, 1:]
    return {
        "clip": 0.5 * objectives.contrast(logits, captions.holds(batch.facts, meanings)),
        "cells": objectives.cell_loss(student.cells(cells), batch),
        "geometry": objectives.geometry_loss(student.geometry(cells), batch),
        "whole": 0.25 * objectives.whole_loss(student.whole(seen.features), batch.facts),
        "words": objectives.word_loss(student.text(words_read), meanings),
    }


class DrawnEdits(NamedTuple):
    """P pairs of pictures, and T pairs of texts that say what happened in some of them, or something else."""

    before: Tensor
    """Rows [P] of the pictures before."""
    after: Tensor
    """Rows [P] of what became of them."""
    texts: List[EditPhrase]
    own: List[int]
    """By text, the pair that it was drawn for."""
    near_misses: List[EditPhrase]
    """Of each text, one that differs in a word; in the same order."""
    misled: Tensor
    """Pairs [P] that no text says: an edit whose colour went everywhere."""


def draw_edits(groups: Groups, each: int, rng: np.random.Generator) -> DrawnEdits:
    """`each` edits of every group, from any of its states to any other, and what only passes for one."""
    count = len(groups.subject)
    before, after, texts, own = [], [], [], []
    misled: List[bool] = []
    for g in range(count):
        steps = [(a, b) for a in STATES_OF_EDITS for b in STATES_OF_EDITS if a != b]
        drawn = [steps[i] for i in rng.choice(len(steps), each, replace=False)]
        for a, b in [*drawn, *FAKES]:
            before.append(a * count + g)
            after.append(b * count + g)
            misled.append(b == SPILLED)
            if (a, b) in FAKES:
                continue
            was, is_now = (rows_of(groups.batch.facts, row[-1:]) for row in (before, after))
            edit = draw_edit(was, is_now, 0, int(groups.subject[g]), rng)
            if edit is not None:
                texts.append(edit)
                own.append(len(before) - 1)
    misses = [near_miss(edit, rng) for edit in texts]
    return DrawnEdits(torch.tensor(before), torch.tensor(after), texts, own, misses, torch.tensor(misled))


def truth_of(drawn: DrawnEdits, facts: Facts) -> Tensor:
    """Which of the texts, and of their near misses, say what happened in which pairs [P, 2 T]: 1 yes, 0 no, -1 undecided.

    None says what happened where the colour went everywhere: they speak of one object.
    """
    texts = drawn.texts + drawn.near_misses
    truth = edit_holds(rows_of(facts, drawn.before), rows_of(facts, drawn.after), texts)
    return truth.masked_fill(drawn.misled[:, None], 0)


def rows_of(facts: Facts, rows: Any) -> Facts:
    """The facts of some pictures."""
    return Facts(facts.colour[rows], facts.shape[rows], facts.finish[rows], facts.seen[rows], facts.on[rows])


def steps_between(before: Tensor, after: Tensor) -> Tensor:
    """Unit steps between features that are scaled to length 1 first, as direction similarity takes them."""
    return F.normalize(F.normalize(after, dim=-1) - F.normalize(before, dim=-1), dim=-1)


def edit_losses(
    student: Any, features: Tensor, groups: Groups, each: int, rng: np.random.Generator, sharpness: float = 10.0
) -> Dict[str, Tensor]:
    """The contrast of steps between pictures and steps between texts.

    Without it a CLIP's features say what is in a picture, and a step between two pictures as much of what was left out of the
    captions as of the edit.

    Args:
        student: has `caption`.
        features: of the groups' pictures, not normalised.
        groups: the pictures, and what is true of them.
        each: edits of every group.
        rng: draws these, and their texts.
        sharpness: what cosines are multiplied with.
    """
    drawn = draw_edits(groups, each, rng)
    texts = drawn.texts + drawn.near_misses
    truth = truth_of(drawn, groups.batch.facts)
    read = student.caption([captions.say(p, rng) for e in texts for p in (e.source, e.target)])
    moved = steps_between(features[drawn.before], features[drawn.after])
    cosines = moved @ steps_between(read[0::2], read[1::2]).T
    right = (truth == 1).float()
    return {
        "edits": objectives.many_positives(sharpness * cosines, truth)
        + objectives.many_positives(sharpness * cosines.T, truth.T),
        "along": (right * (1 - cosines)).sum() / right.sum().clamp_min(1),
    }
