"""A run whose edit has settled ends by itself, says so, and shows where its time went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_run import run, run_of, train, write_tiny_capture

from blending_nerf_ns.training.loss_record import read_losses

STEPS = 240


@pytest.mark.slow
def test_a_settled_edit_ends_before_its_last_step(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path / "capture")
    said = train(
        tmp_path, "settled", "--pipeline.edit-steps", STEPS, "--pipeline.profile", "True",
        *("--pipeline.guidance.settle-cooldown", "0.02", "--pipeline.guidance.coarse-to-fine", "0.1"),
    ).stdout  # fmt: skip
    folder = run_of(tmp_path, "settled")
    (path,) = (folder / "nerfstudio_models").glob("*.ckpt")
    base, done = torch.load(path, weights_only=True)["pipeline"]["progress"].tolist()
    assert int(path.stem.split("-")[1]) == base + done - 1, "named after the last step that was taken, from 0"
    assert 50 <= done < STEPS and f"the edit ends after {done} of {STEPS} steps" in " ".join(said.split())
    assert json.loads((folder / "stages.json").read_text())["edit_steps"] == done == len(read_losses(folder))

    profile = json.loads((folder / "profile.json").read_text())
    assert profile["steps"] == done and "compositing" in said
    assert profile["step_ms"] == pytest.approx(sum(profile["parts_ms"].values()))
    assert min(profile["parts_ms"].values()) > 0

    again = run(
        "ns-train", "blending-nerf-cpu", "--output-dir", "out", "--experiment-name", "tiny", "--timestamp", "again",
        "--vis", "tensorboard", "--viewer.quit-on-train-completion", "True", "--machine.device-type", "cpu",
        "--data", "capture", "--load-dir", folder / "nerfstudio_models", cwd=tmp_path,
    )  # fmt: skip
    assert again.returncode == 0 and len(read_losses(run_of(tmp_path, "again"))) == done, "it was done"
