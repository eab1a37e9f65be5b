"""What else a localiser would find, for the error that says it did not find what was asked for."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from torch import Tensor

from blending_nerf_ns.localization.clipseg import ClipSegLocalizer
from blending_nerf_ns.procedural.words import ARTICLES, COLOUR_NAMES, PRIMITIVES


def other_texts(text: str, embedded: bool) -> List[str]:
    """Shorter and more general texts than one that found nothing, without it.

    Args:
        text: what was not found.
        embedded: whether the mini models are to read them: only what says something to these.

    Example:
        >>> other_texts("a small wooden chair", embedded=False)
        ['a wooden chair', 'a chair', 'small', 'wooden', 'chair', 'an object']
    """
    words = [word for word in text.split() if word.lower() not in ARTICLES]
    tails = [" ".join(words[start:]) for start in range(1, len(words))]
    found = [f"{'an' if tail[0] in 'aeiou' else 'a'} {tail}" for tail in tails] + (words if len(words) > 1 else [])
    found.append("an object")
    if embedded:
        from blending_nerf_ns.guidance.embedded import says_something

        found = [one for one in found if says_something(one)]
        found += [f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} toy" for colour in COLOUR_NAMES]
        found += [f"a {shape}" for shape in PRIMITIVES]
    return [other for other in dict.fromkeys(found) if other != text]


def best_alternatives(
    localizer: ClipSegLocalizer, pictures: Sequence[Tensor], text: str, most: int = 3
) -> List[Tuple[str, float]]:
    """Texts that the localiser finds in some pictures, each with its highest probability, the best ones first.

    Args:
        localizer: CLIPSeg.
        pictures: views of the scene, [H, W, 3].
        text: what was not found.
        most: how many to return.
    """
    others = other_texts(text, localizer.embedded)
    found = localizer.localize_each(pictures, others, quietly=True)
    scored = [(other, max(float(one.max()) for one in maps)) for other, maps in zip(others, found, strict=True)]
    return sorted(scored, key=lambda pair: -pair[1])[:most]
