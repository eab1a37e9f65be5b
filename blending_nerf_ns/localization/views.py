"""Views of the frozen base that a localiser looks at, and what their pixels say of space."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor
from tqdm import tqdm

from blending_nerf_ns.bases.base import Base
from blending_nerf_ns.edits.contraction import Box, beyond_unit_cube, scene_box
from blending_nerf_ns.edits.intersection import FARTHEST, ray_grid_box
from blending_nerf_ns.guidance.cameras import cameras_around, limit_size
from blending_nerf_ns.guidance.views import spread_views
from blending_nerf_ns.localization.evidence import Evidence, gather_evidence, join_evidence
from blending_nerf_ns.rendering.compositing import render_weights

BATCH = 8
"""Views that are rendered, then localised, at a time: bounds the memory."""
AROUND = 8
"""Of so many rays beside a part one is rendered, for the colour of what is around."""
INTERVALS = 96
"""Along a ray through a region's box, where no model says how many."""

Picture = Float[Tensor, "height width 3"]
Map = Float[Tensor, "height width"]
Localize = Callable[[Sequence[Tensor], Sequence[int]], Sequence[Tensor]]
"""From pictures [H, W, 3] and their numbers to probabilities [H, W] of each pixel."""


@dataclass
class FrozenScene:
    """What a region is looked for in."""

    base: Base
    """Frozen."""
    cameras: Cameras
    """Training cameras, on the base's device."""
    chunk: int = 4096
    """Rays rendered at a time."""
    seconds: Dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Time spent so far: "render", "localize", "fuse", "parts"."""

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the time of a block to `seconds`, less what blocks within it have added."""
        started, before = time.perf_counter(), sum(self.seconds.values())
        yield
        self.seconds[what] += time.perf_counter() - started - (sum(self.seconds.values()) - before)


class RenderedRays(NamedTuple):
    """A chunk of a view, and where its light comes from."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    edges: Float[Tensor, "rays samples+1"]
    weights: Float[Tensor, "rays samples"]


class RenderedView(NamedTuple):
    """One view of the base."""

    picture: Picture
    rays: List[RenderedRays]

    def evidence(self, probability: Map, base: Base) -> List[Evidence]:
        """What the view says of space, given what a localiser says of its pixels."""
        maps = probability.reshape(-1).split([len(part.origins) for part in self.rays])
        return [gather_evidence(*part, p, base.to_grid) for part, p in zip(self.rays, maps)]


@torch.no_grad()
def render_view(scene: FrozenScene, cameras: Cameras, index: int) -> RenderedView:
    """Render one of some cameras by the base alone."""
    with scene.timed("render"):
        bundle = cameras.generate_rays(camera_indices=index, keep_shape=True)
        height, width = bundle.origins.shape[:2]
        colors, rays = _render_rays(scene, bundle.flatten())
        return RenderedView(colors.view(height, width, 3), rays)


@torch.no_grad()
def render_part(scene: FrozenScene, cameras: Cameras, index: int, box: Box) -> Picture:
    """A view of what lies in a box (in grid coordinates), with everything else painted over in the mean colour of that.

    Of the rays that miss the box a few tell that colour, and the others are not rendered.
    """
    with scene.timed("render"):
        bundle = cameras.generate_rays(camera_indices=index, keep_shape=True)
        shape, base, rays = bundle.origins.shape, scene.base, bundle.flatten()
        far_away = base.contracted and beyond_unit_cube(*box)
        enter, leave = ray_grid_box(rays.origins, rays.directions, *box, base.to_grid, far_away, FARTHEST)
        meets = leave > enter.clamp_min(0.0)
        met, missed = torch.nonzero(meets).squeeze(-1), torch.nonzero(~meets).squeeze(-1)
        few = missed[::AROUND]
        colors, parts = _render_rays(scene, rays[torch.cat([met, few])])
        share = torch.cat([_light_inside(part, box, base) for part in parts])[: len(met), None].clamp(0.0, 1.0)
        seen, beside = colors.split([len(met), len(few)])
        # each of the few stands for several
        painted = ((1.0 - share) * seen).sum(0) + beside.sum(0) * (len(missed) / max(len(few), 1))
        around = painted / ((1.0 - share).sum() + len(missed)).clamp_min(1e-6)
        picture = around.expand(len(rays), 3).clone()
        picture[met] = torch.lerp(around.expand_as(seen), seen, share)
        return picture.view(shape)


def _render_rays(scene: FrozenScene, rays: RayBundle) -> Tuple[Float[Tensor, "rays 3"], List[RenderedRays]]:
    """Colours of rays, and where their light comes from, chunk by chunk."""
    colors, rendered = [], []
    for at in range(0, len(rays), scene.chunk):
        part = rays[at : at + scene.chunk]
        render = scene.base.render(part)
        edges = render.samples.edges
        weights = render_weights(render.samples.density, edges.diff(dim=-1))
        rendered.append(RenderedRays(part.origins, part.directions, edges, weights))
        colors.append(render.outputs["rgb"])
    return torch.cat(colors), rendered


def _light_inside(rays: RenderedRays, box: Box, base: Base) -> Float[Tensor, " rays"]:
    """Rendering weight of each ray in a box."""
    middles = 0.5 * (rays.edges[:, 1:] + rays.edges[:, :-1])[..., None]
    places = base.to_grid(rays.origins[:, None] + middles * rays.directions[:, None])
    return (rays.weights * ((places >= box[0]) & (places <= box[1])).all(dim=-1)).sum(dim=-1)


def render_pictures(scene: FrozenScene, cameras: Cameras) -> List[Picture]:
    """Pictures of some cameras."""
    return [render_view(scene, cameras, index).picture for index in range(len(cameras))]


def even_cameras(
    scene: FrozenScene, count: int, longest: int, among: Optional[Sequence[int]] = None
) -> tuple[Cameras, List[int]]:
    """Training cameras that cover the capture evenly, at a reduced size.

    Args:
        scene: with its training cameras.
        count: how many; fewer if there are not as many.
        longest: longer side of the pictures, in pixels; smaller ones stay as they are.
        among: indices to choose from; all if not given.

    Returns:
        The cameras, and their indices among the training cameras.
    """
    pool = torch.arange(len(scene.cameras)) if among is None else torch.tensor(list(among))
    picked = pool[spread_views(scene.cameras.camera_to_worlds[pool.to(scene.cameras.device)], count).cpu()]
    chosen = scene.cameras[picked.to(scene.cameras.device)]
    limit_size(chosen, longest)
    return chosen, picked.tolist()


def close_cameras(scene: FrozenScene, box: Box, count: int, size: int, seed: int = 0) -> Cameras:
    """Square views of a box from nearby: it fills half to three quarters of them.

    Args:
        scene: with its training cameras, near which the views are.
        box: in grid coordinates.
        count: how many.
        size: side of the pictures, in pixels.
        seed: of the choice of cameras.
    """
    poses, exact = scene.cameras.camera_to_worlds, {"fill": (0.55, 0.75), "aim_jitter": 0.0, "closer": 0.0}
    around = cameras_around(scene_box(*box, scene.base.contracted), poses, count, size, seed, **exact)
    return around.to(scene.cameras.device)


def look(scene: FrozenScene, cameras: Cameras, localize: Localize, title: str) -> Evidence:
    """Render cameras, localise in the pictures, and keep what they say of space.

    Args:
        scene: with a frozen base.
        cameras: to look from.
        localize: called with several pictures at once.
        title: of the progress bar.
    """
    evidence: List[Evidence] = []
    with tqdm(total=len(cameras), desc=title, dynamic_ncols=True) as bar:
        for first in range(0, len(cameras), BATCH):
            numbers = range(first, min(first + BATCH, len(cameras)))
            views = [render_view(scene, cameras, number) for number in numbers]
            with scene.timed("localize"):
                maps = localize([view.picture for view in views], numbers)
            with scene.timed("fuse"):
                for view, probability in zip(views, maps):
                    evidence += view.evidence(probability, scene.base)
            bar.update(len(views))
    return join_evidence(evidence)
