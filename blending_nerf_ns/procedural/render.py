"""Draw one scene from one camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from blending_nerf_ns.procedural.scene import Scene, Surface
from blending_nerf_ns.procedural.shading import Look, shade
from blending_nerf_ns.procedural.trace import FIRST_PART, Geometry, camera_rays, scene_parts, trace
from blending_nerf_ns.procedural.words import FINISHES

FINISH_GLOSS = {
    # finish: (gloss, sharpness, tinted)
    "plain": (0.15, 20.0, 0.0),
    "shiny": (0.9, 60.0, 0.0),
    "matte": (0.0, 4.0, 0.0),
    "metallic": (1.0, 12.0, 1.0),
    "golden": (1.0, 12.0, 1.0),
}


def _look(scene: Scene, camera: torch.Tensor) -> Look:
    parts, owners = scene_parts(scene)
    count = FIRST_PART + len(parts)
    palette, finish = torch.zeros(1, count, 3), torch.zeros(1, count, dtype=torch.long)
    gloss = torch.zeros(3, 1, count)
    for i, (part, owner) in enumerate(zip(parts, owners)):
        thing = scene.things[owner]
        palette[0, FIRST_PART + i] = torch.as_tensor(thing.rgb[min(part.role, len(thing.rgb) - 1)])
        finish[0, FIRST_PART + i] = FINISHES.index(thing.finish)
        gloss[:, 0, FIRST_PART + i] = torch.tensor(FINISH_GLOSS.get(thing.finish, FINISH_GLOSS["plain"]))
    surfaces = (scene.surroundings, scene.ground or Surface.flat((0, 0, 0)))
    sizes = [s.texture.shape[0] * s.texture.shape[1] for s in surfaces]

    def rows(values) -> torch.Tensor:
        return torch.tensor([list(values)], dtype=torch.float32)

    return Look(
        palette=palette,
        finish=finish,
        gloss=gloss[0],
        sharpness=gloss[1],
        tinted=gloss[2],
        light=rows(scene.light.direction),
        light_colour=rows(scene.light.colour),
        ambient=rows(scene.light.ambient),
        shadow=torch.tensor([scene.light.shadow]),
        camera=camera[None],
        texels=torch.cat([torch.from_numpy(s.texture.reshape(-1, 3)) for s in surfaces]),
        start=torch.tensor([[0, sizes[0]]]),
        extent=torch.tensor([[s.texture.shape[:2] for s in surfaces]]),
        repeats=rows(s.repeats for s in surfaces),
        offset=rows(s.offset for s in surfaces),
        gain=rows(s.gain for s in surfaces),
        bias=torch.zeros(1, 2, 3),
    )


def render(
    scene: Scene,
    camera_to_world: Float[ndarray, "4 4"],
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    width: int,
    height: int,
    supersampling: int = 3,
) -> Tuple[Float[ndarray, "height width 3"], Int[ndarray, "height width"]]:
    """Draw a scene.

    Args:
        scene: what to draw.
        camera_to_world: pose of an OpenGL camera (looks along its -z, y up); world z is up. [3, 4] or [4, 4].
        fx, fy, cx, cy: pinhole intrinsics in pixels; the centre of the first pixel is at (0.5, 0.5).
        width, height: size of the picture in pixels.
        supersampling: rays per pixel and axis, an odd number: one goes through each pixel's centre.

    Returns:
        RGB in [0, 1], and for each pixel the index of the object that its centre sees (-1: none).

    Raises:
        ValueError: no ray would go through the centres.
    """
    if supersampling % 2 == 0:
        raise ValueError(
            f"supersampling {supersampling} is even: no ray goes through a pixel's centre; take an odd number"
        )
    k = supersampling
    pose = np.asarray(camera_to_world, float)
    origin, directions = camera_rays(pose, fx * k, fy * k, cx * k, cy * k, width * k, height * k)
    seen = trace(scene, origin, directions)
    rgb = Shader(scene).shade(seen, origin).view(height, k, width, k, 3).mean((1, 3))
    owner = torch.tensor([-1, -1, *scene_parts(scene)[1]])
    ids = owner[seen.surface[k // 2 :: k, k // 2 :: k]]
    return rgb.numpy(), ids.numpy()


class Shader:
    """Colours what rays of a scene meet."""

    def __init__(self, scene: Scene) -> None:
        self._look = _look(scene, torch.zeros(3))

    def shade(self, seen: Geometry, origin: Float[Tensor, "3"]) -> Float[Tensor, "*rays 3"]:
        """RGB in [0, 1] of rays from one origin."""
        flat = (1, seen.surface.numel())
        look = replace(self._look, camera=origin[None])
        surface, shadow = seen.surface.reshape(flat), seen.shadow.reshape(flat)
        position, normal = (x.reshape(*flat, 3) for x in (seen.position, seen.normal))
        return shade(surface, position, normal, shadow, look).view(*seen.surface.shape, 3)


def look_at(eye, target=(0.0, 0.0, 0.0)) -> Float[ndarray, "4 4"]:
    """Camera-to-world pose of an OpenGL camera at `eye` that looks at `target`, upright."""
    eye, target = np.asarray(eye, float), np.asarray(target, float)
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right = np.array([1.0, 0, 0]) if np.linalg.norm(right) < 1e-6 else right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :4] = np.stack([right, np.cross(back, right), back, eye], 1)
    return pose
