"""Which crops of a view the guide is shown, and what it sees in them in the original: asked once, for the original stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from blending_nerf_ns.guidance.crops import as_image, crop, sample_boxes
from blending_nerf_ns.training.view_pool import CropSet, GuidanceView

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

CROP_SETS = 4
"""Sets of crops of each view that steps draw from."""


def place_crops(view: GuidanceView, count: int, adds: bool, generator: torch.Generator) -> Int[Tensor, "count 3"]:
    """The whole view, and some crops that land on the object, and on the room around it where something may be added.

    Returns:
        Top, left and side in pixels, on the CPU.
    """
    where = view.outline if adds else view.silhouette
    return torch.cat([torch.tensor([[0, 0, len(where)]]), sample_boxes(where, count - 1, generator)])


@torch.no_grad()
def crop_set(view: GuidanceView, number: int, count: int, adds: bool, guide: ClipGuide, seed: int) -> CropSet:
    """One of the `CROP_SETS` sets of crops of a view; kept with it.

    Args:
        view: of a pool.
        number: which, from 0.
        count: crops in it.
        adds: whether something may be added.
        guide: reads the original there.
        seed: of all sets of the pool.
    """
    key = (number, adds)
    if key not in view.crop_sets:
        # by the view's own number: a resumed run must find the same crops, whichever it draws first
        generator = torch.Generator().manual_seed(seed + view.index * CROP_SETS + number)
        boxes = place_crops(view, count, adds, generator)
        view.crop_sets[key] = CropSet(
            boxes, guide.encode_images(crop(as_image(view.original), boxes, guide.image_size))
        )
    return view.crop_sets[key]
