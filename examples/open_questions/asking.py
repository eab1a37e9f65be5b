"""Ask a question: run its cells by the table's own runner, print them, draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from blending_nerf_ns.commands.compare import words_in
from blending_nerf_ns.comparing.cases import Cell, Workplace
from blending_nerf_ns.comparing.running import run_cells
from blending_nerf_ns.comparing.table import COLUMNS, figure_of, markdown, spread_of
from blending_nerf_ns.errors import BlendingNerfError

Result = Mapping[str, Any]
Label = Callable[[Result], Tuple[str, str]]
"""Group and series of a result in a picture."""

DIRECTION_AND_PRESERVATION = {
    "close_up_direction_similarity": "direction, close-ups",
    "psnr_outside": "PSNR outside (dB)",
}
"""What most questions draw: neither says much alone."""


@dataclass
class Asking:
    """Where a question is asked, and how often."""

    output: Path
    """Tables and plots."""
    work: Path = Path("outputs/table")
    """Captures, bases and runs: those of `blending-nerf compare` are taken where they fit."""
    results: Optional[Path] = None
    """One small JSON file for each run; `results/` in the output folder if none is named. A table's may be shared where the question
    asks what it has: `--results docs/table`."""
    seeds: Tuple[int, ...] = (0,)
    """Of each run."""
    train_flags: str = ""
    """More flags for every ns-train, in one string."""
    base_flags: str = ""
    """More flags for the bases' ns-train alone."""
    evaluate_flags: str = ""
    """More flags for every `blending-nerf evaluate`."""

    def place(self) -> Workplace:
        """For the runner."""
        flags = (words_in(text) for text in (self.train_flags, self.base_flags, self.evaluate_flags))
        return Workplace(self.work, self.results or self.output / "results", "blending-nerf-cpu", *flags)


@dataclass
class Captures(Asking):
    """The same where captures may stand beside the demo's."""

    scenes: Tuple[str, ...] = ()
    """Scenes' JSON files."""
    data: Tuple[str, ...] = ()
    """NAME=FOLDER for each of them."""


def ask(asking: Asking, name: str, cells: Sequence[Cell], columns: Mapping[str, str] = COLUMNS) -> List[Result]:
    """Run what is not there yet, print the table, and keep it beside the plot.

    Args:
        asking: where.
        name: of the question's files.
        cells: what is run.
        columns: figures of the table.

    Raises:
        BlendingNerfError: runs failed; the table has the others, which are not run again.
    """
    results, failures = run_cells(cells, asking.place())
    table = markdown(results, columns)
    print(table)
    asking.output.mkdir(parents=True, exist_ok=True)
    failed = "".join(f"\nFailed: {key}: {reason}" for key, reason in failures.items())
    (asking.output / f"{name}.md").write_text(f"{table}\n{failed}")
    if failures:
        raise BlendingNerfError(f"{len(failures)} of {len(cells)} runs failed, so nothing is drawn; ask again{failed}")
    return results


def draw_bars(results: Sequence[Result], label: Label, figures: Mapping[str, str], path: Path) -> None:
    """One panel for each figure: groups of bars, one bar for each series, means over seeds.

    Args:
        results: of a question.
        label: where each belongs.
        figures: what the panels show, and what they are called.
        path: of the PNG.
    """
    drawing, panels = _panels(len(figures))
    groups = list(dict.fromkeys(label(result)[0] for result in results))
    series = list(dict.fromkeys(label(result)[1] for result in results))
    width = 0.8 / len(series)
    for axes, (name, title) in zip(panels, figures.items(), strict=True):
        for number, one in enumerate(series):
            at = [i + (number - (len(series) - 1) / 2) * width for i in range(len(groups))]
            spreads = [spread_of(figure_of(r, name) for r in results if label(r) == (group, one)) for group in groups]
            heights = [np.nan if spread is None else spread.mean for spread in spreads]
            errors = [0.0 if spread is None or spread.std is None else spread.std for spread in spreads]
            axes.bar(at, heights, width, yerr=errors if any(errors) else None, label=one)
        axes.set_xticks(range(len(groups)), groups, rotation=20, ha="right")
        axes.set_title(title)
    # beside the panels: it would lie on the bars
    drawing.legend(*panels[-1].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    _write(drawing, path)


DECADES = 100.0
"""Figures of which the largest is as many times the smallest are shown by their logarithms."""


def draw_points(results: Sequence[Result], label: Label, figures: Tuple[str, str], path: Path) -> None:
    """One figure against another, a point for each result: the group is written beside it, the series has a colour.

    Args:
        results: of a question.
        label: where each belongs.
        figures: names of the horizontal and the vertical figure.
        path: of the PNG.
    """
    drawing, (axes,) = _panels(1)
    by_series: Dict[str, List[Result]] = {}
    for result in results:
        by_series.setdefault(label(result)[1], []).append(result)
    for name, members in by_series.items():
        points = [(label(r)[0], figure_of(r, figures[0]), figure_of(r, figures[1])) for r in members]
        known = [(text, x, y) for text, x, y in points if x is not None and y is not None]
        axes.scatter([x for _, x, _ in known], [y for _, _, y in known], label=name)
        for text, x, y in known:
            axes.annotate(text, (x, y), fontsize=7, xytext=(4, 4), textcoords="offset points")
    axes.set(xlabel=figures[0].replace("_", " "), ylabel=figures[1].replace("_", " "))
    across = [x for x in (figure_of(result, figures[0]) for result in results) if x is not None]
    if min(across, default=0.0) > 0.0 and max(across) > DECADES * min(across):
        axes.set_xscale("log")
    axes.margins(0.12)  # room for what is written beside the points
    axes.legend(fontsize=8)
    _write(drawing, path)


def _panels(count: int) -> Tuple[Any, List[Any]]:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5.0 * count + 1.0, 4.0), layout="constrained")
    return drawing, [drawing.add_subplot(1, count, i + 1) for i in range(count)]


def _write(drawing: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=120)
    print(f"Written: {path}")
