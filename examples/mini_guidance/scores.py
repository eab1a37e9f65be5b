"""Held-out figures of both models."""

from __future__ import annotations

from typing import Dict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blending_nerf_ns.procedural import captions, words
from blending_nerf_ns.procedural.batches import Batch, Painter
from blending_nerf_ns.procedural.captions import Item
from blending_nerf_ns.procedural.edit_captions import EditPhrase
from blending_nerf_ns.procedural.edited import (
    ELSEWHERE,
    GHOST,
    ORIGINAL,
    PAINTED,
    RECOLOURED,
    REMOVED,
    SPILLED,
    EditPainter,
)

from . import models
from .lessons import draw_edits, steps_between, truth_of
from .queries import draw_queries, query_masks

FAKED = {
    (ORIGINAL, REMOVED): ("removal", "ghost", GHOST),
    (REMOVED, ORIGINAL): ("addition", "painted", PAINTED),
    (ORIGINAL, RECOLOURED): ("recolour", "spilled", SPILLED),
}
"""By the pictures of an edit: its name, and the name and the picture of what passes for it."""

PAIRS = [(c, s) for c in range(len(words.COLOUR_NAMES)) for s in range(len(words.PRIMITIVES))]


def plain_text(item: Item) -> str:
    """ "a red ball", "a purple toy", "a cone"."""
    parts = ["a"]
    if item.finish >= 0:
        parts.append(words.FINISHES[item.finish])
    if item.colour >= 0:
        parts.append(words.COLOUR_NAMES[item.colour])
    parts.append(words.PRIMITIVES[item.shape] if item.shape >= 0 else "toy")
    return " ".join(parts).replace("a orange", "an orange")


def encode(model, texts) -> Tensor:
    """Unit text features [T, D] of an open_clip model."""
    return F.normalize(model.encode_text(models.tokenize(texts, models.CONTEXT)), dim=-1)


@torch.no_grad()
def clip_scores(model, source: Painter, pictures: int = 2000) -> Dict[str, float]:
    """Top-1 accuracies on pictures of exactly one visible object (and nothing half visible).

    `pair`: colour and shape among the 60 captions, primitives only. `colour`: among 12 "a <colour> toy", all objects;
    `colour_of_shapes`, `colour_of_toys`: the same on primitives, and on figures of several parts in several colours.
    `shape`: among 5 "a <shape>", primitives only.
    """
    sixty = encode(model, [plain_text(Item(c, s)) for c, s in PAIRS])
    twelve = encode(model, [plain_text(Item(c)) for c in range(len(words.COLOUR_NAMES))])
    five = encode(model, [plain_text(Item(shape=s)) for s in range(len(words.PRIMITIVES))])
    right: Dict[str, list] = {"pair": [], "colour": [], "colour_of_shapes": [], "colour_of_toys": [], "shape": []}
    for _ in range(pictures // 128):
        batch = source.draw(128)
        f = batch.facts
        single = ((f.seen == 1).sum(1) == 1) & ((f.seen == -1).sum(1) == 0)
        k = (f.seen == 1).float().argmax(1)
        rows = torch.arange(len(k))
        colour, shape = f.colour[rows, k], f.shape[rows, k]
        image = F.normalize(model.encode_image(models.normalize(batch.images)), dim=-1)
        primitive = single & (shape < len(words.PRIMITIVES))
        pair = (image @ sixty.T).argmax(1) == colour * len(words.PRIMITIVES) + shape
        right["pair"] += pair[primitive].tolist()
        named = (image @ twelve.T).argmax(1) == colour
        right["colour"] += named[single].tolist()
        right["colour_of_shapes"] += named[primitive].tolist()
        right["colour_of_toys"] += named[single & ~primitive].tolist()
        right["shape"] += ((image @ five.T).argmax(1) == shape)[primitive].tolist()
    return {name: float(np.mean(values)) for name, values in right.items()}


@torch.no_grad()
def caption_scores(model, source: Painter, pictures: int = 2000) -> Dict[str, float]:
    """Per kind of caption: how often a true caption beats a near miss (one word changed, or a relation turned round).

    The picture is given, the two captions are compared; chance is one half. "empty" compares "nothing" with "an object".
    """
    rng = np.random.default_rng(4)
    won: Dict[str, list] = {}
    for _ in range(pictures // 128):
        batch = source.draw(128)
        pairs, rows, kinds = [], [], []
        for b in range(len(batch.images)):
            truth = captions.true_phrase(batch.facts, b, rng)
            false = _near_miss(batch.facts, b, truth, rng)
            if false is not None:
                pairs += [captions.say(truth, rng), captions.say(false, rng)]
                rows.append(b)
                kinds.append(_kind(truth))
        image = F.normalize(model.encode_image(models.normalize(batch.images[rows])), dim=-1)
        texts = encode(model, pairs).view(len(rows), 2, -1)
        score = (image[:, None] * texts).sum(-1)
        for kind, better in zip(kinds, (score[:, 0] > score[:, 1]).tolist()):
            won.setdefault(kind, []).append(better)
    return {kind: float(np.mean(values)) for kind, values in sorted(won.items())}


@torch.no_grad()
def edit_scores(model, source: EditPainter, crops: int = 400) -> Dict[str, float]:
    """What direction similarity makes of right edits, of near misses, and of everything but the edit.

    `direction_<kind>`: mean cosine of right edits; `direction_near_miss` where one word of the target is another;
    `direction_elsewhere` where all but the object was repainted. `edit_<kind>`: how often the right texts have more than the near
    miss, the pictures given (chance is one half); `picture_right`: how often the right picture has more than the one where all
    but the object was repainted; `removal_not_ghost`: than the one where it is still there, but pale or in the colours of what lies
    behind it; `addition_not_painted`: than the one where what was there has the colour of what was to come; `recolour_not_spilled`:
    than the one where all the rest has the new colour, too.
    """
    rng = np.random.default_rng(6)
    means: Dict[str, list] = {}
    for _ in range(max(1, crops // 32)):
        groups = source.draw(16, views=2)
        features = model.encode_image(models.normalize(groups.batch.images))
        drawn = draw_edits(groups, 4, rng)
        texts = drawn.texts + drawn.near_misses
        truth = truth_of(drawn, groups.batch.facts)
        read = encode(model, [plain_phrase(p) for e in texts for p in (e.source, e.target)])
        wanted = steps_between(read[0::2], read[1::2])
        cosines = steps_between(features[drawn.before], features[drawn.after]) @ wanted.T
        count = len(groups.subject)
        for t, (edit, pair) in enumerate(zip(drawn.texts, drawn.own)):
            if truth[pair, t] != 1 or truth[pair, len(drawn.texts) + t] != 0:
                continue
            kind = "remove" if edit.removes else "add" if edit.adds else _kind_of_change(edit)
            g = int(drawn.before[pair]) % count
            right, wrong = float(cosines[pair, t]), float(cosines[pair, len(drawn.texts) + t])
            unrelated = _along(features, ORIGINAL * count + g, ELSEWHERE * count + g, wanted[t])
            means.setdefault(f"direction_{kind}", []).append(right)
            means.setdefault("direction_near_miss", []).append(wrong)
            means.setdefault("direction_elsewhere", []).append(unrelated)
            means.setdefault(f"edit_{kind}", []).append(right > wrong)
            means.setdefault("picture_right", []).append(right > unrelated)
            step = int(drawn.before[pair]) // count, int(drawn.after[pair]) // count
            if step in FAKED:
                name, fake, picture = FAKED[step]
                passes = _along(features, step[0] * count + g, picture * count + g, wanted[t])
                means.setdefault(f"direction_{fake}", []).append(passes)
                means.setdefault(f"{name}_not_{fake}", []).append(right > passes)
    return {name: float(np.mean(values)) for name, values in sorted(means.items())}


def _along(features: Tensor, before: int, after: int, wanted: Tensor) -> float:
    """Cosine of the step from one picture to another with a step of texts."""
    return float(steps_between(features[before], features[after]) @ wanted)


def plain_phrase(phrase: captions.Phrase) -> str:
    """A phrase in the words that people type: "a green ball on top of a red cube", "an empty floor"."""
    if not phrase.items:
        return "an empty floor"
    joint = {"on": " on top of ", "beside": " beside "}.get(phrase.kind, " and ")
    return joint.join(plain_text(item) for item in phrase.items)


def _kind_of_change(edit: EditPhrase) -> str:
    return "recolour" if edit.source.items[0].shape == edit.target.items[0].shape else "replace"


def _kind(phrase: captions.Phrase) -> str:
    if phrase.kind != "one":
        return phrase.kind
    described = phrase.items[0]
    parts = [
        n for n, v in (("finish", described.finish), ("colour", described.colour), ("shape", described.shape)) if v >= 0
    ]
    return "one: " + (" + ".join(parts) or "generic")


def _near_miss(facts, b: int, phrase: captions.Phrase, rng: np.random.Generator):
    """A phrase that is false of picture b and differs little from a true one; None if none was found."""
    if phrase.kind == "empty":
        return captions.Phrase((Item(),))
    for _ in range(20):
        described = [[i.colour, i.shape, i.finish] for i in phrase.items]
        if phrase.kind == "on" and rng.random() < 0.5:
            described = described[::-1]
        else:
            one = described[rng.integers(len(described))]
            options = [(0, len(words.COLOUR_NAMES)), (1, len(words.PRIMITIVES)), (2, len(words.FINISHES))]
            options = [(k, n) for k, n in options if one[k] >= 0]
            if not options:
                return captions.Phrase((), "empty")
            k, n = options[rng.integers(len(options))]
            one[k] = int(rng.integers(1 if k == 2 else 0, n))
        false = captions.Phrase(tuple(Item(*d) for d in described), phrase.kind)
        if captions.holds(_one_picture(facts, b), [false])[0, 0] == 0:
            return false
    return None


@torch.no_grad()
def clipseg_scores(model, source: Painter, pictures: int = 1000) -> Dict[str, float]:
    """Mean IoU of (picture, query) pairs whose query is in the picture, at 0.5, and silence on the others.

    Queries are plain texts: full ("a red ball", "a purple toy" for figures), colour only ("a red toy"), shape only,
    generic ("a toy"), and for the absent ones the description of an object with a word changed.
    """
    rng = np.random.default_rng(3)
    iou: Dict[str, list] = {"full": [], "colour": [], "shape": [], "generic": []}
    absent, loud = [], []
    for _ in range(pictures // 64):
        batch = source.draw(64)
        pixels = models.normalize(batch.images)
        queries, rows = [], []
        for b, things in enumerate(torch.stack([batch.facts.colour, batch.facts.shape, batch.facts.seen], -1).tolist()):
            for colour, shape, seen in things:
                if seen != 1:
                    continue
                shape = shape if shape < len(words.PRIMITIVES) else -1
                options = {
                    "full": Item(colour, shape),
                    "colour": Item(colour),
                    "shape": Item(shape=shape),
                    "generic": Item(),
                }
                if shape == -1:
                    del options["shape"]
                for kind in options if rng.random() < 0.3 else ("full",):
                    queries.append((kind, options[kind]))
                    rows.append(b)
            _, (wrong,) = draw_queries(_one_picture(batch.facts, b), 3, rng)
            queries.append(("absent", wrong[2]))
            rows.append(b)
        ids = models.tokenize([plain_text(item) for _, item in queries])
        out = model(input_ids=ids, pixel_values=pixels[rows], attention_mask=(ids != 0).long()).logits.sigmoid() > 0.5
        everything = [[item] for _, item in queries]
        target = query_masks(_pictures(batch, rows), everything)[:, 0] > 0.5
        both, either = (out & target).sum((1, 2)), (out | target).sum((1, 2))
        for (kind, _), i, u, o, t in zip(
            queries, both.tolist(), either.tolist(), out.float().mean((1, 2)).tolist(), target.sum((1, 2)).tolist()
        ):
            if kind == "absent" and t == 0:
                absent.append(o)
                loud.append(o > 0.01)
            elif kind != "absent" and t > 0:
                iou[kind].append(i / u)
    scores = {f"iou_{kind}": float(np.mean(values)) for kind, values in iou.items()}
    scores["iou"] = float(np.mean([v for values in iou.values() for v in values]))
    scores["absent_pixels"], scores["absent_pictures_marked"] = float(np.mean(absent)), float(np.mean(loud))
    return scores


def _one_picture(facts, b: int):
    return captions.Facts(*(getattr(facts, name)[b : b + 1] for name in ("colour", "shape", "finish", "seen", "on")))


def _pictures(batch: Batch, rows) -> Batch:
    facts = captions.Facts(*(getattr(batch.facts, name)[rows] for name in ("colour", "shape", "finish", "seen", "on")))
    return Batch(batch.images[rows], batch.masks[rows], batch.facing[rows], facts)
