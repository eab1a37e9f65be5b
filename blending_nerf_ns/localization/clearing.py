"""Whether a removal takes along what hangs together with the object, such as its shadow (ours).

A region spares other surfaces: the table under a toy is to stay. But where a base has a plain floor as background, a shadow on it
is a surface of its own, with nothing solid behind; spared, it is a dark rim around nothing. So both are looked at, and a shadow
is taken where its place then looks like its surroundings: whole, wherever it ends, or not at all, for half of one is a fleck that
nothing throws. A hole in a table looks less like the table than a shadow does, so there the shadow stays; and a small neighbour
that would go as a whole is no darker shade of the floor around it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, Tuple

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.bases.base import Base, BaseRender
from blending_nerf_ns.edits.contraction import scene_box
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.stack import fold_met, meet_edits
from blending_nerf_ns.guidance.cameras import cameras_around
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.views import INTERVALS, FrozenScene
from blending_nerf_ns.rendering.blending import Strengths
from blending_nerf_ns.rendering.folding import pixels_of

CLEARING_VIEWS = 6
"""Views that are enough to look at..."""
CLEARING_SIZE = 96
"""...and the side of their pictures, in pixels, where no guide says which it sees."""
TAKEN_ALONG = "Its place is clearer without what hangs together with it, such as a shadow: that is taken along."
"""What a person is told of it."""
REMOVED = Strengths(add=0.0, remove=1.0, change=0.0)
DIFFERS = 0.02
"""Difference of two pictures, of a channel in [0, 1], above which a pixel counts as another."""
ALIKE = 0.01
"""Below this one it counts as untouched."""
CLEARER = 0.5
"""What is taken along must leave its place at most this share as far from its surroundings as it was..."""
SPOILT = 0.1
"""...and at most this share of the pixels farther from them."""
SHADE = 0.35
"""A pixel of a shadow is at most this share as far from a darker shade of its surroundings as it is from them; of a red thing on a gray
floor it is 0.85, of a dark blue one 0.44..."""
OTHER = 0.06
"""...and at most this share of the pixels are of something else."""
IN_FRONT = 0.05
"""Share of a pixel's depth by which its nearest untouched one may be nearer to the camera. One of what stands before it says nothing: with
a ball in front of the shadow, its floor was red."""


class Strangeness(NamedTuple):
    """How far pixels are from their surroundings: mean absolute differences from the nearest untouched one, in [0, 1]."""

    spared: Float[Tensor, " pixels"]
    """Where the surfaces around the object are left."""
    taken: Float[Tensor, " pixels"]
    """Where they are taken along."""
    shade: Float[Tensor, " pixels"]
    """Where they are left, from the nearest untouched pixel made as dark as comes closest."""

    @property
    def clearer(self) -> bool:
        """Whether what is there is a shadow, and its place is better without: much nearer to the surroundings, hardly anywhere
        farther from them."""
        if not len(self.spared):
            return False
        spoilt = (self.taken > self.spared + DIFFERS).float().mean()
        other = ((self.shade > SHADE * self.spared) & (self.spared > DIFFERS)).float().mean()
        nearer = self.taken.mean() <= CLEARER * self.spared.mean()
        return bool(nearer & (spoilt <= SPOILT) & (other <= OTHER))


def strangeness(
    original: Float[Tensor, "height width 3"],
    spared: Float[Tensor, "height width 3"],
    taken: Float[Tensor, "height width 3"],
    depth: Float[Tensor, "height width"],
) -> Strangeness:
    """Of the pixels in which two removals differ, how far each is from its surroundings in either.

    Args:
        original: a view before any removal, in [0, 1].
        spared: the same without the object, other surfaces left.
        taken: the same with surfaces around it taken along.
        depth: where these are left; infinite in the background.

    Returns:
        Of those of the pixels that are beside their surroundings, and not behind them.

    Example:
        >>> floor = torch.full((1, 5, 3), 0.5)
        >>> shadow = floor.clone()
        >>> shadow[:, 2:4] = 0.25
        >>> strangeness(shadow, shadow, floor, torch.ones(1, 5))
        Strangeness(spared=tensor([0.2500, 0.2500]), taken=tensor([0., 0.]), shade=tensor([0., 0.]))
    """
    other = (spared - taken).abs().amax(-1) > DIFFERS
    alone = torch.maximum((spared - original).abs(), (taken - original).abs()).amax(-1) < ALIKE
    if not bool(alone.any()):
        return Strangeness(*(spared.new_zeros(0) for _ in Strangeness._fields))
    found = ndimage.distance_transform_edt(~alone.cpu().numpy(), return_distances=False, return_indices=True)
    rows, columns = torch.from_numpy(np.asarray(found)).long().to(original.device)
    other &= depth[rows, columns] >= (1.0 - IN_FRONT) * depth
    near, left, gone = original[rows, columns][other], spared[other], taken[other]
    darkness = (left * near).sum(-1, keepdim=True) / near.square().sum(-1, keepdim=True).clamp_min(1e-6)
    pairs = (left, near), (gone, near), (left, darkness.clamp(0.0, 1.0) * near)
    return Strangeness(*((one - two).abs().mean(-1) for one, two in pairs))


def takes_along(region: RegionConfig, operations: Sequence[str]) -> bool:
    """Whether an edit is to look what it takes along: it only removes, and nobody has said what of other surfaces."""
    return set(operations) == {"remove"} and region.margin_over_surfaces is None and region.source.strip() != "file"


@torch.no_grad()
def clear_surroundings(base: Base, edit: Edit, cameras: Cameras, num_intervals: int, chunk: int) -> bool:
    """Let the region of an edit that has not begun take along what is attached to its object, where its removal is the clearer for it.

    Args:
        base: what the edit is made on.
        edit: one that `takes_along`; its field is spread over the region that it has afterwards.
        cameras: views of the region.
        num_intervals: of the edit on a ray.
        chunk: rays at a time.

    Returns:
        Whether it takes something along.
    """
    spared, taken = _removal(edit, attached=False), _removal(edit, attached=True)
    clearer = False
    if not torch.equal(spared.region.weight, taken.region.weight):
        looks = (_look(base, (spared, taken), cameras, index, num_intervals, chunk) for index in range(len(cameras)))
        seen = [strangeness(*pictures) for pictures in looks]
        clearer = Strangeness(*(torch.cat(values) for values in zip(*seen, strict=True))).clearer
    if edit.region.shape.attached != clearer:
        edit.region.reshape(attached=clearer)
        edit.fit_field_to_region()
    return clearer


def clear_region(scene: FrozenScene, region: Region) -> bool:
    """The same of a region that no edit holds yet.

    Args:
        scene: with a frozen base.
        region: on the base's device.
    """
    device = region.lower.device
    edit = Edit(region, EditField(EditFieldConfig()).to(device)).eval()
    edit.fit_field_to_region()
    box = scene_box(*region.bounds(), scene.base.contracted)
    cameras = cameras_around(box, scene.cameras.camera_to_worlds, CLEARING_VIEWS, CLEARING_SIZE).to(device)
    return clear_surroundings(scene.base, edit, cameras, INTERVALS, scene.chunk)


def _removal(edit: Edit, attached: bool) -> Edit:
    """A copy of an edit that takes everything in its region away."""
    removal = copy.deepcopy(edit)
    removal.region.reshape(attached=attached)
    removal.fit_field_to_region()
    removal.field.start_from_removal()
    return removal


def _look(
    base: Base, removals: Sequence[Edit], cameras: Cameras, index: int, num_intervals: int, chunk: int
) -> Tuple[Float[Tensor, "height width *channels"], ...]:
    """One view of the base, and of each removal from it; and its depth after the first of them."""
    rays = cameras.generate_rays(camera_indices=index, keep_shape=True)
    height, width = rays.origins.shape[:2]
    parts = []
    for start in range(0, height * width, chunk):
        part = rays.get_row_major_sliced_ray_bundle(start, start + chunk)
        render = base.render(part)
        without = [_without(base, one, part, render, num_intervals) for one in removals]
        parts.append([render.outputs["rgb"], *(rgb for rgb, _ in without), without[0][1]])
    *pictures, depth = (torch.cat(part).view(height, width, -1) for part in zip(*parts, strict=True))
    return *pictures, depth[..., 0]


def _without(
    base: Base, removal: Edit, rays: RayBundle, render: BaseRender, num_intervals: int
) -> Tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 1"]]:
    rgb, depth = render.outputs["rgb"], _of_surfaces(render.outputs["depth"], render.outputs["accumulation"])
    met, hits = meet_edits([(removal, REMOVED)], base, rays, num_intervals)
    if not len(hits):
        return rgb, depth
    pixels = pixels_of(fold_met(base, rays, render, met, hits)[0])
    left = _of_surfaces(pixels.depth, pixels.accumulation)[:, None]
    return rgb.index_copy(0, hits, pixels.rgb.clamp(0.0, 1.0)), depth.index_copy(0, hits, left)


def _of_surfaces(depth: Float[Tensor, "*rays"], accumulation: Float[Tensor, "*rays"]) -> Float[Tensor, "*rays"]:
    """Infinity where there is more of the background than of anything."""
    return torch.where(accumulation > 0.5, depth, torch.inf)
