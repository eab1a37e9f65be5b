"""How much of a region is the object that was meant, seen from cameras that did not help to find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

import numpy as np
import torch
from jaxtyping import Bool, Int
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray
from torch import Tensor

from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.errors import NothingFound
from blending_nerf_ns.guidance.clip import ClipGuide
from blending_nerf_ns.localization.build import build_region
from blending_nerf_ns.localization.clipseg import ClipSegLocalizer
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.views import FrozenScene, render_pictures
from blending_nerf_ns.procedural.base import ProceduralBase
from blending_nerf_ns.procedural.trace import scene_parts, trace

from .scenes import Puzzle, photographs

TRAINING_VIEWS, HELD_OUT_VIEWS, SIZE = 64, 8, 96


@dataclass(frozen=True)
class Score:
    """One puzzle solved once. Shares and IoUs in [0, 1]; a region that was not found scores 0."""

    core: float
    """Mean IoU of the re-rendered core with the object, over held-out views."""
    grown: float
    """The same with margin and soft edge."""
    distractors: float
    """Share of the core's pixels that show another object; NaN where nothing was found."""
    floor: float
    """Share of the core's pixels that show no object; NaN where nothing was found."""
    found: bool


def views_of(puzzle: Puzzle) -> FrozenScene:
    """What the localiser may look at."""
    return FrozenScene(ProceduralBase(puzzle.scene), photographs(TRAINING_VIEWS, SIZE))  # type: ignore[arg-type]


def held_out(size: int) -> Cameras:
    """Cameras that did not help to find the region."""
    return photographs(HELD_OUT_VIEWS, size, start=0.7)


def truth(puzzle: Puzzle, origin: Tensor, directions: Tensor) -> Int[Tensor, "*rays"]:
    """Index of the object that each ray meets first, -1 for none."""
    owner = torch.tensor([-1, -1, *scene_parts(puzzle.scene)[1]])
    return owner[trace(puzzle.scene, origin, directions).surface]


def solve(puzzle: Puzzle, config: RegionConfig, guide: ClipGuide, text: str = "", resolution: int = 96) -> Score:
    """Find the object by its text and measure the region."""
    scene = views_of(puzzle)
    try:
        region = build_region(config, scene, text or puzzle.text, resolution, lambda: guide).region
    except NothingFound:
        return Score(0.0, 0.0, float("nan"), float("nan"), False)
    grown = rerendered(puzzle, region)
    region.reshape(margin=0.0, soft_edge=0.0)
    cores = rerendered(puzzle, region)
    marked = np.concatenate([owner[mask] for mask, owner in cores])
    return Score(
        float(np.mean([iou(mask, owner == 0) for mask, owner in cores])),
        float(np.mean([iou(mask, owner == 0) for mask, owner in grown])),
        float((marked > 0).mean()),
        float((marked < 0).mean()),
        True,
    )


def rerendered(puzzle: Puzzle, region: Region) -> List[tuple[Bool[ndarray, "S S"], Int[ndarray, "S S"]]]:
    """Masks of the region, and the true objects, from held-out cameras: surfaces are opaque, so the first one counts."""
    cameras = held_out(SIZE)
    out = []
    for index in range(len(cameras)):
        rays = cameras.generate_rays(camera_indices=index, keep_shape=True)
        seen = trace(puzzle.scene, rays.origins[0, 0], rays.directions)
        mask = (region.weight_at(seen.position) > 0.5) & (seen.surface > 0)
        out.append((mask.numpy(), truth(puzzle, rays.origins[0, 0], rays.directions).numpy()))
    return out


def flat_iou(puzzle: Puzzle, config: RegionConfig, localizer: ClipSegLocalizer) -> float:
    """Mean IoU of the localiser's own maps of the held-out views, one picture at a time."""
    scene, cameras = views_of(puzzle), held_out(config.image_size)
    maps = localizer.localize(render_pictures(scene, cameras), puzzle.text)
    found = []
    for index, probability in enumerate(maps):
        rays = cameras.generate_rays(camera_indices=index, keep_shape=True)
        owner = truth(puzzle, rays.origins[0, 0], rays.directions).numpy()
        found.append(iou(probability.numpy() >= config.threshold, owner == 0))
    return float(np.mean(found))


def iou(one: Bool[ndarray, "*pixels"], two: Bool[ndarray, "*pixels"]) -> float:
    """Intersection over union; 1 if both are empty."""
    union = (one | two).sum()
    return float((one & two).sum() / union) if union else 1.0
