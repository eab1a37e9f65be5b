"""Checkpoints are there whole or not at all, whatever fails or is killed while one is written."""

from __future__ import annotations

import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from blending_nerf_ns.runs.checkpoints import newest_whole_step, write_whole

SAVER = """
import sys, torch
from pathlib import Path
from blending_nerf_ns.runs.checkpoints import write_whole
for step in range(1, 1000):
    state = {"step": step, "weights": torch.full((10_000_000,), float(step))}
    write_whole(state, Path(sys.argv[1]) / f"step-{step:09d}.ckpt")
    print(step, flush=True)
"""


@pytest.mark.slow
def test_a_save_that_is_killed_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    models = tmp_path / "run" / "nerfstudio_models"
    saver = subprocess.Popen([sys.executable, "-c", SAVER, models], stdout=subprocess.PIPE, text=True)
    assert saver.stdout is not None
    assert saver.stdout.readline().strip() == "1", "one is written whole"
    deadline = time.monotonic() + 60
    while not list(models.parent.glob("*.partial")):  # the next one, 40 MB, is being written
        assert saver.poll() is None and time.monotonic() < deadline
    saver.send_signal(signal.SIGKILL)
    saver.wait(20)
    step = newest_whole_step(models)
    state = torch.load(models / f"step-{step:09d}.ckpt", weights_only=True)
    assert step >= 1 and state["step"] == step and bool((state["weights"] == step).all())
    assert all(path.suffix == ".ckpt" for path in models.iterdir()), "nerfstudio reads a step off each name"


def test_a_full_disk_is_said_and_not_kept_full(tmp_path: Path) -> None:
    models = tmp_path / "run" / "nerfstudio_models"
    write_whole({"step": 1}, models / "step-000000001.ckpt")
    (models / "step-000000001.backup.ckpt").write_bytes(b"somebody's copy")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))  # no file of this process grows beyond
    try:
        with pytest.raises(OSError, match=r"step-000000002\.ckpt cannot be written; is the disk full\?"):
            write_whole({"weights": torch.zeros(1 << 20)}, models / "step-000000002.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(models.parent.glob("*.partial")), "it would keep the disk full"
    assert newest_whole_step(models) == 1


def test_a_save_that_fails_leaves_the_checkpoint_before_it_and_nothing_among_the_checkpoints(tmp_path: Path) -> None:
    models = tmp_path / "run" / "nerfstudio_models"
    write_whole({"step": 1}, models / "step-000000001.ckpt")
    for name in ("step-000000001.ckpt", "step-000000002.ckpt"):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            write_whole({"step": 2, "broken": lambda: None}, models / name)
    assert [path.name for path in models.iterdir()] == ["step-000000001.ckpt"], "nerfstudio reads a step off each name"
    assert torch.load(models / "step-000000001.ckpt", weights_only=True) == {"step": 1}
