"""The comparison class of the paper: a NeRF whose own weights are fine-tuned, beside a frozen copy of what it was.

No second field and no region. What the copy shows is `original`, what became of the model is `rgb`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.models.base_model import ModelConfig
from torch import Tensor
from torch.nn import Parameter

from blending_nerf_ns.bases.hosting import BaseHost
from blending_nerf_ns.bases.nerfacto import NerfactoBaseConfig
from blending_nerf_ns.evaluation.preservation import ns_eval_figures


@dataclass
class FinetunedModelConfig(ModelConfig):
    """A nerfacto, twice."""

    _target: Type = field(default_factory=lambda: FinetunedModel)
    """Target class to instantiate."""
    base: NerfactoBaseConfig = field(default_factory=NerfactoBaseConfig)
    """The model. With a base run, its own configuration is taken instead."""
    base_num_images: int = 0
    """Training images of the base, for its appearance embedding; 0: as many as this capture has."""


class FinetunedModel(BaseHost):
    """A base that stays, and a copy of it that is fine-tuned.

    Args:
        config: see `FinetunedModelConfig`.
    """

    config: FinetunedModelConfig
    base_frozen: Tensor

    def populate_modules(self) -> None:
        """Build the base and its copy."""
        super().populate_modules()
        self.edited = self.build_base()
        self.register_buffer("base_frozen", torch.tensor(False))
        self.shows_edit = True
        """Whether `rgb`, `depth` and `accumulation` are of the fine-tuned copy, or of the base."""
        self.score: Optional[Callable[[Tensor, Tensor], Dict[str, float]]] = None
        """What a judge says of an original and its edited picture, where ns-eval was given one."""

    def freeze_base(self) -> None:
        """From here on the base is what it is; the first time, the copy starts from it."""
        starts = not bool(self.base_frozen)
        self.base.freeze()
        if starts:
            self.edited.load_state_dict(self.base.state_dict())
        self.base_frozen = torch.ones_like(self.base_frozen)

    def train(self, mode: bool = True) -> FinetunedModel:
        """Training mode for the base; the copy always renders as it will be rendered: no jitter, no photo's appearance."""
        super().train(mode)
        self.edited.eval()
        return self

    @contextmanager
    def showing_original(self) -> Iterator[None]:
        """Inside, the pictures are the base's."""
        before, self.shows_edit = self.shows_edit, False
        try:
            yield
        finally:
            self.shows_edit = before

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        """The base's groups, and the copy's."""
        return {
            **self.base.get_param_groups(),
            "finetuned_proposals": list(self.edited.proposal_networks.parameters()),
            "finetuned_fields": list(self.edited.field.parameters()),
        }

    def edited_pixels(self, ray_bundle: RayBundle) -> Float[Tensor, "rays 3"]:
        """What the copy shows of a chunk of rays, with gradients."""
        return self.edited(ray_bundle)["rgb"]

    def get_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:  # type: ignore[override]
        """Both pictures of a flat bundle of rays."""
        original = self.base.render(ray_bundle).outputs
        starts = not bool(self.base_frozen)  # the copy knows nothing yet
        shown = original if starts or not self.shows_edit else self.edited.render(ray_bundle).outputs
        return {**{name: shown[name] for name in ("rgb", "depth", "accumulation")}, "original": original["rgb"]}

    def get_loss_dict(self, outputs: Any, batch: Any, metrics_dict: Any = None) -> Dict[str, Tensor]:
        """Photometric loss of the original; an edit has no photos."""
        return {"rgb_loss": self.base.rgb_loss(self.photo(batch), outputs["original"])}

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        """`psnr`, `ssim`: the original against the photo; `edit_*`: the edited picture against the original, and what a judge
        says of it where there is one (`score`)."""
        truth, original, edited = self.photo(batch), outputs["original"], outputs["rgb"]
        metrics = ns_eval_figures(truth, original, edited)
        if self.score is not None:
            metrics |= self.score(original, edited)
        return metrics, {"img": torch.cat([truth, original, edited], dim=1)}
