"""Views for guidance: region-centred cameras whose base is rendered once and kept."""

from __future__ import annotations

from typing import Dict, NamedTuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from blending_nerf_ns.bases.base import BaseSamples
from blending_nerf_ns.bases.nerfacto import Proposal
from blending_nerf_ns.edits.contraction import scene_box
from blending_nerf_ns.edits.edit import accumulated_region
from blending_nerf_ns.edits.intersection import RegionIntervals
from blending_nerf_ns.guidance.cameras import square_cameras
from blending_nerf_ns.guidance.views import region_views
from blending_nerf_ns.model import BlendingModel


class GuidanceView(NamedTuple):
    """One view of the original, and everything of it that an edit can touch."""

    original: Float[Tensor, "height width 3"]
    coverage: Float[Tensor, "height width"]
    """Share of what a pixel sees that lies in the region, in [0, 1]."""
    rays: RayBundle
    """The rays that meet the region; `intervals.rays` says which pixels these are."""
    base: BaseSamples
    proposal: Proposal
    intervals: RegionIntervals

    def part(self, part: slice) -> tuple[RayBundle, BaseSamples, Proposal, RegionIntervals]:
        """Some of the rays that meet the region."""
        base = BaseSamples(*(value[part] for value in self.base))
        proposal = Proposal(*(value[part] for value in self.proposal))
        return self.rays[part], base, proposal, RegionIntervals(*(value[part] for value in self.intervals))


class ViewPool:
    """A fixed set of region-centred views; each is rendered when it is first drawn.

    Args:
        model: with a frozen base and a region.
        cameras: training cameras, near which the views are.
        size: side of the square views, in pixels.
        count: views in the pool.
        seed: of the views' jitter.
    """

    def __init__(self, model: BlendingModel, cameras: Cameras, size: int, count: int, seed: int) -> None:
        self.model, self._poses, self._size, self._count, self._seed = (
            model,
            cameras.camera_to_worlds,
            size,
            count,
            seed,
        )
        self._aim()

    def _aim(self) -> None:
        """Aim the views at the region that the model has now."""
        lower, upper = scene_box_of_region(self.model)
        views = region_views(
            self._poses.cpu(),
            center=(0.5 * (lower + upper)).cpu(),
            radius=float((upper - lower).max()) / 2.0,
            up=torch.tensor([0.0, 0.0, 1.0]),
            count=self._count,
            size=self._size,
            generator=torch.Generator().manual_seed(self._seed),
        )
        self.cameras = square_cameras(views, self._size).to(self.model.device)
        self._kept: Dict[int, GuidanceView] = {}
        self._version = self.model.version

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, index: int) -> GuidanceView:
        """The view, rendered once for each region that the model had."""
        if self._version != self.model.version:
            self._aim()
        if index not in self._kept:
            self._kept[index] = render_view(self.model, self.cameras, index)
        return self._kept[index]


@torch.no_grad()
def render_view(model: BlendingModel, cameras: Cameras, index: int) -> GuidanceView:
    """Render the base for one camera and keep what an edit needs of it."""
    bundle = cameras.generate_rays(camera_indices=index, keep_shape=True)
    height, width = bundle.origins.shape[:2]
    pictures, coverages, bases, proposals, intervals = [], [], [], [], []
    chunk = model.config.eval_num_rays_per_chunk
    for start in range(0, height * width, chunk):
        rays = bundle.get_row_major_sliced_ray_bundle(start, start + chunk)
        render = model.beneath.render(rays)
        met = model.intersect(rays)
        base = BaseSamples(*(value[met.rays] for value in render.samples))
        coverage = render.outputs["rgb"].new_zeros(len(rays))
        coverage[met.rays] = accumulated_region(base, met)
        pictures.append(render.outputs["rgb"])
        coverages.append(coverage)
        bases.append(base)
        proposals.append(model.beneath.slice_proposal(render.proposal, met.rays))
        intervals.append(met._replace(rays=met.rays + start))
    met = RegionIntervals(*(torch.cat(values) for values in zip(*intervals, strict=True)))
    base = BaseSamples(*(torch.cat(values) for values in zip(*bases, strict=True)))
    proposal = Proposal(*(torch.cat(values) for values in zip(*proposals, strict=True)))
    flat = bundle.flatten()
    return GuidanceView(
        original=torch.cat(pictures).view(height, width, 3),
        coverage=torch.cat(coverages).view(height, width),
        rays=flat[met.rays],
        base=base,
        proposal=proposal,
        intervals=met,
    )


def scene_box_of_region(model: BlendingModel) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """An axis-aligned box around the region in scene coordinates."""
    return scene_box(*model.edit.region.bounds(), model.base.contracted)
