"""What does the judge give a right edit? The base's pictures with each edit painted into them, in several shades and sizes, beside
what the table's methods have.

    python examples/18_what_a_right_edit_scores.py                      # the demo's scene: no edit is trained
    python examples/18_what_a_right_edit_scores.py --scenes examples/scenes/toy.json examples/scenes/mic.json \
        --data toy=DATA/toy mic=DATA/mic --table docs/table

The painted pictures lie in `WORK/retouched`: look at them before you believe a figure.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Tuple

import tyro
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import Captures, Result, ask

from blending_nerf_ns.comparing.cases import RETOUCHED, SceneCase, table_cells
from blending_nerf_ns.comparing.methods import FINETUNED, OURS, choose_methods
from blending_nerf_ns.comparing.results import read_result
from blending_nerf_ns.comparing.scenes import DEMO, read_scenes
from blending_nerf_ns.comparing.table import figure_of, row_of, spread_of
from blending_nerf_ns.errors import BlendingNerfError, in_one_line

DIRECTIONS = {"close_up_direction_similarity": "close-ups", "clip_direction_similarity": "whole pictures"}
TRAINED = (OURS, FINETUNED)
LOOKS = {RETOUCHED: ("0.6", "o"), OURS: ("tab:blue", "D"), FINETUNED: ("tab:orange", "s")}
"""Colour and marker."""
Figures = Mapping[Tuple[str, str], Mapping[str, Sequence[float]]]
"""By scene and edit, by method: directions over seeds."""


@dataclass
class Right(Captures):
    """The same, and what it is compared with."""

    table: Path = Path("docs/table")
    """Results of `blending-nerf compare`; what is not there, or was measured otherwise, is left out."""


def gather(results: Sequence[Result], name: str) -> Figures:
    """A figure of every edit by every method."""
    found: Dict[Tuple[str, str], Dict[str, List[float]]] = {}
    for result in results:
        scene, edit, method = row_of(result)
        value = figure_of(result, name)
        if value is not None:
            found.setdefault((scene, edit), {}).setdefault(method, []).append(value)
    return {place: by for place, by in found.items() if RETOUCHED in by}


def table(figures: Figures) -> str:
    """The least and the most that right edits have, and means of the methods."""
    lines = [
        f"| scene | edit | right edits, least to most (mean) | {' | '.join(TRAINED)} |",
        f"| --- | --- | ---: | {' | '.join('---:' for _ in TRAINED)} |",
    ]
    for (scene, edit), by in figures.items():
        right = by[RETOUCHED]
        told = [f"{min(right):.3f} to {max(right):.3f} ({sum(right) / len(right):.3f})"]
        for method in TRAINED:
            spread = spread_of(by.get(method, []))
            above = spread is not None and spread.mean > max(right)
            told.append("–" if spread is None else f"{spread}{', above all of them' if above else ''}")
        lines.append(f"| {scene} | {edit} | {' | '.join(told)} |")
    return "\n".join(lines)


def shown(method: str, values: Sequence[float]) -> List[float]:
    """Each right edit by itself, for none is more so than the others; of a method its mean."""
    spread = spread_of(values)
    return list(values) if method == RETOUCHED or spread is None else [spread.mean]


def draw(panels: Mapping[str, Figures], path: Path) -> None:
    """A column for each edit: a point for each right edit, and means of the methods."""
    edits = len(next(iter(panels.values())))
    drawing = Figure(figsize=(1.0 + 0.75 * edits, 3.4 * len(panels)), layout="constrained")
    for axes, (title, figures) in zip(drawing.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True):
        for method, (colour, marker) in LOOKS.items():
            points = [
                (i, value) for i, by in enumerate(figures.values()) for value in shown(method, by.get(method, []))
            ]
            at, values = [i for i, _ in points], [value for _, value in points]
            axes.scatter(at, values, c=colour, marker=marker, s=34, label=method)
        axes.set_xticks(range(len(figures)), [f"{scene}, {edit}" for scene, edit in figures], rotation=40, ha="right")
        axes.set_ylabel(f"CLIP direction, {title}")
        axes.grid(axis="y", alpha=0.3)
    # beside the panels: it would lie on points
    drawing.legend(*axes.get_legend_handles_labels(), fontsize=8, ncols=len(LOOKS), loc="outside upper center")
    drawing.savefig(path, dpi=110)
    print(f"Written: {path}")


def of_the_table(asking: Right, scenes: Sequence[SceneCase]) -> List[Result]:
    """What the methods have there; results by another judge, or made otherwise, are left out, and that is said."""
    there = replace(asking.place(), results=asking.table)
    known, other = [], []
    for cell in table_cells(scenes, [], choose_methods(TRAINED), (0, 1, 2)):
        try:
            known.append(read_result(cell, there))
        except BlendingNerfError as error:
            other.append(str(error))
    if other:
        print(f"{len(other)} results of {asking.table} are left out, for they cannot be compared: {other[0]}")
    return [found for found in known if found is not None]


@in_one_line()
def main(asking: Right) -> None:
    """Paint, score, print, draw."""
    scenes = read_scenes([DEMO, *asking.scenes], asking.data)
    known = of_the_table(asking, scenes)
    results = ask(asking, "right", table_cells(scenes, [], choose_methods([RETOUCHED]), asking.seeds))
    panels = {title: gather([*results, *known], name) for name, title in DIRECTIONS.items()}
    compared = "\n\n".join(f"Direction, {title}:\n\n{table(figures)}" for title, figures in panels.items())
    print(compared)
    with (asking.output / "right.md").open("a") as file:
        file.write(f"\n{compared}\n")
    draw(panels, asking.output / "right.png")


if __name__ == "__main__":
    main(tyro.cli(Right, description=__doc__, default=Right(Path("outputs/questions/18"), seeds=tuple(range(12)))))
