"""From the user's words or box to the model's region: views of the frozen base, a localiser, fusion (design section 3)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Literal, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from tqdm import tqdm

from blending_nerf_ns.edits.box import region_from_box
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.guidance.views import spread_views
from blending_nerf_ns.localization.evidence import Evidence, gather_evidence, join_evidence
from blending_nerf_ns.localization.fusion import fill_grid, fuse
from blending_nerf_ns.localization.parts import find_parts, only_inside, part_similarity
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.rendering.compositing import render_weights

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

COARSE = 96
"""Voxels along each side of the whole scene, when parts are told apart."""
PART_SHARE = 0.6
"""Parts are looked for at this share of the threshold: what is unsure is for the guide to decide."""


@dataclass
class RegionConfig:
    """Where an edit may act."""

    source: Literal["text", "box"] = "text"
    """The source text, found in the pictures by CLIPSeg; or an oriented box."""
    localizer: str = "embedded"
    """CLIPSeg: a hub name ("CIDAS/clipseg-rd64-refined"), a local folder, or "embedded"."""
    views: int = 24
    """Training views that the localiser looks at, spread evenly."""
    image_size: int = 96
    """Longer side of these views, in pixels."""
    threshold: float = 0.5
    """A surface with at least this probability belongs to the region, in (0, 1]."""
    margin: float = 0.05
    """How far the region grows into free space, as a share of its diagonal; additions need room."""
    soft_edge: float = 0.03
    """Over this further share the region fades out."""
    margin_over_surfaces: bool = False
    """Whether the margin takes neighbouring surfaces along."""
    keep: Literal["all", "largest", "best"] = "best"
    """Which of several separate parts to keep: all, the largest, or the one that the guide reads best as the source text
    when it looks at each from nearby."""
    box_center: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Centre of the box, in scene coordinates (those of the viewer's crop box)."""
    box_size: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Lengths of the box's sides."""
    box_rotation: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Euler angles of the box in degrees, about x, y, z."""

    def shape(self) -> RegionShape:
        """How the region is cut."""
        keep = "largest" if self.keep == "largest" else "all"
        return RegionShape(self.threshold, self.margin, self.soft_edge, self.margin_over_surfaces, keep)


@torch.no_grad()
def build_region(
    config: RegionConfig, model: BlendingModel, cameras: Cameras, source_text: str, guide: "ClipGuide"
) -> None:
    """Put the region that the configuration describes into the model.

    Args:
        config: text or box, and its shape.
        model: with a frozen base; its region is replaced.
        cameras: training cameras.
        source_text: what to look for, where the region comes from text.
        guide: decides between several parts.

    Raises:
        BlendingNerfError: the text is found nowhere, or the box lies outside the scene.
    """
    if config.source == "box":
        region = region_from_box(
            config.box_center,
            config.box_size,
            config.box_rotation,
            grid_box=model.base.grid_box,
            contracted=model.base.contracted,
            resolution=model.config.region_resolution,
            shape=config.shape(),
        )
    else:
        region = region_from_text(config, model, cameras, source_text, guide)
    model.edit.region.load_state_dict(region.state_dict())


def region_from_text(
    config: RegionConfig, model: BlendingModel, cameras: Cameras, source_text: str, guide: "ClipGuide"
) -> Region:
    """Look for a text in views of the base and fuse what the localiser says of them."""
    from blending_nerf_ns.localization.clipseg import load_clipseg

    localizer = load_clipseg(config.localizer, model.device)
    chosen = cameras[spread_views(cameras.camera_to_worlds, config.views).cpu()].to(model.device)
    longest = float(torch.maximum(chosen.width, chosen.height).max())
    chosen.rescale_output_resolution(min(1.0, config.image_size / longest))
    evidence: List[Evidence] = []
    for index in tqdm(range(len(chosen)), desc="Region", dynamic_ncols=True):
        evidence += view_evidence(model, chosen, index, lambda image: localizer.probability(image, source_text))
    joined = join_evidence(evidence)
    if config.keep == "best":
        joined = keep_best_part(joined, config, model, cameras, source_text, guide)
    return fuse(
        joined,
        model.base.grid_box,
        model.base.to_grid,
        model.base.contracted,
        config.shape(),
        model.config.region_resolution,
    )


def keep_best_part(
    evidence: Evidence,
    config: RegionConfig,
    model: BlendingModel,
    cameras: Cameras,
    source_text: str,
    guide: "ClipGuide",
) -> Evidence:
    """Of several parts that the localiser marks, the evidence of the one that the guide reads as the source text."""
    box = (model.base.grid_box[0].to(evidence.points), model.base.grid_box[1].to(evidence.points))
    grid = fill_grid(evidence, box, model.base.to_grid, model.base.contracted, COARSE)
    parts = find_parts(grid, PART_SHARE * config.threshold)
    if len(parts) < 2:
        return evidence
    text, poses = guide.encode_prompt(source_text), cameras.camera_to_worlds
    bar = tqdm(parts, desc="Parts", dynamic_ncols=True)
    similarity = [part_similarity(model, guide, part, poses, text) for part in bar]
    best = max(range(len(parts)), key=similarity.__getitem__)
    found = ", ".join(f"{value:.2f}" for value in similarity)
    CONSOLE.print(
        f"{len(parts)} parts are marked; {source_text!r} reads best on part {best + 1} (similarities {found})."
    )
    return only_inside(evidence, parts[best])


def view_evidence(model: BlendingModel, cameras: Cameras, index: int, localize) -> List[Evidence]:
    """Render one view of the base, localise in it, and keep what it says of space.

    Args:
        model: with a frozen base.
        cameras: the views.
        index: which of them.
        localize: from a picture [H, W, 3] to a probability of each pixel [H, W].
    """
    bundle = cameras.generate_rays(camera_indices=index, keep_shape=True)
    height, width = bundle.origins.shape[:2]
    chunk = model.config.eval_num_rays_per_chunk
    rays = [bundle.get_row_major_sliced_ray_bundle(at, at + chunk) for at in range(0, height * width, chunk)]
    renders = [model.base.render(part) for part in rays]
    picture: Float[Tensor, "height width 3"] = torch.cat([r.outputs["rgb"] for r in renders]).view(height, width, 3)
    probability = localize(picture).reshape(-1).split(chunk)
    return [
        gather_evidence(
            part.origins,
            part.directions,
            render.samples.edges,
            render_weights(render.samples.density, render.samples.edges.diff(dim=-1)),
            found,
            model.base.to_grid,
        )
        for part, render, found in zip(rays, renders, probability, strict=True)
    ]
