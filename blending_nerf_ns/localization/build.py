"""From the user's words, masks or solids to a region: views of the frozen base, a localiser, fusion (design section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Sequence

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import SEEN
from blending_nerf_ns.edits.solids import Solid, oriented_box, region_from_solid, sphere
from blending_nerf_ns.errors import BlendingNerfError, NothingFound
from blending_nerf_ns.localization.clipseg import load_clipseg
from blending_nerf_ns.localization.combine import combine, combine_bounds, parse_sources
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.evidence import Evidence
from blending_nerf_ns.localization.file import load_region
from blending_nerf_ns.localization.sources import Placed, Seen, Source, fill_all, mask_evidence
from blending_nerf_ns.localization.text import LoadGuide, explain_nothing, find_text
from blending_nerf_ns.localization.views import Scene

GLOBAL_EDIT = 0.95
"""A region with more of what is seen than this share is no local edit any more."""


@dataclass(frozen=True)
class FoundRegion:
    """A region and how it was found."""

    region: Region
    highest: float
    """Highest fused probability, in [0, 1]."""
    covered: float
    """Share of what the views (or, of solids alone, the scene's box) show that lies in the region, in [0, 1]."""
    seconds: Dict[str, float]
    """Time by part: render, localize, fuse, parts."""


@torch.no_grad()
def build_region(
    config: RegionConfig,
    scene: Scene,
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
    if config.source.strip() == "file":
        region = load_region(config.file, resolution)
        return FoundRegion(region, float(region.probability.max()), covered_volume(region, scene), {})
    steps = parse_sources(config.source)
    names = [name for _, name in steps]
    shape = config.shape()
    if names in (["box"], ["sphere"]):
        base = scene.base
        region = region_from_solid(_solid(config, names[0]), base.grid_box, base.contracted, resolution, shape)
        return _checked(FoundRegion(region, 1.0, covered_volume(region, scene), {}))
    evidence: Dict[str, Evidence] = {}
    if "text" in names:
        evidence["text"] = find_text(config, scene, source_text, load_guide)
    if "masks" in names:
        evidence["masks"] = mask_evidence(scene, _mask_folder(config), images, config.views, config.image_size)
    sources: Dict[str, Source] = {name: Seen(scene, found) for name, found in evidence.items()}
    sources |= {name: Placed(scene, _solid(config, name)) for name in names if name in ("box", "sphere")}
    try:
        bounds = {name: source.bounds(shape, resolution) for name, source in sources.items()}
        box = combine_bounds(steps, bounds)
        operand = combine(steps, fill_all(sources, box, resolution))
        assert operand.state is not None
        with scene.timed("shape"):
            region = region_from_probability(operand.probability, operand.state, *box, shape)
    except NothingFound as error:
        if "text" not in evidence:
            raise
        localizer = load_clipseg(config.localizer, scene.cameras.device)
        raise explain_nothing(error, localizer, scene, source_text, config.image_size) from error
    highest = float(operand.probability[operand.state == SEEN].max())
    covered = (
        max(covered_light(region, found) for found in evidence.values()) if evidence else covered_volume(region, scene)
    )
    return _checked(FoundRegion(region, highest, covered, dict(scene.seconds)))


def covered_light(region: Region, evidence: Evidence) -> float:
    """Share of the views' light that comes from within a region."""
    inside = region.weight_at(evidence.points) > 0.5
    return float((evidence.weights * inside).sum() / evidence.weights.sum())


def covered_volume(region: Region, scene: Scene) -> float:
    """Share of the scene's box that a region fills, in grid coordinates."""
    lower, upper = scene.base.grid_box
    whole = float((upper - lower).prod())
    inner = region.weight[1:-1, 1:-1, 1:-1]  # the outermost layer is always 0
    return float((inner > 0.5).float().mean() * (region.upper - region.lower).prod()) / whole


def _checked(found: FoundRegion) -> FoundRegion:
    if found.covered > GLOBAL_EDIT:
        CONSOLE.print(
            f"[bold yellow]The region covers {100 * found.covered:.0f} % of the scene: this is a global edit. Raise the "
            "threshold, name the object more closely, or give a box.[/bold yellow]"
        )
    return found


def _solid(config: RegionConfig, name: str) -> Solid:
    if name == "box":
        return oriented_box(config.box_center, config.box_size, config.box_rotation)
    return sphere(config.sphere_center, config.sphere_radius)


def _mask_folder(config: RegionConfig) -> Path:
    if config.masks is None:
        raise BlendingNerfError("the region's source is masks, but no folder is named: give --pipeline.region.masks")
    return config.masks
