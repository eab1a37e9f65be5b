"""A nerfacto model as a base: trained by nerfstudio's own methods, then frozen and asked for its samples."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Dict, List, Tuple, Type, cast

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.model_components.ray_samplers import SpacedSampler
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from torch import Tensor
from typing_extensions import Self

from blending_nerf_ns.bases.base import BaseRender, BaseSamples, Proposal
from blending_nerf_ns.compat import without_lpips
from blending_nerf_ns.encoding.contraction import use_cube_contractions
from blending_nerf_ns.encoding.hash_grid import use_fast_hash_grids

MAX_DENSITY = 1e10
"""Opaque on any interval longer than 1e-8, and still far from overflow when densities are added and multiplied."""


@dataclass
class NerfactoBaseConfig(NerfactoModelConfig):
    """nerfacto's options, all of them, and one of ours; the class that they build differs."""

    _target: Type = field(default_factory=lambda: NerfactoBase)
    fast_hash_grids: bool = True
    """Evaluate torch hash grids by our formulation: on a CPU three times the rays per second. Pictures differ from those of
    nerfstudio's by rounding, which its samplers amplify to 2e-5 at most; a base that was trained by `ns-train nerfacto`
    therefore keeps nerfstudio's."""


class NerfactoBase(NerfactoModel):
    """nerfstudio's nerfacto without LPIPS (see `compat.without_lpips`), which can hand out what it renders from.

    Trains and renders as `NerfactoModel` does. After `freeze()` it is a `Base`: always in eval mode, no gradients, and
    no callback of its training changes it any more.
    """

    config: NerfactoBaseConfig
    frozen: bool = False

    def populate_modules(self) -> None:
        with without_lpips():
            super().populate_modules()
        use_cube_contractions(self)
        if self.config.fast_hash_grids:
            moves = self.config.predict_normals or self.config.camera_optimizer.mode != "off"
            use_fast_hash_grids(self, of_points=moves)

    # -- training, as nerfstudio's -------------------------------------------------------------------------------

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> List[TrainingCallback]:
        """nerfacto's callbacks, which stop at `freeze()`: the trainer keeps them for all of its steps."""
        callbacks = super().get_training_callbacks(training_callback_attributes)
        for callback in callbacks:
            callback.func = self._until_frozen(callback.func)
        return callbacks

    def _until_frozen(self, callback: Callable[..., None]) -> Callable[..., None]:
        def call(*args, **kwargs) -> None:
            if not self.frozen:
                callback(*args, **kwargs)

        return call

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """nerfacto's psnr and ssim, and its images."""
        metrics, images = super().get_image_metrics_and_images(outputs, batch)
        metrics.pop("lpips", None)  # NaN: there is no LPIPS network here
        return metrics, images

    def freeze(self) -> Self:
        """End training for good: the model behaves as if its checkpoint had just been loaded for rendering.

        Proposal annealing goes back to 1, which is what `ns-render` uses: only training callbacks set it, so a base
        that stopped before annealing ended would otherwise sample differently than its own checkpoint.
        """
        self.frozen = True
        self.proposal_sampler.set_anneal(1.0)
        self.requires_grad_(False)
        for parameter in self.parameters():
            parameter.grad = None  # accumulated and not taken: the next step of the optimisers would take it
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """Training mode, except that a frozen base stays in eval mode (nerfstudio's pipeline calls this every step)."""
        return super().train(mode and not self.frozen)

    # -- coordinates ---------------------------------------------------------------------------------------------

    @property
    def contracted(self) -> bool:
        """Whether the model contracts space into [-2, 2]^3 (nerfacto's default)."""
        return self.field.spatial_distortion is not None

    @property
    def grid_box(self) -> Tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """Corners of the whole scene in grid coordinates: the contracted cube, or the scene box."""
        lower, upper = self.field.aabb
        if self.contracted:
            return torch.full_like(lower, -2.0), torch.full_like(upper, 2.0)
        return lower, upper

    def to_grid(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Scene coordinates to grid coordinates, by the model's own contraction where it has one."""
        contraction = self.field.spatial_distortion
        return points if contraction is None else contraction(points)

    # -- rendering -----------------------------------------------------------------------------------------------

    def bound(self, ray_bundle: RayBundle) -> RayBundle:
        """Near and far of rays where they are not set, in place, as `render` and nerfstudio's own forward set them."""
        return ray_bundle if self.collider is None else self.collider(ray_bundle)

    @torch.no_grad()
    def render(self, ray_bundle: RayBundle) -> BaseRender:
        """Render a flat chunk of R rays with what the picture was made from.

        Each of `outputs` is bit-identical to that of `self(ray_bundle)` in eval mode (this follows `NerfactoModel.get_outputs` step
        by step), and compositing `samples` gives `outputs["rgb"]` to 1e-6. The proposals' depths, the expected depth and normals
        are in no picture of an edit, and not made. As in nerfstudio's own forward, the collider sets `nears` and `fars` on the
        bundle where they are not set.

        Raises:
            RuntimeError: in training mode, where samples are jittered and colours depend on the training image.
        """
        if self.training:
            raise RuntimeError("render() needs the base in eval mode: call freeze() (or eval()) first.")
        ray_bundle = self.bound(ray_bundle)
        last_density_fn, last_densities = recorded(self.density_fns[-1])
        # nerfstudio 1.1.5 counts a picture as the proposals' turn: where a viewer looks after each step they would never train
        turn = self.proposal_sampler._steps_since_update
        ray_samples, _, ray_samples_list = self.proposal_sampler(
            ray_bundle, density_fns=[*self.density_fns[:-1], last_density_fn]
        )
        self.proposal_sampler._steps_since_update = turn
        field_outputs = self.field.forward(ray_samples)
        weights = ray_samples.get_weights(field_outputs[FieldHeadNames.DENSITY])
        outputs = {
            "rgb": self.renderer_rgb(rgb=field_outputs[FieldHeadNames.RGB], weights=weights),
            "accumulation": self.renderer_accumulation(weights=weights),
            "depth": self.renderer_depth(weights=weights, ray_samples=ray_samples),
        }
        background = self.background_of(field_outputs[FieldHeadNames.RGB])
        proposal = Proposal(
            spacing=edges_of(ray_samples_list[-1].spacing_starts, ray_samples_list[-1].spacing_ends),
            density=last_densities[-1][..., 0],
            background=background,
        )
        return BaseRender(samples_of(ray_samples, field_outputs, background), outputs, proposal)

    @torch.no_grad()
    def resample(
        self,
        ray_bundle: RayBundle,
        proposal: Proposal,
        kept: Callable[[Float[Tensor, "R P 3"]], Float[Tensor, "R P"]],
    ) -> BaseSamples:
        """As many samples as in `render`, placed as if only a share of the density were there.

        The proposal spends its intervals on the visible surface; with that surface taken out of its density, the same
        sampler places them on what lies behind ("second samples behind a removal").

        Args:
            ray_bundle: the R rays of `proposal`; for a part of a chunk, `bundle[rays]` and `proposal.among(rays)`.
            kept: share of the density that stays, in [0, 1], at scene positions. All 1 gives `render`'s own samples.

        Returns:
            Samples with the background of the ORIGINAL samples.
        """
        ray_bundle = self.bound(ray_bundle)
        coarse = self._on_spacing(ray_bundle, proposal.spacing)
        density = proposal.density * kept(coarse.frustums.get_positions())
        weights = coarse.get_weights(density[..., None])
        samples = self.proposal_sampler.pdf_sampler(
            ray_bundle, coarse, weights, num_samples=self.config.num_nerf_samples_per_ray
        )
        return samples_of(samples, self.field.forward(samples), proposal.background)

    def _on_spacing(self, ray_bundle: RayBundle, spacing: Float[Tensor, "R P+1"]) -> RaySamples:
        """The intervals between given edges, in the spacing that the first sampler uses between near and far."""
        sampler = cast(SpacedSampler, self.proposal_sampler.initial_sampler)
        near, far = sampler.spacing_fn(ray_bundle.nears), sampler.spacing_fn(ray_bundle.fars)

        def to_euclidean(x: Tensor) -> Tensor:
            return sampler.spacing_fn_inv(x * far + (1 - x) * near)

        edges = to_euclidean(spacing)
        return ray_bundle.get_ray_samples(
            bin_starts=edges[..., :-1, None],
            bin_ends=edges[..., 1:, None],
            spacing_starts=spacing[..., :-1, None],
            spacing_ends=spacing[..., 1:, None],
            spacing_to_euclidean_fn=to_euclidean,
        )

    def background_of(self, rgb: Float[Tensor, "R S 3"]) -> Float[Tensor, "R 3"]:
        """The renderer's own answer for a ray that meets nothing: its overrides (ns-render, viewer) hold too."""
        last = rgb[..., -1:, :]
        return self.renderer_rgb(rgb=last, weights=torch.zeros_like(last[..., :1]))


def samples_of(
    ray_samples: RaySamples, field_outputs: Dict[FieldHeadNames, Tensor], background: Float[Tensor, "R 3"]
) -> BaseSamples:
    """What a field said of its samples, in the form in which edits take it; with gradients where there are any."""
    return BaseSamples(
        edges=edges_of(ray_samples.frustums.starts, ray_samples.frustums.ends),
        density=torch.nan_to_num(field_outputs[FieldHeadNames.DENSITY][..., 0]).clamp(max=MAX_DENSITY),
        rgb=torch.nan_to_num(field_outputs[FieldHeadNames.RGB]),  # as the renderer does in eval mode
        background=background,
    )


def edges_of(starts: Float[Tensor, "R S 1"] | None, ends: Float[Tensor, "R S 1"] | None) -> Float[Tensor, "R S+1"]:
    """Contiguous intervals as their edges (nerfstudio's samplers cut one line of edges into starts and ends)."""
    assert starts is not None and ends is not None
    return torch.cat([starts[..., 0], ends[..., -1:, 0]], dim=-1)


def recorded(density_fn: Callable[[Tensor], Tensor]) -> Tuple[Callable[[Tensor], Tensor], List[Tensor]]:
    """The same function, and the list that collects what it returns."""
    densities: List[Tensor] = []

    def call(positions: Tensor) -> Tensor:
        densities.append(density_fn(positions))
        return densities[-1]

    return call, densities
