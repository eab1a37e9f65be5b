"""One training step of one edit: view -> render -> guidance -> budgets -> gradients."""

from typing import TYPE_CHECKING, Dict, Optional, Tuple

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.config import GuidanceConfig, budgets
from blending_nerf_ns.guidance.crops import as_image, composite, crop, random_backgrounds
from blending_nerf_ns.guidance.losses import budget_loss, directional_loss, global_loss, shading_loss, solidity_loss
from blending_nerf_ns.guidance.precision import precision_errors
from blending_nerf_ns.guidance.templates import said_source
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.training.backprop import deferred_backward
from blending_nerf_ns.training.chunks import bytes_per_ray, free_memory, rays_of_chunk
from blending_nerf_ns.training.crop_sets import CROP_SETS, crop_set, place_crops
from blending_nerf_ns.training.plainness import roughness, stains
from blending_nerf_ns.training.profiling import Timed, untimed
from blending_nerf_ns.training.resolution import view_size
from blending_nerf_ns.training.team import Team
from blending_nerf_ns.training.view_pool import GuidanceView, ViewPool

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

METRICS = ("similarity", "similarity_before", "added", "removed", "changed")
"""What a step tells beside its losses."""


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
        self.config, self.model, self.seed, self.guide, self.team = config, model, seed, guide, team
        self.photos = cameras
        """Those of the capture, not those of the guidance views."""
        self.pool = ViewPool(model, cameras, self._view_size(0.0), config.views, seed, config.view_memory * 2**30)
        self.timed: Timed = untimed
        """What the parts of a step run in; a `Profile` where one is asked for."""
        self._bytes_per_ray: Optional[float] = None
        self.set_texts(source_text, target_text)
        self.shown: Dict[str, float] = {}

    def set_texts(self, source_text: str, target_text: str) -> None:
        """Guide towards other words from the next step on; without a source, `NO_SOURCE` stands for it.

        Raises:
            BlendingNerfError: both mean the same to the guide; those of before go on.
        """
        from blending_nerf_ns.guidance.clip import check_prompts_differ

        source, target = self.guide.encode_prompt(said_source(source_text)), self.guide.encode_prompt(target_text)
        check_prompts_differ(source_text, target_text, source, target)
        self.source, self.target = source, target

    @torch.no_grad()
    def picture(self, view: GuidanceView) -> Float[Tensor, "height width 3"]:
        """What a view shows of the edit as it is."""
        return _put_pixels(view.original, view.intervals.rays, self._pixels(view)[:, :3])

    def _pixels(self, view: GuidanceView) -> Float[Tensor, "rays 10"]:
        starts = range(0, view.num_rays, self.config.rays_per_chunk)
        parts = [self._render(view, slice(start, start + self.config.rays_per_chunk)) for start in starts]
        return torch.cat(parts) if parts else view.original.new_zeros(0, 10)

    @property
    def adds(self) -> bool:
        """Whether the edit may add something: then the room around the object is looked at too."""
        return "add" in self.model.edit.info.operations

    @property
    def keeps_shading(self) -> bool:
        """Whether what is recoloured is to keep its light and shade: where nothing else is done, the form stays, and with it these."""
        return self.config.weight_shading > 0.0 and set(self.model.edit.info.operations) == {"change"}

    def choose_precision(self) -> str:
        """Let the guide read in bfloat16 where that is asked for, possible and harmless; what was chosen, and why."""
        device = self.model.device
        self.guide.mixed_precision = False
        if not self.config.mixed_precision:
            return "float32"
        if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            return "float32, for this GPU has no bfloat16"
        view = self.pool[0]
        boxes = place_crops(view, self.config.crops, self.adds, torch.Generator().manual_seed(self.seed))
        errors = precision_errors(self.guide, crop(as_image(view.original), boxes, self.guide.image_size), self.target)
        self.guide.mixed_precision = errors.bearable
        chosen = "bfloat16" if errors.bearable else "float32, for bfloat16 strays"
        return f"{chosen} (loss off by {errors.loss:.2%}, gradient by {errors.gradient:.2%})"

    def step(self, step: int, share: float, scale: float = 1.0) -> Tuple[Dict[str, Tensor], Dict[str, float]]:
        """Accumulate the gradients of this process's views in the editable field: their mean.

        Args:
            step: of the edit's stage, from 0.
            share: of the stage's schedule that is behind, in [0, 1].
            scale: the gradient scaler's factor: the trainer scales what it back-propagates, and so must this.

        Returns:
            mean losses, already back-propagated (what the trainer calls backward on has a zero gradient), and metrics.
        """
        self._open_levels(share)
        self.pool.resize(self._view_size(share))
        count = self.config.views_per_step
        first = (step * self.team.size + self.team.rank) * count
        views = [self._learn_from_view(first + i, scale / count) for i in range(count)]
        losses = {name: torch.stack([view[0][name] for view in views]).mean() for name in views[0][0]}
        # the one time that a step waits for a GPU, when all of its work is on the way
        means = torch.stack([view[1] for view in views]).mean(dim=0).tolist()
        metrics: Dict[str, float] = dict(zip(METRICS, means, strict=True))
        self.shown = metrics
        losses["nothing"] = sum((p.sum() for p in self.model.edit.field.parameters()), torch.zeros(())) * 0.0
        return losses, metrics

    def _learn_from_view(self, number: int, scale: float) -> Tuple[Dict[str, Tensor], Float[Tensor, "5"]]:
        """Accumulate the gradients of one view, drawn by its number; its losses and `METRICS`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        with self.timed("view"):
            view = self._draw(generator)
        losses, metrics = deferred_backward(
            lambda part: self._render(view, part),
            view.num_rays,
            lambda pixels: self._losses(view, pixels, generator),
            self._chunk(view),
            scale,
            self.timed,
        )
        with self.timed("smoothness"):
            plain = self._plainness(view, generator)
            (scale * torch.stack(list(plain.values())).sum()).backward()
        return losses | {name: value.detach() for name, value in plain.items()}, metrics

    def _plainness(self, view: GuidanceView, generator: torch.Generator) -> Dict[str, Tensor]:
        """What the field costs by itself, whatever the guide says."""
        config, edit = self.config, self.model.edit
        losses = {"smooth": config.weight_smooth * roughness(edit.field, edit.info.operations, view, generator)}
        may_replace = {"add", "remove"} <= set(
            edit.info.operations
        )  # balls of edits that may only add were not seen stained
        if config.weight_tint > 0.0 and may_replace and edit.field.has_seed:
            losses["tint"] = config.weight_tint * stains(edit.field, generator)
        return losses

    def _chunk(self, view: GuidanceView) -> int:
        """Rays whose graph is held at a time."""
        if self._bytes_per_ray is None:  # of any view: all have as many samples on a ray
            self._bytes_per_ray = bytes_per_ray(lambda part: self._render(view, part), view.num_rays)
        return rays_of_chunk(free_memory(self.model.device), self._bytes_per_ray, self.config.rays_per_chunk)

    def _draw(self, generator: torch.Generator) -> GuidanceView:
        """A random view that meets the region; one that was moved while training may be hidden from some."""
        for _ in range(4 * len(self.pool)):
            view = self.pool[_draw_number(len(self.pool), generator)]
            if view.num_rays:
                return view
        raise BlendingNerfError("no view meets the region any more: lower its threshold or place it where cameras look")

    def _view_size(self, share: float) -> int:
        return view_size(share, self.config.image_size, self.guide.image_size, self.config.coarse_views)

    def _open_levels(self, share: float) -> None:
        """Coarse to fine: the hash grid's levels open one after the other."""
        levels = float(self.model.edit.field.config.num_levels)
        share = 1.0 if share >= self.config.coarse_to_fine else share / self.config.coarse_to_fine
        start = min(self.config.open_levels, levels)
        self.model.edit.field.open_levels.fill_(start + share * (levels - start))

    def _render(self, view: GuidanceView, part: slice) -> Float[Tensor, "rays 10"]:
        rays, base, proposal, intervals = view.part(part)
        pixels, removed = self.model.blend(rays, base, proposal, intervals, self.model.edit.info.trained, self.timed)
        alpha, amounts = pixels.edit_accumulation[:, None], [pixels.added, removed, pixels.changed]
        return torch.cat([pixels.rgb, pixels.edit_rgb, alpha, torch.stack(amounts, dim=-1)], dim=-1)

    def _losses(
        self, view: GuidanceView, pixels: Float[Tensor, "rays 10"], generator: torch.Generator
    ) -> Tuple[Tensor, Tuple[Dict[str, Tensor], Float[Tensor, "5"]]]:
        config = self.config
        index = view.intervals.rays
        blended = as_image(_put_pixels(view.original, index, pixels[:, :3]))
        height, width = view.coverage.shape
        alone = as_image(
            pixels.new_zeros(height * width, 4).index_copy(0, index, pixels[:, 3:7]).view(height, width, 4)
        )
        with self.timed("CLIP"):
            number = _draw_number(CROP_SETS, generator)
            seed = self.seed * len(self.pool) * CROP_SETS
            boxes, before = crop_set(view, number, config.crops, self.adds, self.guide, seed)
        size = self.guide.image_size
        few = boxes[torch.randperm(len(boxes), generator=generator)[: config.lone_crops if config.weight_edit else 0]]
        backgrounds = random_backgrounds(len(few), (size, size), generator, pixels.device)
        with self.timed("CLIP"):
            alone = crop(alone, few, size)
            lone_crops = composite(alone[:, :3], alone[:, 3:], backgrounds)
            seen = self.guide.encode_images(torch.cat([crop(blended, boxes, size), lone_crops]))
            after, lone = seen[: len(boxes)], seen[len(boxes) :]

        covered = view.coverage.reshape(-1)[index]
        inside = covered > 0.5
        inside = (inside | ~inside.any()).to(pixels)  # all of them where none is
        means = (pixels[:, 7:] * inside[:, None]).sum(dim=0) / inside.sum()
        means = torch.cat([pixels[:, 7].mean()[None], means[1:]])  # what is added may stand beside the object
        free = budgets(config, self.model.edit.info.operations, self.model.edit.field.has_seed)
        over = sum(
            (budget_loss(mean, most) for mean, most in zip(means, free, strict=True)), torch.zeros_like(means[0])
        )
        losses = {
            "blended": config.weight_blended * global_loss(after, self.target),
            "edit": config.weight_edit * global_loss(lone, self.target) if len(few) else torch.zeros_like(over),
            "direction": config.weight_direction * directional_loss(before, after, self.source, self.target),
            "budget": config.weight_budget * over,
            "solid": config.weight_solid * solidity_loss(pixels[:, 7]),
        }
        if self.keeps_shading:
            before_rgb = view.original.reshape(-1, 3)[index]
            losses["shading"] = config.weight_shading * shading_loss(before_rgb, pixels[:, :3], covered)
        similar = torch.stack([(after.detach() @ self.target).mean(), (before @ self.target).mean()])
        total = sum(losses.values(), torch.zeros_like(over))
        return total, ({name: value.detach() for name, value in losses.items()}, torch.cat([similar, means.detach()]))


def _draw_number(below: int, generator: torch.Generator) -> int:
    """A whole number from 0 on; drawn on the CPU, so no GPU is waited for."""
    return int(torch.randint(below, (1,), generator=generator))


def _put_pixels(
    picture: Float[Tensor, "height width c"], index: Int[Tensor, " some"], pixels: Float[Tensor, "some c"]
) -> Float[Tensor, "height width c"]:
    return picture.reshape(-1, picture.shape[-1]).index_copy(0, index, pixels).view_as(picture)
