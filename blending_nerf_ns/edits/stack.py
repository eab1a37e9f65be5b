"""Edits on rays: each is sampled where the rays meet its region, and they are folded into the scene one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from blending_nerf_ns.bases.base import Base, BaseRender, BaseSamples, Proposal
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.intersection import FARTHEST, RegionIntervals, intersect_region
from blending_nerf_ns.rendering.blending import EditSamples, Strengths
from blending_nerf_ns.rendering.folding import (
    Folded,
    Layer,
    accumulated_removal,
    fold_together,
    keep_no_more,
    unedited,
)

SECOND_SAMPLES_ABOVE = 0.02
"""Accumulated removal above which a ray is sampled again behind what was removed."""


class MetEdit(NamedTuple):
    """An edit, and where a bundle's rays meet its region."""

    edit: Edit
    strengths: Strengths
    """How much of it is shown."""
    intervals: RegionIntervals

    @property
    def shows(self) -> bool:
        """Whether any of these rays may look other for it."""
        return len(self.intervals.rays) > 0 and not self.strengths.all_off


class SampledEdit(NamedTuple):
    """An edit on the rays that meet its region."""

    edit: Edit
    strengths: Strengths
    rays: Int[Tensor, " hits"]
    """Which rays of the bundle these are, ascending."""
    edges: Float[Tensor, "hits n+1"]
    samples: EditSamples

    def among(self, chosen: Int[Tensor, " chosen"]) -> SampledEdit:
        """The same, on a bundle of these rays alone (ascending)."""
        place = torch.searchsorted(chosen, self.rays).clamp_max(max(len(chosen) - 1, 0))
        kept = torch.nonzero(chosen[place] == self.rays).squeeze(-1) if len(chosen) else place[:0]
        samples = EditSamples(*(value[kept] for value in self.samples))
        return self._replace(rays=place[kept], edges=self.edges[kept], samples=samples)

    def within(self, rays: Int[Tensor, " more"]) -> SampledEdit:
        """The same, on a bundle of these rays alone (ascending), all of its own among them."""
        return self._replace(rays=torch.searchsorted(rays, self.rays))


def intersect(edit: Edit, base: Base, ray_bundle: RayBundle, num_intervals: int) -> RegionIntervals:
    """An edit's intervals on the rays of a flat bundle that meet its region; their `nears` and `fars` must be set."""
    near, far = ray_bundle.nears, ray_bundle.fars
    assert near is not None and far is not None, "near and far are not set: `bound` the rays, or render the base first"
    return intersect_region(
        edit.region,
        ray_bundle.origins,
        ray_bundle.directions,
        base.to_grid,
        base.contracted,
        near.view(-1),
        far.view(-1).clamp_max(FARTHEST),
        num_intervals,
    )


def meet_edits(
    edits: Sequence[tuple[Edit, Strengths]], base: Base, ray_bundle: RayBundle, num_intervals: int
) -> tuple[list[MetEdit], Int[Tensor, " hits"]]:
    """Where a flat bundle meets edits, and the points at which those that show are to be evaluated.

    All that depends on values is found here, and no more of it later; a GPU can be asked beside other work (see `Aside`).

    Returns:
        each edit, and the rays that meet at least one that shows, ascending.
    """
    met = []
    for edit, strengths in edits:
        intervals = intersect(edit, base, ray_bundle, num_intervals)
        met.append(MetEdit(edit, strengths, intervals if strengths.all_off else intervals.with_active()))
    each = [one.intervals.rays for one in met if one.shows]
    if not each:
        return met, torch.zeros(0, dtype=torch.long, device=ray_bundle.origins.device)
    if len(each) == 1:
        return met, each[0]
    meets = torch.zeros(len(ray_bundle), dtype=torch.bool, device=ray_bundle.origins.device)
    for rays in each:
        meets.index_fill_(0, rays, True)
    return met, torch.nonzero(meets).squeeze(-1)


def tensors_of_met(found: tuple[Sequence[MetEdit], Int[Tensor, " hits"]]) -> Iterator[Tensor]:
    """All tensors of what `meet_edits` found."""
    met, rays = found
    yield rays
    for one in met:
        yield from (tensor for tensor in one.intervals if tensor is not None)


def sample_edit(edit: Edit, strengths: Strengths, ray_bundle: RayBundle, intervals: RegionIntervals) -> SampledEdit:
    """Evaluate an edit on its intervals of a bundle."""
    samples = edit.evaluate(intervals, ray_bundle.directions[intervals.rays])
    return SampledEdit(edit, strengths, intervals.rays, intervals.edges, samples)


Meeting = Callable[[RayBundle, BaseSamples, Sequence[SampledEdit]], BaseSamples]
"""How the samples of a scene meet those of edits: from rays, the scene's own samples and the edits', the scene's samples that
are blended."""


def own_intervals(ray_bundle: RayBundle, samples: BaseSamples, edits: Sequence[SampledEdit]) -> BaseSamples:
    """The scene keeps its own intervals, which are split where edits begin and end."""
    return samples


def fold_edits(
    base: Base,
    ray_bundle: RayBundle,
    samples: BaseSamples,
    proposal: Proposal,
    edits: Sequence[SampledEdit],
    meeting: Meeting = own_intervals,
) -> tuple[Folded, Float[Tensor, " rays"]]:
    """A scene with edits on top of each other, the first lowest.

    The scene's samples lie on its visible surfaces. Where the edits take one of these away, the ray is sampled again behind
    it, with the same samples of the edits.

    Args:
        base: what is edited.
        ray_bundle: R rays.
        samples: the base's on them.
        proposal: the base's on them, for new samples.
        edits: on some of these rays each.
        meeting: see `Meeting`.

    Returns:
        the folded samples, and the accumulated removal of each ray.
    """
    folded = fold_all(meeting(ray_bundle, samples, edits), edits)
    if not any(sampled.strengths.remove > 0.0 for sampled in edits):
        return folded, folded.edges.new_zeros(len(folded.edges))
    removed = accumulated_removal(folded.original, folded.blended.removed, folded.edges)
    bared = torch.nonzero(removed.detach() > SECOND_SAMPLES_ABOVE).squeeze(-1)
    if len(bared) == 0:
        return folded, removed
    with torch.no_grad():
        kept = kept_by_all([(sampled.edit, sampled.strengths) for sampled in edits], base)
        behind = base.resample(ray_bundle[bared], proposal.among(bared), kept)
        behind = meeting(ray_bundle[bared], behind, [sampled.among(bared) for sampled in edits])
    among = [sampled.among(bared) for sampled in edits]
    share = kept_at_middles(ray_bundle[bared], behind, kept)
    return _put(folded, bared, keep_no_more(fold_all(behind, among), behind.edges, share)), removed


def kept_by_all(
    edits: Sequence[tuple[Edit, Strengths]], base: Base
) -> Callable[[Float[Tensor, "rays samples 3"]], Float[Tensor, "rays samples"]]:
    """A function of scene positions: the share of the scene's density that all these edits leave there."""
    each = [edit.kept_at(base.to_grid, strengths.remove) for edit, strengths in edits if strengths.remove > 0.0]

    def kept(positions: Tensor) -> Tensor:
        left = positions.new_ones(positions.shape[:-1])
        for one in each:
            left = left * one(positions)
        return left

    return kept


def fold_all(samples: BaseSamples, edits: Sequence[SampledEdit]) -> Folded:
    """A scene's samples with edits folded in, the first lowest, on rays that meet them and rays that do not."""
    scene = unedited(samples.edges, samples.density, samples.rgb, samples.background)
    return fold_together(
        scene, [Layer(*on_all_rays(one, scene.edges), one.strengths, one.edit.field.kept_light) for one in edits]
    )


def kept_at_middles(
    ray_bundle: RayBundle, samples: BaseSamples, kept: Callable[[Tensor], Tensor]
) -> Float[Tensor, "rays samples"]:
    """What edits leave in the middles of a scene's own intervals; where it is the less, it is what their gradient goes through."""
    middles = 0.5 * (samples.edges[..., 1:] + samples.edges[..., :-1])
    return kept(ray_bundle.origins[:, None] + middles[..., None] * ray_bundle.directions[:, None])


def on_all_rays(sampled: SampledEdit, edges: Float[Tensor, "rays m+1"]) -> tuple[Tensor, EditSamples]:
    """Give the rays that miss the region intervals too, of no length, at their near end."""
    count = len(edges)
    if len(sampled.rays) == count:
        return sampled.edges, sampled.samples
    everywhere = edges[:, :1].expand(count, sampled.edges.shape[-1]).clone()
    everywhere[sampled.rays] = sampled.edges

    def spread(values: Tensor) -> Tensor:
        return values.new_zeros((count, *values.shape[1:])).index_copy(0, sampled.rays, values)

    return everywhere, EditSamples(*(spread(value) for value in sampled.samples))


def _put(old: Folded, rays: Int[Tensor, " some"], new: Folded) -> Folded:
    """Replace some rays; both have as many samples."""
    blended = type(old.blended)(
        *(one.index_copy(0, rays, two) for one, two in zip(old.blended, new.blended, strict=True))
    )
    return Folded(
        edges=old.edges.index_copy(0, rays, new.edges),
        original=old.original.index_copy(0, rays, new.original),
        blended=blended,
        edit_rgb=old.edit_rgb.index_copy(0, rays, new.edit_rgb),
        added_rgb=old.added_rgb.index_copy(0, rays, new.added_rgb),
        background=old.background,
    )


def fold_met(
    base: Base,
    ray_bundle: RayBundle,
    render: BaseRender,
    met: Sequence[MetEdit],
    rays: Int[Tensor, " hits"],
    meeting: Meeting = own_intervals,
) -> tuple[Folded, Float[Tensor, " rays"]]:
    """`fold_edits` on the rays that meet any, and no others.

    Args:
        base: the scene.
        ray_bundle: flat.
        render: of the scene on all of it.
        met: the edits that show, the first lowest; and
        rays: those that meet one, see `meet_edits`.
        meeting: see there.
    """
    samples = render.samples.among(rays)
    proposal = render.proposal.among(rays)
    edits = [sample_edit(edit, strengths, ray_bundle, intervals).within(rays) for edit, strengths, intervals in met]
    return fold_edits(base, ray_bundle[rays], samples, proposal, edits, meeting)
