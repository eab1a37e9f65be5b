"""A base with edits on top, which is a base again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from blending_nerf_ns.bases.base import Base, BaseRender, BaseSamples, Proposal
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.stack import (
    SampledEdit,
    fold_all,
    fold_edits,
    intersect,
    kept_at_middles,
    kept_by_all,
    sample_edit,
)
from blending_nerf_ns.rendering.blending import Strengths
from blending_nerf_ns.rendering.folding import Folded, keep_no_more, pixels_of


class EditedBase:
    """A base with edits on top is a base again: what the next edit is made on, and what its region is looked for in.

    Args:
        base: the scene.
        edits: with their strengths, the first lowest.
        num_intervals: of each edit on a ray.
    """

    def __init__(self, base: Base, edits: Sequence[tuple[Edit, Strengths]], num_intervals: int) -> None:
        self._base, self._edits, self._num_intervals = base, list(edits), num_intervals

    @property
    def contracted(self) -> bool:
        """See `Base`."""
        return self._base.contracted

    @property
    def grid_box(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """See `Base`."""
        return self._base.grid_box

    def to_grid(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """See `Base`."""
        return self._base.to_grid(points)

    @torch.no_grad()
    def render(self, ray_bundle: RayBundle) -> BaseRender:
        """The edited picture of a chunk; rays that miss all regions are the base's own, bit for bit."""
        render = self._base.render(ray_bundle)
        edits = self._sample(ray_bundle)
        folded, _ = fold_edits(self._base, ray_bundle, render.samples, render.proposal, edits)
        outputs, pixels = dict(render.outputs), pixels_of(folded)
        for rays in (sampled.rays for sampled in edits):
            outputs["rgb"] = outputs["rgb"].index_copy(0, rays, pixels.rgb[rays].clamp(0.0, 1.0))
            outputs["depth"] = outputs["depth"].index_copy(0, rays, pixels.depth[rays, None])
            outputs["accumulation"] = outputs["accumulation"].index_copy(0, rays, pixels.accumulation[rays, None])
        return BaseRender(_as_samples(folded), outputs, render.proposal)

    @torch.no_grad()
    def resample(
        self,
        ray_bundle: RayBundle,
        proposal: Proposal,
        kept: Callable[[Float[Tensor, "R P 3"]], Float[Tensor, "R P"]],
    ) -> BaseSamples:
        """See `Base`."""
        mine = kept_by_all(self._edits, self._base)
        samples = self._base.resample(ray_bundle, proposal, lambda positions: mine(positions) * kept(positions))
        share = kept_at_middles(ray_bundle, samples, mine)
        return _as_samples(keep_no_more(fold_all(samples, self._sample(ray_bundle)), samples.edges, share))

    def _sample(self, ray_bundle: RayBundle) -> list[SampledEdit]:
        return [
            sample_edit(edit, strengths, ray_bundle, intersect(edit, self._base, ray_bundle, self._num_intervals))
            for edit, strengths in self._edits
        ]


def _as_samples(folded: Folded) -> BaseSamples:
    return BaseSamples(folded.edges, folded.blended.density, folded.blended.rgb, folded.background)
