"""Places that depend on the scene, put into flags that stand for all scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Dict, List

from nerfstudio.cameras.cameras import Cameras

EVERYTHING = (
    *("--pipeline.region.source", "box", "--pipeline.region.box-center", "{x}", "{y}", "{z}"),
    *("--pipeline.region.box-size", "{side}", "{side}", "{side}"),
)
"""A region that is all the training cameras look at. The whole space would hold the cameras too, and leave them no place to look
at it from; nerfstudio's origin is no such place either, for it lies among the cameras."""
ANYWHERE = {"x": "0", "y": "0", "z": "0", "side": "1"}
"""Stands for the places where no scene is at hand."""


def everything_seen(cameras: Cameras) -> Dict[str, str]:
    """Centre and side of a cube around what training cameras look at, as wide as their pictures are there."""
    from blending_nerf_ns.baselines.finetuning import FinetuneGuidanceConfig, aim

    center, radius = aim(cameras, FinetuneGuidanceConfig())
    x, y, z = (f"{value:.4f}" for value in center.tolist())
    return {"x": x, "y": y, "z": z, "side": f"{2.0 * radius:.4f}"}


def fill_flags(flags: Sequence[str], places: Mapping[str, str]) -> List[str]:
    """Flags with their placeholders replaced.

    Example:
        >>> fill_flags(("--pipeline.region.box-center", "{x}"), {"x": "0.5"})
        ['--pipeline.region.box-center', '0.5']
    """
    return [places.get(flag[1:-1], flag) if flag.startswith("{") else flag for flag in flags]


def fill_for_scene(flags: Sequence[str], base: Path, capture: Path) -> List[str]:
    """The same, for the scene of a base run; it is opened only where there is something to fill in."""
    if not any(flag.startswith("{") for flag in flags):
        return list(flags)
    from blending_nerf_ns.localization.scene import open_scene

    scene, _ = open_scene(base, capture, "cpu")
    return fill_flags(flags, everything_seen(scene.cameras))
