"""The scene that is measured: a base trained for a few seconds on drawn photos, and a ball in which an edit acts."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Dict, Literal, NamedTuple, Tuple

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.callbacks import TrainingCallbackAttributes
from rich.progress import track
from torch import Tensor

from blending_nerf_ns.bases.nerfacto import NerfactoBase
from blending_nerf_ns.demo.capture import CENTRE, CaptureShape, demo_capture_scene, draw, training_views
from blending_nerf_ns.edits.shape import DEFAULT_SHAPE
from blending_nerf_ns.edits.solids import region_from_solid, sphere
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.procedural.base import square_photographs
from blending_nerf_ns.trainer import BlendingTrainerConfig

MethodName = Literal["blending-nerf-cpu", "blending-nerf"]
AS_BRIGHT = 0.3
"""Luminance beside which what the edit recolours keeps its light and shade."""
SMALLEST_BALL, LARGEST_BALL = 0.02, 0.7
"""Radii that are tried, in scene units; the cameras lie at a distance of 1."""
AS_CONFIGURED = DEFAULT_SHAPE._replace(change_in_margin=False)
"""What an edit of all operations has if nothing else is said; costs a second weight."""
COUNTING_SIZE = 64
"""Side of the picture whose samples are counted while a ball's size is looked for, in pixels."""


class Scale(NamedTuple):
    """How large everything is; the tests take less."""

    photos: int = 24
    photo_size: int = 64
    base_steps: int = 100
    rays: int = 1024
    """Rays of a training step of the base."""


class BenchScene(NamedTuple):
    """A model with a trained base, and what it was trained on."""

    model: BlendingModel
    config: BlendingPipelineConfig
    training: BaseTraining
    """Of a copy of the base, which may go on training."""
    cameras: Cameras
    """Of the photos."""

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.model.device

    def camera(self, size: int) -> Cameras:
        """The first photo's camera, with a square picture of another size."""
        pose = self.cameras.camera_to_worlds[:1].cpu()
        shape = CaptureShape(size=size)
        return square_photographs(pose, shape.focal, size).to(self.device)


class BaseTraining:
    """nerfstudio's training of a nerfacto: random pixels, its losses, its optimizers, its callbacks.

    Args:
        base: in training mode from here on.
        cameras: of the photos.
        photos: in [0, 1].
        config: the method's, for its optimizers.
        rays: of each step.
    """

    def __init__(
        self,
        base: NerfactoBase,
        cameras: Cameras,
        photos: Float[Tensor, "views height width 3"],
        optimizers: Dict[str, dict],
        rays: int,
    ) -> None:
        self.base, self._cameras, self._photos, self.rays = base.train(), cameras, photos, rays
        nothing = TrainingCallbackAttributes(optimizers=None, grad_scaler=None, pipeline=None, trainer=None)
        self._callbacks = base.get_training_callbacks(nothing)
        groups = {name: group for name, group in base.get_param_groups().items() if group}
        self._optimizers = [optimizers[name]["optimizer"].setup(params=group) for name, group in groups.items()]
        self.steps = 0
        """That it has taken."""

    def step(self) -> None:
        """One step."""
        before, after = self._callbacks
        before.func(step=self.steps)
        views, height, width, _ = self._photos.shape
        sides = torch.tensor([views, height, width])
        chosen = (torch.rand(self.rays, 3) * sides).long()
        view, y, x = chosen.to(self._photos.device).unbind(-1)
        rays = self._cameras.generate_rays(camera_indices=view[:, None], coords=torch.stack([y, x], -1) + 0.5)
        outputs, batch = self.base(rays), {"image": self._photos[view, y, x]}
        losses = self.base.get_loss_dict(outputs, batch, self.base.get_metrics_dict(outputs, batch))
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in self._optimizers:
            optimizer.step()
        after.func(step=self.steps)
        self.steps += 1


def method_config(method: MethodName) -> BlendingTrainerConfig:
    """A copy of a method's whole configuration, found as nerfstudio finds it."""
    (entry,) = entry_points(group="nerfstudio.method_configs", name=method)
    return copy.deepcopy(entry.load().config)


def make_scene(
    method: MethodName,
    device: torch.device,
    folder: Path,
    scale: Scale = Scale(),  # noqa: B008
    config: BlendingPipelineConfig | None = None,
) -> BenchScene:
    """Build the scene, or take its trained base from the folder.

    Args:
        method: whose sizes it has.
        device: where it goes.
        folder: the trained base is kept here.
        scale: of photos and training.
        config: in place of the method's.
    """
    torch.manual_seed(0)
    pipeline = copy.deepcopy(config) if config is not None else method_config(method).pipeline
    assert isinstance(pipeline, BlendingPipelineConfig)
    pipeline.model.base.implementation = pipeline.model.edit_field.implementation = "torch"
    box = SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3]))
    model = pipeline.model.setup(scene_box=box, num_train_data=scale.photos, device=str(device)).to(device)
    cameras, photos = _capture(scale)
    cameras, photos = cameras.to(device), photos.to(device)
    training = BaseTraining(copy.deepcopy(model.base), cameras, photos, method_config(method).optimizers, scale.rays)
    kept = folder / f"base-{_digest(pipeline.model.base, scale)}.pt"
    if kept.exists():
        training.base.load_state_dict(torch.load(kept, map_location=device, weights_only=True))
        training.steps = scale.base_steps  # nerfacto trains its proposals in every step at first, and more rarely later
    else:
        for _ in track(range(scale.base_steps), description=f"Base of {method}", transient=True):
            training.step()
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(training.base.state_dict(), kept)
    model.base.load_state_dict(training.base.state_dict())
    model.freeze_base()
    return BenchScene(model.eval(), pipeline, training, cameras)


def put_ball(model: BlendingModel, radius: float, operations: Tuple[str, ...] = ("add", "change")) -> None:
    """Let the edit in work act in a ball in the middle of the scene.

    What it recolours keeps its light and shade, as where an edit may only recolour, and counts with its cost. Without "remove", no
    ray is sampled again behind the edit, whatever the untrained field says.
    """
    solid = sphere((0.0, 0.0, 0.0), radius)
    grid_box = tuple(corner.cpu() for corner in model.base.grid_box)
    resolution = model.config.region_resolution
    region = region_from_solid(solid, grid_box, model.base.contracted, resolution, AS_CONFIGURED)  # type: ignore[arg-type]
    model.edit.region.load_state_dict(region.state_dict())
    model.edit.fit_field_to_region()
    model.edit.info = replace(model.edit.info, operations=operations)
    model.edit.field.keep_light(AS_BRIGHT)
    model.edit_ready.fill_(True)
    model.version += 1


def fit_ball(scene: BenchScene, share: float, tolerance: float = 0.02) -> float:
    """Size the ball so that the picture takes this share of edit-field evaluations per base-field evaluation.

    Args:
        scene: whose edit gets the ball.
        share: wanted.
        tolerance: relative error of the share that will do.

    Returns:
        the share that was found (see `edit_share`).

    Raises:
        BlendingNerfError: no ball of a usable size gives that share.
    """
    small, large = SMALLEST_BALL, LARGEST_BALL
    for _ in range(12):
        radius = 0.5 * (small + large)
        put_ball(scene.model, radius)
        found = edit_share(scene, COUNTING_SIZE)
        if abs(found - share) <= tolerance * share:
            return found
        small, large = (radius, large) if found < share else (small, radius)
    raise BlendingNerfError(f"no ball takes {share:.0%} of the samples; one of radius {large} takes {found:.1%}")


@torch.no_grad()
def edit_share(scene: BenchScene, size: int) -> float:
    """Edit-field evaluations per base-field evaluation in a square picture of `size` pixels a side."""
    model = scene.model
    rays = scene.camera(size).generate_rays(camera_indices=0).flatten()
    assert model.base.collider is not None
    evaluated = int((model.intersect(model.base.collider(rays)).region > 0).sum())
    return evaluated / (size * size * model.config.base.num_nerf_samples_per_ray)


def _capture(scale: Scale) -> Tuple[Cameras, Float[Tensor, "views height width 3"]]:
    """The demo's scene, moved and scaled as nerfstudio's dataparser would: the cameras at a distance of 1 from 0."""
    shape = CaptureShape(size=scale.photo_size, train_views=scale.photos)
    drawn, views = demo_capture_scene(), training_views(shape)
    photos = [draw(drawn, view.pose, shape, supersampling=1)[0] for view in views]
    poses = torch.tensor(np.stack([view.pose[:3] for view in views]), dtype=torch.float32)
    poses[:, :, 3] = (poses[:, :, 3] - torch.tensor(CENTRE)) / shape.distance
    return square_photographs(poses, shape.focal, shape.size), torch.tensor(np.stack(photos), dtype=torch.float32)


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]
