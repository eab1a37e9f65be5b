"""Pictures retouched by hand, as far as a program can: what an edit should look like where the scene cannot be drawn anew (ours).

Only a mask and a depth are asked for. Nothing outside the mask and the solid that is put in is touched, and nothing throws a shadow.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.comparing.wishes import Wish
from blending_nerf_ns.evaluation.masks import grow
from blending_nerf_ns.procedural.render import Shader
from blending_nerf_ns.procedural.scene import Scene, Thing, primitive
from blending_nerf_ns.procedural.trace import FIRST_PART, camera_rays, trace
from blending_nerf_ns.procedural.words import sample_rgb
from blending_nerf_ns.rendering.shading import luminance

TRIMMED = 0.02
"""Share of an object's surface points that may lie beyond its box, on each side: a depth has outliers."""
ON_TOP = (0.25, 0.45)
"""Radius of what is put on top, over the object's height: from, to."""
IN_PLACE = (0.7, 1.0)
"""Width of what takes an object's place, over that of a cube of its box's volume: from, to."""
SHADES = 3
"""Drawn, to choose the brightest."""
HIGHEST = 0.15
"""Share of an object's height, from its top, above whose middle something is put on top of it."""
SINKS = 0.1
"""Share of its radius by which what is put on top sinks in, so that it does not hover."""
FILLED_FROM = 5.0
"""Pixels around a hole from which it is filled (Telea's method)."""
RAYS = 3
"""Of a pixel and axis, for what is put in."""


class Shown(NamedTuple):
    """Views of a scene, and where its subject is."""

    cameras: Cameras
    pictures: Float[Tensor, "views height width 3"]
    depth: Float[Tensor, "views height width"]
    """Along the ray, in scene units; infinite where nothing is."""
    mask: Bool[Tensor, "views height width"]
    points: Float[Tensor, "points 3"]
    """Of the subject's surface, z up."""


def retouched(shown: Shown, wish: Wish, seed: int) -> Float[Tensor, "views height width 3"]:
    """The pictures with an edit made.

    Args:
        shown: the scene as it is.
        wish: what is painted.
        seed: chooses among the shades that the colour's word means, among sizes, and how far around the mask what is removed
            is painted over (1 to 4 pixels).
    """
    rng = np.random.default_rng(seed)
    rgb = bright_shade(wish.colour, rng) if wish.colour else np.zeros(3)
    pictures, points = shown.pictures, shown.points.numpy()
    if wish.kind == "recolour":
        return recolored(pictures, shown.mask, torch.tensor(rgb, dtype=torch.float32))
    if wish.kind == "add":
        return put_in(pictures, shown.depth, shown.cameras, on_top(points, wish, rgb, float(rng.uniform(*ON_TOP))))
    gone = cut_out(pictures, shown.mask, 1 + int(rng.integers(4)))
    if wish.kind == "remove":
        return gone
    free = torch.full_like(shown.depth, torch.inf)  # what stands before the object is not known
    return put_in(gone, free, shown.cameras, in_place(points, wish, rgb, float(rng.uniform(*IN_PLACE))))


def bright_shade(colour: str, rng: np.random.Generator) -> Float[ndarray, "3"]:
    """A shade that a colour's word means, in [0, 1]: the brightest of some, for the others are hardly it in the shade of a solid."""
    return max((sample_rgb(colour, rng) for _ in range(SHADES)), key=max)


def recolored(
    pictures: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    rgb: Float[Tensor, "3"],
) -> Float[Tensor, "views height width 3"]:
    """Pictures whose masked pixels have another colour and their light and shade: the colour is that of their mean luminance.

    Example:
        >>> gray = torch.tensor([0.2, 0.4]).view(1, 1, 2, 1).expand(1, 1, 2, 3)
        >>> red = recolored(gray, torch.ones(1, 1, 2, dtype=torch.bool), torch.tensor([0.6, 0.0, 0.0]))
        >>> [round(value, 2) for value in red[0, 0, :, 0].tolist()]
        [0.4, 0.8]
    """
    bright = luminance(pictures)[..., None]
    shade = bright / bright[mask].mean().clamp_min(1e-6)
    inside = functional.avg_pool2d(mask[:, None].float(), 3, 1, 1, count_include_pad=False)[:, 0, ..., None]
    return (1.0 - inside) * pictures + inside * (shade * rgb).clamp(0.0, 1.0)


def cut_out(
    pictures: Float[Tensor, "views height width 3"], mask: Bool[Tensor, "views height width"], around: int
) -> Float[Tensor, "views height width 3"]:
    """Pictures whose masked pixels are filled from what is around them (Telea 2004, of OpenCV).

    Args:
        pictures: in [0, 1].
        mask: what is removed.
        around: pixels around it that are filled, too: an outline is blurred.
    """
    filled = []
    for picture, hole in zip(pictures, grow(mask, around), strict=True):
        levels = (255.0 * picture).round().to(torch.uint8).numpy()
        whole = cv2.inpaint(levels, hole.to(torch.uint8).numpy(), FILLED_FROM, cv2.INPAINT_TELEA)
        filled.append(torch.where(hole[..., None], torch.from_numpy(whole).float() / 255.0, picture))
    return torch.stack(filled)


def put_in(
    pictures: Float[Tensor, "views height width 3"],
    depth: Float[Tensor, "views height width"],
    cameras: Cameras,
    thing: Thing,
) -> Float[Tensor, "views height width 3"]:
    """Pictures with a solid drawn into them, hidden by what lies before it.

    Args:
        pictures: in [0, 1].
        depth: of what they show, along the ray, in scene units.
        cameras: of the pictures, without distortion.
        thing: in the cameras' coordinates.
    """
    alone = Scene((thing,), ground=None)
    drawn = []
    for picture, far, i in zip(pictures, depth, range(len(cameras)), strict=True):
        camera = cameras[i]
        fx, fy, cx, cy = (RAYS * float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
        height, width = picture.shape[:2]
        origin, directions = camera_rays(camera.camera_to_worlds.numpy(), fx, fy, cx, cy, RAYS * width, RAYS * height)
        seen = trace(alone, origin, directions)
        behind = far.repeat_interleave(RAYS, 0).repeat_interleave(RAYS, 1)
        hit = (seen.surface >= FIRST_PART) & ((seen.position - origin).norm(dim=-1) < behind)
        colour = hit[..., None] * Shader(alone).shade(seen, origin)
        share, rgb = (x.view(height, RAYS, width, RAYS, -1).mean((1, 3)) for x in (hit.float(), colour))
        drawn.append((1.0 - share) * picture + rgb)
    return torch.stack(drawn)


def box_of(points: Float[ndarray, "points 3"]) -> tuple[ndarray, ndarray]:
    low, high = np.quantile(points, [TRIMMED, 1.0 - TRIMMED], axis=0)
    return low, high


def on_top(points: Float[ndarray, "points 3"], wish: Wish, rgb: ndarray, size: float) -> Thing:
    """A solid above the middle of the object's highest part, on the highest points under it: a ball lies between two ears."""
    low, high = box_of(points)
    radius = size * (high[2] - low[2])
    middle = points[points[:, 2] >= high[2] - HIGHEST * (high[2] - low[2])].mean(axis=0)
    under = points[np.linalg.norm(points[:, :2] - middle[:2], axis=1) < radius]
    top = np.quantile(under[:, 2], 1.0 - TRIMMED) if len(under) else high[2]
    return primitive(wish.shape, wish.colour, rgb, (*middle[:2], top + (1.0 - SINKS) * radius), (radius,) * 3)


def in_place(points: Float[ndarray, "points 3"], wish: Wish, rgb: ndarray, size: float) -> Thing:
    """A solid that stands where the object stood."""
    low, high = box_of(points)
    radius = size * float(np.prod(high - low)) ** (1.0 / 3.0) / 2.0
    middle = (low + high) / 2
    return primitive(wish.shape, wish.colour, rgb, (*middle[:2], low[2] + radius), (radius,) * 3)
