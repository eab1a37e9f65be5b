"""From the user's words, masks or solids to a region: views of the frozen base, a localiser, fusion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from blending_nerf_ns.edits.contraction import Box
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import SEEN
from blending_nerf_ns.edits.solids import region_from_solid
from blending_nerf_ns.errors import NothingFound
from blending_nerf_ns.localization.combine import Operand, combine, combine_bounds, parse_sources, place_of
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.evidence import Evidence
from blending_nerf_ns.localization.file import load_region
from blending_nerf_ns.localization.parts import in_boxes, marked_parts
from blending_nerf_ns.localization.sources import Placed, Seen, Source, mask_evidence
from blending_nerf_ns.localization.text import LoadGuide, explain_nothing, find_text, kept_of_masks
from blending_nerf_ns.localization.views import FrozenScene, even_cameras, look

LOOKS = 4
"""Views that tell how much of the scene a placed region covers."""
GLOBAL_EDIT = 0.95
"""A region with more of what is seen than this share is no local edit any more."""
UNSEEN = 1e-6
"""With less than this there is nothing in it."""
LEFT_OUT = (
    "The {} is left out of the region: it is less than 2 % of it and stands apart, as noise does. Make it larger, or edit what it holds "
    "as a layer of its own."
)


@dataclass(frozen=True)
class FoundRegion:
    """A region and how it was found."""

    region: Region
    highest: float
    """Highest fused probability, in [0, 1]."""
    covered: float
    """Share of what the views show that lies in the region, in [0, 1]."""
    seconds: Dict[str, float]
    """Time by part: render, localize, fuse, parts."""
    seconds_before: float = 0.0
    """That it took in all when it was found, where it was kept; 0: it is found just now."""


@torch.no_grad()
def build_region(
    config: RegionConfig,
    scene: FrozenScene,
    source_text: str,
    resolution: int,
    load_guide: LoadGuide,
    images: Sequence[Path] = (),
) -> FoundRegion:
    """The region that the configuration describes.

    Args:
        config: sources and shape.
        scene: with a frozen base and the training cameras.
        source_text: what to look for, where text is a source.
        resolution: voxels along each side of the region's grid.
        load_guide: decides between several parts.
        images: the training images' files, by which masks are named.

    Raises:
        BlendingNerfError: the text is found nowhere, a mask does not fit, a solid lies outside the scene, ...
    """
    config.check()
    if config.source.strip() == "file":
        region = load_region(config.file)
        return _checked(region, float(region.probability.max()), covered_by_views(region, scene, config), scene)
    steps = parse_sources(config.source)
    names = [name for _, name in steps]
    shape = config.shape()
    if names in (["box"], ["sphere"]):
        base = scene.base
        region = region_from_solid(config.solid(names[0]), base.grid_box, base.contracted, resolution, shape)
        return _checked(region, 1.0, covered_by_views(region, scene, config), scene)
    evidence: Dict[str, Evidence] = {}
    solids = {name: config.solid(name) for name in names if name in ("box", "sphere")}
    places = {name: solid.inside for name, solid in solids.items()}
    if "masks" in names and config.masks is not None:
        masked = mask_evidence(scene, config.masks, images, config.views, config.image_size)
        evidence["masks"] = kept_of_masks(config, scene, masked, place_of(steps, "masks", places))
        # boxes around what they mark hold that, but for specks and thin ends, and more: where a text can matter, and not where it cannot
        if "text" in names and ("-", "masks") not in steps:
            marked = marked_parts(scene, evidence["masks"], config.threshold, every=True)
            places |= {"masks": in_boxes(marked, scene.base.to_grid)} if marked else {}
    if "text" in names:
        evidence["text"] = find_text(config, scene, source_text, load_guide, place_of(steps, "text", places))
    sources: Dict[str, Source] = {name: Seen(scene, found) for name, found in evidence.items()}
    sources |= {name: Placed(scene, solid) for name, solid in solids.items()}
    bounds = {}
    for name, source in sources.items():
        try:
            bounds[name] = source.bounds(shape, resolution)
        except NothingFound as error:
            if name == "text":
                raise explain_nothing(error, config, scene, source_text) from error
            raise NothingFound(f"the {name} mark nothing: {error}") from error
    box = combine_bounds(steps, bounds)
    operands = {name: source.fill(box, resolution, shape.threshold) for name, source in sources.items()}
    x, y, z = ((box[1] - box[0]) / resolution).tolist()
    probability, state = combine(steps, operands, (z, y, x))
    try:
        with scene.timed("shape"):
            region = region_from_probability(probability, state, *box, shape)
    except NothingFound as error:
        if names == ["text"]:
            raise explain_nothing(error, config, scene, source_text) from error
        raise NothingFound(f"{config.source!r} leaves nothing: {error}") from error
    if shape.keep == "all":
        for name in left_out(placed_whole(steps, list(solids)), operands, probability, region):
            CONSOLE.print(LEFT_OUT.format(name), style="bold yellow")
    highest = float(probability[state == SEEN].max())
    if not evidence:
        return _checked(region, highest, covered_by_views(region, scene, config), scene)
    covered = max(covered_light(region, found, scene.base.grid_box) for found in evidence.values())
    return _checked(region, highest, covered, scene)


def placed_whole(steps: Sequence[Tuple[str, str]], solids: Sequence[str]) -> List[str]:
    """The solids that are joined as they are: what comes after them does not cut them down to a part of another source.

    Example:
        >>> placed_whole([("|", "box"), ("&", "text"), ("|", "sphere")], ["box", "sphere"])
        ['sphere']
    """
    return [
        name
        for number, (operator, name) in enumerate(steps, start=1)
        if operator == "|" and name in solids and not any(later == "&" for later, _ in steps[number:])
    ]


def left_out(
    placed: Sequence[str], operands: Mapping[str, Operand], probability: Float[Tensor, "z y x"], region: Region
) -> List[str]:
    """Which solids of a union have nothing of them in the region, though no other source takes it away: they are small beside it, and
    stand apart.

    Args:
        placed: their names.
        operands: by name.
        probability: of the combination, on the same grid.
        region: what was cut from it.
    """
    lost = []
    for name in placed:
        there = (operands[name].claimed & (probability >= region.shape.threshold)).cpu()
        if bool(there.any()) and not bool((region.weight.cpu()[there] > 0.5).any()):
            lost.append(name)
    return lost


def covered_light(region: Region, evidence: Evidence, grid_box: Box) -> float:
    """Share of the light from within the scene's box that comes from within a region."""
    lower, upper = (corner.to(evidence.points) for corner in grid_box)
    near = ((evidence.points >= lower) & (evidence.points <= upper)).all(dim=-1)
    inside = near & (region.weight_at(evidence.points) > 0.5)
    return float((evidence.weights * inside).sum() / (evidence.weights * near).sum().clamp_min(1e-9))


def covered_by_views(region: Region, scene: FrozenScene, config: RegionConfig) -> float:
    """The same for a region that no view helped to find: some are rendered for it."""
    cameras, _ = even_cameras(scene, min(config.views, LOOKS), config.image_size)
    evidence = look(scene, cameras, lambda pictures, _: [torch.zeros(p.shape[:2]).to(p) for p in pictures], "Views")
    return covered_light(region.to(evidence.points.device), evidence, scene.base.grid_box)


def warn_global(covered: float) -> None:
    """Say that a region covers nearly all of the scene, where it does.

    Args:
        covered: share of what the views show, in [0, 1].
    """
    if covered > GLOBAL_EDIT:
        CONSOLE.print(
            f"[bold yellow]The region covers {100 * covered:.0f} % of the scene: this is a global edit. Raise the "
            "threshold, name the object more closely, or give a box.[/bold yellow]"
        )


def warn_unseen(covered: float, operations: Sequence[str]) -> None:
    """Say that no view sees anything in a region, where that is so: something may be added there, and nothing else be done. Not an
    error, for a base that is hardly trained is fog that lies anywhere.

    Args:
        covered: share of what the views show that lies in it, in [0, 1].
        operations: what the edit may do.
    """
    if covered > UNSEEN:
        return
    what = "something may be added there" if "add" in operations else "there is nothing to recolour or to remove"
    CONSOLE.print(
        f"No training view sees anything in the region: {what}. If that is not meant, move the viewer's crop box over the object, and "
        "copy its numbers.",
        style="bold yellow",
    )


def _checked(region: Region, highest: float, covered: float, scene: FrozenScene) -> FoundRegion:
    warn_global(covered)
    return FoundRegion(region, highest, covered, dict(scene.seconds))
