"""Which of several parts that a localiser marks is the one that is meant? (ours)

A localiser sees small objects in a wide picture and confuses what shares a colour or a shape. A CLIP that is shown one part at
a time, zoomed, from several sides, reads it far better; so the localiser proposes and the guide decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, Sequence

import torch
from tqdm import tqdm

from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.guidance.precision import reading_in
from blending_nerf_ns.localization.views import FrozenScene, close_cameras, render_part
from blending_nerf_ns.procedural.words import COLOUR_NAMES, PRIMITIVES, split_words, without_synonyms

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

LOOK_SIZE = 96
"""Side of the views that the guide is shown, in pixels: it tells objects apart, it does not measure them."""
LOOKS = 6
"""Views of each part that the guide is shown."""
CERTAINTY, UNLIKELIEST = 100.0, -9.0
"""Inverse temperature of CLIP's own training; and the lowest log-likelihood that counts, so that no view decides alone."""
EMPTY = "empty"
"""The embedded models' word for where nothing is."""
Settled = Callable[[Sequence[float], Sequence[float]], bool]
"""Whether an answer is known, given the lowest and the highest value that each part can come to."""


@torch.no_grad()
def read_parts(
    scene: FrozenScene, guide: ClipGuide, parts: Sequence[Box], text: str, settled: Settled = lambda *_: False
) -> List[float]:
    """How well the guide reads a text on each part: mean log-likelihood of the text among its rivals, on zoomed views.

    What lies around the part is painted over: a neighbour in a corner of the picture would be read as well.
    Similarities of different pictures do not compare: one part may be nearer to every text than another is to any.

    Args:
        scene: with a frozen base.
        guide: the frozen CLIP.
        parts: boxes in grid coordinates.
        text: what is looked for.
        settled: asked after each view of all parts; where it says so, no more are looked at.

    Returns:
        Values <= 0; 0 is certain.
    """
    texts = torch.stack([guide.encode_prompt(each) for each in (text, *rivals(text, guide.embedded))])
    size = min(guide.image_size, LOOK_SIZE)
    sides = [close_cameras(scene, part, LOOKS, size) for part in parts]
    total, looks = [0.0] * len(parts), min(map(len, sides), default=0)
    # whether bfloat16 is harmless was asked of a loss alone, if it was
    with (
        scene.timed("parts"),
        reading_in(guide, mixed=False),
        tqdm(total=looks, desc="Parts", dynamic_ncols=True) as bar,
    ):
        for look in range(looks):
            pictures = [render_part(scene, cameras, look, part) for cameras, part in zip(sides, parts)]
            logits = CERTAINTY * guide.encode_images(torch.stack(pictures).permute(0, 3, 1, 2)) @ texts.T
            found = logits.log_softmax(dim=-1)[:, 0].clamp_min(UNLIKELIEST).tolist()
            total = [before + value for before, value in zip(total, found)]
            bar.update()
            lowest = [(value + UNLIKELIEST * (looks - look - 1)) / looks for value in total]
            if settled(lowest, [value / looks for value in total]):
                return [value / (look + 1) for value in total]
    return [value / max(looks, 1) for value in total]


def rivals(text: str, embedded: bool) -> List[str]:
    """Texts that a picture may fit better, and that are false where the text is true.

    Of the embedded models' few words all pairs that differ in a colour or shape that the text names, and all pairs where it says
    that something is empty; else what is in every scene (the canonical phrases of LERF, arXiv 2303.09553, section 3.3) and the
    text in other colours.

    Example:
        >>> rivals("a red chair", embedded=False)[3:6]
        ['a texture', 'an orange chair', 'a yellow chair']
    """
    said = split_words(text)
    if not embedded:
        named = [(place, word) for place, word in enumerate(without_synonyms(text)) if word in COLOUR_NAMES]
        others = [(place, colour) for place, word in named for colour in COLOUR_NAMES if colour != word]
        recoloured = [_in_its_place(said, place, colour) for place, colour in others]
        return ["an object", "things", "stuff", "a texture", *recoloured]
    words = set(without_synonyms(text))
    colours, shapes = words & set(COLOUR_NAMES), words & set(PRIMITIVES)
    pairs = [(colour, shape) for colour in COLOUR_NAMES for shape in (*PRIMITIVES, "toy")]
    if EMPTY in words:
        return [f"a {colour} {shape}" for colour, shape in pairs]
    different = [(c, s) for c, s in pairs if (colours and c not in colours) or (shapes and s not in (*shapes, "toy"))]
    return [*(f"a {colour} {shape}" for colour, shape in different), "an empty floor"]


def _in_its_place(said: Sequence[str], place: int, word: str) -> str:
    """A text with another word in a place, and the article that goes with it before."""
    before = list(said[:place])
    if before and before[-1] in ("a", "an"):
        before[-1] = "an" if word[0] in "aeiou" else "a"
    return " ".join([*before, word, *said[place + 1 :]])
