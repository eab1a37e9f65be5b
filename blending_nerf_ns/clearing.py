"""Whether a removal takes along what surrounds the object, such as its shadow (ours).

A region spares other surfaces: the table under a toy is to stay. But where a base has a plain floor as background, a shadow on it
is a surface of its own, with nothing solid behind; spared, it is a dark rim around nothing. So both are looked at, and what looks
more like its surroundings is taken. A hole in a table looks less like the table than a shadow does, so there the shadow stays; a
part of a neighbour looks just like the rest of it; and so does half of a shadow that goes on beyond the margin.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import List, NamedTuple, Tuple

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.editing import EditTraining
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.view_pool import render_view

CLEARING_VIEWS = 6
"""Guidance views that are looked at."""
WIDER = 2.0
"""A margin that nobody has said is tried as it is, and this many times as wide."""
DIFFERS = 0.02
"""Difference of two pictures, of a channel in [0, 1], from which on a pixel counts as another."""
ALIKE = 0.01
"""Up to this one it counts as untouched."""
CLEARER = 0.5
"""What is taken along must leave its place at most this share as far from its surroundings as it was..."""
SPOILT = 0.1
"""...and at most this share of the pixels farther from them."""


class Strangeness(NamedTuple):
    """How far pixels are from their surroundings: mean absolute differences from the nearest untouched one, in [0, 1]."""

    spared: Float[Tensor, " pixels"]
    """Where the surfaces around the object are left."""
    taken: Float[Tensor, " pixels"]
    """Where they are taken along."""

    @property
    def clearer(self) -> bool:
        """Whether taking them is the better: much nearer to the surroundings, and hardly anywhere farther from them."""
        if not len(self.spared):
            return False
        spoilt = (self.taken > self.spared + DIFFERS).float().mean()
        return bool(self.taken.mean() <= CLEARER * self.spared.mean()) and bool(spoilt <= SPOILT)


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
        Strangeness(spared=tensor([0.2500, 0.2500]), taken=tensor([0., 0.]))
    """
    other = (spared - taken).abs().amax(-1) > DIFFERS
    alone = torch.maximum((spared - original).abs(), (taken - original).abs()).amax(-1) < ALIKE
    if not bool(alone.any()):
        return Strangeness(spared.new_zeros(0), spared.new_zeros(0))
    found = ndimage.distance_transform_edt(~alone.cpu().numpy(), return_distances=False, return_indices=True)
    rows, columns = torch.from_numpy(np.asarray(found)).long().to(original.device)
    near = original[rows, columns]
    return Strangeness(*((one - near).abs().mean(-1)[other] for one in (spared, taken)))


def takes_along(region: RegionConfig, operations: Sequence[str]) -> bool:
    """Whether an edit is to look what it takes along: it only removes, and nobody has said what of other surfaces."""
    return set(operations) == {"remove"} and region.margin_over_surfaces is None and region.source.strip() != "file"


@torch.no_grad()
def clear_surroundings(editing: EditTraining, region: RegionConfig) -> str:
    """Let the region of an edit that has not begun take other surfaces along where its removal is the clearer for it.

    Args:
        editing: of an edit that `takes_along`.
        region: as it is configured.

    Returns:
        What was taken, for people; empty where other surfaces are spared.
    """
    model = editing.model
    spared = region.room_for(model.edit.info.operations)
    model.make_room(**spared)
    cameras, weight = editing.pool.cameras[:CLEARING_VIEWS], model.edit.region.weight.clone()
    margin, chosen, least = model.edit.region.shape.margin, spared, float("inf")
    before = _removals(editing, cameras)
    try:
        for wide in [margin] if region.margin is not None else [margin, WIDER * margin]:
            room = {**spared, "margin": wide, "margin_over_surfaces": True}
            model.make_room(**room)
            if torch.equal(model.edit.region.weight, weight):
                break  # nothing was spared, as by the margin of a solid
            seen = [strangeness(*one, after) for one, (_, after) in zip(before, _removals(editing, cameras))]
            found = Strangeness(*(torch.cat(values) for values in zip(*seen)))
            if found.clearer and float(found.taken.sum()) < least:
                chosen, least = room, float(found.taken.sum())
    finally:  # an interrupt saves the run
        model.make_room(**chosen)
    return "" if chosen is spared else f"surfaces within {chosen['margin']:.2f} of its size, such as a shadow"


def _removals(editing: EditTraining, cameras: Cameras) -> List[Tuple[Tensor, Tensor]]:
    """Views before and after everything in the region is taken away; the field is left as it was."""
    field = editing.model.edit.field
    kept = copy.deepcopy(field.state_dict())
    try:
        field.start_from_removal()
        views = [render_view(editing.model, cameras, index) for index in range(len(cameras))]
        return [(view.original, editing.picture(view)) for view in views]
    finally:
        field.load_state_dict(kept)
