"""A training step of an edit against one of the base, and where it goes; deferred against direct back-propagation."""

from __future__ import annotations

from typing import Callable, Dict, List

import torch
from jaxtyping import Float
from torch import Tensor

from blending_nerf_ns.edits.stack import fold_edits, sample_edit
from blending_nerf_ns.rendering.folding import pixels_of
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.view_pool import render_view

from .guiding import hold, make_guiding
from .scene import BenchScene
from .table import Figure
from .timing import in_turns

STEP, SHARE = 300, 0.75
"""A step of an edit and the share of its schedule: late enough that all levels of the hash grid are open."""
CHUNKS = 4
"""Parts in which the deferred back-propagation takes the picture, where it is compared with the direct one."""
ALL = 1 << 40
"""More rays than any picture has."""


def measure_steps(scene: BenchScene, rounds: int, image_size: int | None = None) -> List[Figure]:
    """`edit_step_over_base_step` and its parts, and what back-propagating in parts changes.

    Args:
        scene: its edit gets a ball.
        rounds: of each comparison.
        image_size: side of the guidance view, in pixels; the method's own if not given.
    """
    editing = make_guiding(scene, image_size or scene.config.guidance.image_size)
    return [*_parts(scene, editing, rounds), *_deferred(scene, editing, rounds)]


def _parts(scene: BenchScene, editing: EditTraining, rounds: int) -> List[Figure]:
    model, view, training = scene.model, editing.pool[0], scene.training
    optimizer = torch.optim.Adam(model.edit.field.parameters(), lr=0.0)  # the same step each time
    training.rays = len(view.intervals.rays)
    everywhere = view.intervals._replace(rays=torch.arange(training.rays, device=scene.device))
    strengths = model.edit.info.trained
    sampled = sample_edit(model.edit, strengths, view.rays, everywhere)
    size = editing.guide.image_size
    shown = editing.config.crops + min(editing.config.lone_crops, editing.config.crops)
    pictures = torch.rand(shown, 3, size, size, device=scene.device, requires_grad=True)

    def edit_step() -> None:
        optimizer.zero_grad()
        view.crop_sets.clear()  # most steps of a run read the original's crops: views are drawn a few times each
        editing.step(STEP, SHARE)
        optimizer.step()

    def composite() -> object:
        folded, _ = fold_edits(model.beneath, view.rays, view.base, view.proposal, [sampled])
        return pixels_of(folded)

    def clip() -> object:
        with torch.no_grad():
            editing.guide.encode_images(pictures[: editing.config.crops])
        return editing.guide.encode_images(pictures)

    calls: Dict[str, Callable[[], object]] = {
        "base step": training.step,
        "edit step": edit_step,
        "base": lambda: render_view(model, editing.pool.cameras, 0),
        "edit field": lambda: sample_edit(model.edit, strengths, view.rays, everywhere),
        "compositing": composite,
        "CLIP": clip,
    }
    times = in_turns("Steps", calls, rounds, scene.device)
    notes = {
        "base": "renders the view that the pool then keeps; no part of the step",
        "edit field": "forward",
        "compositing": "forward: splitting, folding, pixels",
        "CLIP": "forward, of all crops before and after",
    }
    parts = {
        name: Figure("edit_step_parts_over_base_step", times.ratio(name, "base step"), name, None, note)
        for name, note in notes.items()
    }
    whole = times.ratio("edit step", "base step")
    rest = whole - sum(parts[name].value for name in ("edit field", "compositing", "CLIP"))
    note = f"{training.rays} rays each, of a view of {editing.config.image_size}² pixels that is kept"
    return [
        Figure("edit_step_over_base_step", whole, "", times.spread("edit step", "base step"), note),
        *parts.values(),
        Figure(
            "edit_step_parts_over_base_step", rest, "backward", None, "what is left: backward, losses, smoothness, Adam"
        ),
    ]


def _deferred(scene: BenchScene, editing: EditTraining, rounds: int) -> List[Figure]:
    rays, usual = len(editing.pool[0].intervals.rays), editing.config.rays_per_chunk
    part = -(-rays // CHUNKS)
    direct, deferred = (_gradient(editing, chunk) for chunk in (ALL, part))
    error = float((deferred - direct).norm() / direct.norm())
    calls = {"direct": lambda: _gradient(editing, ALL), "deferred": lambda: _gradient(editing, part)}
    times = in_turns("Deferred and direct steps", calls, rounds, scene.device)
    editing.config.rays_per_chunk, editing._bytes_per_ray = usual, None
    ratio, spread = times.ratio("deferred", "direct"), times.spread("deferred", "direct")
    return [
        Figure(
            "deferred_relative_error", error, note=f"norm of the gradients' difference, {CHUNKS} chunks against one"
        ),
        Figure("deferred_step_over_direct_step", ratio, "", spread, f"{CHUNKS} chunks against one"),
    ]


def _gradient(editing: EditTraining, rays_per_chunk: int) -> Float[Tensor, " parameters"]:
    hold(editing, rays_per_chunk)
    field = editing.model.edit.field
    field.zero_grad()
    editing.step(STEP, SHARE)
    return torch.cat([p.grad.flatten() for p in field.parameters() if p.grad is not None])
