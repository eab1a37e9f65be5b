"""Held-out figures of the shipped mini models, as tables and as JSON.

    python examples/22_evaluate_mini_guidance.py --data /tmp/mini --output /tmp/mini/evaluation
    python examples/22_evaluate_mini_guidance.py --data /tmp/mini --output /tmp/mini/judge --judge

The pictures come from scenes and textures with seeds of their own. With --photos FOLDER the twelve texts "a <colour> toy" are
also ranked on central crops of photographs, and the mini CLIPSeg's answer to --query is drawn over them.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from mini_guidance import models, training
from mini_guidance.judge import IMAGE_SIZE as JUDGE_SIZE
from mini_guidance.scores import caption_scores, clip_scores, clipseg_scores, edit_scores, encode

from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.guidance.embedded import (
    EMBEDDED_DIR,
    MINI_CLIP_NAME,
    MINI_JUDGE_NAME,
    load_mini,
    mini_clipseg_path,
)
from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.edited import EditPainter


@dataclass
class Settings:
    """Settings of the evaluation."""

    data: Path = Path("/tmp/mini_guidance")
    """Folder with the held-out scenes (made if missing, as for the training)."""
    output: Path = Path("outputs/mini_guidance")
    """Where evaluation.json and overlays.png go."""
    judge: bool = False
    """Evaluate the CLIP that judges instead of the two models that guide."""
    pictures: int = 2000
    """Held-out pictures per model."""
    seed: int = 5077
    """Of the scenes and textures: no training saw these (the trainings watch seed 991). 5077, 6203, 7411 and (of the judge) 8123, 9241, 10369 and 11503 were looked at: take a new one
    after any change that their figures led to."""
    scenes: int = 1000
    """Scenes from which the pictures are taken, each in many looks."""
    photos: Optional[Path] = None
    """Folder of photographs of one toy."""
    query: str = "a purple toy"
    """Text for the overlays."""
    crop: float = 0.55
    """Side of the central crop over the photograph's shorter side."""
    threads: int = 1


def show(console: Console, title: str, figures: Dict[str, float]) -> None:
    """Print one table."""
    table = Table("figure", "value", title=title, title_justify="left")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:.3f}")
    console.print(table)


@torch.no_grad()
def rank_colours(clip, photos: list, crop: float) -> Dict[str, float]:
    """Share of photographs whose central crop reads as each colour of "a <colour> toy"."""
    texts = encode(clip, [f"a {colour} toy" for colour in words.COLOUR_NAMES])
    counts: Counter = Counter()
    for path in photos:
        image = Image.open(path).convert("RGB")
        side = crop * min(image.size)
        x, y = (image.width - side) / 2, (image.height - side) / 2
        image = image.resize(clip.visual.image_size, Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        feature = F.normalize(clip.encode_image(models.normalize(pixels)), dim=-1)
        counts[words.COLOUR_NAMES[int((feature @ texts.T).argmax())]] += 1
    return {colour: count / len(photos) for colour, count in counts.most_common()}


@torch.no_grad()
def overlays(clipseg, processor, photos: list, query: str, path: Path) -> Dict[str, float]:
    """Draw where the query is found over the photographs, tinted green; the mean marked share of the pictures."""
    tiles, marked = [], []
    for photo in photos:
        image = Image.open(photo).convert("RGB")
        inputs = processor(text=[query], images=[image], padding=True, return_tensors="pt")
        heat = clipseg(**inputs).logits.sigmoid().view(1, 1, 64, 64)
        marked.append(float((heat > 0.5).float().mean()))
        heat = F.interpolate(heat, (160, 160), mode="bilinear")[0, 0, ..., None].numpy()
        pixels = np.asarray(image.resize((160, 160)), float) / 255
        tint = np.where(heat > 0.5, 0.45 * pixels + [0, 0.55, 0], pixels * 0.8)
        tiles.append(np.concatenate([tint, np.repeat(heat, 3, -1)]))
    across = min(8, len(tiles))
    tiles += [np.ones_like(tiles[0])] * (-len(tiles) % across)
    rows = [np.concatenate(tiles[i : i + across], 1) for i in range(0, len(tiles), across)]
    Image.fromarray((255 * np.concatenate(rows).clip(0, 1)).astype(np.uint8)).save(path)
    return {"marked_share": float(np.mean(marked)), "photos_with_a_mark": float(np.mean([m > 0.005 for m in marked]))}


@in_one_line()
def main(settings: Settings) -> None:
    """Run everything."""
    from transformers import AutoProcessor, CLIPSegForImageSegmentation

    torch.set_num_threads(settings.threads)
    held_out = f"held_out_{settings.seed}"
    training.prepare_scenes(settings.data, held_out, settings.scenes, settings.seed, 300)
    settings.output.mkdir(parents=True, exist_ok=True)
    console = Console()
    name = MINI_JUDGE_NAME if settings.judge else MINI_CLIP_NAME
    clip = load_mini(name)
    clipseg = CLIPSegForImageSegmentation.from_pretrained(mini_clipseg_path()).eval()
    results: Dict[str, Dict[str, float]] = {}

    def report(title: str, figures: Dict[str, float]) -> None:
        results[title] = figures
        show(console, title.replace("_", " "), figures)
        (settings.output / "evaluation.json").write_text(json.dumps(results, indent=2) + "\n")

    sizes = {name: f"{name}.*", **({} if settings.judge else {"mini_clipseg": "mini_clipseg/*"})}
    report("megabytes", {n: sum(f.stat().st_size for f in EMBEDDED_DIR.glob(p)) / 1e6 for n, p in sizes.items()})
    size = JUDGE_SIZE if settings.judge else models.picture_size(clip.state_dict()["visual.positional_embedding"])
    report("clip", clip_scores(clip, training.painter(settings.data, held_out, 11, size), settings.pictures))
    captioned = training.painter(settings.data, held_out, 12, size)
    report("clip_captions", caption_scores(clip, captioned, settings.pictures))
    if not settings.judge:
        queried = training.painter(settings.data, held_out, 13)
        report("clipseg", clipseg_scores(clipseg, queried, settings.pictures // 2))
    training.prepare_edits(settings.data, f"{held_out}_edits", settings.scenes // 2, settings.seed + 1)
    edited = training.painter(settings.data, f"{held_out}_edits", 14, size, held_out)
    report("edits", edit_scores(clip, EditPainter(edited), settings.pictures // 2))
    if settings.photos is not None:
        photos = sorted(p for p in settings.photos.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        if not photos:
            raise FileNotFoundError(f"no .jpg or .png in {settings.photos}")
        report("photos_read_as", rank_colours(clip, photos, settings.crop))
        if settings.judge:
            return
        processor = AutoProcessor.from_pretrained(mini_clipseg_path())
        picked = photos[:: max(1, len(photos) // 32)][:32]
        report("photos_found", overlays(clipseg, processor, picked, settings.query, settings.output / "overlays.png"))
    console.print(f"written to {settings.output}")


if __name__ == "__main__":
    main(tyro.cli(Settings))
