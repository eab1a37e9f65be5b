"""Teach a half-trained CLIPSeg decoder to read its text: its FiLM gates are set from heads that know colours and shapes.

Trained from scratch, the decoder finds objects in minutes but listens to the text only after hours: the gates have nothing to
open, and the features behind them no reason to separate. The auxiliary heads separate them early, so their rows become
channels of the decoder, and a least-squares fit of the text features opens the channels that a text names (ours).
"""

from __future__ import annotations

from typing import Any, Callable, List

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.captions import ANY, Item, Phrase, say

COLOURS, SHAPES = len(words.COLOUR_NAMES), len(words.SHAPE_NAMES)
PRIMITIVES = len(words.PRIMITIVES)
NAMED = COLOURS + SHAPES
"""Channels with a gate of their own; two more tell objects from background, two more say what a text leaves open."""


def phrases(count: int, rng: np.random.Generator) -> tuple[List[str], Tensor, Tensor]:
    """Texts, the gates [count, NAMED] that each should open, and [count, 2]: colour, shape left open."""
    texts, gates, left_open = [], torch.zeros(count, NAMED), torch.zeros(count, 2)
    for row in range(count):
        colour = int(rng.integers(COLOURS)) if rng.random() < 0.85 else ANY
        shape = int(rng.integers(PRIMITIVES)) if rng.random() < 0.7 else ANY
        texts.append(say(Phrase((Item(colour, shape),)), rng))
        for value, offset, which in ((colour, 0, 0), (shape, COLOURS, 1)):
            if value == ANY:
                left_open[row, which] = 1.0
            else:
                gates[row, offset + value] = 1.0
    return texts, gates, left_open


def learn_words(
    model: Any, encode: Callable[[List[str]], Tensor], steps: int, rng: np.random.Generator, batch: int = 96
) -> float:
    """Train the text tower alone to tell colours and shapes apart: a minute, since the language is small.

    Returns:
        the last steps' mean loss (binary cross entropy per attribute).
    """
    head = nn.Linear(model.config.projection_dim, NAMED + 2)
    tower = [*model.clip.text_model.parameters(), *model.clip.text_projection.parameters()]
    optimizer = torch.optim.AdamW([*tower, *head.parameters()], lr=1e-3, weight_decay=0.01)
    losses: List[float] = []
    for _ in range(steps):
        texts, gates, left_open = phrases(batch, rng)
        loss = F.binary_cross_entropy_with_logits(head(encode(texts)), torch.cat([gates, left_open], dim=1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-20:]))


@torch.no_grad()
def set_gates(
    model: Any, heads: nn.Linear, features: Tensor, gates: Tensor, left_open: Tensor, scale: float = 0.25
) -> float:
    """Make the named channels of the decoder out of the heads, and its gates out of the text features.

    Args:
        model: a CLIPSegForImageSegmentation.
        heads: on the last hidden state: (nothing, each colour), then (nothing, each shape).
        features: of some texts.
        gates: that these texts should open.
        left_open: what they do not say.
        scale: of the channels: logits are larger than what the decoder is used to.

    Returns:
        root mean square error of the gates' fit: far below that of a constant, about 0.25, or the text tower is too poor.
    """
    decoder, (reduce, *_) = model.decoder, model.decoder.reduces
    weight, bias = heads.weight, heads.bias
    rows = [(weight[: 1 + COLOURS], bias[: 1 + COLOURS]), (weight[1 + COLOURS :], bias[1 + COLOURS :])]
    channel = 0
    for block, offset in rows:
        for kind in range(1, len(block)):
            reduce.weight[channel] = scale * (block[kind] - block.mean(0))
            reduce.bias[channel] = scale * (offset[kind] - offset.mean())
            channel += 1
    for block, offset in rows:
        reduce.weight[channel] = scale * (block[1:].mean(0) - block[0])
        reduce.bias[channel] = scale * (offset[1:].mean() - offset[0])
        channel += 1

    known = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    ridge = 1e-4 * known.square().mean() * len(known) * torch.eye(known.shape[1], dtype=torch.double)
    ridge[-1, -1] = 0.0
    fit = torch.linalg.solve(known.T @ known + ridge, known.T @ torch.cat([gates, left_open], dim=1).double()).float()
    multiply, add = decoder.film_mul, decoder.film_add
    multiply.weight[: NAMED + 4], multiply.bias[: NAMED + 4] = 0.0, 1.0
    add.weight[: NAMED + 4], add.bias[: NAMED + 4] = 0.0, 0.0
    multiply.weight[:NAMED], multiply.bias[:NAMED] = fit[:-1, :NAMED].T, fit[-1, :NAMED]
    add.weight[NAMED + 2 : NAMED + 4], add.bias[NAMED + 2 : NAMED + 4] = fit[:-1, NAMED:].T, fit[-1, NAMED:]
    reduce.weight[NAMED + 2 : NAMED + 4], reduce.bias[NAMED + 2 : NAMED + 4] = 0.0, 0.0
    guessed = known.float() @ fit[:, :NAMED]
    return float((guessed - gates).square().mean().sqrt())
