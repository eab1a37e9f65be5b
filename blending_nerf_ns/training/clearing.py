"""Whether a removal takes along what hangs together with the object, such as its shadow (ours).

A region spares other surfaces: the table under a toy is to stay. But where a base has a plain floor as background, a shadow on it
is a surface of its own, with nothing solid behind; spared, it is a dark rim around nothing. So both are looked at, and a shadow
is taken where its place then looks like its surroundings: whole, wherever it ends, or not at all, for half of one is a fleck that
nothing throws. A hole in a table looks less like the table than a shadow does, so there the shadow stays; and a small neighbour
that would go as a whole is no darker shade of the floor around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import List, NamedTuple, Tuple

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.view_pool import render_view

CLEARING_VIEWS = 6
"""Guidance views that are looked at."""
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
OTHER = 0.1
"""...and at most this share of the pixels are of something else."""


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
) -> Strangeness:
    """Of the pixels in which two removals differ, how far each is from its surroundings in either.

    Args:
        original: a view before any removal, in [0, 1].
        spared: the same without the object, other surfaces left.
        taken: the same with surfaces around it taken along.

    Example:
        >>> floor = torch.full((1, 5, 3), 0.5)
        >>> shadow = floor.clone()
        >>> shadow[:, 2:4] = 0.25
        >>> strangeness(shadow, shadow, floor)
        Strangeness(spared=tensor([0.2500, 0.2500]), taken=tensor([0., 0.]), shade=tensor([0., 0.]))
    """
    other = (spared - taken).abs().amax(-1) > DIFFERS
    alone = torch.maximum((spared - original).abs(), (taken - original).abs()).amax(-1) < ALIKE
    if not bool(alone.any()):
        return Strangeness(*(spared.new_zeros(0) for _ in Strangeness._fields))
    found = ndimage.distance_transform_edt(~alone.cpu().numpy(), return_distances=False, return_indices=True)
    rows, columns = torch.from_numpy(np.asarray(found)).long().to(original.device)
    near, left, gone = original[rows, columns][other], spared[other], taken[other]
    darkness = (left * near).sum(-1, keepdim=True) / near.square().sum(-1, keepdim=True).clamp_min(1e-6)
    pairs = (left, near), (gone, near), (left, darkness.clamp(0.0, 1.0) * near)
    return Strangeness(*((one - two).abs().mean(-1) for one, two in pairs))


def takes_along(region: RegionConfig, operations: Sequence[str]) -> bool:
    """Whether an edit is to look what it takes along: it only removes, and nobody has said what of other surfaces."""
    return set(operations) == {"remove"} and region.margin_over_surfaces is None and region.source.strip() != "file"


@torch.no_grad()
def clear_surroundings(editing: EditTraining, region: RegionConfig) -> bool:
    """Let the region of an edit that has not begun take along what is attached to its object, where its removal is the clearer for it.

    Args:
        editing: of an edit that `takes_along`.
        region: as it is configured.

    Returns:
        Whether it does.
    """
    model, grid = editing.model, editing.model.edit.region
    model.make_room(**region.room_for(model.edit.info.operations))
    cameras, weight, clearer = editing.pool.cameras[:CLEARING_VIEWS], grid.weight.clone(), False
    try:
        model.make_room(attached=True)
        if not torch.equal(grid.weight, weight):
            taken = _removals(editing, cameras)
            model.make_room(attached=False)
            spared = _removals(editing, cameras)
            seen = [strangeness(*one, after) for one, (_, after) in zip(spared, taken, strict=True)]
            clearer = Strangeness(*(torch.cat(values) for values in zip(*seen, strict=True))).clearer
    finally:  # an interrupt saves the run
        model.make_room(attached=clearer)
    return clearer


def _removals(editing: EditTraining, cameras: Cameras) -> List[Tuple[Tensor, Tensor]]:
    """Views before and after everything in the region is taken away; the field is left as it was."""
    field = editing.model.edit.field

    def look(index: int) -> Tuple[Tensor, Tensor]:
        view = render_view(editing.model, cameras, index)
        return view.original, editing.picture(view)

    with field.left_as_it_is():
        field.start_from_removal()
        return [look(index) for index in range(len(cameras))]
