"""The whole demo, at the smallest size that goes through every command."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import TINY_FLAGS, rays_towards_middle, tiny_model

from blending_nerf_ns.demo.capture import CaptureShape
from blending_nerf_ns.demo.exactness import compare_chunk
from blending_nerf_ns.demo.run import Demo, run_demo
from blending_nerf_ns.reporting.sheet import sheet_size


@pytest.mark.parametrize("contracted", [True, False])
def test_exactness_is_measured_on_rays_that_miss_and_on_rays_that_meet(contracted):
    model = tiny_model(contracted)
    hits, outside, inside = compare_chunk(model, rays_towards_middle(64))
    assert 0 < hits < 64
    assert float(outside) == 0.0
    assert (
        0.0 < float(inside) <= 1e-5
    )  # split and composited anew, so not bit for bit; blended at strength 0, so no more


def test_exactness_notices_a_base_that_the_edit_is_not_blended_into(monkeypatch):
    model = tiny_model()
    honest: Any = model.base.forward

    def shifted(rays):
        outputs = honest(rays)
        return {**outputs, "rgb": outputs["rgb"] + 0.25}

    monkeypatch.setattr(model.base, "forward", shifted)
    _, outside, inside = compare_chunk(model, rays_towards_middle(64))
    assert float(outside) == pytest.approx(0.25)
    assert float(inside) == pytest.approx(0.25, abs=1e-4)


@pytest.mark.slow
def test_a_tiny_demo_writes_everything_it_promises(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    demo = Demo(
        output=tmp_path / "demo",
        shape=CaptureShape(size=24, train_views=6, held_out_views=2),
        video_size=16,
        video_frames=4,
        train_arguments=TINY_FLAGS,
    )
    threads = torch.get_num_threads()
    report: dict[str, Any] = run_demo(demo)
    assert torch.get_num_threads() == threads

    assert json.loads((demo.output / "report.json").read_text()) == report
    assert set(report["seconds"]) == {"data", "base", "region", "edit", "render", "measure", "start_up", "total"}
    numbers = ("base_psnr", "target_hue_fraction", "target_hue_fraction_before", "psnr_outside", "missed_rays_share")
    for name in (*numbers, "clip_direction_similarity", "mean_added", "mean_removed", "mean_changed"):
        assert np.isfinite(report[name]), name
    assert set(report["distractor_hue_fraction"]) == {"before", "after"}
    assert report["max_abs_diff_missed_rays"] == 0.0
    assert report["identity_max_abs_diff"] <= 1e-5
    assert report["clip_direction_similarity_model"] == "embedded"

    assert Image.open(demo.output / "contact_sheet.png").size == sheet_size(2, 6, 144)
    assert len(list((demo.output / "renders" / "test" / "region_overlay").glob("*.png"))) == 2
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(demo.output / "before_after.mp4"))
    assert frames == 4
    video = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(demo.output / "before_after.mp4")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "32x16" in video.stderr  # original and edited side by side
