"""From what ns-render wrote to the report's figures and the contact sheet."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from PIL import Image

from blending_nerf_ns.demo.capture import object_name, read_mask
from blending_nerf_ns.demo.measure import (
    hue_fraction,
    hue_of_text,
    mean_psnr,
    psnr_outside,
)
from blending_nerf_ns.procedural.scene import Scene
from blending_nerf_ns.reporting.sheet import contact_sheet

PICTURES = ("rgb", "original", "region", "added", "removed", "changed")
"""Outputs that are measured and shown."""
DISTRACTORS = ("red cube", "red ball")
"""The object that must not change: the first of these that is not the subject."""


@dataclass(frozen=True)
class HeldOut:
    """Everything about the held-out views, [views, height, width, channels], in [0, 1]."""

    names: list[str]
    """"test_000", ..."""
    photos: Float[ndarray, "views height width 3"]
    """The capture's own pictures."""
    renders: Mapping[str, Float[ndarray, "views height width channels"]]
    """ns-render's arrays by output name."""


def read_held_out(capture: Path, renders: Path) -> HeldOut:
    """Read the raw arrays of `ns-render dataset --split test` and the photos of the same views.

    Args:
        capture: the capture's folder.
        renders: what `--output-path` named.
    """
    files = sorted((renders / "test" / f"raw-{PICTURES[0]}").glob("*.npy.gz"))
    names = [file.name.removesuffix(".npy.gz") for file in files]
    photos = [np.asarray(Image.open(capture / "images" / f"{name}.png"), dtype=float) / 255 for name in names]
    arrays = {}
    for output in PICTURES:
        folder = renders / "test" / f"raw-{output}"
        views = []
        for name in names:
            with gzip.GzipFile(folder / f"{name}.npy.gz") as file:
                views.append(np.load(file))
        arrays[output] = np.stack(views)
    return HeldOut(names, np.stack(photos), arrays)


def masks(capture: Path, scene: Scene, thing: int, names: list[str]) -> Bool[ndarray, "views height width"]:
    """Ground-truth masks of one object in some views."""
    return np.stack([read_mask(capture, scene.things[thing], name) for name in names])


def pick_distractor(scene: Scene, subject: int) -> int:
    """Index of the object that is watched for unwanted change."""
    names = [object_name(thing) for thing in scene.things]
    return next(names.index(name) for name in DISTRACTORS if names.index(name) != subject)


def picture_figures(
    views: HeldOut,
    subject: Bool[ndarray, "views height width"],
    distractor: Bool[ndarray, "views height width"],
    target_text: str,
) -> dict[str, object]:
    """Every figure of the report that pictures tell.

    Args:
        views: the held-out views.
        subject, distractor: ground-truth masks.
        target_text: names the hue to look for, or none.
    """
    renders, hue = views.renders, hue_of_text(target_text)
    original, edited = renders["original"], renders["rgb"]
    return {
        "base_psnr": mean_psnr(original, views.photos),
        "target_hue_degrees": hue,
        "target_hue_fraction": hue_fraction(edited, subject, hue),
        "target_hue_fraction_before": hue_fraction(original, subject, hue),
        "distractor_hue_fraction": {
            "before": hue_fraction(original, distractor, hue),
            "after": hue_fraction(edited, distractor, hue),
        },
        "psnr_outside": psnr_outside(edited, original, subject),
        "psnr_outside_worst_view": min(
            psnr_outside(edited[i : i + 1], original[i : i + 1], subject[i : i + 1]) for i in range(len(edited))
        ),
        **{f"mean_{name}": float(renders[name].mean()) for name in ("added", "removed", "changed")},
    }


def clip_figures(views: HeldOut, source_text: str, target_text: str) -> dict[str, object]:
    """Direction similarity of the whole held-out views, by the embedded CLIP, which is also the demo's guide."""
    import torch

    from blending_nerf_ns.evaluation.directions import clip_direction_similarity
    from blending_nerf_ns.guidance.clip import load_clip

    guide = load_clip("embedded", None, "cpu")

    def features(pictures: ndarray) -> torch.Tensor:
        with torch.no_grad():
            return guide.encode_images(torch.from_numpy(pictures).float().permute(0, 3, 1, 2))

    source, target = (guide.encode_prompt(text, guide.templates) for text in (source_text, target_text))
    original, edited = features(views.renders["original"]), features(views.renders["rgb"])
    value = clip_direction_similarity(original, edited, source, target)
    return {"clip_direction_similarity": value, "clip_direction_similarity_model": guide.name}


def demo_sheet(views: HeldOut, rows: int = 6) -> Image.Image:
    """Contact sheet of evenly chosen held-out views."""
    chosen = np.linspace(0, len(views.names) - 1, min(rows, len(views.names))).round().astype(int)
    titles = {"original": "original", "rgb": "edited", **{name: name for name in PICTURES[2:]}}
    columns = {title: views.renders[name][chosen] for name, title in titles.items()}
    return contact_sheet(columns, [views.names[i].removeprefix("test_") for i in chosen])
