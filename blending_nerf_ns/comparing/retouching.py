"""Pictures retouched by hand, as far as a program can: what an edit should look like where the scene cannot be drawn anew (ours).

Only masks and a depth are asked for. Nothing throws a shadow, and outside the masks only a soft outline and a solid's edges change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Tuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.comparing.wishes import Wish
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.masks import Room, grow, with_room
from blending_nerf_ns.procedural.render import Shader
from blending_nerf_ns.procedural.scene import Scene, Thing, primitive
from blending_nerf_ns.procedural.trace import FIRST_PART, trace
from blending_nerf_ns.procedural.words import sample_rgb
from blending_nerf_ns.rendering.shading import luminance


class Brush(NamedTuple):
    """How it is painted; results say so (`results.settings`)."""

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
    """Down to this share of the size that was drawn."""
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
FILLS = (cv2.INPAINT_TELEA, cv2.INPAINT_NS)
"""Ways to fill a hole: Telea's, and by the equations of a fluid (Bertalmio et al. 2001)."""


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
        seed: chooses among the shades that the colour's word means, among sizes, and how what is removed is painted over.

    Raises:
        BlendingNerfError: a solid is to be drawn, and the subject's surface has no extent.
    """
    rng = np.random.default_rng(seed)
    rgb = bright_shade(wish.colour, rng) if wish.colour else np.zeros(3)
    pictures, mask = shown.pictures, shown.mask
    if wish.kind == "recolour":
        return recolored(pictures, mask, torch.tensor(rgb, dtype=torch.float32))
    if wish.kind == "add":
        size, room = float(rng.uniform(*BRUSH.on_top)), room_of(mask, "above")
        ball = fitted(lambda part: on_top(shown.points.numpy(), wish, rgb, part * size), shown.cameras, room)
        return put_in(pictures, shown.depth, shown.cameras, ball)
    low, high = BRUSH.around
    gone = cut_out(pictures, mask, int(rng.integers(low, high + 1)), FILLS[rng.integers(len(FILLS))])
    if wish.kind == "remove":
        return gone
    size, room = float(rng.uniform(*BRUSH.in_place)), room_of(mask, "around")
    solid = fitted(lambda part: in_place(shown.points.numpy(), wish, rgb, part * size), shown.cameras, room)
    free = torch.full_like(shown.depth, torch.inf)  # what stands before the object is not known
    return put_in(gone, free, shown.cameras, solid)


def bright_shade(colour: str, rng: np.random.Generator) -> Float[ndarray, "3"]:
    """A shade that a colour's word means, in [0, 1]: the brightest of some."""
    return max((sample_rgb(colour, rng) for _ in range(BRUSH.shades)), key=max)


def recolored(
    pictures: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    rgb: Float[Tensor, "3"],
) -> Float[Tensor, "views height width 3"]:
    """Pictures whose masked pixels have another colour, and their light and shade.

    Args:
        pictures: in [0, 1].
        mask: of what is recoloured; its outline is softened by a pixel.
        rgb: the colour where the luminance is the mask's mean; darker throughout where its brightest pixels would be cut off at 1.

    Example:
        >>> gray = torch.tensor([0.2, 0.4]).view(1, 1, 2, 1).expand(1, 1, 2, 3)
        >>> red = recolored(gray, torch.ones(1, 1, 2, dtype=torch.bool), torch.tensor([0.6, 0.0, 0.0]))
        >>> [round(value, 2) for value in red[0, 0, :, 0].tolist()]
        [0.4, 0.8]
    """
    bright = luminance(pictures)[..., None]
    shade = bright / bright[mask].mean().clamp_min(1e-6)
    top = torch.quantile(shade[mask].reshape(-1)[: 1 << 23], BRUSH.brightest) * rgb.max()
    inside = functional.avg_pool2d(mask[:, None].float(), 3, 1, 1, count_include_pad=False)[:, 0, ..., None]
    colour = shade * rgb / top.clamp_min(1.0)
    return (1.0 - inside) * pictures + inside * colour.clamp(0.0, 1.0)


def cut_out(
    pictures: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    around: int,
    fill: int = cv2.INPAINT_TELEA,
) -> Float[Tensor, "views height width 3"]:
    """Pictures whose masked pixels are filled from what is around them.

    Args:
        pictures: in [0, 1].
        mask: what is removed.
        around: pixels around it that are filled, too.
        fill: one of FILLS.
    """
    filled = []
    for picture, hole in zip(pictures, grow(mask, around), strict=True):
        levels = (255.0 * picture).round().to(torch.uint8).numpy()
        whole = cv2.inpaint(levels, hole.to(torch.uint8).numpy(), BRUSH.filled_from, fill)
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
        cameras: of the pictures.
        thing: in the cameras' coordinates.
    """
    alone, rays = Scene((thing,), ground=None), BRUSH.rays
    drawn = []
    for i, (picture, far) in enumerate(zip(pictures, depth, strict=True)):
        height, width = picture.shape[:2]
        places = [(torch.arange(rays * side) + 0.5) / rays for side in (height, width)]
        coords = torch.stack(torch.meshgrid(*places, indexing="ij"), dim=-1)
        bundle = cameras.generate_rays(camera_indices=i, coords=coords, keep_shape=True)  # bent as the lens bends them
        origin, directions = bundle.origins[0, 0], bundle.directions
        seen = trace(alone, origin, directions)
        behind = far.repeat_interleave(rays, 0).repeat_interleave(rays, 1)
        hit = (seen.surface >= FIRST_PART) & ((seen.position - origin).norm(dim=-1) < behind)
        colour = hit[..., None] * Shader(alone).shade(seen, origin)
        share, rgb = (x.view(height, rays, width, rays, -1).mean((1, 3)) for x in (hit.float(), colour))
        drawn.append((1.0 - share) * picture + rgb)
    return torch.stack(drawn)


def room_of(mask: Bool[Tensor, "views height width"], room: Room) -> Bool[Tensor, "views height width"]:
    """An edit's room in the views that show all of its subject; in all of them where none does."""
    whole = ~(mask[:, [0, -1]].flatten(1).any(dim=1) | mask[:, :, [0, -1]].flatten(1).any(dim=1))
    counted = mask & whole[:, None, None]
    return with_room(counted if bool(counted.any()) else mask, room)


def fitted(make: Callable[[float], Thing], cameras: Cameras, room: Bool[Tensor, "views height width"]) -> Thing:
    """The largest of a solid's sizes at which it lies in an edit's room in most views; the smallest where none does.

    Args:
        make: the solid at a share of its size, from 1 down.
        cameras: of the views.
        room: rectangles in the views that count, nothing in the others.
    """
    part = 1.0
    while part > BRUSH.smallest and share_inside(make(part), cameras, room) < BRUSH.most_views:
        part *= BRUSH.smaller
    return make(part)


def share_inside(thing: Thing, cameras: Cameras, room: Bool[Tensor, "views height width"]) -> float:
    """Share of the views in which a solid of one part, taken for a ball of its half width, lies in a rectangle.

    Args:
        thing: in the cameras' coordinates.
        cameras: of the views; distortion is left out.
        room: views without any do not count.
    """
    (solid,) = thing.parts
    centre, radius = torch.tensor(solid.centre, dtype=torch.float32), float(max(solid.size))
    inside = []
    for pose, fx, fy, cx, cy, place in zip(
        cameras.camera_to_worlds, cameras.fx, cameras.fy, cameras.cx, cameras.cy, room, strict=True
    ):
        rows, columns = (place.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        if len(rows) == 0:
            continue
        x, y, z = (pose[:, :3].T @ (centre - pose[:, 3])).tolist()
        away = -z
        if away <= radius:
            inside.append(False)
            continue
        column, row = float(cx) + float(fx) * x / away, float(cy) - float(fy) * y / away
        wide, high = float(fx) * radius / away, float(fy) * radius / away
        inside.append(
            int(columns[0]) <= column - wide
            and column + wide <= int(columns[-1]) + 1
            and int(rows[0]) <= row - high
            and row + high <= int(rows[-1]) + 1
        )
    return sum(inside) / max(1, len(inside))


def box_of(points: Float[ndarray, "points 3"]) -> Tuple[Float[ndarray, "3"], Float[ndarray, "3"]]:
    """Lower and upper corner of most points.

    Raises:
        BlendingNerfError: they have no extent.
    """
    if len(points) == 0:
        raise BlendingNerfError("the base shows no surface in the masks: there is nothing to put a solid on")
    low, high = np.quantile(points, [BRUSH.trimmed, 1.0 - BRUSH.trimmed], axis=0)
    if not (high > low).all():
        raise BlendingNerfError(f"the base's surface in the masks has no extent (from {low} to {high})")
    return low, high


def on_top(points: Float[ndarray, "points 3"], wish: Wish, rgb: Float[ndarray, "3"], size: float) -> Thing:
    """A solid above the middle of the object's highest part, on the highest points under it: a ball lies between two ears."""
    low, high = box_of(points)
    height = high[2] - low[2]
    radius = size * height
    middle = points[points[:, 2] >= high[2] - BRUSH.highest * height].mean(axis=0)
    under = points[np.linalg.norm(points[:, :2] - middle[:2], axis=1) < radius]
    top = np.quantile(under[:, 2], 1.0 - BRUSH.trimmed) if len(under) else high[2]
    return primitive(wish.shape, wish.colour, rgb, (*middle[:2], top + (1.0 - BRUSH.sinks) * radius), (radius,) * 3)


def in_place(points: Float[ndarray, "points 3"], wish: Wish, rgb: Float[ndarray, "3"], size: float) -> Thing:
    """A solid that stands where the object stood."""
    low, high = box_of(points)
    radius = size * float(np.prod(high - low)) ** (1.0 / 3.0) / 2.0
    middle = (low + high) / 2
    return primitive(wish.shape, wish.colour, rgb, (*middle[:2], low[2] + radius), (radius,) * 3)
