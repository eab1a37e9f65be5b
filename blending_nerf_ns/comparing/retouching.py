"""Pictures retouched by hand, as far as a program can: what an edit should look like where the scene cannot be drawn anew (ours).

Only masks and a depth are asked for. Nothing throws a shadow. Outside the masks nothing changes but a soft outline, the rim of a hole that is
filled, and what of a solid reaches out.
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

from blending_nerf_ns.comparing.brush import BRUSH
from blending_nerf_ns.comparing.fitting import fitted, in_place, on_top, room_of
from blending_nerf_ns.comparing.wishes import Wish
from blending_nerf_ns.evaluation.masks import grow
from blending_nerf_ns.procedural.render import Shader
from blending_nerf_ns.procedural.scene import Scene, Thing
from blending_nerf_ns.procedural.trace import FIRST_PART, trace
from blending_nerf_ns.procedural.words import sample_rgb
from blending_nerf_ns.rendering.shading import luminance

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
    some = shade[mask].reshape(-1)[: 1 << 23]  # torch.quantile refuses more than twice as many
    top = torch.quantile(some, BRUSH.brightest) * rgb.max()
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
