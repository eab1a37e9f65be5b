"""One training step of one edit: view -> render -> guidance -> budgets -> gradients (design section 4)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.backprop import deferred_backward
from blending_nerf_ns.guidance.crops import composite, crop, random_backgrounds, sample_boxes
from blending_nerf_ns.guidance.losses import budget_loss, directional_loss, global_loss
from blending_nerf_ns.guidance.palette import STRENGTH, palette, score_colors
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.team import Team
from blending_nerf_ns.view_pool import GuidanceView, ViewPool

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

PALETTE_VIEWS = 6
"""Views on which plain colours are tried before training."""
NEIGHBOURS = 1024
"""Pairs of points whose colours are compared in each step."""


@dataclass
class GuidanceConfig:
    """Which CLIP guides, what it looks at, and how the losses weigh."""

    model: str = "embedded"
    """open_clip model name ("ViT-B-16"), or "embedded" for the small one that ships with the package."""
    pretrained: Optional[str] = None
    """open_clip pretrained tag ("laion2b_s34b_b88k") or a local path of weights."""
    image_size: int = 64
    """Side of the guidance views, in pixels."""
    views: int = 48
    """Region-centred views; the base is rendered once for each."""
    views_per_step: int = 1
    """Views that a step learns from, one after the other; each of several processes has as many of its own."""
    crops: int = 4
    """Pictures that CLIP sees of a view: the whole, and crops of the region at several scales."""
    rays_per_chunk: int = 16384
    """Rays whose graph is held at a time; memory does not grow with image_size beyond it."""
    weight_blended: float = 1.0
    """Weight of the global loss on the blended picture."""
    weight_edit: float = 0.5
    """Weight of the global loss on the edit alone."""
    weight_direction: float = 1.0
    """Weight of the directional loss."""
    weight_budget: float = 5.0
    """Weight of what an operation uses beyond its budget."""
    weight_smooth: float = 0.5
    """Weight of the difference of colour and blend ratio between neighbouring points of the region."""
    budget_add: float = 0.5
    """Mean accumulated opacity inside the region's silhouette that may be added for free."""
    budget_remove: float = 0.5
    """The same for what is removed."""
    budget_change: float = 1.0
    """The same for what is recoloured."""
    coarse_to_fine: float = 0.5
    """Share of the edit's steps after which all levels of the hash grid are open."""
    open_levels: float = 2.0
    """Levels that are open at the start: colour moves as a whole first."""


class EditTraining:
    """Guides one edit. Draws are seeded by the step, so a resumed run goes on as if it had not stopped.

    Args:
        config: guidance and weights.
        model: with a frozen base and a region; its editable field is trained.
        cameras: the capture's training cameras.
        guide: the frozen CLIP.
        source_text: what is there now.
        target_text: what it should become.
        seed: of views, crops and backgrounds.
        team: the processes that train the edit together.
    """

    def __init__(
        self,
        config: GuidanceConfig,
        model: BlendingModel,
        cameras: Cameras,
        guide: "ClipGuide",
        source_text: str,
        target_text: str,
        seed: int,
        team: Team,
    ) -> None:
        from blending_nerf_ns.guidance.clip import check_prompts_differ

        self.config, self.model, self.seed, self.guide, self.team = config, model, seed, guide, team
        self.pool = ViewPool(model, cameras, config.image_size, config.views, seed)
        self.set_texts(source_text, target_text)
        check_prompts_differ(source_text, target_text, self.source, self.target)
        self.shown: Dict[str, float] = {}

    def set_texts(self, source_text: str, target_text: str) -> None:
        """Guide towards other words from the next step on; without a source, "object" stands for it."""
        self.source = self.guide.encode_prompt(source_text or "an object")
        self.target = self.guide.encode_prompt(target_text)

    def choose_first_color(self) -> Optional[Float[Tensor, "3"]]:
        """Paint the region in the plain colour that the guide likes best for the target; call before the first step.

        The field starts from just what was tried: from a hint of the colour the gradient was seen to lead back to none.

        Returns:
            The colour, or None where the guide likes no colour better than the original; the field is then as it was.
        """
        generator = torch.Generator().manual_seed(self.seed)
        size = self.guide.image_size
        crops, coverages = [], []
        for index in range(min(PALETTE_VIEWS, len(self.pool))):
            view = self.pool[index]
            boxes = sample_boxes(view.coverage, 2, generator)
            crops.append(crop(_as_image(view.original), boxes, size))
            coverages.append(crop(view.coverage[None], boxes, size))
        colors = palette()
        seen, painted = torch.cat(crops), torch.cat(coverages)
        losses = score_colors(self.guide, seen, painted, colors, self.source, self.target)
        nothing = score_colors(self.guide, seen, torch.zeros_like(painted), colors[:1], self.source, self.target)
        if float(losses.min()) >= float(nothing):
            return None
        color = colors[int(losses.argmin())]
        self.model.edit.field.start_from_color(color.to(self.model.device), STRENGTH)
        return color

    def step(self, step: int, steps: int, scale: float = 1.0) -> Tuple[Dict[str, Tensor], Dict[str, float]]:
        """Accumulate the gradients of this process's views in the editable field: their mean.

        Args:
            step: of the edit's stage, from 0.
            steps: of the whole stage.
            scale: the gradient scaler's factor: the trainer scales what it back-propagates, and so must this.

        Returns:
            mean losses, already back-propagated (what the trainer calls backward on has a zero gradient), and metrics.
        """
        self._open_levels(step, steps)
        count = self.config.views_per_step
        first = (step * self.team.size + self.team.rank) * count
        views = [self._learn_from_view(first + i, scale / count) for i in range(count)]
        losses = {name: torch.stack([view[0][name] for view in views]).mean() for name in views[0][0]}
        metrics = {name: sum(view[1][name] for view in views) / count for name in views[0][1]}
        self.shown = metrics
        losses["nothing"] = sum((p.sum() for p in self.model.edit.field.parameters()), torch.zeros(())) * 0.0
        return losses, metrics

    def _learn_from_view(self, number: int, scale: float) -> Tuple[Dict[str, Tensor], Dict[str, float]]:
        """Accumulate the gradients of one view, drawn by its number."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        view = self._draw(generator)
        losses, metrics = deferred_backward(
            lambda part: self._render(view, part),
            len(view.intervals.rays),
            lambda pixels: self._losses(view, pixels, generator),
            self.config.rays_per_chunk,
            scale,
        )
        smooth = self.config.weight_smooth * self._roughness(view, generator)
        (scale * smooth).backward()
        losses["smooth"] = smooth.detach()
        return losses, metrics

    def _draw(self, generator: torch.Generator) -> GuidanceView:
        """A random view that meets the region; one that was moved while training may be hidden from some."""
        for _ in range(4 * len(self.pool)):
            view = self.pool[int(torch.randint(len(self.pool), (1,), generator=generator))]
            if len(view.intervals.rays):
                return view
        raise BlendingNerfError("no view meets the region any more: lower its threshold or place it where cameras look")

    def _open_levels(self, step: int, steps: int) -> None:
        """Coarse to fine: the hash grid's levels open one after the other."""
        levels = float(self.model.edit.field.config.num_levels)
        share = min(1.0, step / max(1.0, self.config.coarse_to_fine * steps))
        start = min(self.config.open_levels, levels)
        self.model.edit.field.open_levels.fill_(start + share * (levels - start))

    def _render(self, view: GuidanceView, part: slice) -> Float[Tensor, "rays 10"]:
        rays, base, proposal, intervals = view.part(part)
        pixels, removed = self.model.blend(rays, base, proposal, intervals, self.model.edit.info.trained)
        alpha, amounts = pixels.edit_accumulation[:, None], [pixels.added, removed, pixels.changed]
        return torch.cat([pixels.rgb, pixels.edit_rgb, alpha, torch.stack(amounts, dim=-1)], dim=-1)

    def _losses(
        self, view: GuidanceView, pixels: Float[Tensor, "rays 10"], generator: torch.Generator
    ) -> Tuple[Tensor, Tuple[Dict[str, Tensor], Dict[str, float]]]:
        config = self.config
        index = view.intervals.rays
        original = _as_image(view.original)
        blended = _as_image(view.original.reshape(-1, 3).index_copy(0, index, pixels[:, :3]).view_as(view.original))
        height, width = view.coverage.shape
        alone = _as_image(
            pixels.new_zeros(height * width, 4).index_copy(0, index, pixels[:, 3:7]).view(height, width, 4)
        )
        boxes = torch.cat([torch.tensor([[0, 0, height]]), sample_boxes(view.coverage, config.crops - 1, generator)])
        size = self.guide.image_size
        alone = crop(alone, boxes, size)
        backgrounds = random_backgrounds(len(boxes), (size, size), generator, pixels.device)
        lone_crops = composite(alone[:, :3], alone[:, 3:], backgrounds)
        with torch.no_grad():
            before = self.guide.encode_images(crop(original, boxes, size))
        after, lone = self.guide.encode_images(torch.cat([crop(blended, boxes, size), lone_crops])).chunk(2)

        covered = view.coverage.reshape(-1)[index]
        inside = (covered > 0.5).to(pixels) if bool((covered > 0.5).any()) else torch.ones_like(covered)
        means = (pixels[:, 7:] * inside[:, None]).sum(dim=0) / inside.sum()
        budgets = (config.budget_add, config.budget_remove, config.budget_change)
        over = sum(
            (budget_loss(mean, budget) for mean, budget in zip(means, budgets, strict=True)), torch.zeros_like(means[0])
        )
        losses = {
            "blended": config.weight_blended * global_loss(after, self.target),
            "edit": config.weight_edit * global_loss(lone, self.target),
            "direction": config.weight_direction * directional_loss(before, after, self.source, self.target),
            "budget": config.weight_budget * over,
        }
        metrics = {
            "similarity": float((after.detach() @ self.target).mean()),
            "similarity_before": float((before @ self.target).mean()),
            **{name: float(mean) for name, mean in zip(("added", "removed", "changed"), means.detach(), strict=True)},
        }
        total = sum(losses.values(), torch.zeros_like(over))
        return total, ({name: value.detach() for name, value in losses.items()}, metrics)

    def _roughness(self, view: GuidanceView, generator: torch.Generator) -> Tensor:
        """How much colour and its blend ratio differ between a point of the region and one near it (ours)."""
        field = self.model.edit.field
        points = view.intervals.positions[view.intervals.region > 0]
        chosen = torch.randint(len(points), (NEIGHBOURS,), generator=generator)
        points = points[chosen.to(points.device)]
        reach = (field.upper - field.lower).max() * 0.2 * torch.rand(NEIGHBOURS, 1, generator=generator).to(points)
        near = points + reach * torch.randn(NEIGHBOURS, 3, generator=generator).to(points)
        directions = torch.nn.functional.normalize(torch.randn(NEIGHBOURS, 3, generator=generator), dim=-1).to(points)
        here, there = field(points, directions), field(near, directions)
        return (here.rgb - there.rgb).abs().mean() + (here.color_ratio - there.color_ratio).abs().mean()


def _as_image(picture: Float[Tensor, "height width channels"]) -> Float[Tensor, "channels height width"]:
    return picture.permute(2, 0, 1)
