"""nerfstudio's own commands on a run of ours, as subprocesses on a tiny capture."""

from __future__ import annotations

import ctypes.util
import gzip
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image
from tiny_run import BASE_STEPS, EDIT_STEPS, run, run_of, train, write_tiny_capture

from blending_nerf_ns.commands.region import show_region
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import FOUND_ON, OPERATIONS_FOR, load_region, read_metadata, save_region
from blending_nerf_ns.localization.scene import open_scene
from blending_nerf_ns.model import BlendingModel

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
    assert (
        set(times) == {"base_seconds", "region_seconds", "start_seconds", "edit_seconds", "edit_steps"}
        and min(times.values()) > 0
    )
    assert times["edit_steps"] == EDIT_STEPS


def test_a_checkpoint_holds_no_guidance(folder: Path) -> None:
    keys = checkpoint(folder, "whole")["pipeline"].keys()
    parts = ("_model.base", "_model.edit", "_model.layers", "_model.device", "progress", "settling", "standing")
    assert not [key for key in keys if not key.startswith(parts)]
    assert not [key for key in keys if "clip" in key or "lpips" in key]


@pytest.mark.parametrize("interrupted_after", [BASE_STEPS // 2, BASE_STEPS + EDIT_STEPS // 2], ids=["base", "edit"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(folder: Path, interrupted_after: int) -> None:
    name = f"interrupted{interrupted_after}"
    train(folder, name, "--max-num-iterations", interrupted_after, "--pipeline.judge-model", "embedded")
    half = checkpoint(folder, name)["pipeline"]["progress"].tolist()
    assert sum(half) == interrupted_after
    done = run(
        "ns-train", "blending-nerf-cpu", "--output-dir", "out", "--experiment-name", "tiny", "--timestamp", f"{name}b",
        "--load-dir", run_of(folder, name) / "nerfstudio_models", "--data", "capture", "--vis", "tensorboard",
        "--viewer.quit-on-train-completion", "True", "--pipeline.judge-model", "",
        "--optimizers.edit-field.optimizer.lr", "0.02", cwd=folder,
    )  # fmt: skip
    assert "--optimizers.edit-field.optimizer.lr: the run that is resumed has its own" in " ".join(done.stdout.split())
    said = next(line for line in done.stdout.splitlines() if line.startswith("Resuming"))
    assert "--pipeline.source-text 'a red ball' --pipeline.target-text 'a blue ball'" in said
    assert "--pipeline.region.box-size 0.5 0.5 0.5" in said and "interactive" not in said and "run-dir" not in said
    assert "judge-model" not in said, "it was given, at its default"
    resumed, whole = checkpoint(folder, f"{name}b"), checkpoint(folder, "whole")
    assert (
        resumed["pipeline"]["progress"].tolist() == whole["pipeline"]["progress"].tolist() == [BASE_STEPS, EDIT_STEPS]
    )
    assert resumed["step"] == whole["step"]
    rates = [state["optimizers"]["edit_field"]["param_groups"][0]["initial_lr"] for state in (resumed, whole)]
    assert rates[0] == rates[1], "as was said of it"
    if interrupted_after > BASE_STEPS:  # the edit's draws are seeded by its step, so the same edit comes out
        before = checkpoint(folder, name)["pipeline"]
        field = [key for key in before if key.startswith("_model.edit.field.") and before[key].is_floating_point()]
        ends = [(resumed["pipeline"][key], whole["pipeline"][key]) for key in field]
        assert not all(torch.equal(before[key], end) for key, (end, _) in zip(field, ends, strict=True)), "it went on"
        assert all(torch.allclose(*pair, rtol=1e-3, atol=1e-4) for pair in ends)
        assert torch.equal(before["_model.edit.region.weight"], resumed["pipeline"]["_model.edit.region.weight"])


def test_render_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_of(folder, "whole") / "config.yml"
    names = ["rgb", "original", "changed", "region", "raw-rgb", "raw-original", "raw-region_overlay"]
    run(
        "ns-render", "dataset", "--load-config", config, "--output-path", "dataset", "--split", "test",
        "--image-format", "png", "--rendered-output-names", *names, cwd=folder,
    )  # fmt: skip
    for name in ("rgb", "original", "changed"):
        assert len(list((folder / "dataset" / "test" / name).glob("*.png"))) == 3, name
    edited, original = arrays(folder / "dataset", "rgb"), arrays(folder / "dataset", "original")
    assert edited[0].shape == (32, 32, 3) and 0.0 <= edited[0].min() <= edited[0].max() <= 1.0
    assert max(float(np.abs(a - b).max()) for a, b in zip(edited, original, strict=True)) > 0.0

    monkeypatch.chdir(folder)
    _, pipeline, _, _ = eval_setup(config, test_mode="inference")
    model = cast(BlendingModel, pipeline.model)
    cameras = pipeline.datamanager.eval_dataset.cameras  # type: ignore[union-attr]
    for index, (edit, base) in enumerate(zip(edited, original, strict=True)):
        missed = missed_pixels(model, cameras, index)
        assert 0.1 < missed.mean() < 0.98, "these views must both meet and miss the region"
        assert float(np.abs(edit - base)[missed].max()) <= 1e-5, "array against array"
        pictures = [
            np.asarray(Image.open(sorted((folder / "dataset" / "test" / name).glob("*.png"))[index]))
            for name in ("rgb", "original")
        ]
        assert np.array_equal(pictures[0][missed], pictures[1][missed]), "PNG against PNG"


@torch.no_grad()
def missed_pixels(model: BlendingModel, cameras: Cameras, index: int) -> np.ndarray:
    """Which pixels' rays do not meet the region, bool [H, W]."""
    rays = cameras.to(model.device).generate_rays(camera_indices=index, keep_shape=True)
    shape = rays.origins.shape[:2]
    flat = rays.flatten()
    model.base.render(flat)  # its collider sets near and far
    missed = torch.ones(len(flat), dtype=torch.bool)
    missed[model.intersect(flat).rays] = False
    return missed.view(shape).numpy()


def test_render_interpolate_and_camera_path(folder: Path) -> None:
    if shutil.which("ffmpeg", path=str(Path(run.__globals__["BIN"]))) is None and shutil.which("ffmpeg") is None:
        pytest.skip("ns-render wants ffmpeg on PATH; `make install` links imageio-ffmpeg's")
    config = run_of(folder, "whole") / "config.yml"
    run(
        "ns-render", "interpolate", "--load-config", config, "--output-path", "walk.mp4", "--interpolation-steps", 2,
        "--pose-source", "eval", "--rendered-output-names", "rgb", "original", "changed", cwd=folder,
    )  # fmt: skip
    frames = imageio_ffmpeg.read_frames(str(folder / "walk.mp4"))
    width, height = next(frames)["size"]
    pictures = [np.frombuffer(frame, np.uint8).reshape(height, width, 3).astype(int) for frame in frames]
    assert width >= 3 * 32 and len(pictures) >= 3, "three outputs of 32 pixels, and a way between three photos"
    assert np.abs(pictures[0] - pictures[-1]).max() > 20, "the camera moves"
    left, right = pictures[0][:, : width // 3], pictures[0][:, -(width // 3) :]
    assert np.abs(left - right).max() > 20, "two outputs"
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


def test_a_region_is_seen_before_anything_is_trained_and_then_edited_in(folder: Path) -> None:
    config, place = run_of(folder, "whole") / "config.yml", f"region{20 * '_of_a_ball'}"
    flags = [
        "--region.source",
        "sphere",
        "--region.sphere-radius",
        "0.3",
        "--region.margin",
        "0.0",
        "--resolution",
        "24",
    ]
    done = run(
        "blending-nerf",
        "region",
        config,
        "--output",
        place,
        *flags,
        "--pictures",
        2,
        "--picture-size",
        32,
        cwd=folder,
    )
    assert "deprecated" not in done.stderr, "nothing of calls that nerfstudio makes and torch will drop"
    report = json.loads((folder / place / "region.json").read_text())
    assert report["volume"] == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.25) and report["resolution"] == 24
    sheet = np.asarray(Image.open(folder / place / "region_overlay.png"))
    assert sheet.shape[1] > 3 * 32 and (sheet == 255).all(-1).mean() < 0.95, "three columns with pictures on white"
    assert f"--pipeline.region.file {place}/region.safetensors\n" in done.stdout, "in one line, to be copied"

    train(
        folder, "in_file", "--pipeline.base-run", config, "--pipeline.region.source", "file",
        "--pipeline.region.file", f"{place}/region.safetensors", "--pipeline.edit-steps", 1,
    )  # fmt: skip
    state = checkpoint(folder, "in_file")["pipeline"]
    assert int((state["_model.edit.region.weight"] > 0.5).sum()) * report["voxel_size"][0] ** 3 == pytest.approx(
        report["volume"], rel=0.2
    )


def test_a_region_has_the_room_that_an_edit_of_these_operations_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    config, ball = (
        run_of(folder, "whole") / "config.yml",
        RegionConfig(source="sphere", sphere_radius=0.3, soft_edge=0.0),
    )
    shapes = {}
    for operations, output in (((), "none"), (("change",), "recolour"), (("add",), "add"), (OPERATIONS, "any")):
        arguments = {
            "operations": operations,
            "region": ball,
            "resolution": 32,
            "pictures": 1,
            "picture_size": 16,
            "device": "cpu",
        }
        if not operations:
            with pytest.raises(BlendingNerfError, match="--operations: an edit needs at least one of add, remove"):
                show_region(config, output=Path(output), **arguments)  # type: ignore[arg-type]
            continue
        show_region(config, output=Path(output), **arguments)  # type: ignore[arg-type]
        volume = json.loads((folder / output / "region.json").read_text())["volume"]
        radius = 0.3 if operations == ("change",) else 0.3 + 0.05 * 0.6 * math.sqrt(3)  # a margin of its diagonal
        assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.1), operations
        shapes[output] = load_region(folder / output / "region.safetensors").shape
    assert [shapes[name].grow for name in ("recolour", "add", "any")] == ["all", "all", "box"]
    assert shapes["recolour"].margin == 0.0 and shapes["recolour"].change_in_margin

    of_another, file = "recolour/of_another.safetensors", RegionConfig(source="file", margin=0.2)
    save_region(
        load_region(folder / "recolour" / "region.safetensors"),
        folder / of_another,
        {OPERATIONS_FOR: "change", FOUND_ON: "0123"},
    )
    arguments |= {"region": replace(file, file=Path(of_another)), "operations": ("add",)}
    show_region(config, output=Path("again"), **arguments)  # type: ignore[arg-type]
    told = " ".join(capsys.readouterr().out.split())
    assert "stays as it was cut: --region.threshold, --region.margin" in told and "found on another base" in told
    written = folder / "again" / "region.safetensors"
    assert load_region(written).shape == shapes["recolour"]
    assert {name: read_metadata(written)[name] for name in (OPERATIONS_FOR, FOUND_ON)} == {
        OPERATIONS_FOR: "change",
        FOUND_ON: "0123",
    }, "what ns-train warns by"
    assert json.loads((folder / "again" / "region.json").read_text())["operations"] == ["change"]


def test_what_the_region_command_cannot_use_is_said_in_one_line(folder: Path) -> None:
    config = run_of(folder, "whole") / "config.yml"
    done = run("blending-nerf", "region", config, "--output", "bad", "--region.source", "word", cwd=folder, check=False)
    assert done.returncode == 1 and "is not understood" in done.stderr and "Traceback" not in done.stderr


def test_a_device_that_is_not_there(folder: Path) -> None:
    for device in ("cuda:99", "gpu"):
        with pytest.raises(BlendingNerfError, match=rf"--device {device} cannot be used \(.+\); choose cpu, cuda"):
            open_scene(run_of(folder, "whole"), None, device)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (RegionConfig(source="box", box_center=(9e4, 0.0, 0.0)), "lies outside the scene"),
        (RegionConfig(source="masks", masks=Path("nowhere")), "there is no mask folder"),
        (RegionConfig(source="masks"), "no folder is named: give --region.masks"),
        (RegionConfig(source="text"), "the source text is empty"),
        (RegionConfig(source="file", file=Path("nothing.safetensors")), "there is no region file"),
    ],
)
def test_what_a_region_cannot_come_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch, region: RegionConfig, message: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(BlendingNerfError, match=message):
        show_region(run_of(folder, "whole") / "config.yml", output=Path("bad"), region=region, device="cpu")


def test_a_capture_that_has_moved_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(BlendingNerfError, match=r"the run's capture elsewhere is not there$"):
        show_region(run_of(folder, "whole") / "config.yml", data=Path("elsewhere"), device="cpu")
