"""One training step of the fine-tuned baseline: the same guide and the same losses on the picture as an edit of ours.

What an edit has beyond these (the loss on the edit alone, budgets, smoothness, a region to look at) needs a second field, so
this has none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_utils import focus_of_attention
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from blending_nerf_ns.baselines.finetuned_model import FinetunedModel
from blending_nerf_ns.baselines.tracing import trace
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.cameras import UP, square_cameras
from blending_nerf_ns.guidance.crops import crop, sample_boxes
from blending_nerf_ns.guidance.losses import directional_loss, global_loss
from blending_nerf_ns.guidance.templates import said_source
from blending_nerf_ns.guidance.views import region_views
from blending_nerf_ns.training.backprop import deferred_backward

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

WHOLE_SCENE = (0.7, 1.0)
"""Share of a view's side that the scene takes, least and most."""
PROPOSAL_RAYS = 1024
"""Rays of a view by which the proposals follow the density."""


@dataclass
class FinetuneGuidanceConfig:
    """Which CLIP guides, what it looks at, and how the losses weigh; named as in `GuidanceConfig` where it is the same."""

    model: str = "embedded"
    """open_clip model name ("ViT-B-16"), or "embedded" for the small one that ships with the package."""
    pretrained: Optional[str] = None
    """open_clip pretrained tag or a local path of weights."""
    image_size: int = 64
    """Side of the guidance views, in pixels."""
    views: int = 48
    """Different views, near the training cameras."""
    views_per_step: int = 1
    """Views that a step learns from, one after the other."""
    crops: int = 4
    """Pictures that CLIP sees of a view: the whole, and crops at several scales."""
    rays_per_chunk: int = 16384
    """Rays whose graph is held at a time."""
    weight_blended: float = 1.0
    """Weight of the global loss on the picture."""
    weight_direction: float = 1.0
    """Weight of the directional loss."""
    aim_center: Optional[Tuple[float, float, float]] = None
    """What the views are aimed at, in scene coordinates; without one, the point that the training cameras look at."""
    aim_radius: float = 0.0
    """Radius of what a view shows around it, in scene units; 0: as much as the training cameras show."""


class FinetuneTraining:
    """Guides a fine-tuned model. Draws are seeded by the step, so a resumed run goes on as if it had not stopped.

    Args:
        config: guidance and weights.
        model: with a frozen base.
        cameras: the capture's training cameras.
        guide: the frozen CLIP.
        source_text: what is there now.
        target_text: what it should become.
        seed: of views and crops.
    """

    def __init__(
        self,
        config: FinetuneGuidanceConfig,
        model: FinetunedModel,
        cameras: Cameras,
        guide: ClipGuide,
        source_text: str,
        target_text: str,
        seed: int,
    ) -> None:
        from blending_nerf_ns.guidance.clip import check_prompts_differ

        self.config, self.model, self.guide, self.seed = config, model, guide, seed
        self.source = guide.encode_prompt(said_source(source_text))
        self.target = guide.encode_prompt(target_text)
        check_prompts_differ(source_text, target_text, self.source, self.target)
        center, radius = aim(cameras, config)
        views = region_views(
            cameras.camera_to_worlds.cpu(),
            center=center,
            radius=radius,
            up=torch.tensor(UP),
            count=config.views,
            size=config.image_size,
            generator=torch.Generator().manual_seed(seed),
            fill=WHOLE_SCENE,
        )
        self.cameras = square_cameras(views, config.image_size).to(model.device)
        self._originals: Dict[int, Float[Tensor, "height width 3"]] = {}

    def step(self, step: int, scale: float = 1.0) -> Tuple[Dict[str, Tensor], Dict[str, float]]:
        """Accumulate the gradients of this step's views in the fine-tuned copy: their mean.

        Args:
            step: of the edit's stage, from 0.
            scale: the gradient scaler's factor.

        Returns:
            mean losses, already back-propagated (what the trainer calls backward on has a zero gradient), and metrics.
        """
        count = self.config.views_per_step
        views = [self._learn_from_view(step * count + i, scale / count) for i in range(count)]
        losses = {name: torch.stack([view[0][name] for view in views]).mean() for name in views[0][0]}
        metrics = {name: sum(view[1][name] for view in views) / count for name in views[0][1]}
        losses["nothing"] = sum((p.sum() for p in self.model.edited.parameters()), torch.zeros(())) * 0.0
        return losses, metrics

    def _learn_from_view(self, number: int, scale: float) -> Tuple[Dict[str, Tensor], Dict[str, float]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        index = int(torch.randint(len(self.cameras), (1,), generator=generator))
        rays = self.cameras.generate_rays(camera_indices=index, keep_shape=True).flatten()
        original = self._original(index, rays)
        losses, metrics = deferred_backward(
            lambda part: self.model.edited_pixels(rays[part]),
            len(rays),
            lambda pixels: self._losses(original, pixels, generator),
            self.config.rays_per_chunk,
            scale,
        )
        some = torch.randperm(len(rays), generator=generator)[:PROPOSAL_RAYS].to(self.model.device)
        proposal = trace(self.model.edited, rays[some]).proposal_loss
        (scale * proposal).backward()
        losses["proposal"] = proposal.detach()
        return losses, metrics

    @torch.no_grad()
    def _original(self, index: int, rays: RayBundle) -> Float[Tensor, "height width 3"]:
        if index not in self._originals:
            chunk, size = self.model.config.eval_num_rays_per_chunk, self.config.image_size
            parts = [self.model.base.render(rays[i : i + chunk]).outputs["rgb"] for i in range(0, len(rays), chunk)]
            self._originals[index] = torch.cat(parts).view(size, size, 3)
        return self._originals[index]

    def _losses(
        self,
        original: Float[Tensor, "height width 3"],
        pixels: Float[Tensor, "rays 3"],
        generator: torch.Generator,
    ) -> Tuple[Tensor, Tuple[Dict[str, Tensor], Dict[str, float]]]:
        config, size = self.config, self.guide.image_size
        side = config.image_size
        everything = torch.ones(side, side)  # without a region no part of a picture is worth more than another
        whole = torch.tensor([[0, 0, side]])
        boxes = torch.cat([whole, sample_boxes(everything, config.crops - 1, generator)])
        with torch.no_grad():
            before = self.guide.encode_images(crop(original.permute(2, 0, 1), boxes, size))
        after = self.guide.encode_images(crop(pixels.view(side, side, 3).permute(2, 0, 1), boxes, size))
        losses = {
            "blended": config.weight_blended * global_loss(after, self.target),
            "direction": config.weight_direction * directional_loss(before, after, self.source, self.target),
        }
        metrics = {
            "similarity": float((after.detach() @ self.target).mean()),
            "similarity_before": float((before @ self.target).mean()),
        }
        total = losses["blended"] + losses["direction"]
        if not bool(torch.isfinite(total)):
            raise BlendingNerfError(
                f"the fine-tuned model diverged: its loss is {float(total)}; lower --optimizers.finetuned-fields.optimizer.lr"
            )
        return total, ({name: value.detach() for name, value in losses.items()}, metrics)


def aim(cameras: Cameras, config: FinetuneGuidanceConfig) -> Tuple[Float[Tensor, "3"], float]:
    """What the views look at: a point, and how far around it they see.

    Args:
        cameras: training cameras, whose axes meet near what was photographed.
        config: may name both.
    """
    poses = cameras.camera_to_worlds.cpu()
    if config.aim_center is not None:
        center = torch.tensor(config.aim_center)
    else:
        center = focus_of_attention(poses, torch.zeros(3))
    if config.aim_radius > 0.0:
        return center, config.aim_radius
    distance = (poses[:, :, 3] - center).norm(dim=-1)
    half = torch.minimum(cameras.width.cpu() / cameras.fx.cpu(), cameras.height.cpu() / cameras.fy.cpu())[:, 0] / 2.0
    return center, float((distance * half).median())
