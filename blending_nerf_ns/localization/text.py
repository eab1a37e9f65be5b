"""What a text says of a scene: CLIPSeg on wide views, a choice among the parts it marks, and a second look from nearby."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Sequence

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.errors import BlendingNerfError, NothingFound
from blending_nerf_ns.localization.alternatives import best_alternatives
from blending_nerf_ns.localization.clipseg import load_clipseg
from blending_nerf_ns.localization.combine import Place
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.evidence import Evidence, join_evidence
from blending_nerf_ns.localization.parts import (
    believed_inside,
    marked_parts,
    nearest_part,
    never_inside,
    only_inside,
    only_there,
)
from blending_nerf_ns.localization.reading import read_parts
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
MOST_CLOSE_UPS = 3
"""Parts that are looked at from nearby where all are kept."""
ANYTHING = "an object"
"""What is asked for where nothing that is marked is what is meant."""
DOUBTFUL, CLEARLY = -5.0, 2.0
"""Below this log-likelihood the guide denies a part; another must be likelier by this to be taken instead."""
HOPELESS = -8.5
"""Below this it denies a part from every side: training on it would edit the wrong object."""
PICTURES_FOR_ALTERNATIVES = 4


@torch.no_grad()
def find_text(
    config: RegionConfig, scene: FrozenScene, text: str, load_guide: LoadGuide, place: Optional[Place] = None
) -> Evidence:
    """What the localiser says of a text.

    Args:
        config: localiser, views, and which parts to keep.
        scene: with a frozen base.
        text: what to look for, "a red ball".
        load_guide: decides between several parts.
        place: where they can lie, as far as other sources say so (see `place_of`); None: anywhere.

    Raises:
        BlendingNerfError: the text is empty or too long for the localiser.
    """
    if not text.strip():
        raise BlendingNerfError('the source text is empty: say what is to be found, "a wooden chair"')
    localizer = load_clipseg(config.localizer, scene.cameras.device)
    cameras, _ = even_cameras(scene, config.views, config.image_size)

    def search(words: str) -> Marked:
        def localize(pictures: Sequence[Tensor], _: Sequence[int]) -> List[Tensor]:
            return localizer.localize(pictures, words)

        evidence = look(scene, cameras, localize, "Region")
        parts = marked_parts(scene, evidence, config.threshold, every=config.keep == "nearest", place=place)
        if config.keep == "largest" and parts and place is not None:
            evidence = only_there(evidence, place, scene.base.contracted)
        return Marked(evidence, parts, localize)

    found = search(text)
    if config.keep == "nearest" and found.parts:
        found = found.only(nearest_part(found.parts, _point(config, scene)))
    elif config.keep == "best" and found.parts:
        found = _best(config, found, scene, text, load_guide(), search)
    if not found.parts or config.close_ups == 0:
        return found.evidence
    near = join_evidence([found.evidence, *_look_closer(config, scene, found.parts, found.localize)])
    return _without_neighbours(config, scene, near, found.parts[0], text, load_guide) if config.keep == "best" else near


class Marked(NamedTuple):
    """What a localiser found for some words."""

    evidence: Evidence
    parts: List[Box]
    localize: Localize

    def only(self, part: int) -> Marked:
        """One part of it."""
        return Marked(only_inside(self.evidence, self.parts[part]), [self.parts[part]], self.localize)


def _best(
    config: RegionConfig,
    found: Marked,
    scene: FrozenScene,
    text: str,
    guide: ClipGuide,
    search: Callable[[str], Marked],
) -> Marked:
    """The part on which the guide reads the text best; where it reads it on none, it is looked for among all objects.

    Raises:
        NothingFound: the guide denies all of them from every side.
    """
    likelihood = read_parts(scene, guide, found.parts, text, _no_doubt)
    best = max(range(len(likelihood)), key=likelihood.__getitem__)
    if len(likelihood) > 1:
        values = ", ".join(f"{value:.1f}" for value in likelihood)
        CONSOLE.print(
            f"{len(likelihood)} parts are marked; {text!r} reads best on part {best + 1} (log-likelihoods {values}).",
            markup=False,
        )
    if likelihood[best] >= DOUBTFUL:
        return found.only(best)
    every = search(ANYTHING)
    others = read_parts(scene, guide, every.parts, text)
    if others and max(others) > likelihood[best] + CLEARLY:
        said = f"The localiser marks what does not look like {text!r}; another object does, and is taken."
        CONSOLE.print(said, markup=False)
        return every.only(max(range(len(others)), key=others.__getitem__))
    if likelihood[best] <= HOPELESS:
        denied = NothingFound(
            f"the guide denies that any of the {len(likelihood)} marked part(s) is that (log-likelihood "
            f"{likelihood[best]:.1f} at best; {HOPELESS:.1f} is needed). Look at what is marked with --pipeline.region.keep "
            "all, describe the object in other words, or give a box with --pipeline.region.source box"
        )
        raise explain_nothing(denied, config, scene, text)
    CONSOLE.print(
        f"What is marked as {text!r} does not look like it (log-likelihood {likelihood[best]:.1f}): look at the "
        "overlay before you train, and try other words, a box, or to keep the part that is nearest to a point.",
        style="bold yellow",
        markup=False,
    )
    return found.only(best)


def _no_doubt(lowest: Sequence[float], highest: Sequence[float]) -> bool:
    """Whether a part is the best one and will do, whatever else the guide is shown."""
    best = max(range(len(lowest)), key=lowest.__getitem__)
    return lowest[best] >= DOUBTFUL and all(
        highest[part] < lowest[best] for part in range(len(highest)) if part != best
    )


def _without_neighbours(
    config: RegionConfig, scene: FrozenScene, evidence: Evidence, box: Box, text: str, load_guide: LoadGuide
) -> Evidence:
    """Objects that ran together in the wide views may stand apart in the close-ups: then what the guide denies goes."""
    parts = marked_parts(scene, evidence, config.threshold, box)
    if len(parts) < 2:
        return evidence
    likelihood = read_parts(scene, load_guide(), parts, text)
    best = max(likelihood)
    denied = [part for part, value in zip(parts, likelihood) if value < DOUBTFUL and value < best - CLEARLY]
    values = ", ".join(f"{value:.1f}" for value in likelihood)
    CONSOLE.print(
        f"From nearby it is {len(parts)} parts (log-likelihoods {values}); {len(denied)} of them do not belong."
    )
    for part in denied:
        evidence = never_inside(evidence, part)
    return evidence


def kept_of_masks(
    config: RegionConfig, scene: FrozenScene, evidence: Evidence, place: Optional[Place] = None
) -> Evidence:
    """What is to be kept of what masks mark; all of it where nothing is marked.

    Args:
        config: the part nearest to its point, the largest (which the region's core tells, among what counts), or all.
        scene: with a frozen base.
        evidence: of the masks.
        place: see `find_text`.
    """
    if config.keep not in ("nearest", "largest") or (config.keep == "largest" and place is None):
        return evidence
    parts = marked_parts(scene, evidence, config.threshold, every=True, place=place)
    if config.keep == "nearest" and parts:
        return only_inside(evidence, parts[nearest_part(parts, _point(config, scene))])
    return only_there(evidence, place, scene.base.contracted) if parts and place is not None else evidence


def _point(config: RegionConfig, scene: FrozenScene) -> Tensor:
    return scene.base.to_grid(torch.tensor(config.point, device=scene.cameras.device))


def _look_closer(config: RegionConfig, scene: FrozenScene, parts: List[Box], localize: Localize) -> List[Evidence]:
    """Views of each part from nearby; only the part itself is believed, for they were not chosen to show its neighbours."""
    parts = parts[:MOST_CLOSE_UPS]
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
