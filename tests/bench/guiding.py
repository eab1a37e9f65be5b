"""A guided training of the scene's edit, with one view: every step then costs the same."""

from __future__ import annotations

import copy

from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.team import Team

from .scene import BenchScene, put_ball

RADIUS = 0.12
"""Of the ball, in scene units: about that of the demo's objects. The views are zoomed to it."""


def make_guiding(scene: BenchScene, image_size: int, rays_per_chunk: int | None = None) -> EditTraining:
    """Guide the edit by the embedded CLIP, which needs no download, from "a red ball" to "a blue ball".

    Args:
        scene: whose edit gets a ball of `RADIUS`.
        image_size: side of the view, in pixels.
        rays_per_chunk: rays whose graph is held at a time; the method's own if not given.
    """
    put_ball(scene.model, RADIUS)
    config = copy.deepcopy(scene.config.guidance)
    config.model, config.views, config.image_size, config.coarse_views = "embedded", 1, image_size, 0.0
    guide = load_clip(config.model, device=scene.device)
    editing = EditTraining(config, scene.model, scene.cameras, guide, "a red ball", "a blue ball", 0, Team())
    if rays_per_chunk is not None:
        hold(editing, rays_per_chunk)
    return editing


def hold(editing: EditTraining, rays: int) -> None:
    """Let a step hold the graph of so many rays at a time, also where memory is short and it would take fewer."""
    editing.config.rays_per_chunk = rays
    editing._bytes_per_ray = 0.0
