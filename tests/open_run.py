"""A real pipeline without a viewer and without a training loop: what the tests of a session and of a resume share."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.training.settling import Watch
from method_configs.blending_nerf import blending_nerf_cpu

STEPS = 40


def open_pipeline(
    capture: Path,
    target: str = "a blue ball",
    operations: tuple[str, ...] = ("change",),
    resumed: bool = False,
    file: Path | None = None,
) -> BlendingPipeline:
    """With an untrained, frozen base, and no region yet; its session waits for a user."""
    config = cast(BlendingPipelineConfig, deepcopy(blending_nerf_cpu.config.pipeline))
    cast(Any, config.datamanager).data = capture
    cast(Any, config.datamanager).train_num_rays_per_batch = 64
    config.source_text, config.target_text, config.operations = "a red ball", target, cast(Any, operations)
    config.region = RegionConfig(source="file" if file else "box", box_size=(0.5, 0.5, 0.5), file=file)
    config.resumed = resumed
    config.guidance = replace(config.guidance, views=2, image_size=24, crops=2)
    config.model.region_resolution, config.edit_steps = 24, STEPS
    pipeline = config.setup(device="cpu", test_mode="val")
    pipeline.model.freeze_base()
    pipeline.session.waits = True
    pipeline.session.say = pipeline.model.wishes.on_error = lambda message: setattr(
        pipeline.session.status, "message", message
    )
    return pipeline


def done_pipeline(capture: Path) -> BlendingPipeline:
    """An edit in a box that had settled after 20 steps, and is done."""
    pipeline = open_pipeline(capture)
    pipeline.work.find_region()
    with torch.no_grad():
        pipeline.model.edit.field.shape_head.bias.fill_(1.0)
    pipeline.work.settling.watch = Watch(settled=20, of=STEPS)
    pipeline.progress[1] = pipeline.work.end
    assert pipeline.work.is_done and int(pipeline.progress[1]) < STEPS
    return pipeline


def grant(pipeline: BlendingPipeline) -> str:
    """Do what was asked; what is said of it."""
    pipeline.model.wishes.grant()
    return pipeline.session.status.message


def margin_of(pipeline: BlendingPipeline) -> float:
    """Of the region that is there; the panel shows it."""
    margin = pipeline.model.edit.region.shape.margin
    assert pipeline.session.region.margin == pytest.approx(margin)
    return margin
