"""Which of several parts that a localiser marks is the one that is meant? The guide looks at each from nearby (ours).

A localiser sees small objects in a wide picture and confuses what shares a colour or a shape. A CLIP that is shown one part at
a time, zoomed, from several sides, reads it far better; so the localiser proposes and the guide decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple, cast

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns.edits.contraction import scene_box
from blending_nerf_ns.edits.shape import SEEN
from blending_nerf_ns.guidance.cameras import square_cameras
from blending_nerf_ns.guidance.views import region_views
from blending_nerf_ns.localization.evidence import Evidence
from blending_nerf_ns.localization.fusion import Box, VoxelGrid

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide
    from blending_nerf_ns.model import BlendingModel

SMALLEST_PART = 4
"""Voxels; anything smaller is noise."""
LOOK_SIZE = 48
"""Side of the views that the guide is shown, in pixels: it tells objects apart, it does not measure them."""
ROOM = 1.5
"""Voxels around a part that belong to its box: surfaces lie between voxels."""


def find_parts(grid: VoxelGrid, threshold: float, most: int = 8) -> List[Box]:
    """Boxes around the connected parts of a probability grid, in grid coordinates, those that most pixels show first.

    Args:
        grid: fused evidence.
        threshold: a surface with at least this probability may belong to a part.
        most: parts to return at most.
    """
    probability = grid.probability.cpu().numpy()
    marked = (grid.state.cpu().numpy() == SEEN) & (probability >= threshold)
    labels, count = cast(Tuple[np.ndarray, int], ndimage.label(marked, structure=np.ones((3, 3, 3))))
    if count == 0:
        return []
    numbers = np.arange(1, count + 1)
    voxels = ndimage.sum_labels(marked, labels, numbers)
    weights = np.where(voxels >= SMALLEST_PART, ndimage.sum_labels(grid.light.cpu().numpy(), labels, numbers), 0.0)
    places = ndimage.find_objects(labels)
    step = (grid.upper - grid.lower) / grid.probability.shape[0]
    boxes: List[Box] = []
    for part in np.argsort(-weights)[:most]:
        place = places[part]
        if weights[part] > 0 and place is not None:
            z, y, x = place
            first = torch.tensor([x.start, y.start, z.start]).to(step) - ROOM
            last = torch.tensor([x.stop, y.stop, z.stop]).to(step) + ROOM
            boxes.append((grid.lower + first * step, grid.lower + last * step))
    return boxes


@torch.no_grad()
def part_similarity(
    model: BlendingModel,
    guide: ClipGuide,
    box: Box,
    poses: Float[Tensor, "cameras 3 4"],
    text: Float[Tensor, " dim"],
    views: int = 4,
    seed: int = 0,
) -> float:
    """Mean cosine of a text with zoomed views of one part.

    Args:
        model: with a frozen base.
        guide: the frozen CLIP.
        box: around the part, in grid coordinates.
        poses: training cameras, from which it is looked at.
        text: feature of the source text.
        views: how many.
        seed: of the views.
    """
    lower, upper = scene_box(*box, model.base.contracted)
    size = min(guide.image_size, LOOK_SIZE)
    seen = region_views(
        poses.cpu(),
        center=(0.5 * (lower + upper)).cpu(),
        radius=float((upper - lower).max()) / 2.0,
        up=torch.tensor([0.0, 0.0, 1.0]),
        count=views,
        size=size,
        generator=torch.Generator().manual_seed(seed),
        fill=(0.55, 0.75),
        aim_jitter=0.0,
        closer=0.0,
    )
    cameras = square_cameras(seen, size).to(model.device)
    pictures = [model.base.get_outputs_for_camera(cameras[i : i + 1])["rgb"] for i in range(views)]
    return float((guide.encode_images(torch.stack(pictures).permute(0, 3, 1, 2)) @ text).mean())


def only_inside(evidence: Evidence, box: Box) -> Evidence:
    """The same evidence with everything outside a box denied."""
    inside = ((evidence.points >= box[0]) & (evidence.points <= box[1])).all(dim=-1)
    return evidence._replace(probabilities=evidence.probabilities * inside)
