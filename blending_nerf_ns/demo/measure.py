"""The figures of the demo's report, as pure functions of arrays. Pictures are RGB in [0, 1], several views stacked."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from blending_nerf_ns.procedural.words import COLOURS, FINISH_COLOUR, FINISH_HSV, SYNONYMS, split_words

HUE_TOLERANCE = 30.0
"""A pixel has a colour's hue within this many degrees of it."""
LEAST_SATURATION, LEAST_VALUE = 0.25, 0.1
"""Below these a pixel is called gray or black, whatever its hue."""
HIGHEST_PSNR = 99.0
"""Identical pictures have an infinite PSNR, which JSON cannot hold."""


def hue_of_text(text: str) -> float | None:
    """Hue in degrees, in [0, 360), of the first colour word of a text; None if it names no hue.

    It is the middle of the word's (first) range in `procedural.words`. "white", "gray" and "black" name no hue;
    "golden" and "wooden" do.

    Example:
        >>> hue_of_text("a blue ball")
        225.0
        >>> hue_of_text("a white ball") is None
        True
    """
    meaning = {synonym: word for word, synonyms in SYNONYMS.items() for synonym in synonyms}
    for word in split_words(text):
        word = meaning.get(word, word)
        if word in COLOURS:
            low, high = COLOURS[word][0][0]
        elif word in FINISH_COLOUR:
            low, high = FINISH_HSV[word][0]
        else:
            continue
        if high - low < 180:
            return (low + high) / 2 % 360.0
    return None


def hsv(rgb: Float[ndarray, "*pixels 3"]) -> Float[ndarray, "*pixels 3"]:
    """Hue in degrees, in [0, 360), saturation and value in [0, 1]; the hue of a gray is 0."""
    rgb = np.asarray(rgb, dtype=float)
    value, smallest = rgb.max(-1), rgb.min(-1)
    span = value - smallest
    red, green, blue = np.moveaxis(rgb, -1, 0)
    safe = np.where(span > 0, span, 1.0)
    sixths = np.select(
        [value == red, value == green], [(green - blue) / safe, 2 + (blue - red) / safe], 4 + (red - green) / safe
    )
    hue = np.where(span > 0, 60.0 * sixths % 360.0, 0.0)
    saturation = np.where(value > 0, span / np.where(value > 0, value, 1.0), 0.0)
    return np.stack([hue, saturation, value], -1)


def hue_fraction(
    rgb: Float[ndarray, "views height width 3"], mask: Bool[ndarray, "views height width"], hue: float | None
) -> float | None:
    """Share of the mask's pixels (all views together) that wear a hue.

    Args:
        rgb: pictures.
        mask: the object's pixels.
        hue: in degrees; None for a target that names no hue.

    Returns:
        In [0, 1]; None where there is no hue to look for or no pixel to look at.
    """
    if hue is None or not mask.any():
        return None
    h, s, v = np.moveaxis(hsv(rgb[mask]), -1, 0)
    away = np.abs((h - hue + 180.0) % 360.0 - 180.0)
    return float(((away <= HUE_TOLERANCE) & (s >= LEAST_SATURATION) & (v >= LEAST_VALUE)).mean())


def grow(mask: Bool[ndarray, "views height width"], pixels: int) -> Bool[ndarray, "views height width"]:
    """Each view's mask with every pixel that lies at most `pixels` away (the larger of the two axes' distances)."""
    return np.asarray(ndimage.maximum_filter(mask, size=(1, 2 * pixels + 1, 2 * pixels + 1), mode="constant"))


def psnr(a: ndarray, b: ndarray) -> float:
    """Peak signal-to-noise ratio in dB of values in [0, 1], at most `HIGHEST_PSNR`; NaN without any value."""
    if a.size == 0:
        return math.nan
    error = float(np.mean((np.asarray(a, dtype=float) - np.asarray(b, dtype=float)) ** 2))
    return HIGHEST_PSNR if error <= 10 ** (-HIGHEST_PSNR / 10) else -10.0 * math.log10(error)


def mean_psnr(a: Float[ndarray, "views height width 3"], b: Float[ndarray, "views height width 3"]) -> float:
    """Mean of the views' PSNR, as nerfstudio's ns-eval states it."""
    return float(np.mean([psnr(one, two) for one, two in zip(a, b)]))


def psnr_outside(
    edited: Float[ndarray, "views height width 3"],
    original: Float[ndarray, "views height width 3"],
    mask: Bool[ndarray, "views height width"],
    grown: int = 3,
) -> float:
    """PSNR of edited against original renders where the subject is not, over the pixels of all views together.

    Args:
        edited, original: renders of the same views.
        mask: the subject's pixels.
        grown: pixels around the mask that do not count: renders blur an outline.
    """
    outside = ~grow(mask, grown)
    return psnr(edited[outside], original[outside])


def direction_similarity(
    before: Float[ndarray, "views features"],
    after: Float[ndarray, "views features"],
    source: Float[ndarray, " features"],
    target: Float[ndarray, " features"],
) -> float:
    """CLIP direction similarity: mean over views of cos(E(after) - E(before), T(target) - T(source)).

    Args:
        before, after: L2-normalised image features of the same views.
        source, target: L2-normalised text features.

    Returns:
        In [-1, 1]; a view that did not change, or two texts that are the same, count as 0.
    """
    change, wanted = after - before, target - source
    lengths = np.linalg.norm(change, axis=-1) * np.linalg.norm(wanted)
    return float(np.mean((change @ wanted) / np.where(lengths > 0, lengths, 1.0)))
