"""Results of cells: small JSON files, fit to be committed, that say by which settings they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Dict, Optional

from blending_nerf_ns.atomic import replacing
from blending_nerf_ns.comparing.cases import Cell, Workplace
from blending_nerf_ns.errors import BlendingNerfError

FORMAT = "blending-nerf table 1"

Result = Mapping[str, Any]


def read_result(cell: Cell, place: Workplace) -> Optional[Result]:
    """A cell's result, if it is there.

    Raises:
        BlendingNerfError: it was made with other settings, so that a table would mix two things.
    """
    path = place.results / f"{cell.key}.json"
    if not path.exists():
        return None
    result, wanted = json.loads(path.read_text()), settings(cell, place)
    other = sorted(name for name, value in wanted.items() if result["settings"].get(name) != value)
    if other:
        told = "; ".join(f"{name} was {result['settings'].get(name)}, is {wanted[name]}" for name in other)
        raise BlendingNerfError(f"{path} was made with other settings ({told}); move it away or name other --results")
    return result


def settings(cell: Cell, place: Workplace) -> Dict[str, Any]:
    """All that a cell's figures depend on."""
    flags = {name: list(getattr(place, name)) for name in ("train_flags", "base_flags", "evaluate_flags")}
    if not cell.method.trained and cell.scene.drawing is not None:
        drawn = cell.scene.drawing.fingerprint(cell.edit.name)
        return {**cell.settings, "drawn": drawn, "evaluate_flags": flags["evaluate_flags"]}
    return {**cell.settings, "base_config": place.base_config, **flags}


def training_fingerprint(cell: Cell, place: Workplace) -> str:
    """Tells runs apart that were trained otherwise, so that none is taken for another."""
    said = settings(cell, place)
    measured = ("masks", "development", "evaluate_flags")
    edit = {name: value for name, value in said["edit"].items() if name not in ("room", "subject")}
    return fingerprint({name: value for name, value in said.items() if name not in measured} | {"edit": edit})


def fingerprint(values: Any) -> str:
    """A few letters for plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def write_result(cell: Cell, place: Workplace, report: Result, seconds: Mapping[str, float], attempts: int) -> Result:
    """What the table needs of a cell, as a file."""
    result = {
        "format": FORMAT,
        "settings": settings(cell, place),
        **compact(report, seconds),
        "attempts": attempts,
    }
    with replacing(place.results / f"{cell.key}.json") as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def compact(report: Result, stages: Mapping[str, float]) -> Dict[str, Any]:
    """What a table needs of a report: figures, and by what they were measured; no places, no losses."""
    metrics = report["metrics"]
    return {
        "metrics": {name: metric["value"] for name, metric in metrics.items()},
        "doing_nothing": {name: metric["unedited"] for name, metric in metrics.items()},
        "left_out": {name: metric["reason"] for name, metric in metrics.items() if metric["reason"]},
        "guide": report["guide"]["name"],
        "judge": report["judge"]["name"],
        "views": {name: report["views"][name] for name in ("kind", "names", "height", "width")},
        "mask_dilation": report["masks"]["dilation"],
        "prompt_pool": report["prompt_pool"],
        "warnings": report["warnings"],
        "seconds": {
            name.removesuffix("_seconds"): round(value, 1)
            for name, value in stages.items()
            if name.endswith("_seconds")
        },
        "edit_steps": stages.get("edit_steps"),
    }
