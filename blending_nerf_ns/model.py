"""The nerfstudio model: a frozen base and the edits on it, rendered together.

This is a thin rim: the mathematics is in `rendering`, the base in `bases`, the edit in `edits`.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import ModelConfig
from nerfstudio.utils.external import TCNN_EXISTS
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter

from blending_nerf_ns.bases.base import Base, BaseRender, BaseSamples, Proposal
from blending_nerf_ns.bases.hosting import BaseHost
from blending_nerf_ns.bases.memory import RenderMemory
from blending_nerf_ns.bases.nerfacto import NerfactoBase, NerfactoBaseConfig
from blending_nerf_ns.compat import viewer_outlives_full_gpu
from blending_nerf_ns.edits.edit import Edit, accumulated_region
from blending_nerf_ns.edits.edited_base import EditedBase
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.edits.intersection import RegionIntervals
from blending_nerf_ns.edits.layer import LayerInfo
from blending_nerf_ns.edits.layers import Layers, new_id
from blending_nerf_ns.edits.placing import move_region_to
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.edits.stack import (
    Meeting,
    MetEdit,
    fold_edits,
    fold_met,
    intersect,
    meet_edits,
    own_intervals,
    sample_edit,
    tensors_of_met,
)
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.preservation import ns_eval_figures
from blending_nerf_ns.rendering.aside import Aside
from blending_nerf_ns.rendering.blending import Strengths
from blending_nerf_ns.rendering.compositing import BlendedPixels
from blending_nerf_ns.rendering.folding import pixels_of
from blending_nerf_ns.rendering.overlay import region_overlay, wipe
from blending_nerf_ns.steering.wishes import Wishes
from blending_nerf_ns.training.profiling import Timed, untimed

NO_TIMES = (
    "The look fades, but these cameras have no render_time, so the edits show in full: examples/06_fade_an_edit_in.py adds it to "
    "a camera path (--path PATH.json); `blending-nerf look RUN --no-fade` ends it."
)
AMOUNTS = ("added", "removed", "changed")
"""Accumulated opacities of a picture, one for each of the operations."""


@dataclass
class BlendingModelConfig(ModelConfig):
    """A frozen base and an editable field that is blended into it."""

    _target: Type = field(default_factory=lambda: BlendingModel)
    """Target class to instantiate."""
    base: NerfactoBaseConfig = field(default_factory=NerfactoBaseConfig)
    """The base. With a base run, its own configuration is taken instead."""
    base_num_images: int = 0
    """Training images of the base, for its appearance embedding; 0: as many as this capture has."""
    edit_field: EditFieldConfig = field(default_factory=EditFieldConfig)
    """The editable field."""
    edit_samples_per_ray: int = 48
    """Intervals of the edit on a ray that meets the region's box."""
    region_resolution: int = 96
    """Voxels along each side of the region's grid."""
    strength_add: float = 1.0
    """Blend ratio of what was added: 0 is off, 1 is as trained."""
    strength_remove: float = 1.0
    """Blend ratio of what was removed: 0 is off, 1 is as trained."""
    strength_change: float = 1.0
    """Blend ratio of what was recoloured: 0 is off, 1 is as trained."""


class BlendingModel(BaseHost):
    """Blending-NeRF (arXiv 2308.11974): a base field and an editable field, blended per sample.

    Args:
        config: see `BlendingModelConfig`.
    """

    config: BlendingModelConfig
    edit_ready: Tensor

    def populate_modules(self) -> None:
        """Build base and edit; guidance is not part of a model and not of its checkpoints."""
        super().populate_modules()
        device = str(self.kwargs.get("device", "cpu"))
        self.seen = RenderMemory(self.base)
        """The base, which a viewer lets remember its last pictures."""
        use_cuda = device.startswith("cuda")
        region, info = Region(self.config.region_resolution), LayerInfo(id=new_id())
        self.edit = Edit(region, EditField(self.config.edit_field, use_cuda), info)
        self.config.edit_field.implementation = self.edit.field.implementation  # "auto" may mean another one tomorrow
        self.layers = Layers(self.edit, use_cuda)
        self.register_buffer("base_frozen", torch.tensor(False))
        self.register_buffer("edit_ready", torch.tensor(False))
        self.wishes = Wishes()
        self.fades = False
        """Whether the times of a camera path, from 0 to 1, scale all strengths (see `Look.fade`)."""
        self._told_of_times = False
        self.compare_at = 0.5
        """Where the output `compare` passes from the original to the edited picture, as a share of its width."""
        self.version = 0
        """Grows with every change of what the edit in work is made on or where: what was computed before is out of date."""
        self.score: Optional[Callable[[Tensor, Tensor], Dict[str, float]]] = None
        """What a judge says of an original and its edited picture, where ns-eval was given one."""
        self.set_strengths(self.config.strength_add, self.config.strength_remove, self.config.strength_change)

    @property
    def implementations(self) -> str:
        """One line: what the fields run on."""
        found = "tinycudann imports" if TCNN_EXISTS else "tinycudann does not import"
        return f"Fields: base in {self.config.base.implementation}, edit in {self.edit.field.implementation} ({found})."

    # -- what the user moves ------------------------------------------------------------------------------------

    def set_strengths(
        self, add: Optional[float] = None, remove: Optional[float] = None, change: Optional[float] = None
    ) -> None:
        """Set the live blend ratios of the edit in work, each in [0, 10]; None leaves one as it is."""
        self.edit.info = self.edit.info.with_strengths(add=add, remove=remove, change=change)

    def describe(self, source_text: str, target_text: str, operations: Sequence[str]) -> None:
        """Say what the edit in work is made from and into, and what it may do; its name follows its target."""
        info = self.edit.info
        self.edit.info = replace(
            info,
            name=info.called or target_text,
            source_text=source_text,
            target_text=target_text,
            operations=tuple(operations),
        )

    @property
    def edit_is_made(self) -> bool:
        """Whether the edit in work does something: it has a region, and it has begun."""
        return bool(self.edit_ready) and not self.edit.field.untouched

    def _spread(self) -> None:
        """An edit that has not begun takes all of its region, wherever that is now."""
        if self.edit.field.untouched:
            self.edit.fit_field_to_region()

    def make_room(self, **room: Any) -> None:
        """Give the region of the edit in work this threshold, margin and the like, if there is one and it has another; an edit that has
        not begun spreads over it.

        Args:
            room: fields of `RegionShape`; those not named stay as they are.

        Raises:
            BlendingNerfError: it cannot be cut so.
        """
        if bool(self.edit_ready) and self.edit.region.take_shape(**room):
            self._spread()
            self.version += 1

    def take_crop_box(self, box: Optional[OrientedBox], shape: RegionShape) -> None:
        """Make the viewer's crop box the region; where there is none yet, it is the first.

        Args:
            box: None where the crop is off.
            shape: how the first one is cut; another one is cut as the one before.

        Raises:
            BlendingNerfError: there is no box, the base is not done, or it lies outside the scene or where the edit's field is not.
        """
        if box is None:
            raise BlendingNerfError("the viewer's crop is off: switch it on, place its box, and press again")
        if not bool(self.base_frozen):
            raise BlendingNerfError("the base is still being trained: wait for it")
        move_region_to(self.edit, box, self.base, None if bool(self.edit_ready) else shape)
        self.edit_ready.fill_(True)
        self.version += 1

    # -- stages -------------------------------------------------------------------------------------------------

    def freeze_base(self) -> None:
        """From here on the base is what it is: eval mode, no gradients, whatever mode the pipeline is switched to."""
        self.base.freeze()
        self.base_frozen = torch.ones_like(self.base_frozen)

    @property
    def nothing_to_learn(self) -> bool:
        """Whether no further step can change the edit in work."""
        return self.edit.is_all_removed

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        """The base's groups, and the edit's; the groups never change, so that checkpoints always fit."""
        return {**self.base.get_param_groups(), "edit_field": list(self.edit.field.parameters())}

    # -- rendering ----------------------------------------------------------------------------------------------

    @property
    def scene(self) -> NerfactoBase:
        """What edits are blended into."""
        return self.base

    def render_scene(self, ray_bundle: RayBundle) -> BaseRender:
        """The scene on a chunk of rays, which it may remember."""
        return self.seen.render(ray_bundle)

    @property
    def beneath(self) -> Base:
        """What the edit in work is made on: the scene, with the layers under it."""
        under = self.layers.beneath()
        return EditedBase(self.scene, under, self.config.edit_samples_per_ray) if under else self.scene

    @property
    def unedited(self) -> Base:
        """What guidance compares the edit in work with."""
        return self.beneath

    @property
    def meeting(self) -> Meeting:
        """Where the scene's samples lie when an edit meets them."""
        return own_intervals

    def intersect(self, ray_bundle: RayBundle) -> RegionIntervals:
        """The intervals of the edit in work on the rays of a flat bundle that meet its region."""
        return intersect(self.edit, self.base, ray_bundle, self.config.edit_samples_per_ray)

    def blend(
        self,
        ray_bundle: RayBundle,
        base: BaseSamples,
        proposal: Proposal,
        intervals: RegionIntervals,
        strengths: Strengths,
        timed: Timed = untimed,
    ) -> Tuple[BlendedPixels, Float[Tensor, " hits"]]:
        """The edit in work on what is beneath it.

        Args:
            ray_bundle: rays that meet the region, and no others.
            base: the samples of `beneath` on them.
            proposal: its proposal on them, for new samples.
            intervals: the edit's intervals on them.
            strengths: how much of each operation is shown.
            timed: what its parts run in (see `Profile`).

        Returns:
            pixels, and accumulated removal of what was beneath.
        """
        everywhere = intervals._replace(rays=torch.arange(len(intervals.rays), device=intervals.rays.device))
        with timed("edit field"):
            sampled = sample_edit(self.edit, strengths, ray_bundle, everywhere)
        with timed("compositing"):
            folded, removed = fold_edits(self.beneath, ray_bundle, base, proposal, [sampled], self.meeting)
            return pixels_of(folded), removed

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:  # type: ignore[override]
        """All pictures of a flat bundle of rays. Rays that miss the regions are the base's, bit for bit.

        `added`, `removed` and `changed` are of all layers together; `region` is that of the edit in work.
        """
        aside = Aside(self.base.bound(ray_bundle).origins.device)
        render = self.render_scene(ray_bundle)
        # all that depends on values is asked beside the scene's own rendering, see `Aside`
        met, rays = aside.run(lambda: self._meet(ray_bundle), tensors_of_met)
        original = render.outputs["rgb"]
        outputs = {
            "rgb": original.clone(),
            "original": original,
            "edit": torch.zeros_like(original),
            **{name: original.new_zeros(len(original), 1) for name in ("region", "silhouette", *AMOUNTS)},
            "depth": render.outputs["depth"].clone(),
            "accumulation": render.outputs["accumulation"].clone(),
        }
        for intervals in (one.intervals for one in met if one.edit is self.edit):
            edges, density = render.samples.edges[intervals.rays], render.samples.density[intervals.rays]
            outputs["region"][intervals.rays, 0] = accumulated_region(edges, density, intervals).clamp(0.0, 1.0)
            outputs["silhouette"][intervals.rays, 0] = intervals.region.amax(dim=-1)
        if len(rays):
            self._show(outputs, ray_bundle, render, [one for one in met if one.shows], rays)
        return outputs

    def _meet(self, ray_bundle: RayBundle) -> Tuple[List[MetEdit], Int[Tensor, " hits"]]:
        """Where rays meet the edit in work, as soon as it has a region, and the layers that are shown; and which of them meet any
        that shows."""
        share, ready = self._share(ray_bundle), bool(self.edit_ready)
        edits = [(edit, edit.info.shown.scaled(share)) for edit in self.layers.all()]
        edits = [one for one in edits if (ready if one[0] is self.edit else not one[1].all_off)]
        return meet_edits(edits, self.base, ray_bundle, self.config.edit_samples_per_ray)

    def _share(self, ray_bundle: RayBundle) -> float:
        """What share of all strengths these rays see: their time, where a look lets a video fade."""
        if not self.fades or ray_bundle.times is None:
            return 1.0
        return min(1.0, max(0.0, float(ray_bundle.times.flatten()[0])))

    def _show(
        self,
        outputs: Dict[str, Tensor],
        ray_bundle: RayBundle,
        render: BaseRender,
        shown: List[MetEdit],
        rays: Int[Tensor, " hits"],
    ) -> None:
        """Fold the edits on the rays that meet any, into the outputs."""
        folded, removed = fold_met(self.scene, ray_bundle, render, shown, rays, self.meeting)
        pixels = pixels_of(folded)
        outputs["rgb"][rays] = pixels.rgb.clamp(0.0, 1.0)
        outputs["depth"][rays, 0] = pixels.depth
        outputs["accumulation"][rays, 0] = pixels.accumulation
        outputs["edit"][rays] = pixels.edit_rgb.clamp(0.0, 1.0)
        for name, amount in zip(AMOUNTS, (pixels.added, removed, pixels.changed), strict=True):
            outputs[name][rays, 0] = amount.clamp(0.0, 1.0)

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: Optional[OrientedBox] = None) -> Dict[str, Tensor]:
        """A whole picture, for the viewer cropped to its box; what the user asked for is done first."""
        if self.fades and camera.times is None and not self._told_of_times:
            CONSOLE.print(NO_TIMES, style="yellow", markup=False)
            self._told_of_times = True
        self.wishes.grant()
        with viewer_outlives_full_gpu(self.wishes.on_error):
            return super().get_outputs_for_camera(camera, obb_box)

    @torch.no_grad()
    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """A whole picture: the chunks' outputs, and what needs a pixel's place in it."""
        if bool(self.base_frozen):
            self.seen.begin(camera_ray_bundle)
        try:
            outputs = super().get_outputs_for_camera_ray_bundle(camera_ray_bundle)
        finally:
            self.seen.end()
        silhouette = outputs.pop("silhouette")
        outputs["region_overlay"] = region_overlay(outputs["original"], outputs["region"], silhouette)
        outputs["compare"] = wipe(outputs["original"], outputs["rgb"], self.compare_at)
        return outputs

    # -- nerfstudio's metrics -----------------------------------------------------------------------------------

    def get_loss_dict(self, outputs, batch, metrics_dict=None) -> Dict[str, Tensor]:
        """Photometric loss of the original: nerfstudio logs it on evaluation batches. An edit has no photos."""
        image = batch["image"].to(self.device)
        predicted, truth = self.base.renderer_rgb.blend_background_for_loss_computation(
            pred_image=outputs["original"], pred_accumulation=outputs["accumulation"], gt_image=image
        )
        return {"rgb_loss": self.base.rgb_loss(truth, predicted)}

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """`psnr`, `ssim`: the original against the photo; `edit_*`: the edited picture against the original.

        What a judge says of the edit is among them where there is one (`score`).
        """
        truth, original, edited = self.photo(batch), outputs["original"], outputs["rgb"]
        metrics = ns_eval_figures(truth, original, edited)
        for name in AMOUNTS:
            metrics[f"edit_{name}"] = float(outputs[name].mean())
        if self.score is not None:
            metrics |= self.score(original, edited)
        images = {"img": torch.cat([truth, original, edited], dim=1), "region_overlay": outputs["region_overlay"]}
        return metrics, images
