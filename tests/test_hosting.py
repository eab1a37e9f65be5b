"""What nerfstudio's own commands ask of a model that is built on a base, by their own functions where these take a model."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.exporter.exporter_utils import collect_camera_poses
from test_baselines import finetuned
from tiny_run import rays_towards_middle, ring, tiny_model, write_tiny_capture

from blending_nerf_ns.bases.hosting import BaseHost
from blending_nerf_ns.errors import BlendingNerfError
from method_configs.baselines import clip_nerf_finetune_cpu
from method_configs.blending_nerf import blending_nerf_cpu

METHODS = {"blending-nerf-cpu": blending_nerf_cpu, "clip-nerf-finetune-cpu": clip_nerf_finetune_cpu}


def learning_cameras(name: str, folder: Path) -> Any:
    """A pipeline's configuration on a tiny capture in the folder, whose base learns the pose of each photo."""
    config: Any = deepcopy(METHODS[name].config.pipeline)
    config.datamanager.data = write_tiny_capture(folder / "capture")
    config.model.base.camera_optimizer = CameraOptimizerConfig(mode="SO3xR3")
    config.source_text, config.target_text = "a red ball", "a blue ball"
    return config


@pytest.mark.parametrize("name", METHODS)
def test_cameras_are_exported_as_they_were_learned(name: str, tmp_path: Path) -> None:
    config = learning_cameras(name, tmp_path)
    pipeline = config.setup(device="cpu", test_mode="test")
    pipeline.eval()
    assert not hasattr(config.setup(device="cpu", test_mode="val").model, "camera_optimizer"), "the viewer would ask it"
    with torch.no_grad():
        pipeline.model.base.camera_optimizer.pose_adjustment[:, :3] = 0.05
    (frames, _) = collect_camera_poses(pipeline)
    exported = torch.tensor([frame["transform"] for frame in frames])
    as_given = pipeline.datamanager.train_dataset.cameras.camera_to_worlds
    assert torch.allclose(exported[..., 3] - as_given[..., 3], torch.tensor(0.05), atol=1e-5)
    assert not [key for key in pipeline.state_dict() if key.startswith("_model.camera_optimizer")], (
        "a checkpoint has it once"
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_run_whose_capture_lost_a_photo_is_opened(name: str, tmp_path: Path) -> None:
    """Its base may have learned something of each photo."""
    config = learning_cameras(name, tmp_path)
    state = config.setup(device="cpu", test_mode="val").state_dict()
    file = config.datamanager.data / "transforms.json"
    transforms = json.loads(file.read_text())
    (gone, *_) = (frame for frame in transforms["frames"] if "train" in frame["file_path"])
    transforms["frames"].remove(gone)
    if "train_filenames" in transforms:
        transforms["train_filenames"].remove(gone["file_path"])
    file.write_text(json.dumps(transforms))
    with pytest.raises(BlendingNerfError, match="being trained on 8 photos, and this capture has 7"):
        deepcopy(config).setup(device="cpu", test_mode="val").load_state_dict(state)
    pipeline = deepcopy(config).setup(device="cpu", test_mode="inference")
    pipeline.load_pipeline(state, 0)
    assert pipeline.model.num_train_data == config.model.base_num_images - 1
    assert not hasattr(pipeline.model, "camera_optimizer"), "poses of other photos are not exported as these"


def test_where_no_cameras_were_learned_there_are_none_to_export() -> None:
    """nerfstudio would ask photos without metadata for a number."""
    for model in (tiny_model(), finetuned()):
        assert isinstance(model, BaseHost) and not hasattr(model, "camera_optimizer")


@pytest.mark.parametrize("background", ["random", "last_sample"])
@torch.no_grad()
def test_every_picture_can_be_exported_with_alpha(background: Any) -> None:
    for model in (tiny_model(), finetuned().eval()):
        model.base.renderer_rgb.background_color = background
        outputs = model.get_outputs(rays_towards_middle(64))
        for name in ("rgb", "original"):
            rgba = model.get_rgba_image(outputs, name)
            opacity = outputs["accumulation"] if background == "random" else torch.ones(64, 1)
            assert rgba.shape == (64, 4) and torch.equal(rgba[:, 3:], opacity)
            assert torch.allclose((rgba[:, :3] * opacity), outputs[name], atol=1e-5), name


def test_a_look_that_fades_says_that_cameras_have_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model()
    camera = ring(1, size=8)
    model.get_outputs_for_camera(camera)
    assert "render_time" not in capsys.readouterr().out
    model.fades = True
    model.get_outputs_for_camera(camera)
    model.get_outputs_for_camera(camera)
    assert capsys.readouterr().out.count("have no render_time") == 1
    camera.times = torch.zeros(1, 1)
    model = tiny_model()
    model.fades = True
    model.get_outputs_for_camera(camera)
    assert "render_time" not in capsys.readouterr().out
