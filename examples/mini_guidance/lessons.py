"""What one batch of pictures teaches a mini CLIP."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blending_nerf_ns.procedural import captions
from blending_nerf_ns.procedural.batches import Batch

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
