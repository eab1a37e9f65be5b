"""What an edit asks to see, read from its words: so much that a picture can be painted of it (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Optional

from blending_nerf_ns.procedural.words import COLOUR_NAMES, FINISHES, GENERIC, PRIMITIVES, VOCABULARY, without_synonyms

THINGS = (*PRIMITIVES, *GENERIC, "floor", "table", "ground", "room", "background", "surface")
"""Words of what a colour may be said of."""


class Wish(NamedTuple):
    """Of the words that the small language of the drawn scenes has (`procedural.words`)."""

    kind: Literal["recolour", "add", "remove", "replace"]
    colour: str = ""
    """One of COLOUR_NAMES; empty where nothing is left."""
    shape: str = ""
    """One of PRIMITIVES, of what is put on top or in the object's place."""


def wish_of(source: str, target: str, operations: Sequence[str], room: str) -> Optional[Wish]:
    """What an edit asks for; None where its words do not say what to paint, or say more than can be painted.

    Args:
        source, target: its texts. Words count that the target has and the source has not: one colour and one shape at most, and none
            that are unknown or say a finish. A colour is that of the next thing behind it, which may be a table.
        operations: what it may do: recolour alone, add alone, remove alone, or something else in the object's place.
        room: what it was asked to use: what is added wants "above", for nothing else says where it stands, and what takes the object's
            place "around".

    Example:
        >>> wish_of("a toy", "a violet toy", ["change"], "none")
        Wish(kind='recolour', colour='purple', shape='')
        >>> wish_of("a red cube", "a red cube with a green sphere on top", ["add"], "above")
        Wish(kind='add', colour='green', shape='ball')
        >>> wish_of("a toy", "a wooden chair", ["add", "remove", "change"], "around") is None
        True
    """
    allowed = set(operations)
    if allowed == {"remove"}:
        return Wish("remove")
    words, there = without_synonyms(target), set(without_synonyms(source))
    new = [word for word in dict.fromkeys(words) if word not in there]
    colours, shapes, finishes = (
        [word for word in new if word in known] for known in (COLOUR_NAMES, PRIMITIVES, FINISHES)
    )
    if finishes or len(colours) > 1 or len(shapes) > 1 or not set(new) <= set(VOCABULARY):
        return None
    if allowed == {"change"}:
        first = next((word for word in without_synonyms(source) if _is_thing(word)), "")
        other = colours and _thing_behind(words, colours[0]) not in (first, "", *GENERIC)
        return Wish("recolour", colours[0]) if colours and not shapes and not (first and other) else None
    if not shapes:
        return None
    colour = next((word for word in COLOUR_NAMES if _thing_behind(words, word) == shapes[0]), "")
    if allowed == {"add"} and room == "above":
        return Wish("add", colour, shapes[0]) if colour in new else None
    # "a red cube" for "a red ball" has no new colour; in "a red ball and a cube" the ball is still there
    gone = not there & set(words) & set(PRIMITIVES)
    instead = allowed >= {"add", "remove"} and room == "around"
    return Wish("replace", colour, shapes[0]) if instead and gone and colour else None


def _thing_behind(words: Sequence[str], word: str) -> str:
    """What a word is said of: the next thing behind where it stands last; "" where there is none."""
    if word not in words:
        return ""
    behind = words[len(words) - list(reversed(words)).index(word) :]
    return next((one for one in behind if _is_thing(one)), "")


def _is_thing(word: str) -> bool:
    """Whether a colour may be said of it: what is not known may be anything."""
    return word in THINGS or word not in VOCABULARY
