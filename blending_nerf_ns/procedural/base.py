"""A drawn scene as a base: opaque surfaces, exactly where they are. For measuring what comes after the base."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from blending_nerf_ns.bases.base import BaseRender, BaseSamples, Proposal
from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.procedural.render import Shader
from blending_nerf_ns.procedural.scene import Scene
from blending_nerf_ns.procedural.trace import SURROUNDINGS, trace

FAR = 30.0
"""Where the surroundings are, in scene units."""
SKIN = 2e-3
"""Half the thickness of surfaces, in scene units."""
OPAQUE = 1e5
"""Their density."""


class ProceduralBase:
    """A `Base` (see `bases.base`) whose picture is drawn.

    Args:
        scene: what to draw; its units are the scene's.
        reach: half the side of the box that counts as the scene.
    """

    contracted = False

    def __init__(self, scene: Scene, reach: float = 2.5) -> None:
        self.scene = scene
        self.grid_box: Box = (torch.full((3,), -reach), torch.full((3,), reach))
        self._shader = Shader(scene)

    def to_grid(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The same: nothing is contracted."""
        return points

    @torch.no_grad()
    def render(self, ray_bundle: RayBundle) -> BaseRender:
        """Draw the rays of one camera."""
        origin, directions = ray_bundle.origins[0], ray_bundle.directions
        if not torch.equal(ray_bundle.origins, origin.expand_as(directions)):
            raise ValueError("a chunk must hold rays of one camera, which share their origin")
        seen = trace(self.scene, origin, directions)
        depth = (seen.position - origin).norm(dim=-1)
        depth = torch.where(seen.surface == SURROUNDINGS, torch.full_like(depth, FAR), depth).clamp(2 * SKIN, FAR)
        rgb = self._shader.shade(seen, origin)
        edges = torch.stack([torch.zeros_like(depth), depth - SKIN, depth + SKIN, depth + 2 * SKIN], dim=-1)
        density = torch.tensor([0.0, OPAQUE, 0.0]).expand(len(depth), 3)
        background = torch.zeros_like(rgb)
        samples = BaseSamples(edges, density, rgb[:, None].expand(-1, 3, -1), background)
        ones = torch.ones_like(depth)[:, None]
        outputs = {"rgb": rgb, "depth": depth[:, None], "accumulation": ones}
        return BaseRender(samples, outputs, Proposal(edges, density, background))

    def resample(
        self,
        ray_bundle: RayBundle,
        proposal: Proposal,
        kept: Callable[[Float[Tensor, "R P 3"]], Float[Tensor, "R P"]],
    ) -> BaseSamples:
        """Not offered: a drawing has one surface per ray."""
        raise NotImplementedError("a drawn scene has nothing behind its surfaces")


def square_photographs(poses: Float[Tensor, "N 3 4"], focal: float, size: int) -> Cameras:
    """Pinhole cameras for square pictures; focal length in pixels."""
    half = size / 2.0
    return Cameras(poses, focal, focal, half, half, width=size, height=size, camera_type=CameraType.PERSPECTIVE)
