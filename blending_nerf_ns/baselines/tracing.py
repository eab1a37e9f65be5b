"""A nerfacto along rays WITH gradients: `NerfactoBase.render` has none, because our own base is frozen."""

from __future__ import annotations

from typing import List, NamedTuple

from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.model_components.losses import interlevel_loss
from torch import Tensor

from blending_nerf_ns.bases.base import BaseSamples, Proposal
from blending_nerf_ns.bases.nerfacto import NerfactoBase, edges_of, recorded, samples_of


class Traced(NamedTuple):
    """What one chunk of rays met."""

    samples: BaseSamples
    """As of `NerfactoBase.render`, but not detached."""
    proposal: Proposal
    weights: List[Float[Tensor, "R S 1"]]
    """Of each proposal level, then of the field."""
    levels: List[RaySamples]
    """The samples that belong to them."""

    @property
    def proposal_loss(self) -> Float[Tensor, ""]:
        """nerfstudio's interlevel loss: without it the proposals would go on sampling where the scene was."""
        return interlevel_loss(self.weights, self.levels)


def trace(nerfacto: NerfactoBase, ray_bundle: RayBundle) -> Traced:
    """Sample a model in eval mode: without jitter, so that the same rays give the same pixels twice."""
    ray_bundle = nerfacto.bound(ray_bundle)
    last, densities = recorded(nerfacto.density_fns[-1])
    samples, weights, levels = nerfacto.proposal_sampler(ray_bundle, density_fns=[*nerfacto.density_fns[:-1], last])
    outputs = nerfacto.field.forward(samples)
    proposal = Proposal(
        spacing=edges_of(levels[-1].spacing_starts, levels[-1].spacing_ends),
        density=densities[-1][..., 0].detach(),
        background=nerfacto.background_of(outputs[FieldHeadNames.RGB]).detach(),
    )
    own = samples.get_weights(outputs[FieldHeadNames.DENSITY])
    return Traced(samples_of(samples, outputs, proposal.background), proposal, [*weights, own], [*levels, samples])


def sample_between(
    nerfacto: NerfactoBase,
    ray_bundle: RayBundle,
    edges: Float[Tensor, "R S+1"],
    background: Float[Tensor, "R 3"],
) -> BaseSamples:
    """The model on intervals that are given instead of its own.

    Args:
        nerfacto: in eval mode.
        ray_bundle: R rays.
        edges: ascending distances along them.
        background: the colour behind the rays, which other samples do not change.
    """
    samples = ray_bundle.get_ray_samples(bin_starts=edges[..., :-1, None], bin_ends=edges[..., 1:, None])
    return samples_of(samples, nerfacto.field.forward(samples), background)
