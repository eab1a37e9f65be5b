"""Queries for the mini CLIPSeg: for each picture some that are in it and some that are not."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.batches import Batch
from blending_nerf_ns.procedural.captions import ANY, Facts, Item, Phrase, say

COLOURS, PRIMITIVES = len(words.COLOUR_NAMES), len(words.PRIMITIVES)


def _fits(item: Item, colour: int, shape: int, finish: int) -> bool:
    return all(w in (ANY, v) for w, v in ((item.colour, colour), (item.shape, shape), (item.finish, finish)))


def draw_queries(facts: Facts, queries: int, rng: np.random.Generator) -> Tuple[List[str], List[List[Item]]]:
    """`queries` texts for each picture, flattened, and what they describe.

    In turn: a full description of an object in the picture, a partial one, a wrong one (a word changed, so that nothing
    fits) and anything at all. Pictures without objects get wrong ones only.
    """
    texts, items = [], []
    table = torch.stack([facts.colour, facts.shape, facts.finish, facts.seen], -1).tolist()
    for things in table:
        everything = [tuple(t[:3]) for t in things if t[3] != 0]
        clear = [tuple(t[:3]) for t in things if t[3] == 1] or everything
        row: List[Item] = []
        for q in range(queries):
            kind = q % 4
            if kind == 3 and rng.random() < 0.4:
                kind = int(rng.integers(0, 3))
            row.append(_one(kind if everything else 2, clear, everything, rng))
        items.append(row)
        texts += [say(Phrase((item,)), rng) for item in row]
    return texts, items


def _one(kind: int, clear: list, everything: list, rng: np.random.Generator) -> Item:
    if clear and kind < 3:
        colour, shape, finish = clear[rng.integers(len(clear))]
    else:
        colour, shape, finish = int(rng.integers(COLOURS)), int(rng.integers(PRIMITIVES)), 0
    shape = shape if shape < PRIMITIVES else ANY
    if kind == 0:
        return Item(colour, shape, finish if finish > 0 and rng.random() < 0.3 else ANY)
    if kind == 1:
        return (Item(colour), Item(colour), Item(shape=shape), Item())[rng.integers(4)]
    if kind == 2:
        for _ in range(20):
            change = rng.random()
            new = Item(
                int(rng.integers(COLOURS)) if change < 0.7 else colour,
                int(rng.integers(PRIMITIVES)) if change > 0.5 else shape,
            )
            if rng.random() < 0.2:
                new = Item(new.colour) if rng.random() < 0.6 else Item(shape=new.shape)
            if not any(_fits(new, *thing) for thing in everything):
                return new
    return Item(colour, shape) if rng.random() < 0.7 else Item(colour)


def query_masks(batch: Batch, items: List[List[Item]]) -> Float[Tensor, "B Q S S"]:
    """Coverage of all the objects that fit each query."""
    table = torch.tensor([[(i.colour, i.shape, i.finish) for i in row] for row in items])  # [B, Q, 3]
    values = torch.stack([batch.facts.colour, batch.facts.shape, batch.facts.finish], -1)  # [B, K, 3]
    fits = ((table[:, :, None] == ANY) | (table[:, :, None] == values[:, None])).all(-1)
    fits &= (batch.facts.seen != 0)[:, None]
    return torch.einsum("bqk,bkhw->bqhw", fits.float(), batch.masks).clamp(0, 1)


def cell_targets(batch: Batch, side: int) -> Tuple[Tensor, Tensor]:
    """Shares of (nothing, each colour) and (nothing, each shape) on a grid, [B, side * side, 1 + n] summing to 1."""
    cover = F.adaptive_avg_pool2d(batch.masks, side).flatten(2)
    out = []
    for index, size in ((batch.facts.colour, COLOURS), (batch.facts.shape, len(words.SHAPE_NAMES))):
        shares = torch.einsum("bkn,bkc->bnc", cover, F.one_hot(index.clamp_min(0), size).float())
        shares = torch.cat([(1 - shares.sum(-1, keepdim=True)).clamp_min(0), shares], -1)
        out.append(shares / shares.sum(-1, keepdim=True))
    return out[0], out[1]
