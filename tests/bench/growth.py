"""How the cost grows with samples, layers and resolution, as exponents: at 1, twice as much costs twice as much."""

from __future__ import annotations

from typing import List, Tuple

import torch

from blending_nerf_ns.bases.base import BaseSamples
from blending_nerf_ns.edits.stack import fold_edits, intersect, sample_edit
from blending_nerf_ns.rendering.folding import pixels_of

from .frames import LAYERED_SHARE, add_layers, remove_layers
from .scene import BenchScene, fit_ball
from .table import Figure
from .timing import growth, in_turns

SAMPLES, LAYERS, SIDES = (12, 24, 48, 96), (1, 2, 4, 8), (32, 64, 128)


def measure_growth(
    scene: BenchScene,
    rounds: int,
    samples: Tuple[int, ...] = SAMPLES,
    layers: Tuple[int, ...] = LAYERS,
    sides: Tuple[int, ...] = SIDES,
) -> List[Figure]:
    """`growth`: with samples per ray and with layers of what the edits add, with pixels of a whole blended frame.

    Args:
        scene: its edit is moved, and layers are put under it.
        rounds: of each comparison.
        samples: of an edit on each ray.
        layers: in a stack.
        sides: of square pictures, in pixels.
    """
    fit_ball(scene, LAYERED_SHARE)
    add_layers(scene.model, max(layers) - 1)
    chunk = _Chunk(scene, sides[-1])
    by_samples = in_turns(
        "Growth, samples", {str(n): lambda n=n: chunk.edit(n, 1) for n in samples}, rounds, scene.device
    )
    usual = scene.model.config.edit_samples_per_ray
    by_layers = in_turns(
        "Growth, layers", {str(n): lambda n=n: chunk.edit(usual, n) for n in layers}, rounds, scene.device
    )
    remove_layers(scene.model)
    frames = {str(n): lambda n=n: scene.model.get_outputs_for_camera(scene.camera(n)) for n in sides}
    by_pixels = in_turns("Growth, pixels", frames, rounds, scene.device)
    rows = (
        ("samples", samples, by_samples, f"the edit alone, {samples[0]} to {samples[-1]} samples on a ray"),
        ("layers", layers, by_layers, f"the edits alone, {layers[0]} to {layers[-1]} of them"),
        ("pixels", sides, by_pixels, f"whole frames, {sides[0]}² to {sides[-1]}²"),
    )
    return [
        Figure(
            "growth",
            growth([n**2 if part == "pixels" else n for n in sizes], [t.median(str(n)) for n in sizes]),
            part,
            None,
            note,
        )
        for part, sizes, t, note in rows
    ]


class _Chunk:
    """Rays that meet the region, with the base rendered on them, so that only the edits cost."""

    def __init__(self, scene: BenchScene, size: int) -> None:
        self._model = model = scene.model
        assert model.base.collider is not None
        rays = model.base.collider(scene.camera(size).generate_rays(camera_indices=0).flatten())
        met = model.intersect(rays).rays[: model.config.eval_num_rays_per_chunk]
        self._rays = rays[met]
        self._render = model.base.render(self._rays)

    @torch.no_grad()
    def edit(self, samples: int, layers: int) -> object:
        """Sample and fold the highest layers."""
        model, rays, render = self._model, self._rays, self._render
        edits = [
            sample_edit(edit, edit.info.shown, rays, intersect(edit, model.base, rays, samples))
            for edit in model.layers.all()[-layers:]
        ]
        folded, _ = fold_edits(model.base, rays, BaseSamples(*render.samples), render.proposal, edits)
        return pixels_of(folded)
