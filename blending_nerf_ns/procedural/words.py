"""The small language of the procedural scenes: colours, shapes, finishes and the words a caption may use.

Colours are RANGES of hue, saturation and value, not points: a model that only ever saw one purple calls a pale lavender
toy gray. Neighbouring ranges leave a gap, so that no training colour carries two names.
"""

from __future__ import annotations

import colorsys
from typing import Dict, List, Tuple

import numpy as np

Range = Tuple[float, float]

COLOURS: Dict[str, Tuple[Tuple[Range, Range, Range], ...]] = {
    # name: ((hue in degrees (may wrap below 0), saturation, value), ...), each range drawn with equal chance
    "red": (((-10, 9), (0.62, 1.0), (0.40, 1.0)), ((-8, 6), (0.72, 1.0), (0.30, 0.6))),
    "orange": (((17, 36), (0.65, 1.0), (0.78, 1.0)),),
    "yellow": (((47, 63), (0.45, 1.0), (0.72, 1.0)),),
    "green": (((82, 158), (0.35, 1.0), (0.25, 1.0)), ((90, 150), (0.22, 0.5), (0.55, 1.0))),
    "cyan": (((171, 193), (0.35, 1.0), (0.55, 1.0)),),
    "blue": (((206, 244), (0.45, 1.0), (0.35, 1.0)), ((206, 236), (0.28, 0.6), (0.60, 1.0))),
    "purple": (((256, 292), (0.40, 1.0), (0.30, 1.0)), ((254, 290), (0.18, 0.5), (0.50, 1.0))),
    "pink": (((308, 344), (0.30, 0.85), (0.78, 1.0)), ((-20, 8), (0.18, 0.42), (0.85, 1.0))),
    "brown": (((14, 36), (0.45, 0.85), (0.20, 0.56)),),
    "white": (((0, 360), (0.0, 0.06), (0.90, 1.0)),),
    "gray": (((0, 360), (0.0, 0.09), (0.32, 0.66)),),
    "black": (((0, 360), (0.0, 0.35), (0.02, 0.13)),),
}
COLOUR_NAMES: Tuple[str, ...] = tuple(COLOURS)

PRIMITIVES: Tuple[str, ...] = ("ball", "cube", "cone", "cylinder", "donut")
COMPOSITE = "toy"
"""Shape of an object made of several parts; only generic words are true of it."""
SHAPE_NAMES: Tuple[str, ...] = (*PRIMITIVES, COMPOSITE)
GENERIC: Tuple[str, ...] = ("object", "toy", "thing", "figure", "figurine")
"""Words that are true of every object."""

FINISHES: Tuple[str, ...] = ("plain", "shiny", "matte", "metallic", "golden", "snowy", "wooden", "striped", "spotted")
FINISH_COLOUR: Dict[str, str] = {"golden": "yellow", "wooden": "brown"}
"""Finishes that bring their own colour."""
FINISH_HSV: Dict[str, Tuple[Range, Range, Range]] = {
    "golden": ((40, 50), (0.60, 0.90), (0.75, 0.95)),
    "wooden": ((20, 33), (0.45, 0.70), (0.35, 0.55)),
}

SYNONYMS: Dict[str, Tuple[str, ...]] = {
    "gray": ("grey",),
    "purple": ("violet",),
    "cyan": ("turquoise",),
    "ball": ("sphere",),
    "cube": ("box",),
    "donut": ("torus", "ring"),
    "golden": ("gold",),
    "wooden": ("wood",),
    "metallic": ("metal",),
    "snowy": ("snow",),
    "shiny": ("glossy",),
}
"""Other words for the same thing, used now and then in captions so that they are known too."""

FILLER: Tuple[str, ...] = tuple(
    "a an the of photo picture image render rendering 3d close up blurry cropped bright dark good bad clean view scene "
    "and with on top beside next to in front this is there one single small big large floor table ground room "
    "background surface empty nothing no objects only bare my at it standing lying placed photograph shot plain "
    "colored coloured".split()
)

ARTICLES: Tuple[str, ...] = ("a", "an", "the", "my")
JOINING: Tuple[str, ...] = tuple("a an the of and with on to in is this there one my at it".split())
"""Words that name nothing."""

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"


def _unique(words: List[str]) -> List[str]:
    return list(dict.fromkeys(words))


VOCABULARY: Tuple[str, ...] = tuple(
    [PAD, UNKNOWN, START]
    + _unique([*COLOUR_NAMES, *PRIMITIVES, *GENERIC, *FINISHES, *(s for v in SYNONYMS.values() for s in v), *FILLER])
    + [END]  # last on purpose: open_clip pools the text at the highest token id
)


def sample_hsv(ranges: Tuple[Range, Range, Range], rng: np.random.Generator) -> Tuple[float, float, float]:
    """One (hue in [0, 1), saturation, value) drawn uniformly from a range."""
    hue, saturation, value = (rng.uniform(low, high) for low, high in ranges)
    return (hue / 360.0) % 1.0, saturation, value


def sample_rgb(colour: str, rng: np.random.Generator) -> np.ndarray:
    """A random colour that the word `colour` names.

    Args:
        colour: one of COLOUR_NAMES.
        rng: source of randomness.

    Returns:
        RGB in [0, 1], shape [3].
    """
    if colour not in COLOURS:
        raise ValueError(f"unknown colour {colour!r}; known colours: {', '.join(COLOUR_NAMES)}")
    ranges = COLOURS[colour]
    return np.array(colorsys.hsv_to_rgb(*sample_hsv(ranges[rng.integers(len(ranges))], rng)))


def split_words(text: str) -> List[str]:
    """Lower-cased words of a text, as the embedded tokenizer sees them (punctuation only separates)."""
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def without_synonyms(text: str) -> List[str]:
    """The words of a text, lower case, each synonym as the word that it stands for.

    Example:
        >>> without_synonyms("My violet sphere")
        ['my', 'purple', 'ball']
    """
    stands_for = {synonym: word for word, synonyms in SYNONYMS.items() for synonym in synonyms}
    return [stands_for.get(word, word) for word in split_words(text)]
