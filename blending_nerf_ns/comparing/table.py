"""Results as a table: means and standard deviations over seeds, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from blending_nerf_ns.comparing.cases import DRAWN, RETOUCHED

COLUMNS: Dict[str, str] = {
    "clip_direction_similarity": "direction ↑",
    "close_up_direction_similarity": "direction, close-ups ↑",
    "clip_similarity": "similarity ↑",
    "manipulative_precision": "MP ↑",
    "close_up_r_precision": "R-precision, close-ups ↑",
    "psnr_outside": "PSNR outside, dB ↑",
    "leaked_pixels": "leakage, pixels ↓",
    "leaked_change": "leakage, weighed ↓",
    "chamfer": "Chamfer ↓",
}
"""Figures of the table by their names in a report, and what stands above them."""
SECONDS = "seconds"
STAGES = ("region", "start", "edit")
"""Of a run, that count as its seconds: the base is the scene's."""
PERFECT = (
    f"{DRAWN}: the scene drawn again with the edit made, in one of the ways that its text allows: what this judge gives a right edit. "
    "More than that may be had by something else than the edit. Shadows move with what is drawn, also outside the mask."
)
PAINTED = (
    f"{RETOUCHED}: the base's pictures with the edit painted into them, in a shade and size that the seed draws: what this judge gives a "
    "right edit of a capture. What is removed is filled from around it; nothing throws a shadow."
)


class Spread(NamedTuple):
    """A figure over several seeds."""

    mean: float
    std: Optional[float]
    """Of the sample (n - 1); None of a single value."""
    count: int

    def __str__(self) -> str:
        digits = 1 if abs(self.mean) >= 10 else 3
        return f"{self.mean:.{digits}f}" + ("" if self.std is None else f" ± {self.std:.{digits}f}")


Row = Tuple[str, str, str]
"""Scene, edit, method."""


def spread_of(values: Iterable[Optional[float]]) -> Optional[Spread]:
    """Mean and sample standard deviation of what is known; None where nothing is.

    Example:
        >>> str(spread_of([1.0, 3.0])), str(spread_of([1.0, None])), spread_of([None])
        ('2.000 ± 1.414', '1.000', None)
    """
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    if len(known) == 1:
        return Spread(mean, None, 1)
    return Spread(mean, math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1)), len(known))


def figure_of(result: Mapping[str, Any], name: str) -> Optional[float]:
    """A result's figure by its name in the report.

    `seconds` are those of region and edit together; unknown of a run that was resumed, which knows its last attempt's only, and
    of what was not trained.
    """
    if name == SECONDS:
        if result["attempts"] > 1 or not result["seconds"]:
            return None
        return float(sum(result["seconds"].get(stage, 0.0) for stage in STAGES))
    return result["metrics"].get(name)


def row_of(result: Mapping[str, Any]) -> Row:
    """Which row of the table a result belongs to."""
    said = result["settings"]
    return said["scene"], said["edit"]["name"], said["method"]


def groups_of(results: Sequence[Mapping[str, Any]]) -> Dict[Row, List[Mapping[str, Any]]]:
    """The seeds of every scene, edit and method, each of these in the order in which they first appear."""
    orders = [list(dict.fromkeys(names)) for names in zip(*map(row_of, results), strict=True)]
    groups: Dict[Row, List[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault(row_of(result), []).append(result)
    places = {row: [order.index(name) for order, name in zip(orders, row, strict=True)] for row in groups}
    return {row: groups[row] for row in sorted(groups, key=places.__getitem__)}


def rows_of(results: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> Dict[Row, Dict[str, Optional[Spread]]]:
    """Every figure of every scene, edit and method over its seeds."""
    names = list(columns)
    return {
        row: {name: spread_of(figure_of(result, name) for result in group) for name in names}
        for row, group in groups_of(results).items()
    }


def markdown(results: Sequence[Mapping[str, Any]], columns: Mapping[str, str] = COLUMNS) -> str:
    """The table, what it was measured by, and what must be known to read it."""
    if not results:
        return "There are no results yet."
    development = {result["settings"]["scene"] for result in results if result["settings"]["development"]}
    heads = ["scene", "edit", "method", *columns.values(), "seconds, median", "seeds"]
    lines = [_line(heads), _line(["---"] * 3 + ["---:"] * (len(heads) - 3))]
    rows = rows_of(results, columns)
    for (scene, edit, method), members in groups_of(results).items():
        figures = rows[scene, edit, method]
        seconds = [taken for taken in (figure_of(result, SECONDS) for result in members) if taken is not None]
        count = len(members)
        cells = [_of_seeds(figures[name], count) for name in columns]
        marked = f"{scene} (development)" if scene in development else scene
        # the median: on a machine that others use too, one run may have stood still for an hour
        shown = f"{median(seconds):.0f}" if seconds else "–"
        lines.append(_line([marked, edit, method, *cells, shown, str(count)]))
    return "\n".join([*lines, "", *notes(results)])


def _of_seeds(figure: Optional[Spread], count: int) -> str:
    """A figure over seeds; where some seeds have none, that is said: their mean is not that of all."""
    if figure is None:
        return "–"
    return str(figure) if figure.count == count else f"{figure} ({figure.count} of {count})"


def notes(results: Sequence[Mapping[str, Any]]) -> List[str]:
    """By what the figures were measured."""

    def all_of(values: Iterable[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    views = all_of(_views_of(r) for r in results)
    made = {r["settings"]["method"] for r in results}
    pools: Dict[str, List[str]] = {}
    for scene, edit, size in dict.fromkeys((*row_of(r)[:2], len(r["prompt_pool"])) for r in results):
        pools.setdefault(str(size), []).append(f"{scene} {edit}")
    prompts = "; ".join(f"{size} prompts ({', '.join(edits)})" for size, edits in pools.items())
    guides = all_of(r["guide"] for r in results if r["guide"]) or "none"
    said = [
        f"Mean ± standard deviation of the sample over seeds. Judge: {all_of(r['judge'] for r in results)}; guide: "
        f"{guides}. Views: {views}. Masks grown by "
        f"{all_of(str(r['mask_dilation']) for r in results)} pixels. A method that does nothing preserves best: read "
        f"direction and PSNR together. R-precision by chance is one in the pool's size: {prompts}.",
        *([PERFECT] if DRAWN in made else []),
        *([PAINTED] if RETOUCHED in made else []),
    ]
    for scene in dict.fromkeys(row_of(r)[0] for r in results):
        seen = dict.fromkeys(_views_of(r) for r in results if row_of(r)[0] == scene)
        if len(seen) > 1:
            said.append(f"{scene} was seen in several ways, {'; '.join(seen)}: compare figures within one of them.")
    warned = all_of(warning for result in results for warning in result["warnings"])
    return [*said, *([f"Warnings: {warned}"] if warned else [])]


def _views_of(result: Mapping[str, Any]) -> str:
    views = result["views"]
    return f"{len(views['names'])} {views['kind']} of {views['width']} x {views['height']}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
