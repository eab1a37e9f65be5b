"""The methods of the table: ours, the baseline, right edits that are drawn or painted, and ours with one idea taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Dict, List

from blending_nerf_ns.comparing.cases import DRAWN, RETOUCHED, Method
from blending_nerf_ns.comparing.places import EVERYTHING
from blending_nerf_ns.errors import BlendingNerfError

OURS, FINETUNED = "ours", "clip-nerf-finetune"


def methods(size: str = "cpu") -> Dict[str, Method]:
    """By name.

    Args:
        size: "cpu" for the configurations that run without a GPU, "gpu" for the large ones.

    Raises:
        BlendingNerfError: another size.
    """
    if size not in ("cpu", "gpu"):
        raise BlendingNerfError(f"--size {size}: choose cpu or gpu")
    ending = "-cpu" if size == "cpu" else ""
    ours = f"blending-nerf{ending}"
    weight = "--pipeline.guidance.weight"
    listed = [
        Method(OURS, ours),
        Method(FINETUNED, f"clip-nerf-finetune{ending}", has_region=False),
        Method(DRAWN, "", has_region=False),
        Method(RETOUCHED, "", has_region=False),
        Method("no-region", ours, EVERYTHING),
        Method("no-budgets", ours, (f"{weight}-budget", "0")),
        Method("no-directional-loss", ours, (f"{weight}-direction", "0")),
        Method("no-edit-loss", ours, (f"{weight}-edit", "0")),
        Method("no-shading-loss", ours, (f"{weight}-shading", "0")),
    ]
    if size == "cpu":
        listed += [
            Method("no-base-freezing", "blending-nerf-unfrozen-cpu"),
            Method("resampled", "blending-nerf-resampled-cpu"),
        ]
    return {method.name: method for method in listed}


ABLATIONS = tuple(name for name in methods() if name not in (OURS, FINETUNED, DRAWN, RETOUCHED))
"""Names of the methods with one idea taken out."""


def choose_methods(names: Sequence[str], size: str = "cpu") -> List[Method]:
    """Methods by their names; "ablations" stands for all of these that there are of a size.

    Raises:
        BlendingNerfError: a name that there is not.
    """
    known = methods(size)
    ablations = [name for name in ABLATIONS if name in known]
    wanted = [one for name in names for one in (ablations if name == "ablations" else [name])]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise BlendingNerfError(
            f"there is no method {unknown[0]!r} of size {size}; choose among {', '.join(known)}, ablations"
        )
    return [known[name] for name in dict.fromkeys(wanted)]
