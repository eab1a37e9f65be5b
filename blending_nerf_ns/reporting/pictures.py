"""Pictures of a finished run from some views, as its layers are shown at the moment."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.models.base_model import Model
from torch import Tensor
from tqdm import tqdm

from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.localization.overlay import overlay_view
from blending_nerf_ns.localization.views import FrozenScene
from blending_nerf_ns.model import AMOUNTS, BlendingModel

OPAQUE = 0.5
"""A pixel with this accumulation and more shows a surface."""


class Pictures(NamedTuple):
    """Views of a run, on the CPU."""

    original: Float[Tensor, "views height width 3"]
    edited: Float[Tensor, "views height width 3"]
    added: Optional[Float[Tensor, "views height width"]]
    """The three accumulated opacities; None where a method does not tell them apart."""
    removed: Optional[Float[Tensor, "views height width"]]
    changed: Optional[Float[Tensor, "views height width"]]
    depth: Float[Tensor, "views height width"]
    """Of the edited scene, along the ray, in scene units."""
    accumulation: Float[Tensor, "views height width"]


@torch.no_grad()
def render_pictures(model: Model, cameras: Cameras, title: str, bar: bool = True) -> Pictures:
    """Render what the model shows now.

    Args:
        model: in eval mode, with the outputs `original` and `rgb` at least.
        cameras: of one size.
        title: of the progress bar.
        bar: whether there is one.
    """
    columns: Dict[str, List[Tensor]] = {}
    names = ("original", "rgb", *AMOUNTS, "depth", "accumulation")
    for i in tqdm(range(len(cameras)), desc=title, dynamic_ncols=True, disable=not bar):
        outputs = model.get_outputs_for_camera(cameras[i : i + 1].to(model.device))
        for name in names:
            if name in outputs:
                value = outputs[name].cpu()
                columns.setdefault(name, []).append(value if value.shape[-1] == 3 else value[..., 0])
    return Pictures(*(torch.stack(columns[name]) if name in columns else None for name in names))  # type: ignore[arg-type]


class OwnRegion(NamedTuple):
    """Where layers may act, seen from some views; on the CPU."""

    share: Float[Tensor, "views height width"]
    """Of what a pixel of the original shows, in [0, 1]."""
    silhouette: Float[Tensor, "views height width"]
    """Largest region weight along the pixel's ray, free space included, in [0, 1]."""

    def joined(self, other: OwnRegion) -> OwnRegion:
        """What lies in one of both."""
        return OwnRegion(*(torch.maximum(one, two) for one, two in zip(self, other, strict=True)))


@torch.no_grad()
def own_region(model: BlendingModel, layer: Edit, cameras: Cameras) -> OwnRegion:
    """A layer's region from some views."""
    scene = FrozenScene(model.base, cameras.to(model.device), model.config.eval_num_rays_per_chunk)
    shares, silhouettes = [], []
    for i in tqdm(range(len(cameras)), desc="Region", dynamic_ncols=True):
        view = overlay_view(scene, layer.region, scene.cameras[i : i + 1], 0, model.seen)
        shares.append(view["region"][..., 0].cpu())
        silhouettes.append(view["silhouette"][..., 0].cpu())
    return OwnRegion(torch.stack(shares), torch.stack(silhouettes))


class Surface(NamedTuple):
    """What pixels of some views show, as points."""

    points: Float[Tensor, "points 3"]
    """In scene coordinates."""
    seen: Bool[Tensor, "views height width"]
    """The points' pixels, in the points' order."""


def surface_points(cameras: Cameras, pictures: Pictures, asked: Bool[Tensor, "views height width"]) -> Surface:
    """Where the rays of opaque pixels end.

    Args:
        cameras: of the pictures.
        pictures: with their depth.
        asked: the pixels that count.
    """
    seen = asked & (pictures.accumulation >= OPAQUE)
    points = []
    for i in range(len(cameras)):
        rays = cameras.generate_rays(camera_indices=i, keep_shape=True)
        ends = rays.origins.cpu() + rays.directions.cpu() * pictures.depth[i, ..., None]
        points.append(ends[seen[i]])
    return Surface(torch.cat(points), seen)
