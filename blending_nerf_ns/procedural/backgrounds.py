"""Random textures for grounds and surroundings: noise, granite, stripes, checks, cells, planks, and cluttered rooms.

They need not be pretty. They must be VARIED: a model reads colours in photographs only as far as the backgrounds it was
trained on wander. No clutter here is round and shaded, so that nothing looks like one of the named objects.
"""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy import ndimage

from blending_nerf_ns.procedural import words

Picture = Float[ndarray, "size size 3"]


def random_colour(rng: np.random.Generator) -> Float[ndarray, "3"]:
    """A muted room colour half of the time, else any named colour or any RGB at all."""
    kind = rng.random()
    if kind < 0.5:  # walls, wood, cloth: low saturation, warm or cool
        tint = rng.uniform(-1, 1, 3) * rng.choice([0.03, 0.08, 0.15])
        return np.clip(rng.uniform(0.1, 0.95) + tint, 0, 1)
    if kind < 0.8:
        return words.sample_rgb(str(rng.choice(words.COLOUR_NAMES)), rng)
    return rng.uniform(0, 1, 3)


def noise(size: int, rng: np.random.Generator, octaves: int = 4, roughness: float = 0.6) -> Float[ndarray, "size size"]:
    """Repeating value noise in [0, 1]: random grids of doubling resolution, added up."""
    total = np.zeros((size, size))
    first = int(rng.integers(1, 4))
    for octave in range(first, first + octaves):
        cells = min(2**octave, size)
        grid = rng.random((cells, cells))
        index = np.arange(size) * cells / size
        low = index.astype(int)
        w = index - low
        w = w * w * (3 - 2 * w)
        high = (low + 1) % cells
        rows = grid[low] * (1 - w)[:, None] + grid[high] * w[:, None]
        total += (rows[:, low] * (1 - w) + rows[:, high] * w) * roughness**octave
    total -= total.min()
    return total / max(total.max(), 1e-9)


def _mix(mask: ndarray, a: ndarray, b: ndarray) -> Picture:
    return a + (b - a) * mask[..., None]


def plain(size: int, rng: np.random.Generator) -> Picture:
    """One colour, a little uneven."""
    return random_colour(rng) * (1 + rng.uniform(0, 0.3) * (noise(size, rng)[..., None] - 0.5))


def cloudy(size: int, rng: np.random.Generator) -> Picture:
    """Multi-octave noise between two or three colours."""
    picture = _mix(noise(size, rng, 5, rng.uniform(0.4, 0.9)), random_colour(rng), random_colour(rng))
    return _mix(noise(size, rng) > rng.uniform(0.5, 1), picture, random_colour(rng))


def granite(size: int, rng: np.random.Generator) -> Picture:
    """Speckles of a few tones of one family, as a stone table top."""
    base = random_colour(rng)
    grain = rng.random((size, size, 1)) - 0.5
    blurred = ndimage.gaussian_filter(grain, (s := rng.uniform(0.3, 1.5), s, 0), mode="wrap")
    picture = base + blurred / max(blurred.std(), 1e-6) * rng.uniform(0.03, 0.2)
    for _ in range(int(rng.integers(1, 4))):
        spots = ndimage.gaussian_filter(rng.random((size, size)), rng.uniform(0.5, 1.5), mode="wrap")
        mask = spots > np.quantile(spots, rng.uniform(0.75, 0.97))
        picture = _mix(mask * rng.uniform(0.4, 1), picture, base * rng.uniform(0.1, 0.9) + rng.uniform(0, 0.3))
    return picture


def stripes(size: int, rng: np.random.Generator) -> Picture:
    """Straight or wavy bands of two colours."""
    y, x = np.mgrid[0:size, 0:size] / size
    across, along = (x, y) if rng.random() < 0.5 else (y, x)
    wave = np.sin(2 * np.pi * (across * rng.integers(2, 14) + rng.uniform(0, 0.3) * np.sin(2 * np.pi * along)))
    return _mix(
        np.clip(wave * rng.choice([1, 8]) + rng.uniform(-0.5, 0.5), 0, 1), random_colour(rng), random_colour(rng)
    )


def checks(size: int, rng: np.random.Generator) -> Picture:
    """A chessboard or tiles with joints."""
    count = int(rng.integers(2, 10))
    y, x = np.mgrid[0:size, 0:size] * count / size
    if rng.random() < 0.5:
        mask = (x.astype(int) + y.astype(int)) % 2
    else:
        mask = (np.minimum(x % 1, y % 1) < rng.uniform(0.04, 0.15)).astype(float)
    return _mix(mask, random_colour(rng) * (1 + 0.15 * (noise(size, rng)[..., None] - 0.5)), random_colour(rng))


def cells(size: int, rng: np.random.Generator) -> Picture:
    """Voronoi cells, each of its own colour."""
    count = int(rng.integers(6, 40))
    points, colours = rng.random((count, 2)) * size, np.stack([random_colour(rng) for _ in range(count)])
    if rng.random() < 0.5:
        colours = colours.mean(0) + (colours - colours.mean(0)) * rng.uniform(0.1, 0.5)
    y, x = np.mgrid[0:size, 0:size]
    owner = ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(-1)
    return colours[owner]


def planks(size: int, rng: np.random.Generator) -> Picture:
    """Boards with grain along them."""
    base, count = random_colour(rng), int(rng.integers(3, 10))
    grain = ndimage.gaussian_filter(rng.random((size, size)), (0.6, rng.uniform(4, 12)), mode="wrap")
    grain = (grain - grain.mean()) / max(grain.std(), 1e-6) * rng.uniform(0.02, 0.08)
    row = np.arange(size) * count / size
    tone = rng.uniform(0.75, 1.2, count)[row.astype(int) % count] * np.where(row % 1 < 0.06, 0.5, 1)
    picture = base * tone[:, None, None] + grain[..., None]
    return picture if rng.random() < 0.5 else picture.transpose(1, 0, 2)


def gradient(size: int, rng: np.random.Generator) -> Picture:
    """A smooth ramp from one colour to another and back, so that it repeats."""
    ramp = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    picture = _mix(np.broadcast_to(ramp[:, None], (size, size)), random_colour(rng), random_colour(rng))
    return picture + rng.uniform(0, 0.08) * (rng.random((size, size, 1)) - 0.5)


TEXTURES: Tuple[Callable[[int, np.random.Generator], Picture], ...] = (
    plain, plain, cloudy, cloudy, granite, granite, stripes, checks, cells, planks, gradient,
)  # fmt: skip


def clutter(picture: Picture, count: int, rng: np.random.Generator) -> Picture:
    """Paste polygons and upright boxes of random textures into a picture, farther ones first."""
    size = len(picture)
    y, x = np.mgrid[0:size, 0:size] / size
    picture = picture.copy()
    for _ in range(count):
        texture = TEXTURES[rng.integers(len(TEXTURES))](size, rng)
        cy, cx = rng.random(2)
        h, w = rng.uniform(0.02, 0.35, 2) * rng.choice([0.5, 1, 1.6])
        kind = rng.random()
        if kind < 0.5:  # furniture-like box, its side darker
            mask = (abs(y - cy) < h) & (abs(x - cx) < w)
            texture = texture * np.where(x < cx - w + 2 * w * rng.random(), 1.0, rng.uniform(0.5, 1))[..., None]
        elif kind < 0.6:  # thin leg or rail
            mask = abs((x - cx) * rng.uniform(0.5, 1) + (y - cy) * rng.uniform(-0.5, 0.5)) < rng.uniform(0.005, 0.02)
        else:  # convex polygon: a few half planes
            mask = np.ones((size, size), bool)
            turn = rng.uniform(0, 2 * np.pi)
            for k in range(int(rng.integers(3, 6))):
                angle = turn + 2 * np.pi * k / 4 + rng.uniform(-0.4, 0.4)
                mask &= (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle) < (h + w) / 2
        if rng.random() < 0.3:
            texture = texture * (1 - rng.uniform(0, 0.6) * np.clip((y - cy + h) / max(2 * h, 1e-3), 0, 1)[..., None])
        picture[mask] = texture[mask]
    return picture


def ground_texture(size: int, rng: np.random.Generator) -> UInt8[ndarray, "size size 3"]:
    """A repeating texture for a floor or table top."""
    picture = TEXTURES[rng.integers(len(TEXTURES))](size, rng)
    if rng.random() < 0.08:
        picture = clutter(picture, int(rng.integers(1, 5)), rng)
    return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def room_texture(size: int, rng: np.random.Generator) -> UInt8[ndarray, "size size 3"]:
    """What is seen beyond the table: a wall or sky, often cluttered, sometimes out of focus."""
    picture = TEXTURES[rng.integers(len(TEXTURES))](size, rng)
    if rng.random() < 0.75:
        picture = clutter(picture, int(rng.integers(2, 14)), rng)
    if rng.random() < 0.4:
        sigma = rng.uniform(0.5, 3)
        picture = ndimage.gaussian_filter(picture, (sigma, sigma, 0), mode="wrap")
    return np.round(255 * np.clip(picture * rng.uniform(0.6, 1.1), 0, 1)).astype(np.uint8)


def texture_bank(count: int, size: int, seed: int) -> UInt8[ndarray, "count size size 3"]:
    """`count` textures, rooms at even and grounds at odd indices."""
    rng = np.random.default_rng(seed)
    return np.stack([(room_texture, ground_texture)[i % 2](size, rng) for i in range(count)])
