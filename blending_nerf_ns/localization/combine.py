"""Regions from several sources: "text & box - sphere", read from left to right (ours)."""

from __future__ import annotations

import re
from typing import Callable, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.edits.shape import BARRED, FREE, SEEN, Spacing
from blending_nerf_ns.errors import BlendingNerfError

SOURCES = ("text", "masks", "box", "sphere")
OPERATORS = {"|": "union", "&": "intersection", "-": "subtraction"}


Place = Callable[[Float[Tensor, "*points 3"]], Bool[Tensor, "*points"]]
"""Which points of the scene, uncontracted, lie in it."""


class Operand(NamedTuple):
    """One source on a grid."""

    probability: Float[Tensor, "z y x"]
    """Of being what is meant, in [0, 1]."""
    state: UInt8[Tensor, "z y x"] | None
    """HIDDEN, FREE or SEEN where views say what is there; None of a solid, which knows nothing of surfaces."""
    claimed: Bool[Tensor, "z y x"]
    """What belongs to it whether views saw something there or not: the inside of a solid."""
    body: Bool[Tensor, "z y x"]
    """All of it, hidden inside included: what is barred where it is taken away."""


def parse_sources(text: str) -> List[Tuple[str, str]]:
    """Names with the operators before them; the first one's is "|".

    Example:
        >>> parse_sources("text & box - sphere")
        [('|', 'text'), ('&', 'box'), ('-', 'sphere')]

    Raises:
        BlendingNerfError: a name or an operator that there is not.
    """
    words = re.findall(r"[A-Za-z_]+|\S", text)
    operators, names = ["|", *words[1::2]], words[::2]
    fine = len(words) % 2 == 1 and all(n in SOURCES for n in names) and all(o in OPERATORS for o in operators)
    if not fine or len(set(names)) < len(names):
        raise BlendingNerfError(
            f"the region's source {text!r} is not understood: name one or several of {', '.join(SOURCES)}, each once, "
            'with | (either), & (both) or - (but not) between them, read from left to right: "text & box"; or file alone'
        )
    return list(zip(operators, names))


def combine(
    steps: List[Tuple[str, str]], operands: Mapping[str, Operand], spacing: Spacing = (1.0, 1.0, 1.0)
) -> Tuple[Float[Tensor, "z y x"], UInt8[Tensor, "z y x"]]:
    """Apply the operators on one grid: | the larger probability, & the smaller, - the smaller with what is not the other.

    Args:
        steps: from `parse_sources`.
        operands: by name, on the same grid.
        spacing: size of a voxel along z, y and x.

    Returns:
        probabilities, and states throughout: what views say, SEEN where a solid claims a place, FREE where nobody knows,
        BARRED outside the solids that it must lie in, inside of what is taken away, and in
        what one of two objects that views see must share with the other and does not.
    """
    probability, state, claimed, body = operands[steps[0][1]]
    # outside of what it must lie in; and what was ruled out by name, which stays out around whatever comes later
    outside, ruled_out = torch.zeros_like(claimed), torch.zeros_like(claimed)
    for operator, name in steps[1:]:
        other = operands[name]
        if operator == "|":
            probability = torch.maximum(probability, other.probability)
            claimed = claimed | other.claimed
            if bool(outside.any()):  # what comes anew has room around it
                outside = outside & ~other.body & ~_nearer(other.body, body, spacing)
            ruled_out = ruled_out & ~other.body
            body = body | other.body
        elif operator == "&":
            probability = torch.minimum(probability, other.probability)
            for solid in (claimed if state is None else None, other.claimed if other.state is None else None):
                outside = outside if solid is None else outside | ~solid
            if state is not None and other.state is not None:  # or it is taken back with what it touches (`made_whole`)
                ruled_out = ruled_out | (body ^ other.body)
            claimed, body = claimed & other.claimed, body & other.body
        else:
            probability = torch.minimum(probability, 1.0 - other.probability)
            claimed, body = claimed & ~other.body, body & ~other.body
            ruled_out = ruled_out | other.body
        if state is None or other.state is None:
            state = other.state if state is None else state
        else:
            state = torch.maximum(state, other.state)  # HIDDEN < FREE < SEEN
    if state is None:
        state = torch.full_like(claimed, FREE, dtype=torch.uint8)
    barred = outside | ruled_out
    state = state.masked_fill(claimed, SEEN).masked_fill(barred, BARRED)
    return probability.masked_fill(barred, 0.0), state


def place_of(steps: List[Tuple[str, str]], name: str, solids: Mapping[str, Place]) -> Optional[Place]:
    """Where what a source says can matter, as far as solids tell: of "text & box - sphere" the text in the box and out of the sphere.

    Args:
        steps: from `parse_sources`.
        name: of the source.
        solids: those among the sources that are solids, or of which one knows where they lie.

    Returns:
        None where that is everywhere.

    Example:
        >>> place = place_of(parse_sources("text - sphere"), "text", {"sphere": lambda points: points.norm(dim=-1) <= 1})
        >>> place(torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, 2.0]])).tolist()
        [False, True]
    """
    at = [source for _, source in steps].index(name)
    after = [step for step in steps[at + 1 :] if step[0] != "|" and step[1] in solids]
    before = _limits(steps[:at], solids) if steps[at][0] != "|" else []
    if not before and not after:
        return None

    def place(points: Tensor) -> Tensor:
        inside = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
        for operator, source in [*before, *after]:
            other = solids[source](points)
            # the first of what lies before is not joined with everything, but taken
            joined = operator == "|" and (operator, source) != before[0]
            inside = inside | other if joined else inside & (~other if operator == "-" else other)
        return inside

    return place


def _limits(steps: List[Tuple[str, str]], solids: Mapping[str, Place]) -> List[Tuple[str, str]]:
    """Those of the steps by which solids limit where the result of all can lie. Where another source lies is not known: what it is joined
    to may reach everywhere from then on, and what it cuts off may be any part.
    """
    limits: List[Tuple[str, str]] = []
    everywhere = False
    for operator, source in steps:
        if source not in solids:
            limits, everywhere = ([], True) if operator == "|" else (limits, everywhere)
        elif operator == "|":
            limits = limits if everywhere else [*limits, (operator, source)]
        else:
            limits, everywhere = [*limits, (operator, source)], False
    return limits


def _nearer(one: Bool[Tensor, "z y x"], other: Bool[Tensor, "z y x"], spacing: Spacing) -> Bool[Tensor, "z y x"]:
    """Which voxels lie nearer to one body than to another; none to a body of no voxels."""
    if not bool(one.any()) or not bool(other.any()):
        return torch.full_like(one, bool(one.any()))
    away = [np.asarray(ndimage.distance_transform_edt(~body.cpu().numpy(), spacing)) for body in (one, other)]
    return torch.from_numpy(away[0] < away[1]).to(one.device)


def combine_bounds(steps: List[Tuple[str, str]], boxes: Mapping[str, Box]) -> Box:
    """The box in which the combination lies.

    Raises:
        BlendingNerfError: an intersection of sources that do not meet.
    """
    lower, upper = boxes[steps[0][1]]
    for operator, name in steps[1:]:
        low, high = (corner.to(lower) for corner in boxes[name])
        if operator == "|":
            lower, upper = torch.minimum(lower, low), torch.maximum(upper, high)
        elif operator == "&":
            lower, upper = torch.maximum(lower, low), torch.minimum(upper, high)
            if not bool((upper > lower).all()):
                raise BlendingNerfError(
                    f"the region is empty: {name} (from {low.tolist()} to {high.tolist()}) does not meet what comes "
                    "before it in --pipeline.region.source"
                )
    return lower, upper
