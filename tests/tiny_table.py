"""What the tests of the table and of its results share: a scene without photos, two methods, a place to work in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blending_nerf_ns.comparing.cases import Cell, EditCase, SceneCase, Workplace
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.results import settings

EDIT = EditCase("recolour", "a red ball", "a blue ball", ("change",), {"box-size": "1 2 3"})
SCENE = SceneCase("tiny", (EDIT, replace(EDIT, name="again")), masks=("polygons", "somewhere/outlines.json"))
OURS, BASELINE = choose_methods(["ours", "clip-nerf-finetune"])
REPORT: dict[str, Any] = {
    "metrics": {},
    "guide": {"name": None},
    "judge": {"name": "judge", "available": True, "reason": None},
    "views": {"kind": "test", "names": [], "height": 8, "width": 8},
    "masks": {"dilation": 5},
    "prompt_pool": [],
    "warnings": [],
}
"""Of `blending-nerf evaluate`, without figures."""


def result_of(cell: Cell, place: Workplace, **metrics: float | None) -> dict[str, Any]:
    """A result as `run_cell` makes one."""
    return {
        "settings": settings(cell, place),
        "metrics": metrics,
        "views": {"kind": "test", "names": ["a", "b"], "height": 6, "width": 8},
        "judge": "judge",
        "guide": "guide",
        "mask_dilation": 5,
        "prompt_pool": ["a blue ball", "a red ball"],
        "warnings": [],
        "seconds": {"base": 100.0, "region": 2.0, "edit": 3.0},
        "edit_steps": 240,
        "attempts": 1,
    }


def workplace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A place to run cells in, from a folder where the scene's masks lie."""
    (folder / "somewhere").mkdir()
    (folder / "somewhere" / "outlines.json").write_text('{"a.png": [[0, 0], [4, 0], [0, 4]]}')
    monkeypatch.chdir(folder)
    return Workplace(folder / "work", folder / "results", evaluate_flags=("--num-views", "2"))
