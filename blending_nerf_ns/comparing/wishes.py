"""What an edit asks to see, read from its words: so much that a picture can be painted of it (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Optional

from blending_nerf_ns.procedural.words import COLOUR_NAMES, PRIMITIVES, without_synonyms


class Wish(NamedTuple):
    """Of the words that the small language of the drawn scenes has (`procedural.words`)."""

    kind: Literal["recolour", "add", "remove", "replace"]
    colour: str = ""
    """One of COLOUR_NAMES; empty where nothing is left."""
    shape: str = ""
    """One of PRIMITIVES, of what is put on top or in the object's place."""


def wish_of(source: str, target: str, operations: Sequence[str], room: str) -> Optional[Wish]:
    """What an edit asks for; None where its words do not say what to paint.

    Args:
        source, target: its texts. The first colour and the first shape of the target count.
        operations: what it may do: recolour alone, add alone, remove alone, or something else in the object's place.
        room: what it was asked to use: what is added must be asked for "above", for nothing else says where it stands.

    Example:
        >>> wish_of("a toy", "a violet toy", ["change"], "none")
        Wish(kind='recolour', colour='purple', shape='')
        >>> wish_of("a toy", "a red sphere on top of a toy", ["add"], "above")
        Wish(kind='add', colour='red', shape='ball')
        >>> wish_of("a toy", "a wooden chair", ["add", "remove", "change"], "around") is None
        True
    """
    allowed = set(operations)
    if allowed == {"remove"}:
        return Wish("remove")
    words, there = without_synonyms(target), without_synonyms(source)
    colour = next((word for word in words if word in COLOUR_NAMES), "")
    shape = next((word for word in words if word in PRIMITIVES), "")
    if colour and allowed == {"change"}:
        return Wish("recolour", colour)
    if colour and shape and allowed == {"add"} and room == "above":
        return Wish("add", colour, shape)
    if colour and shape and shape not in there and allowed >= {"add", "remove"}:
        return Wish("replace", colour, shape)
    return None
