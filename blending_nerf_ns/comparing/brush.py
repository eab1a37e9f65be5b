"""How right edits are painted (`retouching`): what was chosen by eye, in one place, for results must know it."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Brush(NamedTuple):
    """Numbers of a painted edit; a result that was made with others is refused (`results.settings`)."""

    shades: int = 3
    """Of a colour's word, of which the brightest is taken: others are hardly it in the shade of a solid."""
    brightest: float = 0.98
    """Share of a recoloured object's pixels that must not be cut off at 1, or they change their hue."""
    on_top: Tuple[float, float] = (0.25, 0.45)
    """Radius of what is put on top, over the object's height: from, to."""
    in_place: Tuple[float, float] = (0.7, 1.0)
    """Width of what takes an object's place, over that of a cube of its box's volume: from, to."""
    most_views: float = 0.7
    """Share of the views in which a solid must lie in the room that the edit has, or it is drawn smaller."""
    smaller: float = 0.85
    """By this factor, time and again."""
    smallest: float = 0.3
    """Until it has at most this share of the size that was drawn."""
    trimmed: float = 0.05
    """Share of an object's surface points that may lie beyond its box, on each side: a depth has outliers."""
    highest: float = 0.15
    """Share of an object's height, from its top, above whose middle something is put on top of it."""
    sinks: float = 0.1
    """Share of its radius by which what is put on top sinks in, so that it does not hover."""
    around: Tuple[int, int] = (1, 4)
    """Pixels around what is removed that are painted over, too: an outline is blurred."""
    filled_from: float = 5.0
    """Pixels around a hole from which it is filled."""
    rays: int = 3
    """Of a pixel and axis, for what is put in."""


BRUSH = Brush()
