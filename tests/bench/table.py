"""What was measured, as a table for a person and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from rich.console import Console
from rich.table import Table

TARGETS = {
    "blended_over_base.0.10": 1.08,
    "blended_over_base.0.50": 1.35,
    "extra_layer_over_base": 0.08,
    "memory_512_over_128": 1.25,
    "cached_over_uncached": 0.5,
    "deferred_relative_error": 1e-4,
}
"""Largest values that are wanted, by key and, after a dot, its part."""


WIDTH = 150
"""Columns of the table at least."""


class Figure(NamedTuple):
    """One number, a ratio of two things that were measured in the same run."""

    key: str
    value: float
    part: str = ""
    """Which of several under this key, "0.10"."""
    spread: Optional[float] = None
    """Half the distance between the quartiles, where it is a median."""
    note: str = ""
    """What a reader must know to believe it."""

    @property
    def name(self) -> str:
        """Key and part."""
        return f"{self.key}.{self.part}" if self.part else self.key

    @property
    def verdict(self) -> str:
        """Whether it keeps its target; nothing where there is none."""
        target = TARGETS.get(self.name)
        if target is None:
            return ""
        return f"≤ {target:g}: {'yes' if self.value <= target else 'NO'}"


def show(figures: List[Figure], title: str) -> None:
    """Print the table."""
    table = Table(title=title, title_justify="left")
    table.add_column("figure", no_wrap=True)
    for column in ("value", "±", "target"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("note")
    for figure in figures:
        spread = "" if figure.spread is None else f"{figure.spread:.2g}"
        table.add_row(figure.name, f"{figure.value:.4g}", spread, figure.verdict, figure.note)
    console = Console()
    # a figure cut to fit a pipe's 80 columns is of no use to anyone
    Console(width=max(console.width, WIDTH)).print(table)


def write(path: Path, figures: List[Figure], command: str, machine: Dict[str, Any]) -> Dict[str, Any]:
    """Write the figures beside those that another run left in the file.

    Args:
        path: a JSON file. Each key holds a number, or one for each of its parts; "commands", "spread", "notes" and
            "machine" say of each key how it was measured.
        figures: of one run.
        command: that measures them again.
        machine: what they were measured on.

    Returns:
        what the file holds now.
    """
    said = ("commands", "spread", "notes", "machine")
    found: Dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name in said:
        found.setdefault(name, {})
    for key in {figure.key for figure in figures}:
        found.pop(key, None)
        found["commands"][key], found["machine"][key] = command, machine
    for figure in figures:
        if figure.part:
            found.setdefault(figure.key, {})[figure.part] = figure.value
        else:
            found[figure.key] = figure.value
        for name, value in (("spread", figure.spread), ("notes", figure.note)):
            found[name].pop(figure.name, None)
            if value:
                found[name][figure.name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return found
