"""How good is the localiser? Regions from text against known masks, on scenes that no training saw.

    TQDM_DISABLE=1 python examples/05_how_good_is_the_localiser.py --output outputs/localiser    # one bar is enough

Each scene holds what is meant, an object of the same colour, one of the same shape, and up to two more. The base is the
drawing itself, so that only the localiser is measured. Prints tables (by shape, wording and number of views; single
pictures beside the fused region) and writes them as JSON and as a plot.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from localiser.measure import Score, flat_iou, solve
from localiser.scenes import Puzzle, make_puzzle

from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.localization.clipseg import load_clipseg
from blending_nerf_ns.method_configs.blending_nerf import blending_nerf_cpu  # pyright: ignore[reportMissingImports]
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig

WORDINGS: Dict[str, Callable[[Puzzle], str]] = {
    "a red ball": lambda p: p.text,
    "red ball": lambda p: f"{p.colour} {p.shape}",
    "the red ball": lambda p: f"the {p.colour} {p.shape}",
    "a photo of a red ball": lambda p: f"a photo of {p.text}",
    "there is a red ball on the floor": lambda p: f"there is {p.text} on the floor",
    "a single red ball": lambda p: f"a single {p.colour} {p.shape}",
}
VIEWS: Dict[str, Tuple[int, int]] = {
    "1": (1, 0), "4": (4, 0), "16": (16, 0), "64": (64, 0), "1 + 8 close": (1, 8), "16 + 8 close": (16, 8),
}  # fmt: skip
"""Wide views and close-ups."""


@dataclass
class Settings:
    """Settings of the measurement."""

    output: Path = Path("outputs/localiser")
    """Where localiser.json and localiser.png go."""
    scenes: int = 20
    """Scenes of the main table."""
    first: int = 200
    """Number of the first scene: other numbers are other scenes. Those below 200, 300 to 319 and 500 to 619 were looked at while
    the localiser was made; 200 to 219, 400 to 419, 700 to 739 and 743 to 782 only measured."""
    sweep_scenes: int = 10
    """Scenes for each wording and each number of views; 0 leaves these tables out."""
    views: int = 16
    """Views of the main table."""
    localizer: str = "embedded"
    """CLIPSeg: "embedded", a hub name or a local folder."""
    close_ups: int = -1
    """Close-ups of the method; -1: as in its configuration."""


def summary(scores: List[Score]) -> Dict[str, float]:
    """Means over scenes."""
    rows = [asdict(score) for score in scores]
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


def show(console: Console, title: str, rows: Dict[str, Dict[str, float]]) -> None:
    """Print one table."""
    columns = list(next(iter(rows.values())))
    table = Table("", *columns, title=title, title_justify="left")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
    console.print(table)


def plot(tables: Dict[str, Dict[str, Dict[str, float]]], flat: float, path: Path) -> None:
    """IoU of every table as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(tables), figsize=(4.2 * len(tables), 3.6), sharey=True, squeeze=False)
    for axis, (title, rows) in zip(axes[0], tables.items()):
        axis.bar(range(len(rows)), [row["core"] for row in rows.values()], color="tab:orange")
        axis.axhline(flat, color="gray", linestyle="--", label="single pictures, all scenes")
        axis.set_xticks(range(len(rows)), list(rows), rotation=35, ha="right")
        axis.set(title=title, ylim=(0, 1))
    axes[0][0].set_ylabel("mean IoU of the re-rendered core")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


@in_one_line()
def main(settings: Settings) -> None:
    """Measure, print, write."""
    warnings.filterwarnings(
        "ignore", "Using a non-tuple sequence"
    )  # nerfstudio's cameras index as torch used to like it
    console = Console()
    pipeline = blending_nerf_cpu.config.pipeline
    assert isinstance(pipeline, BlendingPipelineConfig)
    config = replace(pipeline.region, views=settings.views, localizer=settings.localizer)
    if settings.close_ups >= 0:
        config = replace(config, close_ups=settings.close_ups)
    resolution = pipeline.model.region_resolution
    guide, localizer = load_clip("embedded", None, "cpu"), load_clipseg(settings.localizer)
    puzzles = [make_puzzle(settings.first + number) for number in range(settings.scenes)]
    few = puzzles[: settings.sweep_scenes]

    scores = [solve(puzzle, config, guide, resolution=resolution) for puzzle in track(puzzles, "scenes")]
    flat = [flat_iou(puzzle, config, localizer) for puzzle in track(puzzles, "single pictures")]
    shapes = sorted({puzzle.shape for puzzle in puzzles})
    tables: Dict[str, Dict[str, Dict[str, float]]] = {
        "all scenes": {"all": {**summary(scores), "flat": float(np.mean(flat))}}
    }
    tables["by shape"] = {
        shape: {
            **summary([s for p, s in zip(puzzles, scores) if p.shape == shape]),
            "flat": float(np.mean([f for p, f in zip(puzzles, flat) if p.shape == shape])),
        }
        for shape in shapes
    }
    sweeps: List[Tuple[str, str, Puzzle]] = [("by wording", wording, p) for wording in WORDINGS for p in few]
    sweeps += [("by number of views", name, p) for name in VIEWS for p in few]
    found: Dict[Tuple[str, str], List[Score]] = {}
    for title, name, puzzle in track(sweeps, "sweeps"):
        wide, close = VIEWS.get(name, (config.views, config.close_ups))
        changed = replace(config, views=wide, close_ups=close)
        text = WORDINGS[name](puzzle) if title == "by wording" else puzzle.text
        found.setdefault((title, name), []).append(solve(puzzle, changed, guide, text, resolution))
    for (title, name), values in found.items():
        tables.setdefault(title, {})[name] = summary(values)

    for title, rows in tables.items():
        show(console, title, rows)
    worst = sorted(range(len(scores)), key=lambda i: scores[i].core)[:5]
    console.print(
        "worst:", ", ".join(f"scene {settings.first + i} {puzzles[i].text} {scores[i].core:.2f}" for i in worst)
    )
    settings.output.mkdir(parents=True, exist_ok=True)
    (settings.output / "localiser.json").write_text(json.dumps(tables, indent=2) + "\n")
    plot(tables, float(np.mean(flat)), settings.output / "localiser.png")
    console.print(f"written to {settings.output}")


if __name__ == "__main__":
    torch.manual_seed(0)
    main(tyro.cli(Settings))
