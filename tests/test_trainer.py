"""nerfstudio's trainer as ours: what it does while something else renders."""

from __future__ import annotations

import threading
import time
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest
from tiny_run import write_tiny_capture

from blending_nerf_ns.trainer import BlendingTrainer
from method_configs.blending_nerf import blending_nerf_cpu


@pytest.fixture
def trainer(tmp_path: Path) -> BlendingTrainer:
    """Set up, and not run."""
    config: Any = deepcopy(blending_nerf_cpu.config)
    config.data = config.pipeline.datamanager.data = write_tiny_capture(tmp_path / "capture")
    config.output_dir, config.vis, config.machine.device_type = tmp_path / "out", "tensorboard", "cpu"
    config.set_timestamp()
    config.pipeline.source_text, config.pipeline.target_text = "a red ball", "a blue ball"
    trainer = cast(BlendingTrainer, config.setup(local_rank=0, world_size=1))
    trainer.setup()
    return trainer


def test_a_checkpoint_waits_for_a_picture_and_may_be_written_within_a_step(trainer: BlendingTrainer) -> None:
    rendering, events = threading.Event(), []

    def render() -> None:
        with trainer.train_lock:  # as nerfstudio's viewer does; a wish that is granted here changes what is saved
            rendering.set()
            time.sleep(1.0)
            events.append("rendered")

    thread = threading.Thread(target=render)
    thread.start()
    assert rendering.wait(10)
    trainer.save_checkpoint(0)  # nerfstudio's loop calls this outside of its lock
    events.append("saved")
    thread.join()
    assert events == ["rendered", "saved"]
    with trainer.train_lock:  # as ours do, from callbacks of a step
        trainer.save_checkpoint(1)
    assert len(list(trainer.checkpoint_dir.glob("*.ckpt"))) >= 1
