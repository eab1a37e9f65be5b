"""nerfstudio's own commands on a run of ours, as subprocesses on a tiny capture."""

from __future__ import annotations

import ctypes.util
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import BASE_STEPS, EDIT_STEPS, run, run_of, train, write_tiny_capture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny capture and a run "whole" on it."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_capture(folder / "capture")
    train(folder, "whole")
    return folder


def checkpoint(folder: Path, name: str) -> dict:
    """The one checkpoint of a run."""
    (path,) = (run_of(folder, name) / "nerfstudio_models").glob("*.ckpt")
    return torch.load(path, weights_only=True)


def arrays(folder: Path, name: str) -> list[np.ndarray]:
    """Float pictures that `ns-render dataset` wrote."""
    paths = sorted((folder / "test" / f"raw-{name}").glob("*.npy.gz"))
    assert paths, f"no raw-{name} under {folder}"
    return [np.load(gzip.open(path)) for path in paths]


def test_training_ends_with_its_stages(folder: Path) -> None:
    state = checkpoint(folder, "whole")["pipeline"]
    assert state["progress"].tolist() == [BASE_STEPS, EDIT_STEPS]
    assert bool(state["_model.base_frozen"]) and bool(state["_model.edit_ready"])
    times = json.loads((run_of(folder, "whole") / "stages.json").read_text())
    assert set(times) == {"base_seconds", "region_seconds", "edit_seconds"} and min(times.values()) > 0


def test_a_checkpoint_holds_no_guidance(folder: Path) -> None:
    keys = checkpoint(folder, "whole")["pipeline"].keys()
    assert not [key for key in keys if not key.startswith(("_model.base", "_model.edit", "_model.device", "progress"))]
    assert not [key for key in keys if "clip" in key or "lpips" in key]


@pytest.mark.parametrize("interrupted_after", [BASE_STEPS // 2, BASE_STEPS + EDIT_STEPS // 2], ids=["base", "edit"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(folder: Path, interrupted_after: int) -> None:
    name = f"interrupted{interrupted_after}"
    train(folder, name, "--max-num-iterations", interrupted_after)
    half = checkpoint(folder, name)["pipeline"]["progress"].tolist()
    assert sum(half) == interrupted_after
    done = run(
        "ns-train", "blending-nerf-cpu", "--output-dir", "out", "--experiment-name", "tiny", "--timestamp", f"{name}b",
        "--load-dir", run_of(folder, name) / "nerfstudio_models", "--data", "capture", "--vis", "tensorboard",
        "--viewer.quit-on-train-completion", "True", cwd=folder,
    )  # fmt: skip
    assert "Resuming" in done.stdout
    resumed, whole = checkpoint(folder, f"{name}b"), checkpoint(folder, "whole")
    assert (
        resumed["pipeline"]["progress"].tolist() == whole["pipeline"]["progress"].tolist() == [BASE_STEPS, EDIT_STEPS]
    )
    assert resumed["step"] == whole["step"]
    if interrupted_after > BASE_STEPS:  # the edit's draws are seeded by its step, so the same edit comes out
        key = "_model.edit.field.shape_head.bias"
        before = checkpoint(folder, name)["pipeline"]
        assert not torch.equal(before[key], resumed["pipeline"][key]), "it went on"
        assert torch.equal(before["_model.edit.region.weight"], resumed["pipeline"]["_model.edit.region.weight"])


def test_render_dataset(folder: Path) -> None:
    config = run_of(folder, "whole") / "config.yml"
    names = ["rgb", "original", "changed", "raw-rgb", "raw-original", "raw-region_overlay"]
    run(
        "ns-render", "dataset", "--load-config", config, "--output-path", "dataset", "--split", "test",
        "--image-format", "png", "--rendered-output-names", *names, cwd=folder,
    )  # fmt: skip
    for name in ("rgb", "original", "changed"):
        assert len(list((folder / "dataset" / "test" / name).glob("*.png"))) == 3, name
    edited, original = arrays(folder / "dataset", "rgb"), arrays(folder / "dataset", "original")
    assert edited[0].shape == (32, 32, 3) and 0.0 <= edited[0].min() <= edited[0].max() <= 1.0
    assert max(float(np.abs(a - b).max()) for a, b in zip(edited, original, strict=True)) > 0.0


def test_render_interpolate_and_camera_path(folder: Path) -> None:
    if shutil.which("ffmpeg", path=str(Path(run.__globals__["BIN"]))) is None and shutil.which("ffmpeg") is None:
        pytest.skip("ns-render wants ffmpeg on PATH; `make install` links imageio-ffmpeg's")
    config = run_of(folder, "whole") / "config.yml"
    run(
        "ns-render", "interpolate", "--load-config", config, "--output-path", "walk.mp4", "--interpolation-steps", 2,
        "--pose-source", "eval", "--rendered-output-names", "rgb", "original", "changed", cwd=folder,
    )  # fmt: skip
    assert (folder / "walk.mp4").stat().st_size > 0
    pose = [[1.0, 0, 0, 0], [0, 0, -1.0, -1.0], [0, 1.0, 0, 0.3], [0, 0, 0, 1]]
    frame = {"camera_to_world": np.array(pose).flatten().tolist(), "fov": 50, "aspect": 1}
    path = {"camera_type": "perspective", "render_height": 24, "render_width": 24, "fps": 2, "seconds": 1}
    (folder / "path.json").write_text(json.dumps({**path, "camera_path": [frame, frame]}))
    run(
        "ns-render", "camera-path", "--load-config", config, "--camera-path-filename", "path.json", "--output-path",
        "frames", "--output-format", "images", "--image-format", "png", "--rendered-output-names", "rgb", "original",
        cwd=folder,
    )  # fmt: skip
    assert len(list((folder / "frames").glob("*.png"))) == 2


def test_eval(folder: Path) -> None:
    run("ns-eval", "--load-config", run_of(folder, "whole") / "config.yml", "--output-path", "eval.json", cwd=folder)
    results = json.loads((folder / "eval.json").read_text())["results"]
    assert {"psnr", "ssim", "edit_psnr", "edit_ssim", "edit_changed"} <= set(results)
    assert 5.0 < results["psnr"] < 60.0 and results["edit_psnr"] > results["psnr"]


def test_export_pointcloud(folder: Path) -> None:
    if ctypes.util.find_library("usb-1.0") is None:
        pytest.skip("ns-export imports open3d, which loads libusb-1.0 (Debian: libusb-1.0-0)")
    run(
        "ns-export", "pointcloud", "--load-config", run_of(folder, "whole") / "config.yml", "--output-dir", "cloud",
        "--num-points", 200, "--normal-method", "open3d", "--remove-outliers", "False", cwd=folder,
    )  # fmt: skip
    assert b"element vertex" in (folder / "cloud" / "point_cloud.ply").read_bytes()[:500]


def test_a_checkpoint_of_another_shape_is_refused_with_its_reason(folder: Path) -> None:
    shutil.copytree(run_of(folder, "whole"), run_of(folder, "other"))
    done = train(
        folder, "misfit", "--load-dir", run_of(folder, "other") / "nerfstudio_models",
        "--pipeline.model.edit-field.max-res", 64, "--pipeline.model.edit-field.num-levels", 3, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and "does not fit" in done.stdout + done.stderr
