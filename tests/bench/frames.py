"""A blended picture against the base's own, for regions of several sizes, several layers, and a removal."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Callable, Dict, List, Tuple

import torch

from blending_nerf_ns.bases.nerfacto import NerfactoBase
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.edits.stack import SECOND_SAMPLES_ABOVE
from blending_nerf_ns.encoding.contraction import CubeContraction
from blending_nerf_ns.encoding.hash_grid import FastHashEncoding
from blending_nerf_ns.model import BlendingModel

from .naive import naive_frame
from .scene import BenchScene, edit_share, fit_ball
from .table import Figure
from .timing import in_turns

SHARES = (0.05, 0.10, 0.25, 0.50)
"""Edit-field evaluations per base-field evaluation."""
LAYERED_SHARE = 0.10
LAYERS = 4


def measure_frames(scene: BenchScene, size: int, rounds: int, shares: Tuple[float, ...] = SHARES) -> List[Figure]:
    """`blended_over_base` and `naive_over_base` for each share, `extra_layer_over_base`, `behind_removal_over_base`.

    Args:
        scene: its edit is moved, and layers are put under it.
        size: side of the pictures, in pixels.
        rounds: of each comparison.
        shares: of the samples that the edit takes.
    """
    figures = [figure for share in shares for figure in _one_layer(scene, size, rounds, share)]
    fit_ball(scene, LAYERED_SHARE)
    return [*figures, _stock(scene, size, rounds), _behind(scene, size, rounds), _layers(scene, size, rounds)]


def _calls(scene: BenchScene, size: int) -> Dict[str, Callable[[], object]]:
    camera = scene.camera(size)
    return {
        "base": lambda: scene.model.base.get_outputs_for_camera(camera),
        "blended": lambda: scene.model.get_outputs_for_camera(camera),
    }


def _one_layer(scene: BenchScene, size: int, rounds: int, share: float) -> List[Figure]:
    fit_ball(scene, share)
    rays = scene.camera(size).generate_rays(camera_indices=0).flatten()
    calls = {**_calls(scene, size), "naive": lambda: naive_frame(scene.model, rays)}
    part, found = f"{share:.2f}", f"{edit_share(scene, size):.1%} of the samples"
    times = in_turns(f"Frames, {share:.0%}", calls, rounds, scene.device)
    return [
        Figure(f"{name}_over_base", times.ratio(name, "base"), part, times.spread(name, "base"), found)
        for name in ("blended", "naive")
    ]


def _stock(scene: BenchScene, size: int, rounds: int) -> Figure:
    stock, camera = stock_base(scene.model.base), scene.camera(size)
    calls = {**_calls(scene, size), "stock": lambda: stock.get_outputs_for_camera(camera)}
    times = in_turns("Frames, nerfstudio's hash grid", calls, rounds, scene.device)
    note = "the base with nerfstudio's own hash grid and contraction: what ns-render of nerfacto takes"
    return Figure("stock_base_over_base", times.ratio("stock", "base"), "", times.spread("stock", "base"), note)


def stock_base(base: NerfactoBase) -> NerfactoBase:
    """A copy that evaluates its hash grids and its contraction as nerfstudio does."""
    stock = copy.deepcopy(base)
    for module in stock.modules():
        for ours in (FastHashEncoding, CubeContraction):
            if type(module) is ours:
                module.__class__ = ours.__mro__[1]
    return stock


@torch.no_grad()
def _behind(scene: BenchScene, size: int, rounds: int) -> Figure:
    edit = scene.model.edit
    info, bias = edit.info, edit.field.shape_head.bias.clone()
    edit.info = replace(info, operations=OPERATIONS)
    edit.field.start_from_removal()
    times = in_turns("Frames, behind a removal", _calls(scene, size), rounds, scene.device)
    outputs = scene.model.get_outputs_for_camera(scene.camera(size))
    bared = float((outputs["removed"] > SECOND_SAMPLES_ABOVE).float().mean())
    edit.info = info
    edit.field.shape_head.bias.copy_(bias)
    note = f"{LAYERED_SHARE:.0%} of the samples; {bared:.1%} of the rays are sampled again behind what is gone"
    ratio, spread = times.ratio("blended", "base"), times.spread("blended", "base")
    return Figure("behind_removal_over_base", ratio, "", spread, note)


def _layers(scene: BenchScene, size: int, rounds: int) -> Figure:
    calls = _calls(scene, size)
    add_layers(scene.model, LAYERS - 1)

    def blended(layers: int) -> object:
        show_layers(scene.model, layers)
        return calls["blended"]()

    of_layers = {"one": lambda: blended(1), "all": lambda: blended(LAYERS)}
    times = in_turns("Frames, layers", {"base": calls["base"], **of_layers}, rounds, scene.device)
    note = (
        f"(frame of {LAYERS} layers − of 1) / {LAYERS - 1}, all in the same ball of {LAYERED_SHARE:.0%} of the samples"
    )
    remove_layers(scene.model)
    return Figure("extra_layer_over_base", times.extra("all", "one", "base") / (LAYERS - 1), note=note)


def add_layers(model: BlendingModel, count: int) -> None:
    """Put copies of the edit in work under it."""
    for _ in range(count):
        model.layers.freeze_copy()


def show_layers(model: BlendingModel, count: int) -> None:
    """Show the edit in work and as many of the others, less one; the rest is switched off."""
    for place, edit in enumerate(model.layers.all()[::-1]):
        edit.info = replace(edit.info, visible=place < count)


def remove_layers(model: BlendingModel) -> None:
    """Take all layers out but the edit in work."""
    for identity in list(model.layers.frozen):
        model.layers.remove(identity)
    show_layers(model, 1)
