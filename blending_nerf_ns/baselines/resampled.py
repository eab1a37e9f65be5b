"""Ablation "resampling instead of splitting": both fields at the same points, those of both sets of samples together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Type

import torch
from nerfstudio.cameras.rays import RayBundle

from blending_nerf_ns.baselines.tracing import sample_between
from blending_nerf_ns.bases.base import BaseSamples
from blending_nerf_ns.edits.stack import Meeting, SampledEdit, on_all_rays
from blending_nerf_ns.model import BlendingModel, BlendingModelConfig


@dataclass
class ResampledModelConfig(BlendingModelConfig):
    """A frozen base that is sampled again wherever the edit is."""

    _target: Type = field(default_factory=lambda: ResampledModel)
    """Target class to instantiate."""


class ResampledModel(BlendingModel):
    """Blending-NeRF that evaluates its base a second time, on the merged intervals, instead of splitting its own.

    The base is then seen at other points than it was trained and is shown at, so a ray that meets the region changes even
    where the edit does nothing: the identity of `rendering.blending.blend` is lost.

    Args:
        config: see `ResampledModelConfig`.
    """

    config: ResampledModelConfig

    @property
    def meeting(self) -> Meeting:
        """The base anew between all edges."""
        return self._sample_again

    @torch.no_grad()
    def _sample_again(self, ray_bundle: RayBundle, samples: BaseSamples, edits: Sequence[SampledEdit]) -> BaseSamples:
        edges = torch.cat([samples.edges, *(on_all_rays(edit, samples.edges)[0] for edit in edits)], dim=-1)
        return sample_between(self.base, ray_bundle, edges.sort(dim=-1).values, samples.background)
