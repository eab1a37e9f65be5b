"""The report's curves, as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COLOURS = {"all": "#222222", "add": "#2a7f3f", "remove": "#b3372f", "change": "#2b5fb4"}
TERMS = ("blended", "edit", "direction", "budget", "solid", "shading", "smooth", "tint")
"""Weighted losses, as the trainer adds them up."""
SMOOTH = 0.9
"""Of the running mean that is drawn over the single steps: each step sees one view, and views differ."""

DIRECTIONS = {
    "close_up_direction_similarity": "CLIP direction similarity, close-ups",
    "clip_direction_similarity": "CLIP direction similarity",
}
"""Readings of a sweep and what they are called, the better one first: a judge of whole pictures misses small things."""

TIMES = "blend ratio, times what is shown (1: as it is shown)"

Curves = Mapping[str, Sequence[Mapping[str, Any]]]


def loss_plot(steps: Sequence[Mapping[str, Any]]) -> Optional[bytes]:
    """Loss terms, and the similarity to the target, over the steps of one layer; None without two steps."""
    if len(steps) < 2:
        return None
    drawing, (left, right) = _panels()
    at = [step["step"] for step in steps]
    for number, name in enumerate(name for name in TERMS if any(name in step for step in steps)):
        _draw_smooth(left, at, _column(steps, name), name, f"C{number}")
    for name, label, colour in (
        ("similarity", "edited pictures", COLOURS["change"]),
        ("similarity_before", "originals", "#999999"),
    ):
        if name in steps[0]:
            _draw_smooth(right, at, _column(steps, name), label, colour)
    left.set(title="Training losses, weighted", xlabel="step of the edit")
    right.set(title="Similarity to the target, by the guide", xlabel="step of the edit")
    for axes in (left, right):
        _legend_below(axes)
    return _png(drawing)


def sweep_plot(curves: Curves, preservation: str, label: str) -> bytes:
    """Direction similarity against preservation, and direction similarity against strength.

    Args:
        curves: of the sweep, by operation.
        preservation: name of the figure that stands for it.
        label: what it is called.
    """
    drawing, (left, right) = _panels()
    reading = next((name for name in DIRECTIONS if any(point[name] is not None for point in curves["all"])), None)
    draw_sweep(left, curves, preservation, reading or "strength")
    draw_sweep(right, curves, "strength", reading or preservation)
    what = DIRECTIONS[reading] if reading else f"{TIMES}; there is no judge"
    left.set(title="Strength against preservation", xlabel=f"{label}, higher is better", ylabel=what)
    right.set(xlabel=TIMES, ylabel=what if reading else label)
    right.set_title("Direction similarity by strength" if reading else "Preservation by strength")
    for axes in (left, right):
        _legend_below(axes)
    return _png(drawing)


def draw_sweep(axes: Any, curves: Curves, across: str, up: str) -> None:
    """A curve for each operation, and a wide one for all together, with the blend ratios beside its points.

    Args:
        axes: matplotlib's.
        curves: of a sweep.
        across, up: names of the figures of the horizontal and the vertical axis.
    """
    for name, points in curves.items():
        together = name == "all"  # the operations' own curves may lie on it
        colour, title = COLOURS.get(name, "#777777"), "all together" if together else f"{name} alone"
        look: Dict[str, Any] = {"linewidth": 4.5, "alpha": 0.3} if together else {"linewidth": 1.5}
        points = [point for point in points if point[across] is not None and point[up] is not None]
        xs, ys = ([point[figure] for point in points] for figure in (across, up))
        axes.plot(xs, ys, "o-", label=title, color=colour, markersize=3.5, **look)
        if together and across != "strength":
            for x, y, point in zip(xs, ys, points, strict=True):
                said = f"{point['strength']:g}"
                axes.annotate(said, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7, color=colour)


def by_layer(steps: Sequence[Mapping[str, Any]]) -> Dict[str, List[Mapping[str, Any]]]:
    """Recorded steps by the id of their layer, in their order."""
    layers: Dict[str, List[Mapping[str, Any]]] = {}
    for step in steps:
        layers.setdefault(str(step["layer"]), []).append(step)
    return layers


def _column(steps: Sequence[Mapping[str, Any]], name: str) -> List[float]:
    """One value over the steps; NaN, which leaves a gap, where a step has none."""
    return [math.nan if (value := step.get(name)) is None else float(value) for step in steps]


def _draw_smooth(axes: Any, at: Sequence[int], values: Sequence[float], label: str, colour: str) -> None:
    mean, means = math.nan, []
    for value in values:
        mean = value if math.isnan(mean) else mean if math.isnan(value) else SMOOTH * mean + (1.0 - SMOOTH) * value
        means.append(mean)
    axes.plot(at, values, color=colour, alpha=0.25, linewidth=0.7)
    axes.plot(at, means, color=colour, linewidth=1.5, label=label)


def _legend_below(axes: Any) -> None:
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=5, columnspacing=1.2)


def _panels() -> tuple[Drawing, Any]:
    from matplotlib.figure import Figure as Drawing  # a figure of its own: pyplot would keep it and look for a screen

    drawing = Drawing(figsize=(9.6, 3.7), dpi=110, layout="constrained")
    panels = drawing.subplots(1, 2)
    for axes in panels:
        axes.grid(color="#e4e4e4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return drawing, panels


def _png(drawing: Drawing) -> bytes:
    for axes in drawing.axes:  # here: setting a title sets its size again
        axes.title.set_fontsize(10)
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    return buffer.getvalue()
