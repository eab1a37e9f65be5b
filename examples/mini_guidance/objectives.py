"""What the two models are asked during training. Pure functions of answers and of what is true of the pictures."""

from __future__ import annotations

from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from blending_nerf_ns.procedural import captions, words
from blending_nerf_ns.procedural.batches import Batch
from blending_nerf_ns.procedural.captions import Item, Phrase

from .queries import cell_targets

COLOURS, SHAPES = len(words.COLOUR_NAMES), len(words.SHAPE_NAMES)
PRIMITIVES = len(words.PRIMITIVES)
FIXED: List[Phrase] = [
    *(Phrase((Item(c, s),)) for c in range(COLOURS) for s in range(PRIMITIVES)),
    *(Phrase((Item(c),)) for c in range(COLOURS)),
    *(Phrase((Item(shape=s),)) for s in range(PRIMITIVES)),
    Phrase((), "empty"),
]
"""Asked at every step, so that every picture meets every colour and shape."""
PAIRS, ALONE = slice(0, COLOURS * PRIMITIVES), slice(COLOURS * PRIMITIVES, COLOURS * PRIMITIVES + COLOURS)
"""Where pairs and colours by themselves stand in FIXED."""


def many_positives(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy of each row against all of its true entries; undecided entries are left out of the comparison.

    Args:
        logits: [R, C].
        truth: [R, C], 1 true, 0 false, -1 undecided. Rows without a true entry do not count.
    """
    rows = (truth == 1).any(-1)
    if not rows.any():
        return logits.sum() * 0
    logits, truth = logits[rows], truth[rows]
    positive = (truth == 1).float()
    share = positive / positive.sum(-1, keepdim=True)
    return -(share * logits.masked_fill(truth == -1, -1e4).log_softmax(-1)).sum(-1).mean()


def contrast(logits: Tensor, truth: Tensor) -> Tensor:
    """CLIP's loss on pictures [B] by texts [FIXED and others], and picture against text within the fixed blocks."""
    loss = many_positives(logits, truth) + 0.5 * many_positives(logits.T, truth.T)
    return loss + sum(many_positives(logits[:, block], truth[:, block]) for block in (PAIRS, ALONE))


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross entropy, and dice where the query is in the picture; both [B, Q, S, S]."""
    bce = F.binary_cross_entropy_with_logits(logits, target)
    p = logits.sigmoid()
    overlap, total = (p * target).sum((-1, -2)), (p + target).sum((-1, -2))
    present = (target.sum((-1, -2)) > 4).float()
    dice = ((1 - (2 * overlap + 1) / (total + 1)) * present).sum() / present.sum().clamp_min(1)
    return 3 * bce + 0.5 * dice


def whole_loss(answer: Tensor, facts: captions.Facts) -> Tensor:
    """Which pairs, colours and shapes are in each picture? Answers [B, 12 * 6 + 12 + 6]."""
    pair = facts.colour.clamp_min(0) * SHAPES + facts.shape.clamp_min(0)
    parts = []
    for index, size in (
        (pair, COLOURS * SHAPES),
        (facts.colour.clamp_min(0), COLOURS),
        (facts.shape.clamp_min(0), SHAPES),
    ):
        hot = F.one_hot(index, size).float()
        yes = (hot * (facts.seen == 1)[..., None]).amax(1)
        maybe = (hot * (facts.seen == -1)[..., None]).amax(1)
        parts.append(torch.stack([yes, 1 - maybe * (1 - yes)]))
    target, certain = torch.cat(parts, -1)
    return F.binary_cross_entropy_with_logits(answer, target, certain, reduction="sum") / len(target)


def cell_loss(answer: Tensor, batch: Batch) -> Tensor:
    """Answers [B, cells, 2 + 12 + 6]: which colour and shape (or nothing) is in each cell of a grid?

    Cells with objects count most. Knowing where to look is most of what a picture's shape words ask for.
    """
    colours, shapes = cell_targets(batch, int(answer.shape[1] ** 0.5))
    losses = [
        -(target * part.log_softmax(-1)).sum(-1)
        for target, part in ((colours, answer[..., : 1 + COLOURS]), (shapes, answer[..., 1 + COLOURS :]))
    ]
    weight = 1.2 - colours[..., 0]
    return ((losses[0] + losses[1]) * weight).sum() / weight.sum()


def geometry_loss(answer: Tensor, batch: Batch) -> Tensor:
    """Answers [B, cells, 3 * p * p] for cells of p * p pixels: coverage, and how surfaces face the camera and the sky.

    A cube and a cylinder differ in how their sides turn away. Asked for in every pixel, that is learned from few pictures.
    """
    side = int(answer.shape[1] ** 0.5)
    patch = batch.images.shape[-1] // side
    truth = torch.cat([batch.masks.sum(1, keepdim=True).clamp(0, 1), batch.facing], 1)
    truth = F.pixel_unshuffle(truth, patch).flatten(2).transpose(1, 2)  # [B, cells, 3 * p * p], channel first
    cover, facing = truth.split([patch * patch, 2 * patch * patch], -1)
    covered, faces = answer.split([patch * patch, 2 * patch * patch], -1)
    away = (facing - faces).square() * cover.repeat(1, 1, 2)
    return F.binary_cross_entropy_with_logits(covered, cover) + 2 * away.sum() / cover.sum().clamp_min(1)


def word_loss(answer: Tensor, phrases: List[Phrase]) -> Tensor:
    """Cross entropy of the first item's colour and shape (or none) told from the text features.

    Without it the shape words stay as one for long: nothing pulls them apart before the pictures' shapes are read, and
    nothing makes the pictures' shapes be read before the words differ.
    """
    first = [p.items[0] if p.items else Item() for p in phrases]
    colours, shapes = torch.tensor([i.colour + 1 for i in first]), torch.tensor([i.shape + 1 for i in first])
    return F.cross_entropy(answer[:, : 1 + COLOURS], colours) + F.cross_entropy(answer[:, 1 + COLOURS :], shapes)


def heads_sizes(patch: int) -> Tuple[int, int, int, int]:
    """Lengths of the answers: whole picture, cell, geometry of a cell, text."""
    return COLOURS * SHAPES + COLOURS + SHAPES, 2 + COLOURS + SHAPES, 3 * patch * patch, 2 + COLOURS + PRIMITIVES
