"""What is true of a scene that is drawn, and what its colours are called: by the scene itself, for tests."""

from __future__ import annotations

import colorsys

import torch

from blending_nerf_ns.procedural.captions import Facts, Phrase, holds
from blending_nerf_ns.procedural.words import COLOUR_NAMES, COLOURS, FINISHES, SHAPE_NAMES


def facts_of(scenes) -> Facts:
    """Facts of scene.Scene objects, all their objects taken as visible."""
    count = max([len(s.things) for s in scenes] + [1])
    table = torch.full((5, len(scenes), count), -2)
    table[3], table[4] = 0, -1
    for b, scene in enumerate(scenes):
        for k, thing in enumerate(scene.things):
            table[0, b, k] = COLOUR_NAMES.index(thing.colour)
            table[1, b, k] = SHAPE_NAMES.index(thing.shape)
            table[2, b, k] = FINISHES.index(thing.finish)
            table[3, b, k], table[4, b, k] = 1, thing.on_top_of
    return Facts(*table)


def is_true(phrase: Phrase, scene) -> bool:
    """Whether a phrase is true of a scene.Scene, all of its objects taken as visible."""
    return bool(holds(facts_of([scene]), [phrase])[0, 0] == 1)


def colour_name(rgb) -> str:
    """The word whose ranges hold this colour, or "" if it lies in a gap between words.

    Args:
        rgb: three numbers in [0, 1].
    """
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(x) for x in rgb))
    tolerance = 1e-6
    for name, alternatives in COLOURS.items():
        for (h0, h1), (s0, s1), (v0, v1) in alternatives:
            in_hue = any(h0 - tolerance <= hue * 360 + turn <= h1 + tolerance for turn in (-360, 0, 360))
            in_saturation = s0 - tolerance <= saturation <= s1 + tolerance
            if in_hue and in_saturation and v0 - tolerance <= value <= v1 + tolerance:
                return name
    return ""
