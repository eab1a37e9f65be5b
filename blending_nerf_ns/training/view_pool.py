"""Views for guidance: region-centred cameras whose base is rendered once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Dict, NamedTuple, Tuple

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from blending_nerf_ns.bases.base import BaseSamples
from blending_nerf_ns.bases.nerfacto import Proposal
from blending_nerf_ns.edits.contraction import scene_box
from blending_nerf_ns.edits.edit import accumulated_region
from blending_nerf_ns.edits.intersection import RegionIntervals
from blending_nerf_ns.guidance.cameras import cameras_around
from blending_nerf_ns.model import BlendingModel

ROOM = 0.3
"""How much a pixel of the room around an object counts beside one of the object, where crops are drawn."""


class CropSet(NamedTuple):
    """Crops of a view, and what a guide sees in them in the original."""

    boxes: Int[Tensor, "crops 3"]
    """Top, left and side, in pixels."""
    before: Float[Tensor, "crops features"]


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
    reached: Int[Tensor, " rays"]
    """Midpoints that lie in the region, of this ray and all before it."""
    num_points: int
    """The same of all rays."""
    silhouette: Float[Tensor, "height width"]
    """`coverage` on the CPU, where crops are drawn."""
    outline: Float[Tensor, "height width"]
    """The same with the room around the object, where something may be added: at least `ROOM` where rays meet the region."""
    active: Dict[Tuple[int, int, int], Int[Tensor, " points"]]
    """See `RegionIntervals`, of the parts that were asked for: which of a kept view's points are in the region stays so."""
    index: int
    """Its number in the pool."""
    crop_sets: Dict[Tuple[int, bool], CropSet]
    """What the guide was shown of the original and saw there."""

    @property
    def num_rays(self) -> int:
        """Rays that meet the region."""
        return len(self.intervals.rays)

    @property
    def nbytes(self) -> int:
        """Memory that keeping it takes, with the places of all its points."""
        return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(self)) + 4 * self.num_points

    def points_in_region(self, chosen: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen 3"]:
        """Some of the midpoints that lie in the region, in grid coordinates, counted along the rays from 0 to `num_points`.

        Not `positions[region > 0][chosen]`: that gathers all of them, of a large view a hundred times the memory.
        """
        ray = torch.searchsorted(self.reached, chosen, right=True)
        inside = self.intervals.region[ray] > 0
        before = self.reached[ray] - inside.sum(dim=-1)
        place = (inside.cumsum(dim=-1) > (chosen - before)[:, None]).int().argmax(dim=-1)  # the first that is true
        return self.intervals.positions[ray, place]

    def part(self, part: slice) -> tuple[RayBundle, BaseSamples, Proposal, RegionIntervals]:
        """Some of the rays that meet the region."""
        base = self.base.among(part)
        proposal = Proposal(*(value[part] for value in self.proposal))
        intervals = RegionIntervals(*(value[part] for value in self.intervals[:-1]))
        which = part.indices(self.num_rays)
        if which not in self.active:
            self.active[which] = intervals.find_active().int()
        return self.rays[part], base, proposal, intervals._replace(active=self.active[which])


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, RayBundle):
        yield from (part for part in vars(value).values() if isinstance(part, Tensor))
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)


class ViewPool:
    """A fixed set of region-centred views; each is rendered when it is first drawn, and kept while there is room.

    Args:
        model: with a frozen base and a region.
        cameras: training cameras, near which the views are.
        size: side of the square views, in pixels.
        count: views in the pool.
        seed: of the views' jitter.
        most_bytes: of views that are kept; beyond it, those that were not drawn for longest are rendered again.
    """

    def __init__(
        self, model: BlendingModel, cameras: Cameras, size: int, count: int, seed: int, most_bytes: float = float("inf")
    ) -> None:
        self.model, self._poses, self._count, self._seed = model, cameras.camera_to_worlds, count, seed
        self._size, self._most_bytes = size, most_bytes
        self._aim()

    @property
    def size(self) -> int:
        """Side of the views, in pixels."""
        return self._size

    def resize(self, size: int) -> None:
        """The same views from here on in another size; what was kept is dropped."""
        if size != self._size:
            self._size = size
            self._aim()

    def _aim(self) -> None:
        """Aim the views at the region that the model has now."""
        box = scene_box_of_region(self.model)
        cameras = cameras_around(box, self._poses, self._count, self._size, self._seed)
        self._cameras = cameras.to(self.model.device)
        self._kept: Dict[int, GuidanceView] = {}  # the one that was drawn last at the end
        self._version = self.model.version

    @property
    def cameras(self) -> Cameras:
        """The views' cameras, aimed at the region that the model has now."""
        if self._version != self.model.version:
            self._aim()
        return self._cameras

    def __len__(self) -> int:
        return len(self._cameras)

    def __getitem__(self, index: int) -> GuidanceView:
        """The view, rendered once for each region that the model had, as far as there is room to keep it."""
        cameras = self.cameras
        view = self._kept.pop(index, None)
        if view is None:
            view = render_view(self.model, cameras, index)
            room = self._most_bytes - view.nbytes
            while self._kept and sum(kept.nbytes for kept in self._kept.values()) > room:
                del self._kept[next(iter(self._kept))]
        self._kept[index] = view
        return view


@torch.no_grad()
def render_view(model: BlendingModel, cameras: Cameras, index: int) -> GuidanceView:
    """Render what is not edited for one camera and keep what an edit needs of it."""
    bundle, unedited = cameras.generate_rays(camera_indices=index, keep_shape=True), model.unedited
    height, width = bundle.origins.shape[:2]
    pictures, coverages, bases, proposals, intervals = [], [], [], [], []
    chunk = model.config.eval_num_rays_per_chunk
    for start in range(0, height * width, chunk):
        rays = bundle.get_row_major_sliced_ray_bundle(start, start + chunk)
        render = unedited.render(rays)
        met = model.intersect(rays)
        base = render.samples.among(met.rays)
        coverage = render.outputs["rgb"].new_zeros(len(rays))
        coverage[met.rays] = accumulated_region(base.edges, base.density, met)
        pictures.append(render.outputs["rgb"])
        coverages.append(coverage)
        bases.append(base)
        proposals.append(render.proposal.among(met.rays))
        intervals.append(met._replace(rays=met.rays + start))
    met = RegionIntervals(*(torch.cat(values) for values in zip(*(met[:-1] for met in intervals), strict=True)))
    base = BaseSamples(*(torch.cat(values) for values in zip(*bases, strict=True)))
    proposal = Proposal(*(torch.cat(values) for values in zip(*proposals, strict=True)))
    flat = bundle.flatten()
    reached = (met.region > 0).sum(dim=-1).cumsum(dim=0)
    coverage = torch.cat(coverages).view(height, width)
    return GuidanceView(
        original=torch.cat(pictures).view(height, width, 3),
        coverage=coverage,
        rays=flat[met.rays],
        base=base,
        proposal=proposal,
        intervals=met,
        reached=reached,
        num_points=int(reached[-1]) if len(reached) else 0,
        silhouette=coverage.cpu(),
        outline=coverage.flatten().index_fill(0, met.rays, ROOM).maximum(coverage.flatten()).view(height, width).cpu(),
        active={},
        index=index,
        crop_sets={},
    )


def scene_box_of_region(model: BlendingModel) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """An axis-aligned box around the region in scene coordinates."""
    return scene_box(*model.edit.region.bounds(), model.base.contracted)
