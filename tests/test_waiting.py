"""A guidance step does not wait for a GPU in its middle, and a picture only aside, where the host does not wait for the base's
rendering: nothing else that is computed there decides what the host does next.

Told on a CPU by the operations that would wait: a number that is taken out of a tensor, or a result whose size depends on values.
"""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_run import rays_towards_middle, ring, tiny_model
from torch.utils._python_dispatch import TorchDispatchMode

from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.rendering.aside import Aside
from blending_nerf_ns.training.editing import METRICS, EditTraining
from blending_nerf_ns.training.team import Team

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2"}
DRAWN = {"sample_boxes", "_draw_number"}
"""Functions whose tensors are on the CPU wherever the model is: they draw."""
READ = {"crop", "random_backgrounds"}
"""Functions that read what was drawn there."""


class Waits(TorchDispatchMode):
    """Notes where an operation would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split("::")[1].split(".")[0]
        by_mask = name.startswith("index") and any(
            isinstance(place, torch.Tensor) and place.dtype == torch.bool for place in ((args[1:2] and args[1]) or ())
        )
        if name in WAITING or by_mask:
            callers = [frame for frame in traceback.extract_stack() if "blending_nerf_ns" in frame.filename]
            if not DRAWN & {frame.name for frame in callers}:
                self.found.append(f"{name} in {callers[-1].name}" if callers else name)
        return func(*args, **(kwargs or {}))


def note_what_is_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whole tensors that are handed to the host, which are no operations on a CPU."""
    read: list[str] = []

    def watch(name: str) -> None:
        whole = getattr(torch.Tensor, name)

        def noted(tensor: torch.Tensor, *arguments: Any, **named: Any) -> Any:
            callers = [frame for frame in traceback.extract_stack() if "blending_nerf_ns" in frame.filename]
            if callers and callers[-1].name not in READ and not DRAWN & {frame.name for frame in callers}:
                read.append(f"{name} in {callers[-1].name}")
            return whole(tensor, *arguments, **named)

        monkeypatch.setattr(torch.Tensor, name, noted)

    for name in ("tolist", "cpu", "numpy"):
        watch(name)
    return read


@pytest.mark.parametrize(
    ("operations", "wanted"),
    [(("change",), set()), (("add", "change"), set()), (("remove",), {"nonzero in fold_edits"})],
    ids=["change", "add and change", "remove: which rays are bared is not known before"],
)
@pytest.mark.parametrize("rays", [2048, 40], ids=["one chunk", "deferred"])
def test_where_a_step_waits(
    operations: tuple[str, ...], wanted: set[str], rays: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model()
    model.edit.info = replace(model.edit.info, operations=operations)
    config = GuidanceConfig(image_size=24, views=2, crops=3, rays_per_chunk=rays)
    texts = ("a red ball", "a blue ball")
    editing = EditTraining(config, model, ring(4, 24), load_clip("embedded"), *texts, 0, Team())
    for step in range(4):  # all views are rendered and kept from here on
        editing.step(step, 0.6)
    read = note_what_is_read(monkeypatch)
    with Waits() as waits:
        _, metrics = editing.step(4, 0.6)
    assert set(waits.found) == wanted and read == ["tolist in step"], "once, at its end"
    assert tuple(metrics) == METRICS and all(isinstance(value, float) for value in metrics.values())


@pytest.mark.parametrize("layers", [1, 3])
def test_a_picture_waits_aside_and_nowhere_else(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rays = tiny_model(operations=("add", "change")), rays_towards_middle(300)
    for layer in range(layers - 1):
        model.layers.freeze_copy()
        model.edit.info = replace(model.edit.info, operations=("add", "change"))
        model.edit.region.reshape(margin=0.1 * (layer + 1))  # other rays meet it
    with torch.no_grad():
        model.get_outputs(rays)  # what is asked of the weights once is known from here on
    around: list[int] = []
    run = Aside.run
    with Waits() as waits, torch.no_grad():

        def noted(aside: Aside, *arguments: Any) -> Any:
            around.append(len(waits.found))
            found = run(aside, *arguments)
            around.append(len(waits.found))
            return found

        monkeypatch.setattr(Aside, "run", noted)
        outputs = model.get_outputs(rays)
    assert around == [0, len(waits.found)] and around[1] > 0, waits.found
    assert float((outputs["rgb"] - outputs["original"]).abs().max()) > 1e-3, "the edits are seen"
