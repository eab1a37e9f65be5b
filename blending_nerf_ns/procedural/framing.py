"""Crops of drawn scenes: where the objects are, how much of each is left, and what is therefore true of the crop."""

from __future__ import annotations

from typing import Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from blending_nerf_ns.procedural.captions import Facts
from blending_nerf_ns.procedural.stock import MAX_THINGS

SEEN_AREA, SEEN_SHARE, GONE_AREA = 0.015, 0.5, 0.0006
"""An object is visible from this share of the picture and this share of itself on, absent below the last."""


def bounds_of(mask: Bool[Tensor, "B side side"]) -> Float[Tensor, "B 2 2"]:
    """Lower and upper bound of a mask in x and y, in [-1, 1] from edge to edge; of the whole picture where it is empty.

    Example:
        >>> mask = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> mask[0, 1, 2:] = True
        >>> bounds_of(mask)[0].tolist()
        [[0.0, 1.0], [-0.5, 0.0]]
    """
    side = mask.shape[-1]
    bounds = []
    for axis in (2, 1):  # x, then y
        line = mask.any(3 - axis).float()
        low = line.argmax(1).float()
        high = side - line.flip(1).argmax(1).float()
        bounds.append(torch.stack([low, high], 1) / side * 2 - 1)
    return torch.stack(bounds, 1)


def cut(
    layers: Float[Tensor, "B layers side side"], theta: Float[Tensor, "B 2 3"], size: int
) -> Tuple[Float[Tensor, "B layers size size"], Float[Tensor, "B K"]]:
    """Crops, and the share of each object that is in them.

    Args:
        layers: of scenes; the last `MAX_THINGS` are the objects' masks.
        theta: where, as `affine_grid` takes it.
        size: of the crops.
    """
    side = layers.shape[-1]
    before = layers[:, -MAX_THINGS:].sum((-1, -2))
    grid = F.affine_grid(theta, [len(theta), 1, size, size], align_corners=False)
    cropped = F.grid_sample(layers, grid, mode="bilinear", padding_mode="border", align_corners=False)
    covered = (theta[:, 0, 0] * theta[:, 1, 1]).abs()[:, None]
    after = cropped[:, -MAX_THINGS:].mean((-1, -2)) * covered * side * side
    return cropped, after / before.clamp_min(1)


def visible_facts(
    shape: Int[Tensor, "B K"],
    on: Int[Tensor, "B K"],
    colour: Int[Tensor, "B K"],
    finish: Int[Tensor, "B K"],
    masks: Float[Tensor, "B K S S"],
    shares: Float[Tensor, "B K"],
) -> Facts:
    """What is true of crops: of objects with a shape (-2 where there is none), by their masks in the crop and what share is in it."""
    area = masks.mean((-1, -2))
    exists = shape >= 0
    seen = torch.full(area.shape, -1)
    seen[exists & (area >= SEEN_AREA) & (shares >= SEEN_SHARE)] = 1
    seen[~exists | (area < GONE_AREA)] = 0
    absent = torch.full_like(colour, -2)
    return Facts(torch.where(exists, colour, absent), shape, torch.where(exists, finish, absent), seen, on)
