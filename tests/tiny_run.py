"""A tiny capture, a tiny blending-nerf model and a tiny run: what the tests of the seams share."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox

from blending_nerf_ns.bases.nerfacto import NerfactoBaseConfig
from blending_nerf_ns.demo.capture import CaptureShape, demo_capture_scene, find_subject, write_capture
from blending_nerf_ns.edits.edit import Edit, build_edit
from blending_nerf_ns.edits.field import EditFieldConfig
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.solids import oriented_box, region_from_solid
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.model import BlendingModel, BlendingModelConfig

BIN = Path(sys.executable).parent
BASE_STEPS, EDIT_STEPS = 12, 6

TINY_FLAGS = [
    *("--vis", "tensorboard", "--viewer.quit-on-train-completion", "True", "--machine.device-type", "cpu"),
    *("--pipeline.datamanager.train-num-rays-per-batch", "64"),
    *("--pipeline.model.base.num-levels", "2", "--pipeline.model.base.max-res", "32"),
    *("--pipeline.model.base.log2-hashmap-size", "10", "--pipeline.model.base.hidden-dim", "16"),
    *("--pipeline.model.base.hidden-dim-color", "16", "--pipeline.model.base.num-nerf-samples-per-ray", "8"),
    *("--pipeline.model.base.num-proposal-samples-per-ray", "16"),
    *("--pipeline.model.edit-field.num-levels", "2", "--pipeline.model.edit-field.max-res", "16"),
    *("--pipeline.model.edit-samples-per-ray", "12", "--pipeline.model.region-resolution", "24"),
    *("--pipeline.region.source", "box", "--pipeline.region.box-size", "0.5", "0.5", "0.5"),
    *("--pipeline.guidance.views", "2", "--pipeline.guidance.image-size", "24", "--pipeline.guidance.crops", "2"),
    *("--pipeline.base-steps", str(BASE_STEPS), "--pipeline.edit-steps", str(EDIT_STEPS), "--steps-per-save", "5"),
]


def write_tiny_capture(folder: Path) -> Path:
    """The demo's scene in a few small photos."""
    scene = demo_capture_scene()
    shape = CaptureShape(size=32, train_views=8, held_out_views=3)
    write_capture(folder, scene, find_subject(scene, "a red ball"), shape)
    return folder


def region_from_box(centre, size, rotation=(0.0, 0.0, 0.0), **place) -> Region:
    """The region of an oriented box, in scene coordinates; `place` as `region_from_solid` wants it."""
    return region_from_solid(oriented_box(centre, size, rotation), **place)


def run(command: str, *arguments: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment, as a person would."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "TERM": "dumb"}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment.get('PATH', '')}"
    done = subprocess.run(
        [str(BIN / command), *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{command} {' '.join(map(str, arguments))}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done


def train(folder: Path, name: str, *flags: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`ns-train blending-nerf-cpu` on the capture in `folder`; the run is at `run_of(folder, name)`."""
    texts = ("--pipeline.source-text", "a red ball", "--pipeline.target-text", "a blue ball")
    where = ("--data", "capture", "--output-dir", "out", "--experiment-name", "tiny", "--timestamp", name)
    return run("ns-train", "blending-nerf-cpu", *where, *texts, *TINY_FLAGS, *flags, cwd=folder, check=check)


def run_of(folder: Path, name: str) -> Path:
    """Folder of a run that `train` made."""
    return folder / "out" / "tiny" / "blending-nerf-cpu" / name


def clear_field(edit: Edit) -> None:
    """The field of an edit as it was made, where it is now."""
    fresh = build_edit(edit.description).field
    fresh.set_box(edit.field.lower, edit.field.upper)
    edit.field.load_state_dict(fresh.state_dict())


def tiny_model(contracted: bool = True, seed: int = 0, operations: tuple[str, ...] = ("add", "remove", "change")):
    """A random base with a random edit in a box in the middle, in eval mode."""
    torch.manual_seed(seed)
    config = BlendingModelConfig(
        base=NerfactoBaseConfig(
            num_levels=2,
            max_res=32,
            log2_hashmap_size=10,
            hidden_dim=16,
            hidden_dim_color=16,
            num_proposal_iterations=1,
            num_proposal_samples_per_ray=(24,),
            num_nerf_samples_per_ray=12,
            proposal_net_args_list=[{"hidden_dim": 8, "log2_hashmap_size": 8, "num_levels": 2, "max_res": 16}],
            disable_scene_contraction=not contracted,
            camera_optimizer=CameraOptimizerConfig(mode="off"),
            use_appearance_embedding=False,
            far_plane=6.0,
            implementation="torch",
        ),
        edit_field=EditFieldConfig(num_levels=2, max_res=16, log2_hashmap_size=8, implementation="torch"),
        edit_samples_per_ray=16,
        region_resolution=24,
        eval_num_rays_per_chunk=64,
    )
    model: BlendingModel = config.setup(scene_box=SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3])), num_train_data=2)
    model.edit.info = replace(model.edit.info, operations=operations)
    region = region_from_box(
        (0.1, 0.0, 0.0), (0.5, 0.5, 0.5), grid_box=model.base.grid_box, contracted=contracted, resolution=24
    )
    region.reshape(**RegionConfig(margin=region.shape.margin).room_for(operations))
    model.edit.region.load_state_dict(region.state_dict())
    model.edit.fit_field_to_region()
    with torch.no_grad():  # a strong random edit, and a base that one can see
        for parameter in model.edit.field.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        for parameter in model.base.field.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.freeze_base()
    model.edit_ready.fill_(True)
    return model.eval()


def rays_towards_middle(count: int, seed: int = 0, spread: float = 0.8) -> RayBundle:
    """Rays from a sphere of radius 1.5 towards points around the origin: some meet the tiny model's region, some miss."""
    generator = torch.Generator().manual_seed(seed)
    origins = 1.5 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    goals = spread * (2 * torch.rand(count, 3, generator=generator) - 1)
    directions = torch.nn.functional.normalize(goals - origins, dim=-1)
    return RayBundle(
        origins=origins,
        directions=directions,
        pixel_area=torch.full((count, 1), 1e-4),
        camera_indices=torch.zeros(count, 1, dtype=torch.long),
        metadata={"directions_norm": torch.ones(count, 1)},
    )


def ring(count: int, size: int = 12, radius: float = 1.5) -> Cameras:
    """Cameras on a circle around the origin, looking at it."""
    poses = []
    for angle in torch.arange(count) * 2 * math.pi / count:
        back = torch.stack([angle.cos(), angle.sin(), torch.tensor(0.2)])
        back = back / back.norm()
        right = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), back)
        right = right / right.norm()
        poses.append(torch.stack([right, torch.linalg.cross(back, right), back, radius * back], dim=1))
    lens = {"fx": float(size), "fy": float(size), "cx": size / 2, "cy": size / 2, "width": size, "height": size}
    return Cameras(torch.stack(poses), **lens, camera_type=CameraType.PERSPECTIVE)
