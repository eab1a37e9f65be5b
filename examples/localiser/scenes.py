"""Scenes in which an object has a double in colour and one in shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray

from blending_nerf_ns.demo.capture import orbit_pose, spiral
from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.backgrounds import texture_bank
from blending_nerf_ns.procedural.base import square_photographs
from blending_nerf_ns.procedural.sampling import ACCENTS, place, primitive_part, random_light, spin
from blending_nerf_ns.procedural.scene import Scene, Surface, Thing

SEED = 20_260_000
"""Scenes of the mini models' training have seeds of their own (7 and 991)."""
DISTANCE, FIELD_OF_VIEW = 4.0, 45.0
NEAR_COLOURS = {frozenset(pair) for pair in (("red", "orange"), ("orange", "yellow"), ("orange", "brown"), ("cyan", "green"),
                ("cyan", "blue"), ("blue", "purple"), ("purple", "pink"), ("white", "gray"), ("gray", "black"),
                ("red", "pink"), ("red", "brown"), ("brown", "black"), ("yellow", "green"))}  # fmt: skip
"""Colours that light and exposure can exchange; two of these never tell the object from its double in shape."""


@dataclass(frozen=True)
class Puzzle:
    """A scene and what is looked for in it."""

    scene: Scene
    """Its first object is the one that is meant."""
    colour: str
    shape: str

    @property
    def text(self) -> str:
        """ "a red ball"."""
        return f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.colour} {self.shape}"


def make_puzzle(number: int) -> Puzzle:
    """Scene `number`: the object, one of its colour, one of its shape, and up to two others, on a textured floor."""
    rng = np.random.default_rng((SEED, number))
    shape = words.PRIMITIVES[number % len(words.PRIMITIVES)]
    colour = str(rng.choice(words.COLOUR_NAMES))
    far = [c for c in words.COLOUR_NAMES if c != colour and frozenset((c, colour)) not in NEAR_COLOURS]
    others = [s for s in words.PRIMITIVES if s != shape]
    wanted = [(colour, shape), (colour, str(rng.choice(others))), (str(rng.choice(far)), shape)]
    wanted += [(str(rng.choice(far)), str(rng.choice(others))) for _ in range(int(rng.integers(0, 3)))]
    bank = texture_bank(2, 96, SEED + number)
    scene = Scene(
        tuple(_stand_apart(wanted, rng)),
        ground=Surface(bank[1], repeats=float(rng.uniform(0.2, 0.5))),
        surroundings=Surface(bank[0], repeats=1.0),
        light=random_light(rng),
    )
    return Puzzle(scene, colour, shape)


def _stand_apart(wanted: List[Tuple[str, str]], rng: np.random.Generator) -> List[Thing]:
    turn, radius = rng.uniform(0, 2 * np.pi), 1.05
    things = []
    for k, (colour, shape) in enumerate(wanted):
        angle = turn + 2 * np.pi * (k + rng.uniform(-0.15, 0.15)) / len(wanted)
        part, _ = primitive_part(shape, rng.uniform(0.34, 0.48), rng)
        rgb = np.stack([words.sample_rgb(colour, rng)] * (1 + ACCENTS))
        finish = str(rng.choice(("plain", "plain", "shiny", "matte")))
        spot = np.array([radius * np.cos(angle), radius * np.sin(angle), 0.0])
        things.append(Thing(shape, colour, rgb, place([part], spot, spin(rng)), finish))
    return things


def poses(count: int, start: float = 0.0) -> Float[ndarray, "count 3 4"]:
    """Cameras around the scene, from near the floor to nearly above."""
    return np.stack([orbit_pose(a, e, DISTANCE)[:3] for a, e in spiral(count, 20.0, 65.0, start)])


def photographs(count: int, size: int, start: float = 0.0) -> Cameras:
    """The same as nerfstudio cameras; another `start` (radians) gives others."""
    focal = size / 2 / float(np.tan(np.deg2rad(FIELD_OF_VIEW) / 2))
    return square_photographs(torch.tensor(poses(count, start), dtype=torch.float32), focal, size)
