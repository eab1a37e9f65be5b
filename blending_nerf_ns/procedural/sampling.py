"""Random scenes and cameras."""

from __future__ import annotations

import colorsys
from typing import List, Tuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.render import look_at
from blending_nerf_ns.procedural.scene import Light, Part, Scene, Surface, Thing

ACCENTS = 3
"""Accent colours per object, beside the main one."""


def spin(rng: np.random.Generator, tilt: float = 0.0) -> Float[ndarray, "3 3"]:
    """Rotation by a random angle around z, then tilted by `tilt` radians towards a random side."""
    a, b = rng.uniform(0, 2 * np.pi, 2)

    def around_z(angle: float) -> ndarray:
        return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

    c, s = np.cos(tilt), np.sin(tilt)
    return around_z(b) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ around_z(a)


def primitive_part(shape: str, radius: float, rng: np.random.Generator) -> Tuple[Part, float]:
    """A primitive standing on z = 0 above the origin, about `radius` in half width. Returns it and its top's height."""
    if shape == "ball":
        return Part("ball", np.array([0, 0, radius]), np.full(3, radius)), 2 * radius
    if shape == "cube":
        size = radius * rng.uniform(0.82, 1.0, 3)
        return Part("cube", np.array([0, 0, size[2]]), size, spin(rng)), 2 * size[2]
    if shape == "cone":
        size = np.array([radius, radius, radius * rng.uniform(0.75, 1.5)])
        return Part("cone", np.array([0, 0, size[2]]), size, spin(rng)), 2 * size[2]
    if shape == "cylinder":
        lying = rng.random() < 0.3
        half = rng.uniform(0.7, 1.6) * (0.75 if lying else 1.0)
        wide = min(1.0, 1.2 / half) * 0.8
        size = radius * np.array([wide, wide, half])
        if lying:
            return Part("cylinder", np.array([0, 0, size[0]]), size, spin(rng, np.pi / 2)), 2 * size[0]
        return Part("cylinder", np.array([0, 0, size[2]]), size, spin(rng)), 2 * size[2]
    if shape == "donut":
        tube = rng.uniform(0.24, 0.40)
        tilt = 0.0 if rng.random() < 0.55 else rng.uniform(0.3, np.pi / 2)
        # the lowest point of a tilted torus: the ring's own drop, plus the tube
        low = radius * ((1 - tube) * np.sin(tilt) + tube)
        return Part("donut", np.array([0, 0, low]), np.full(3, radius), spin(rng, tilt), tube=tube), 2 * low
    raise ValueError(f"{shape!r} is not one of {', '.join(words.PRIMITIVES)}")


def figure_parts(radius: float, rng: np.random.Generator) -> List[Part]:
    """A toy figure on z = 0: body, head, ears, limbs, and accents on eyes, belly, nose, ears' insides and back."""
    parts: List[Part] = []
    r = radius

    def blob(x: float, y: float, z: float, sx: float, sy: float, sz: float, role: int = 0, tilt: float = 0.0) -> None:
        c, s = np.cos(tilt), np.sin(tilt)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        parts.append(Part("ball", np.array([x, y, z]) * r, np.array([sx, sy, sz]) * r, turn, role))

    style = rng.random()
    if style < 0.25:  # a shapeless cluster
        for _ in range(int(rng.integers(3, 8))):
            s = rng.uniform(0.25, 0.6, 3)
            p = rng.uniform(-0.5, 0.5, 2)
            blob(p[0], p[1], rng.uniform(s[2], 1.5), *s, role=int(rng.random() < 0.15) * int(rng.integers(1, 4)))
        return parts
    if style < 0.4:  # stacked primitives, a small tower or bottle
        z = 0.0
        for i in range(int(rng.integers(2, 4))):
            shape = str(rng.choice(("cube", "cylinder", "cone", "ball")))
            part, top = primitive_part(shape, rng.uniform(0.35, 0.75) * r, rng)
            role = 0 if i == 0 or rng.random() < 0.6 else 1
            parts.append(Part(part.kind, part.centre + [0, 0, z], part.size, part.rotation, role, part.tube))
            z += top * 0.92
        return parts

    u = rng.uniform
    leg = u(0.05, 0.4)
    body_w, body_h = u(0.35, 0.6), u(0.4, 0.6)
    body_z = leg + body_h
    head = u(0.35, 0.65)
    head_z = body_z + body_h * 0.8 + head * 0.6
    blob(0, 0, body_z, body_w, body_w * u(0.7, 1.0), body_h)
    blob(0, -0.05, head_z, head * u(0.9, 1.3), head, head * u(0.75, 1.0))
    for side in (-1, 1):
        blob(side * body_w * 0.6, -0.1, leg * 0.6, u(0.15, 0.25), u(0.2, 0.32), leg * 0.6 + 0.05)
        blob(
            side * (body_w + 0.12),
            -0.1,
            body_z + 0.1,
            u(0.1, 0.16),
            u(0.1, 0.2),
            u(0.25, 0.4),
            tilt=side * u(-1.4, 0.2),
        )
    if rng.random() < 0.8:
        ear_h, ear_w, spread = u(0.15, 0.6), u(0.1, 0.25), u(0.1, 1.1)
        for side in (-1, 1):
            x, z = (
                side * (head * 0.8 + ear_h * 0.6 * np.sin(spread)),
                head_z + head * 0.55 + ear_h * 0.6 * np.cos(spread),
            )
            blob(x, 0, z, ear_w, 0.1, ear_h, tilt=side * spread)
            if rng.random() < 0.6:
                blob(x, -0.06, z, ear_w * 0.7, 0.08, ear_h * 0.75, role=1, tilt=side * spread)
    if rng.random() < 0.6:
        blob(0, -body_w * 0.45, body_z - 0.05, body_w * 0.65, body_w * 0.5, body_h * 0.75, role=2)
    if rng.random() < 0.4:
        blob(0, body_w * 0.35, body_z + 0.1, body_w * 0.4, body_w * 0.5, body_h * 0.5, role=3)
    if rng.random() < 0.8:
        for side in (-1, 1):
            blob(side * head * 0.42, -head * 0.82, head_z + 0.08, head * 0.24, head * 0.2, head * 0.28, role=2)
            blob(side * head * 0.42, -head * 0.95, head_z + 0.08, head * 0.13, head * 0.13, head * 0.16, role=3)
    if rng.random() < 0.6:
        blob(0, -head * 1.0, head_z - 0.05, head * 0.2, head * 0.18, head * 0.15, role=3)
    return parts


def place(parts: List[Part], shift: ndarray, turn: ndarray) -> Tuple[Part, ...]:
    """The parts turned around the origin, then moved."""
    return tuple(Part(p.kind, turn @ p.centre + shift, p.size, turn @ p.rotation, p.role, p.tube) for p in parts)


def random_colours(shape: str, rng: np.random.Generator) -> Tuple[str, str, ndarray]:
    """(colour, finish, rgb [1 + ACCENTS, 3]) of a new object: usually plain, its accents any other colours."""
    finish = "plain" if rng.random() < 0.6 else str(rng.choice(words.FINISHES))
    if finish in words.FINISH_HSV:
        colour = words.FINISH_COLOUR[finish]
        main = np.array(colorsys.hsv_to_rgb(*words.sample_hsv(words.FINISH_HSV[finish], rng)))
    else:
        colour = str(rng.choice(words.COLOUR_NAMES))
        main = words.sample_rgb(colour, rng)
    accents = [words.sample_rgb(str(rng.choice(words.COLOUR_NAMES)), rng) for _ in range(ACCENTS)]
    if rng.random() < 0.4:
        accents[2] = main * rng.uniform(0.3, 0.8)
    return colour, finish, np.stack([main, *accents])


def random_things(count: int, rng: np.random.Generator) -> Tuple[Thing, ...]:
    """Objects that stand on the ground, or now and then on a cube or cylinder, side by side (corners of two cubes touch at times)."""
    things: List[Thing] = []
    spots: List[Tuple[float, float, float]] = []
    top = 0.0
    for index in range(count):
        shape = words.COMPOSITE if rng.random() < 0.28 else str(rng.choice(words.PRIMITIVES))
        radius = rng.uniform(0.35, 0.6)
        stack = index == 1 and top > 0 and rng.random() < 0.35
        if stack:
            x, y = spots[0][:2]
            base = top
            radius = min(radius, spots[0][2] * 0.9)
        else:
            base = 0.0
            for _ in range(30):
                x, y = rng.uniform(-1.5, 1.5, 2) if count > 1 else (0.0, 0.0)
                if all(np.hypot(x - a, y - b) > (radius + c) * 1.1 for a, b, c in spots):
                    break
            else:
                continue
        if shape == words.COMPOSITE:
            parts, height = figure_parts(radius, rng), 0.0
        else:
            part, height = primitive_part(shape, radius, rng)
            parts = [part]
        colour, finish, rgb = random_colours(shape, rng)
        if index == 0 and shape in ("cube", "cylinder"):
            flat = shape == "cube" or abs(parts[0].rotation[2, 2]) > 0.9
            top = height if flat else 0.0
        turn = spin(rng)
        things.append(Thing(shape, colour, rgb, place(parts, np.array([x, y, base]), turn), finish, 0 if stack else -1))
        spots.append((float(x), float(y), float(radius)))
    return tuple(things)


def random_light(rng: np.random.Generator) -> Light:
    """A light from above, its share and tint random; the sum of both lights stays near 1."""
    height, angle = rng.uniform(0.45, 0.98), rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - height**2)
    direct = rng.uniform(0.2, 0.85)
    tint = 1 + rng.uniform(-0.06, 0.06, 3)
    strength = rng.uniform(0.85, 1.2)
    return Light(
        np.array([flat * np.cos(angle), flat * np.sin(angle), height]),
        tuple(strength * direct * tint),
        tuple(strength * (1.05 - 0.75 * direct) * (1 + rng.uniform(-0.05, 0.05, 3))),
        float(rng.uniform(0.3, 0.9)),
    )


def random_camera(scene: Scene, rng: np.random.Generator) -> Tuple[Float[ndarray, "4 4"], float]:
    """A pose that looks at the objects, and a focal length in units of the image's width."""
    focal = 0.5 / np.tan(np.deg2rad(rng.uniform(28, 65)) / 2)
    centres = np.array([p.centre for t in scene.things for p in t.parts] or [[0, 0, 0.3]])
    if len(scene.things) and rng.random() < 0.3:  # aim at one object rather than at all of them
        centres = np.array([p.centre for p in scene.things[rng.integers(len(scene.things))].parts])
    target = (centres.min(0) + centres.max(0)) / 2
    reach = max(0.45, float(np.linalg.norm(centres.max(0) - centres.min(0))) / 2 + 0.25)
    smallest = 0.2 if len(scene.things) == 1 else 0.42
    share = np.exp(rng.uniform(np.log(smallest), np.log(0.9)))  # of the image's half width
    distance = max(reach * 2 * focal / share, reach * 2.2)
    elevation, angle = np.deg2rad(rng.uniform(4, 58)), rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle) * np.cos(elevation), np.sin(angle) * np.cos(elevation), np.sin(elevation)])
    slack = max(0.0, 1 - share) * distance / (2 * focal) * 0.8
    target = target + rng.uniform(-slack, slack, 3) * [1, 1, 0.6]
    eye = target + way * distance
    eye[2] = max(eye[2], 0.15)
    return look_at(eye, target), float(focal)


def random_scene(rng: np.random.Generator, count: int = -1) -> Scene:
    """A scene of `count` objects (random if negative: mostly one or two), with flat textures."""
    if count < 0:
        count = int(rng.choice(5, p=[0.05, 0.52, 0.26, 0.12, 0.05]))
    radius = np.inf if rng.random() < 0.65 else float(rng.uniform(1.2, 3.5) + 0.8 * (count > 1))
    return Scene(
        random_things(count, rng),
        ground=Surface.flat(rng.random(3)),
        surroundings=Surface.flat(rng.random(3)),
        light=random_light(rng),
        ground_radius=radius,
    )
