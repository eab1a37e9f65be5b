"""The figures of the demo's report, as pure functions of arrays. Pictures are RGB in [0, 1], several views stacked."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from blending_nerf_ns.evaluation import preservation
from blending_nerf_ns.evaluation.preservation import psnr
from blending_nerf_ns.procedural.words import COLOURS, FINISH_COLOUR, FINISH_HSV, without_synonyms

HUE_TOLERANCE = 30.0
"""A pixel has a colour's hue within this many degrees of it."""
LEAST_SATURATION, LEAST_VALUE = 0.25, 0.1
"""Below these a pixel is called gray or black, whatever its hue."""


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
    for word in without_synonyms(text):
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


def mean_psnr(a: Float[ndarray, "views height width 3"], b: Float[ndarray, "views height width 3"]) -> float:
    """Mean of the views' PSNR, as nerfstudio's ns-eval states it."""
    return float(np.mean([psnr(torch.from_numpy(one)[None], torch.from_numpy(two)[None]) for one, two in zip(a, b)]))


def psnr_outside(
    edited: Float[ndarray, "views height width 3"],
    original: Float[ndarray, "views height width 3"],
    mask: Bool[ndarray, "views height width"],
    grown: int = 3,
) -> float:
    """`evaluation.preservation.psnr_outside` of arrays, the subject's outline left out: renders blur it.

    Args:
        edited, original: renders of the same views.
        mask: the subject's pixels.
        grown: pixels around the mask that do not count.
    """
    pictures = torch.from_numpy(original), torch.from_numpy(edited)
    return preservation.psnr_outside(*pictures, torch.from_numpy(mask), dilation=grown)
