"""Ablation "no base freezing": the edit is blended into a copy of the base that learns along with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Tuple, Type

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor
from torch.nn import Parameter

from blending_nerf_ns.baselines.tracing import trace
from blending_nerf_ns.bases.base import BaseRender, BaseSamples, Proposal
from blending_nerf_ns.bases.nerfacto import NerfactoBase
from blending_nerf_ns.edits.intersection import RegionIntervals
from blending_nerf_ns.model import BlendingModel, BlendingModelConfig
from blending_nerf_ns.rendering.blending import Strengths
from blending_nerf_ns.rendering.compositing import BlendedPixels
from blending_nerf_ns.training.profiling import Timed, untimed


@dataclass
class UnfrozenModelConfig(BlendingModelConfig):
    """A base that learns along, and an editable field that is blended into it."""

    _target: Type = field(default_factory=lambda: UnfrozenModel)
    """Target class to instantiate."""


class UnfrozenModel(BlendingModel):
    """Blending-NeRF whose base is not frozen: the rays that meet the region teach it, and it changes everywhere.

    `original` stays what the base was, and is what guidance compares with; the whole picture is that, too, where all strengths are 0.
    The proposals are not taught: an edit has no loss for them. Only one layer is trained this way, on no other.

    Args:
        config: see `UnfrozenModelConfig`.
    """

    config: UnfrozenModelConfig

    def populate_modules(self) -> None:
        """The base, the edit, and the copy that learns."""
        super().populate_modules()
        self.moving: NerfactoBase = self.build_base()

    @property
    def scene(self) -> NerfactoBase:
        """The copy that learns; the base itself where nothing is shown of the edit, and as long as the copy has not begun."""
        return self.moving if bool(self.base_frozen) and not self.edit.info.shown.all_off else self.base

    @property
    def unedited(self) -> NerfactoBase:
        """The base itself: a view that is drawn late would show what the copy has become."""
        return self.base

    @property
    def nothing_to_learn(self) -> bool:
        """The copy always has something to learn."""
        return False

    def render_scene(self, ray_bundle: RayBundle) -> BaseRender:
        """Anew each time: it changes with every step."""
        return self.scene.render(ray_bundle)

    def freeze_base(self) -> None:
        """The base is what it is from here on; the first time, the copy starts from it."""
        starts = not bool(self.base_frozen)
        super().freeze_base()
        if starts:
            self.moving.load_state_dict(self.base.state_dict())

    def train(self, mode: bool = True) -> UnfrozenModel:
        """The copy always renders as it will be rendered."""
        super().train(mode)
        self.moving.eval()
        return self

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        """Those of the model, and the copy's field."""
        return {**super().get_param_groups(), "moving_fields": list(self.moving.field.parameters())}

    def blend(
        self,
        ray_bundle: RayBundle,
        base: BaseSamples,
        proposal: Proposal,
        intervals: RegionIntervals,
        strengths: Strengths,
        timed: Timed = untimed,
    ) -> Tuple[BlendedPixels, Float[Tensor, " hits"]]:
        """As in `BlendingModel`, with samples of the copy as it is now instead of those that were kept."""
        with timed("view"):
            traced = trace(self.moving, ray_bundle)
        return super().blend(ray_bundle, traced.samples, traced.proposal, intervals, strengths, timed)

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:  # type: ignore[override]
        """All pictures of a flat bundle of rays."""
        outputs = super().get_outputs(ray_bundle)
        with torch.no_grad():
            outputs["original"] = self.base.render(ray_bundle).outputs["rgb"]
        return outputs
