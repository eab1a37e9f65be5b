"""The nerfstudio model: a frozen base and an edit, rendered together.

This is a thin rim: the mathematics is in `rendering`, the base in `bases`, the edit in `edits`.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple, Type, cast

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.model_components.renderers import RGBRenderer
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.utils.external import TCNN_EXISTS
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter

from blending_nerf_ns.bases.base import BaseRender, BaseSamples
from blending_nerf_ns.bases.nerfacto import NerfactoBase, NerfactoBaseConfig, Proposal
from blending_nerf_ns.edits.edit import Edit, accumulated_region, accumulated_removal, blend_rays
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.edits.intersection import FARTHEST, RegionIntervals, intersect_region
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.solids import region_from_solid, solid_box
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.overlay import region_overlay
from blending_nerf_ns.rendering.blending import EditSamples, Strengths
from blending_nerf_ns.rendering.compositing import BlendedPixels

OPERATIONS = ("add", "remove", "change")
SECOND_SAMPLES_ABOVE = 0.02
"""Accumulated removal above which a ray is sampled again behind what was removed."""


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


class BlendingModel(Model):
    """Blending-NeRF (arXiv 2308.11974): a base field and an editable field, blended per sample.

    Args:
        config: see `BlendingModelConfig`.
    """

    config: BlendingModelConfig
    edit_ready: Tensor

    def populate_modules(self) -> None:
        """Build base and edit; guidance is not part of a model and not of its checkpoints."""
        super().populate_modules()
        self.collider = None  # the base brings its own
        device = str(self.kwargs.get("device", "cpu"))
        if self.config.base.implementation == "tcnn" and not TCNN_EXISTS:
            self.config.base.implementation = "torch"  # nerfstudio would do the same, but config.yml would not say so
        self.base: NerfactoBase = self.config.base.setup(
            scene_box=self.scene_box,
            num_train_data=self.config.base_num_images or self.num_train_data,
            metadata=self.kwargs.get("metadata"),
            device=device,
        )
        region = Region(self.config.region_resolution)
        self.edit = Edit(region, EditField(self.config.edit_field, use_cuda=device.startswith("cuda")))
        self.register_buffer("base_frozen", torch.tensor(False))
        self.register_buffer("edit_ready", torch.tensor(False))
        self.operations: Tuple[str, ...] = OPERATIONS
        self.region_version = 0
        """Grows with every change of the region: what was computed for another one is out of date."""
        self._wanted_shape: Dict[str, float] = {}
        self._wants_crop_box = False
        self.crop_box: Optional[OrientedBox] = None
        """The last one that the viewer showed."""
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
        """Set the live blend ratios, each >= 0; None leaves one as it is."""
        given = {"strength_add": add, "strength_remove": remove, "strength_change": change}
        for name, value in given.items():
            if value is not None:
                setattr(self.config, name, max(0.0, float(value)))

    @property
    def strengths(self) -> Strengths:
        """Live strengths; an operation that the edit does not use is 0."""
        config = self.config
        wanted = (config.strength_add, config.strength_remove, config.strength_change)
        return Strengths(*(s if name in self.operations else 0.0 for name, s in zip(OPERATIONS, wanted, strict=True)))

    @property
    def trained_strengths(self) -> Strengths:
        """Strengths while an edit trains: 1 for its operations, 0 for the others."""
        return Strengths(*(float(name in self.operations) for name in OPERATIONS))

    def want_region(self, **changes: float) -> None:
        """Ask for another threshold, margin, ... (see `RegionShape`); the next picture or training step takes it over."""
        self._wanted_shape.update(changes)

    def want_crop_box(self) -> None:
        """Ask for the viewer's crop box as the region; the next picture or training step takes it over."""
        self._wants_crop_box = True

    def take_wanted_region(self, crop_box: Optional[OrientedBox] = None) -> None:
        """Cut the region as the user wants it by now; where that leaves nothing, the region stays and the reason is said.

        Called where nothing else renders or trains: at the start of a picture, and of a training step.

        Args:
            crop_box: the viewer's, where it is switched on.
        """
        self.crop_box = crop_box if crop_box is not None else self.crop_box
        if not bool(self.edit_ready):
            return
        region = self.edit.region
        try:
            if self._wants_crop_box and self.crop_box is not None:
                self._take_crop_box(self.crop_box)
            if self._wanted_shape:
                region.reshape(**self._wanted_shape)
                self.region_version += 1
        except BlendingNerfError as error:
            CONSOLE.print(f"The region stays as it is: {error}")
        # nerfstudio may interrupt a picture at any line: what was wanted is forgotten only when it is done
        self._wanted_shape, self._wants_crop_box = {}, self._wants_crop_box and self.crop_box is None

    def _take_crop_box(self, box: OrientedBox) -> None:
        region = self.edit.region
        solid = solid_box("the crop box", box.T.float().cpu(), box.S.float().cpu(), box.R.float().cpu())
        made = region_from_solid(solid, self.base.grid_box, self.base.contracted, region.resolution, region.shape)
        lower, upper = (corner.to(region.lower) for corner in made.bounds())
        field = self.edit.field
        if bool((torch.minimum(upper, field.upper) <= torch.maximum(lower, field.lower)).any()):
            raise BlendingNerfError("the crop box lies beside what this edit was made for; start another edit in it")
        region.load_state_dict(made.state_dict())
        self.region_version += 1

    # -- stages -------------------------------------------------------------------------------------------------

    def freeze_base(self) -> None:
        """From here on the base is what it is: eval mode, no gradients, whatever mode the pipeline is switched to."""
        self.base.freeze()
        self.base_frozen = torch.ones_like(self.base_frozen)

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        """The base's groups, and the edit's; the groups never change, so that checkpoints always fit."""
        return {**self.base.get_param_groups(), "edit_field": list(self.edit.field.parameters())}

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> List[TrainingCallback]:
        """The base's own callbacks; the pipeline runs them in the base's stage only."""
        return self.base.get_training_callbacks(training_callback_attributes)

    # -- rendering ----------------------------------------------------------------------------------------------

    def intersect(self, ray_bundle: RayBundle) -> RegionIntervals:
        """The edit's intervals on the rays of a flat bundle that meet the region."""
        origins, directions = ray_bundle.origins, ray_bundle.directions
        near, far = ray_bundle.nears, ray_bundle.fars
        assert near is not None and far is not None, "render the base first: its collider sets near and far"
        return intersect_region(
            self.edit.region,
            origins,
            directions,
            self.base.to_grid,
            self.base.contracted,
            near.view(-1),
            far.view(-1).clamp_max(FARTHEST),
            self.config.edit_samples_per_ray,
        )

    def blend(
        self,
        ray_bundle: RayBundle,
        base: BaseSamples,
        proposal: Proposal,
        intervals: RegionIntervals,
        strengths: Strengths,
    ) -> Tuple[BlendedPixels, Float[Tensor, " hits"], EditSamples]:
        """Blend the rays that meet the region; where a removal bares what lies behind, with new base samples there.

        Args:
            ray_bundle: those rays only.
            base: the base's samples on them.
            proposal: the base's proposal on them, for new samples.
            intervals: the edit's intervals on them.
            strengths: how much of each operation is shown.

        Returns:
            pixels, accumulated removal, and the editable field's samples.
        """
        samples = self.edit.evaluate(intervals, ray_bundle.directions)
        pixels, blended, split = blend_rays(base, intervals, samples, strengths)
        removed = accumulated_removal(base, blended, split)
        bared = torch.nonzero(removed.detach() > SECOND_SAMPLES_ABOVE).squeeze(-1)
        if strengths.remove == 0.0 or len(bared) == 0:
            return pixels, removed, samples

        with torch.no_grad():
            kept = self.edit.kept_at(self.base.to_grid, strengths.remove)
            behind = self.base.resample(ray_bundle[bared], self.base.slice_proposal(proposal, bared), kept)
        some = RegionIntervals(*(value[bared] for value in intervals))
        again, _, _ = blend_rays(behind, some, EditSamples(*(value[bared] for value in samples)), strengths)
        pixels = BlendedPixels(*(_put(old, bared, new) for old, new in zip(pixels, again, strict=True)))
        return pixels, removed, samples

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:  # type: ignore[override]
        """All pictures of a flat bundle of rays (design section 6). Rays that miss the region are the base's, bit for bit."""
        render = self.base.render(ray_bundle)
        strengths = self.strengths
        intervals = self.intersect(ray_bundle) if bool(self.edit_ready) else None
        return self.assemble(ray_bundle, render, intervals, strengths)

    def assemble(
        self, ray_bundle: RayBundle, render: BaseRender, intervals: Optional[RegionIntervals], strengths: Strengths
    ) -> Dict[str, Tensor]:
        """Outputs from a rendered base and the region's intervals."""
        original = render.outputs["rgb"]
        outputs = {
            "rgb": original.clone(),
            "original": original,
            "edit": torch.zeros_like(original),
            "region": original.new_zeros(len(original), 1),
            "silhouette": original.new_zeros(len(original), 1),
            "added": original.new_zeros(len(original), 1),
            "removed": original.new_zeros(len(original), 1),
            "changed": original.new_zeros(len(original), 1),
            "depth": render.outputs["depth"].clone(),
            "accumulation": render.outputs["accumulation"].clone(),
        }
        if intervals is None or len(intervals.rays) == 0:
            return outputs
        rays = intervals.rays
        base = BaseSamples(*(value[rays] for value in render.samples))
        outputs["region"][rays, 0] = accumulated_region(base, intervals).clamp(0.0, 1.0)
        outputs["silhouette"][rays, 0] = intervals.region.amax(dim=-1)
        if strengths.all_off:
            return outputs
        proposal = self.base.slice_proposal(render.proposal, rays)
        pixels, removed, _ = self.blend(ray_bundle[rays], base, proposal, intervals, strengths)
        outputs["rgb"][rays] = pixels.rgb.clamp(0.0, 1.0)
        outputs["depth"][rays, 0] = pixels.depth
        outputs["accumulation"][rays, 0] = pixels.accumulation
        outputs["edit"][rays] = pixels.edit_rgb.clamp(0.0, 1.0)
        outputs["added"][rays, 0] = pixels.added.clamp(0.0, 1.0)
        outputs["removed"][rays, 0] = removed.clamp(0.0, 1.0)
        outputs["changed"][rays, 0] = pixels.changed.clamp(0.0, 1.0)
        return outputs

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: Optional[OrientedBox] = None) -> Dict[str, Tensor]:
        """A whole picture, for the viewer cropped to its box; what the user asked of the region is done first."""
        self.take_wanted_region(obb_box)
        return super().get_outputs_for_camera(camera, obb_box)

    @torch.no_grad()
    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """A whole picture: the chunks' outputs, and the overlay, which needs a pixel's neighbours."""
        outputs = super().get_outputs_for_camera_ray_bundle(camera_ray_bundle)
        silhouette = outputs.pop("silhouette")
        outputs["region_overlay"] = region_overlay(outputs["original"], outputs["region"], silhouette)
        return outputs

    # -- nerfstudio's metrics -----------------------------------------------------------------------------------

    @property
    def renderer_rgb(self) -> RGBRenderer:
        """ns-export asks the model for its renderer."""
        return self.base.renderer_rgb

    def get_loss_dict(self, outputs, batch, metrics_dict=None) -> Dict[str, Tensor]:
        """Photometric loss of the original: nerfstudio logs it on evaluation batches. An edit has no photos."""
        image = batch["image"].to(self.device)
        predicted, truth = self.base.renderer_rgb.blend_background_for_loss_computation(
            pred_image=outputs["original"], pred_accumulation=outputs["accumulation"], gt_image=image
        )
        return {"rgb_loss": self.base.rgb_loss(truth, predicted)}

    def get_metrics_dict(self, outputs, batch) -> Dict[str, Tensor]:
        """PSNR of the original against the photo."""
        truth = self.base.renderer_rgb.blend_background(batch["image"].to(self.device))
        return {"psnr": self.base.psnr(outputs["original"], truth)}

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """`psnr`, `ssim`: the original against the photo; `edit_*`: the edited picture against the original."""
        truth = self.base.renderer_rgb.blend_background(batch["image"].to(self.device))
        original, edited = outputs["original"], outputs["rgb"]

        def image(value: Tensor) -> Tensor:
            return value.moveaxis(-1, 0)[None]

        def compare(one: Tensor, two: Tensor) -> Tuple[float, float]:
            error = float(torch.mean((one - two) ** 2))
            psnr = 99.0 if error <= 10**-9.9 else float(-10.0 * torch.log10(torch.tensor(error)))
            return psnr, float(cast(Tensor, self.base.ssim(image(one), image(two), data_range=1.0)))

        psnr, ssim = compare(original, truth)
        edit_psnr, edit_ssim = compare(edited, original)
        metrics = {"psnr": psnr, "ssim": ssim, "edit_psnr": edit_psnr, "edit_ssim": edit_ssim}
        for name in ("added", "removed", "changed"):
            metrics[f"edit_{name}"] = float(outputs[name].mean())
        images = {"img": torch.cat([truth, original, edited], dim=1), "region_overlay": outputs["region_overlay"]}
        return metrics, images


def _put(old: Tensor, index: Tensor, new: Tensor) -> Tensor:
    return old.index_copy(0, index, new)
