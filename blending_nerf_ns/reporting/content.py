"""What a report's JSON file says of models, figures and layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Dict, List, Optional

from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.reporting.catalogue import METRICS
from blending_nerf_ns.reporting.judge import Judge, same_model
from blending_nerf_ns.reporting.measuring import Figure, mean_figures
from blending_nerf_ns.reporting.opening import FinishedRun
from blending_nerf_ns.reporting.workbench import Measured


def finite(values: Mapping[str, Any]) -> Dict[str, Any]:
    """The same without what JSON cannot hold: None for NaN and infinity."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def models_content(judge: Judge, found: FinishedRun) -> Dict[str, Any]:
    """Guide and judge by name."""
    return {
        "guide": {"name": found.guide.name, "model": found.guide.model, "pretrained": found.guide.pretrained},
        "judge": {
            "name": judge.config.name,
            "model": judge.config.model,
            "pretrained": judge.config.pretrained,
            "is_the_guide": same_model(judge.config, found.guide),
            "available": judge.clip is not None,
            "reason": judge.missing,
        },
    }


def figures_content(figures: Mapping[str, Figure]) -> Dict[str, Any]:
    """Each figure with everything that a reader must know of it."""
    return {name: {**figures[name]._asdict(), **metric.description} for name, metric in METRICS.items()}


def layers_content(layers: List[Edit], each: List[Measured], own_masks: bool) -> Optional[Dict[str, Any]]:
    """The figures of each layer alone and their means; None where there is only one layer.

    Args:
        layers: lowest first.
        each: their figures.
        own_masks: whether each has a mask of its own; else one is of all of them.
    """
    if not each:
        return None
    alone = [
        {"id": edit.info.id, "name": edit.info.name, "prompt_pool": measured.pool, "metrics": _short(measured.figures)}
        for edit, measured in zip(layers, each, strict=True)
    ]
    return {
        "layers": alone,
        "own_masks": own_masks,
        "mean": _short(mean_figures([measured.figures for measured in each])),
    }


def _short(figures: Mapping[str, Figure]) -> Dict[str, Any]:
    return {name: {"value": figure.value, "reason": figure.reason} for name, figure in figures.items()}
