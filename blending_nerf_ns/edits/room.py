"""Where in a region a ball has room beside the object: what an addition may start from (ours)."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.shape import FREE

SIZES = (0.5, 0.3)
"""Radii of the balls, as shares of the object's mean side."""
PLACES = 3
"""Balls of each size: one as far up as can be, the others away from it and each other."""


def balls_beside(
    region: Region, up: Tuple[float, float, float] = (0.0, 0.0, 1.0)
) -> List[Tuple[Float[Tensor, "3"], float]]:
    """Balls that fit into the free part of a region and touch its object, or come as near as the room allows.

    Args:
        region: any; without free room there is none.
        up: direction of grid coordinates that is up.

    Returns:
        centres and radii, in grid coordinates; the first of each size is the uppermost.
    """
    spacing = region.voxel_size.flip(0).cpu().tolist()
    weight, state = region.weight.cpu().numpy(), region.state.cpu().numpy()
    room = (weight > 0.5) & (state == FREE)
    core = (region.probability.float().cpu().numpy() >= region.shape.threshold) & (weight > 0.5) & ~room
    if not room.any() or not core.any():
        return []
    sides = [(np.ptp(axis) + 1) * step for axis, step in zip(np.nonzero(core), spacing)]
    deep = np.asarray(ndimage.distance_transform_edt(room, spacing))
    away = np.asarray(ndimage.distance_transform_edt(~core, spacing))
    found = []
    for share in SIZES:
        radius = min(share * float(np.mean(sides)), float(deep.max()))
        fits = np.argwhere(deep >= radius * 0.999)
        distances = away[tuple(fits.T)]
        near = fits[distances <= distances.min() + max(spacing)]
        z_y_x = torch.from_numpy((near + 0.5) * np.array(spacing)).float()
        centers = region.lower.cpu() + z_y_x.flip(-1)
        found += [(center.to(region.lower), radius) for center in _apart(centers, torch.tensor(up), max(spacing))]
    return found


def _apart(centers: Float[Tensor, "n 3"], up: Float[Tensor, "3"], step: float) -> List[Float[Tensor, "3"]]:
    """The middle of the uppermost, then whichever is farthest from those that were taken."""
    height = centers @ up
    top = centers[height >= height.max() - step]
    taken = [top[(top - top.mean(0)).norm(dim=-1).argmin()]]
    while len(taken) < min(PLACES, len(centers)):
        gaps = torch.cdist(centers, torch.stack(taken)).amin(dim=-1)
        taken.append(centers[gaps.argmax()])
    return taken
