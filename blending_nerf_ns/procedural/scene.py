"""What a scene is: objects made of parts, standing on a plane, under one light. World z points up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from blending_nerf_ns.procedural import words


def _identity() -> ndarray:
    return np.eye(3)


@dataclass(frozen=True)
class Part:
    """One primitive: a unit shape, scaled by `size`, rotated, moved to `centre`.

    Unit shapes: ball of radius 1; cube [-1, 1]^3; cylinder of radius 1 and cone of base radius 1 with z in [-1, 1]
    (apex up); donut around z with outer radius 1 and the given tube radius.
    """

    kind: str
    """One of words.PRIMITIVES."""
    centre: Float[ndarray, "3"]
    size: Float[ndarray, "3"]
    rotation: Float[ndarray, "3 3"] = field(default_factory=_identity)
    """Columns are the part's axes in world coordinates."""
    role: int = 0
    """Which of the object's colours it wears: 0 is the main one, the others are accents."""
    tube: float = 0.3
    """Donut only: radius of the tube over the outer radius."""

    @property
    def radius(self) -> float:
        """Radius of a ball around `centre` that holds the part."""
        s = self.size
        return float(
            {"ball": max(s), "donut": max(s), "cube": np.linalg.norm(s)}.get(self.kind, np.hypot(max(s[0], s[1]), s[2]))
        )


@dataclass(frozen=True)
class Thing:
    """One object of the scene, as captions speak of it."""

    shape: str
    """One of words.SHAPE_NAMES."""
    colour: str
    """One of words.COLOUR_NAMES: the name of the main colour."""
    rgb: Float[ndarray, "roles 3"]
    """Main colour first, then accents, in [0, 1]."""
    parts: Tuple[Part, ...]
    finish: str = "plain"
    on_top_of: int = -1
    """Index of the object it stands on, or -1."""

    def __post_init__(self):
        for value, known in ((self.shape, words.SHAPE_NAMES), (self.finish, words.FINISHES)):
            if value not in known:
                raise ValueError(f"{value!r} is not one of {', '.join(known)}")


@dataclass(frozen=True)
class Surface:
    """A repeating texture, for the ground (by position) or the surroundings (by direction)."""

    texture: UInt8[ndarray, "height width 3"]
    repeats: float = 0.25
    """Ground: texture repeats per unit of length. Surroundings: repeats per half turn."""
    offset: Tuple[float, float] = (0.0, 0.0)
    """Shift of the texture, in repeats."""
    gain: Tuple[float, float, float] = (1.0, 1.0, 1.0)

    @staticmethod
    def flat(rgb) -> "Surface":
        """A surface of one colour, RGB in [0, 1]."""
        return Surface(np.round(255 * np.asarray(rgb, float)).astype(np.uint8).reshape(1, 1, 3))


@dataclass(frozen=True)
class Light:
    """One far light and an even ambient light."""

    direction: Float[ndarray, "3"] = field(default_factory=lambda: np.array([0.4, -0.3, 0.87]))
    """Unit vector towards the light."""
    colour: Tuple[float, float, float] = (0.65, 0.65, 0.65)
    ambient: Tuple[float, float, float] = (0.45, 0.45, 0.45)
    shadow: float = 0.8
    """How much of the direct light a cast shadow takes away, in [0, 1]."""


@dataclass(frozen=True)
class Scene:
    """0 to 4 objects on the ground plane z = 0."""

    things: Tuple[Thing, ...]
    ground: Optional[Surface] = field(default_factory=lambda: Surface.flat((0.6, 0.58, 0.55)))
    """Texture of the ground; None for no ground at all."""
    surroundings: Surface = field(default_factory=lambda: Surface.flat((0.75, 0.8, 0.85)))
    light: Light = field(default_factory=Light)
    ground_radius: float = np.inf
    """The ground ends here, a round table; infinite for a floor."""


def primitive(
    shape: str,
    colour: str,
    rgb,
    centre,
    size,
    rotation: Optional[ndarray] = None,
    finish: str = "plain",
    tube: float = 0.35,
) -> Thing:
    """An object of a single primitive.

    Example:
        >>> ball = primitive("ball", "red", (0.8, 0.1, 0.1), centre=(0, 0, 0.5), size=(0.5, 0.5, 0.5))
    """
    part = Part(
        shape,
        np.asarray(centre, float),
        np.asarray(size, float),
        np.eye(3) if rotation is None else rotation,
        tube=tube,
    )
    return Thing(shape, colour, np.asarray(rgb, float).reshape(1, 3), (part,), finish)


def demo_scene() -> Scene:
    """The scene of the demo capture: a red ball, a red cube, a blue cone and a green donut on a floor."""
    angle = np.deg2rad(25)
    turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return Scene(
        things=(
            primitive("ball", "red", (0.85, 0.10, 0.10), (0.75, 0.65, 0.45), (0.45, 0.45, 0.45)),
            primitive("cube", "red", (0.80, 0.12, 0.10), (-0.75, 0.70, 0.38), (0.38, 0.38, 0.38), turned),
            primitive("cone", "blue", (0.12, 0.25, 0.85), (-0.70, -0.70, 0.50), (0.42, 0.42, 0.50)),
            primitive("donut", "green", (0.12, 0.65, 0.20), (0.75, -0.70, 0.19), (0.50, 0.50, 0.50), tube=0.38),
        )
    )
