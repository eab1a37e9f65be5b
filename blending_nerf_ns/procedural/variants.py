"""Three states of one random scene, from one camera: whole, without one of its objects, and with another in that one's place."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

import numpy as np
from numpy import ndarray

from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.sampling import (
    figure_parts,
    place,
    primitive_part,
    random_camera,
    random_colours,
    random_scene,
    spin,
)
from blending_nerf_ns.procedural.scene import Part, Scene, Thing
from blending_nerf_ns.procedural.stock import Shot

WHOLE, WITHOUT, OTHER = range(3)
"""The states: what an edit finds, what a removal leaves (or an addition finds), what a replacement makes of it."""
STATES = 3
DRAFT = ", many of them stacked"
"""What a stock of these says of itself: the same seed drew others before (2026-11-30)."""
STACKED = 0.6
"""Share of the scenes of two objects or more whose last one is put on another that bears it: what is added often is."""
SMALLEST, LARGEST = 0.45, 1.0
"""How large it is there, over what it was."""
BEARING = ("cube", "cylinder", "ball")
"""What the highest part of an object is that bears another; on a cone's tip, or in a ring, nothing stands."""


def variant_shot(seed: int, index: int) -> Shot:
    """Picture `index` of a stock of states: those of scene i are 3 i to 3 i + 2, in the order above."""
    rng = np.random.default_rng((seed, index // STATES))
    scene = _with_subject_last(random_scene(rng, int(rng.choice((1, 2, 3), p=(0.34, 0.46, 0.2)))), rng)
    if rng.random() < STACKED:
        scene = _subject_on_another(scene, rng)
    pose, focal = random_camera(scene, rng)
    return Shot(states_of(scene, rng)[index % STATES], pose, focal)


def states_of(scene: Scene, rng: np.random.Generator) -> Tuple[Scene, Scene, Scene]:
    """The scene as it is, without its last object, and with an object of another shape in the last one's place.

    Args:
        scene: of one object or more; none stands on the last.
        rng: draws the other object.
    """
    *others, subject = scene.things
    without = replace(scene, things=tuple(others))
    return scene, without, replace(scene, things=(*others, _another(subject, others, rng)))


def _with_subject_last(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene, its objects counted anew so that one which carries nothing is the last: one that stands on another if any does."""
    carrying = {thing.on_top_of for thing in scene.things}
    free = [k for k in range(len(scene.things)) if k not in carrying]
    upper = [k for k in free if scene.things[k].on_top_of >= 0]
    subject = int(rng.choice(upper or free))
    order = [k for k in range(len(scene.things)) if k != subject] + [subject]
    moved = [scene.things[k] for k in order]
    things = [replace(t, on_top_of=order.index(t.on_top_of) if t.on_top_of >= 0 else -1) for t in moved]
    return replace(scene, things=tuple(things))


def _subject_on_another(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene, its last object moved onto the highest point of one of the others, as it is where none bears it."""
    *others, subject = scene.things
    highest = [max(thing.parts, key=_top_of_part) for thing in others]
    bearing = [k for k, part in enumerate(highest) if part.kind in BEARING and others[k].on_top_of < 0]
    if not bearing or subject.on_top_of >= 0:
        return scene
    lower = int(rng.choice(bearing))
    scale = float(rng.uniform(SMALLEST, LARGEST))
    start = np.array([*_footprint(subject)[0], min(_top_of_part(part, -1.0) for part in subject.parts)])
    spot = _highest_point(highest[lower])
    parts = [replace(p, centre=(p.centre - start) * scale + spot, size=p.size * scale) for p in subject.parts]
    return replace(scene, things=(*others, replace(subject, parts=tuple(parts), on_top_of=lower)))


def _another(subject: Thing, others: list[Thing], rng: np.random.Generator) -> Thing:
    """An object of another shape, about as wide (a small one's is wider), that stands where the subject stands."""
    shapes = [name for name in words.SHAPE_NAMES if name != subject.shape]
    shape = str(rng.choice(shapes))
    middle, reach = _footprint(subject)
    radius = float(np.clip(reach * rng.uniform(0.85, 1.1), 0.3, 0.65))
    ground = _top(others[subject.on_top_of]) if subject.on_top_of >= 0 else 0.0
    parts = figure_parts(radius, rng) if shape == words.COMPOSITE else [primitive_part(shape, radius, rng)[0]]
    colour, finish, rgb = random_colours(shape, rng)
    return Thing(shape, colour, rgb, place(parts, np.array([*middle, ground]), spin(rng)), finish, subject.on_top_of)


def _footprint(thing: Thing) -> Tuple[ndarray, float]:
    """Middle [2] of an object seen from above, and how far it reaches from there."""
    centres = np.array([part.centre[:2] for part in thing.parts])
    middle = (centres.min(0) + centres.max(0)) / 2
    reaches = [np.linalg.norm(c - middle) + max(part.size[:2]) for c, part in zip(centres, thing.parts)]
    return middle, float(max(reaches))


def _highest_point(part: Part) -> ndarray:
    """Where something stands on a part [3]: of a leaning ball its tip, of all else above its centre."""
    if part.kind != "ball":
        return np.array([*part.centre[:2], _top_of_part(part)])
    upright = part.rotation[2] * part.size
    return part.centre + part.rotation @ (part.size * upright) / np.linalg.norm(upright)


def _top(thing: Thing) -> float:
    """Height of an object's highest point."""
    return max(_top_of_part(part) for part in thing.parts)


def _top_of_part(part: Part, side: float = 1.0) -> float:
    """Height of a part's highest point, or of its lowest (`side` -1); of a cone that leans, of the cylinder about it."""
    x, y, z = np.abs(part.rotation[2]) * part.size  # how far each half axis reaches up
    reach = {
        "ball": np.linalg.norm((x, y, z)),
        "cube": x + y + z,
        "donut": np.hypot(x, y) * (1 - part.tube) + part.size[0] * part.tube,
    }.get(part.kind, np.hypot(x, y) + z)
    return float(part.centre[2] + side * reach)
