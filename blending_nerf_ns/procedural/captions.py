"""Captions and queries, and what is true of a scene.

A `Phrase` is the meaning of a caption; `say` turns it into words in many ways, `holds` tells whether it is true. Truth
is decided from the scene, not from the caption an image came with: contrastive training meets no false negatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from blending_nerf_ns.procedural import words

ANY = -1
"""Attribute that a phrase leaves open."""

KINDS: Tuple[str, ...] = ("one", "both", "on", "beside", "empty")


@dataclass(frozen=True)
class Item:
    """An object as a phrase describes it: indices into the word lists, or ANY."""

    colour: int = ANY
    shape: int = ANY
    """Index into words.PRIMITIVES. A generic word (object, toy, thing) is ANY: it is true of every object."""
    finish: int = ANY


@dataclass(frozen=True)
class Phrase:
    """What a caption claims: one object, two different objects, a relation of two, or that there is none."""

    items: Tuple[Item, ...]
    kind: str = "one"


@dataclass(frozen=True)
class Facts:
    """What is true of B pictures with up to K objects each. `seen` is 1 visible, 0 absent, -1 too little to tell."""

    colour: Int[Tensor, "B K"]
    shape: Int[Tensor, "B K"]
    """Index into words.SHAPE_NAMES (the last one is the composite figure)."""
    finish: Int[Tensor, "B K"]
    seen: Int[Tensor, "B K"]
    on: Int[Tensor, "B K"]
    """Index of the object that it stands on, or -1."""


def item(colour: str = "", shape: str = "", finish: str = "") -> Item:
    """An Item from words; empty words (and generic ones as shape) are left open."""
    return Item(
        words.COLOUR_NAMES.index(colour) if colour else ANY,
        ANY if shape in ("", *words.GENERIC) else words.PRIMITIVES.index(shape),
        words.FINISHES.index(finish) if finish else ANY,
    )


def matches(facts: Facts, items: Sequence[Item]) -> Bool[Tensor, "B T K"]:
    """Which objects each of T descriptions fits, whether they are visible or not."""
    table = torch.tensor([(i.colour, i.shape, i.finish) for i in items]).view(1, -1, 1, 3)
    fits = torch.ones(1, dtype=torch.bool)
    for index, values in enumerate((facts.colour, facts.shape, facts.finish)):
        wanted = table[..., index]
        fits = fits & ((wanted == ANY) | (wanted == values[:, None]))
    return fits


def holds(facts: Facts, phrases: Sequence[Phrase]) -> Int[Tensor, "B T"]:
    """Truth of T phrases in B pictures: 1 true, 0 false, -1 undecided (it hangs on an object that is barely seen)."""
    first = matches(facts, [p.items[0] if p.items else Item() for p in phrases])
    second = matches(facts, [p.items[-1] if p.items else Item() for p in phrases])
    kinds = torch.tensor([KINDS.index(p.kind) for p in phrases])[None]
    count = facts.seen.shape[1]
    different = ~torch.eye(count, dtype=torch.bool)
    index = torch.arange(count)
    on = facts.on[:, :, None] == index  # [B, upper, lower]
    beside = different & (facts.on[:, :, None] == -1) & (facts.on[:, None, :] == -1)

    def decide(visible: Tensor) -> Tensor:
        a, b = first & visible[:, None], second & visible[:, None]
        pairs = a[..., :, None] & b[..., None, :]
        results = [
            a.any(-1),
            (pairs & different).any((-1, -2)),
            (pairs & on[:, None]).any((-1, -2)),
            (pairs & beside[:, None]).any((-1, -2)),
            ~visible.any(-1, keepdim=True).expand(a.shape[:2]),
        ]
        return torch.stack(results, -1).gather(-1, kinds.expand(a.shape[:2])[..., None])[..., 0]

    # true both without and with the barely seen objects: true; false both ways: false; else undecided
    without, with_them = decide(facts.seen == 1), decide(facts.seen != 0)
    return torch.where(without == with_them, without.long(), torch.full_like(kinds.expand(without.shape), -1))


# ---------------------------------------------------------------------------------------------------------------- words

_LEADS: Tuple[Tuple[str, float], ...] = (
    ("", 5), ("a photo of", 2), ("a picture of", 0.7), ("an image of", 0.7), ("a render of", 0.7),
    ("a rendering of", 0.5), ("a 3d render of", 0.5), ("a close up photo of", 0.4), ("a close up of", 0.4),
    ("a blurry photo of", 0.4), ("a cropped photo of", 0.4), ("a good photo of", 0.3), ("a bad photo of", 0.3),
    ("a bright photo of", 0.3), ("a dark photo of", 0.3), ("a clean photograph of", 0.3), ("a view of", 0.4),
    ("a scene with", 0.4), ("there is", 0.4), ("this is", 0.3), ("a photo of my", 0.2), ("a shot of", 0.2),
)  # fmt: skip
_TAILS: Tuple[Tuple[str, float], ...] = (
    ("", 12), ("on the floor", 1), ("on a table", 1), ("on the table", 1), ("on the ground", 0.5), ("in a room", 0.5),
    ("on a surface", 0.3), ("in front of a background", 0.2), ("on a plain background", 0.3),
)  # fmt: skip
_EMPTY: Tuple[str, ...] = (
    "nothing", "an empty floor", "an empty table", "an empty room", "no objects", "only the background",
    "an empty scene", "an empty background", "a bare floor", "an empty surface", "only the floor",
)  # fmt: skip


def _draw(options: Tuple[Tuple[str, float], ...], rng: np.random.Generator) -> str:
    weights = np.array([w for _, w in options])
    return options[rng.choice(len(options), p=weights / weights.sum())][0]


def _other_word(word: str, rng: np.random.Generator) -> str:
    others = words.SYNONYMS.get(word, ())
    return str(rng.choice(others)) if others and rng.random() < 0.12 else word


def name(described: Item, rng: np.random.Generator, article: str = "a") -> str:
    """A noun phrase such as "a shiny red ball"; generic words stand for an open shape."""
    parts: List[str] = []
    if rng.random() < 0.05:
        parts.append(str(rng.choice(("small", "big", "large", "single"))))
    if described.finish != ANY:
        parts.append(_other_word(words.FINISHES[described.finish], rng))
    if described.colour != ANY:
        parts.append(_other_word(words.COLOUR_NAMES[described.colour], rng))
    if described.shape == ANY:
        parts.append(words.GENERIC[rng.choice(len(words.GENERIC), p=(0.3, 0.32, 0.22, 0.08, 0.08))])
    else:
        parts.append(_other_word(words.PRIMITIVES[described.shape], rng))
    if article == "a" and parts[0][0] in "aeiou":
        article = "an"
    return " ".join([article, *parts]) if article else " ".join(parts)


_RELATIONS: Dict[str, Tuple[str, ...]] = {
    "both": ("and", "and", "and", "with"),
    "on": ("on top of", "on top of", "on"),
    "beside": ("beside", "next to"),
}


def say(phrase: Phrase, rng: np.random.Generator) -> str:
    """One of many ways to say a phrase."""
    lead = _draw(_LEADS, rng)
    if phrase.kind == "empty":
        return f"{lead} {rng.choice(_EMPTY)}".strip() if rng.random() < 0.4 else str(rng.choice(_EMPTY))
    article = "the" if rng.random() < 0.1 else "" if rng.random() < 0.08 else "a"
    text = name(phrase.items[0], rng, "" if lead.endswith("my") else article)
    if phrase.kind != "one":
        text = f"{text} {rng.choice(_RELATIONS[phrase.kind])} {name(phrase.items[1], rng)}"
    return " ".join(f"{lead} {text} {_draw(_TAILS, rng)}".split())


def true_phrase(facts: Facts, picture: int, rng: np.random.Generator) -> Phrase:
    """A random phrase that is true of one picture (its kind and detail random too)."""
    seen = [k for k in range(facts.seen.shape[1]) if facts.seen[picture, k] == 1]
    if not seen:
        return Phrase((), "empty")

    def describe(k: int) -> Item:
        colour, shape, finish = (int(v[picture, k]) for v in (facts.colour, facts.shape, facts.finish))
        return Item(
            colour if rng.random() < 0.88 else ANY,
            shape if shape < len(words.PRIMITIVES) and rng.random() < 0.82 else ANY,
            finish if finish > 0 and rng.random() < 0.5 else ANY,
        )

    if len(seen) > 1 and rng.random() < 0.5:
        a, b = (int(k) for k in rng.permutation(seen)[:2])
        if facts.on[picture, a] == b or facts.on[picture, b] == a:
            a, b = (a, b) if facts.on[picture, a] == b else (b, a)
            return Phrase((describe(a), describe(b)), "on" if rng.random() < 0.7 else "both")
        apart = facts.on[picture, a] == facts.on[picture, b] == -1  # what stands on a third object is beside nothing
        return Phrase((describe(a), describe(b)), "beside" if rng.random() < 0.25 and apart else "both")
    return Phrase((describe(int(rng.choice(seen))),))
