"""What a text says of a scene: CLIPSeg on wide views, a choice among the parts it marks, and a second look from nearby."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, Sequence

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.errors import BlendingNerfError, NothingFound
from blending_nerf_ns.localization.alternatives import best_alternatives
from blending_nerf_ns.localization.clipseg import load_clipseg
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.evidence import Evidence, join_evidence
from blending_nerf_ns.localization.parts import believed_inside, marked_parts, nearest_part, only_inside, read_parts
from blending_nerf_ns.localization.views import (
    FrozenScene,
    Localize,
    close_cameras,
    even_cameras,
    look,
    render_pictures,
)

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

LoadGuide = Callable[[], "ClipGuide"]
"""Loads the guide where it is needed: a CLIP takes its time."""
MOST_PARTS = 3
"""Parts that are looked at from nearby where all are kept."""
PICTURES_FOR_ALTERNATIVES = 4


@torch.no_grad()
def find_text(config: RegionConfig, scene: FrozenScene, text: str, load_guide: LoadGuide) -> Evidence:
    """What the localiser says of a text.

    Args:
        config: localiser, views, and which parts to keep.
        scene: with a frozen base.
        text: what to look for, "a red ball".
        load_guide: decides between several parts.

    Raises:
        BlendingNerfError: the text is empty or too long for the localiser.
    """
    if not text.strip():
        raise BlendingNerfError('the source text is empty: say what is to be found, "a wooden chair"')
    localizer = load_clipseg(config.localizer, scene.cameras.device)

    def localize(pictures: Sequence[Tensor], _: Sequence[int]) -> List[Tensor]:
        return localizer.localize(pictures, text)

    cameras, _ = even_cameras(scene, config.views, config.image_size)
    evidence = look(scene, cameras, localize, "Region")
    parts = marked_parts(scene, evidence, config.threshold)
    if config.keep in ("best", "nearest") and parts:
        parts = [parts[_choose(config, scene, parts, text, load_guide)]]
        evidence = only_inside(evidence, parts[0])
    if not parts or config.close_ups == 0:
        return evidence
    return join_evidence([evidence, *_look_closer(config, scene, parts, localize)])


def _choose(config: RegionConfig, scene: FrozenScene, parts: List[Box], text: str, load_guide: LoadGuide) -> int:
    if len(parts) == 1:
        return 0
    if config.keep == "nearest":
        return nearest_part(parts, _point(config, scene))
    likelihood = read_parts(scene, load_guide(), parts, text)
    best = max(range(len(parts)), key=likelihood.__getitem__)
    found = ", ".join(f"{value:.1f}" for value in likelihood)
    CONSOLE.print(f"{len(parts)} parts are marked; {text!r} reads best on part {best + 1} (log-likelihoods {found}).")
    return best


def only_nearest(config: RegionConfig, scene: FrozenScene, evidence: Evidence) -> Evidence:
    """The evidence of the part that is nearest to the configured point; all of it where nothing is marked."""
    parts = marked_parts(scene, evidence, config.threshold)
    return only_inside(evidence, parts[nearest_part(parts, _point(config, scene))]) if parts else evidence


def _point(config: RegionConfig, scene: FrozenScene) -> Tensor:
    return scene.base.to_grid(torch.tensor(config.point, device=scene.cameras.device))


def _look_closer(config: RegionConfig, scene: FrozenScene, parts: List[Box], localize: Localize) -> List[Evidence]:
    """Views of each part from nearby; only the part itself is believed, for they were not chosen to show its neighbours."""
    parts = parts[:MOST_PARTS]
    each = max(1, config.close_ups // len(parts))
    found = []
    for number, part in enumerate(parts):
        cameras = close_cameras(scene, part, each, config.image_size, seed=number)
        found.append(believed_inside(look(scene, cameras, localize, "Close-ups"), part))
    return found


def explain_nothing(error: NothingFound, config: RegionConfig, scene: FrozenScene, text: str) -> NothingFound:
    """The same error with what the localiser finds instead."""
    localizer = load_clipseg(config.localizer, scene.cameras.device)
    cameras, _ = even_cameras(scene, PICTURES_FOR_ALTERNATIVES, config.image_size)
    found = best_alternatives(localizer, render_pictures(scene, cameras), text)
    others = ", ".join(f"{other!r} {probability:.2f}" for other, probability in found)
    return NothingFound(f"{text!r} was not found: {error}. What the localiser finds instead, at most: {others}")
