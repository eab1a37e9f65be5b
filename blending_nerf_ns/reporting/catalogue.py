"""What the report says of each figure: its title, range, which way is better, and its source, from the metrics' docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Dict, NamedTuple

from blending_nerf_ns.evaluation import change, directions, geometry, preservation, shading, text
from blending_nerf_ns.evaluation.closeups import ROOM

TEXT = "What the judge reads"
CLOSE = "What the judge reads of close-ups of the subject: squares around the mask"
WHOLE = "What was left alone, whole pictures"
MASK = "Inside and outside the mask"
OWN = "Of our own region: says what happened inside it, not whether it was the right one"
SHAPE = "Geometry, from depth"


CLOSE_UPS = (
    f"squares {ROOM:g} times as wide as the subject's mask, grown by the stated dilation; the same places before and after; "
    "views that do not see the subject do not count"
)


class Metric(NamedTuple):
    """A figure of the report."""

    title: str
    group: str
    function: Callable
    """Whose docstring says the rest."""
    of: str = ""
    """What of it the figure is, where the function gives several or is used otherwise."""

    def said(self, what: str) -> str:
        """A field of the function's docstring.

        Args:
            what: "Formula", "Range", "Better" or "Source".
        """
        found = re.search(rf"^{what}: (.*(?:\n[ \t]+\S.*)*)", inspect.getdoc(self.function) or "", re.MULTILINE)
        return " ".join(found[1].split()).replace("`", "") if found else ""

    @property
    def description(self) -> Dict[str, str]:
        """For the report."""
        fields = {name.lower(): self.said(name) for name in ("Formula", "Range", "Better", "Source")}
        return {"title": self.title, "group": self.group, "of": self.of, **fields}


def _sides(name: str, title: str) -> Dict[str, Metric]:
    return {
        f"{name}_{side}": Metric(f"Mean {title}, {side}", MASK, change.mean_inside_outside, f"the {side}'s mean")
        for side in ("inside", "outside")
    }


def _chamfer_sides(prefix: str, where: str, of: str) -> Dict[str, Metric]:
    return {
        f"{prefix}chamfer_{side}": Metric(
            f"Chamfer distance {side} {where}", SHAPE, geometry.chamfer_inside_outside, f"{of}; both ways' mean"
        )
        for side in ("inside", "outside")
    }


METRICS: Dict[str, Metric] = {
    "clip_direction_similarity": Metric("CLIP direction similarity", TEXT, directions.clip_direction_similarity),
    "edit_direction_consistency": Metric(
        "Direction consistency (neighbouring frames)", TEXT, directions.edit_direction_consistency
    ),
    "view_change_consistency": Metric(
        "Direction consistency (difference of differences)", TEXT, directions.view_change_consistency
    ),
    "clip_similarity": Metric("CLIP similarity to the target", TEXT, text.clip_similarity),
    "manipulative_precision": Metric("Manipulative precision", TEXT, text.manipulative_precision),
    "r_precision": Metric("R-precision", TEXT, text.r_precision, "k = 1, in the pool that the report states"),
    "close_up_direction_similarity": Metric(
        "CLIP direction similarity of close-ups", CLOSE, directions.clip_direction_similarity, CLOSE_UPS
    ),
    "close_up_r_precision": Metric(
        "R-precision of close-ups", CLOSE, text.r_precision, f"k = 1, in the pool that the report states; {CLOSE_UPS}"
    ),
    "psnr": Metric("PSNR to the original (dB)", WHOLE, preservation.psnr, "the edit itself lowers it"),
    "ssim": Metric("SSIM to the original", WHOLE, preservation.ssim, "the edit itself lowers it"),
    "psnr_outside": Metric("PSNR outside (dB)", MASK, preservation.psnr_outside),
    "ssim_outside": Metric("SSIM outside", MASK, preservation.ssim_outside),
    "lpips_outside": Metric("LPIPS outside", MASK, preservation.lpips_outside, "AlexNet, by torchmetrics"),
    "shading_correlation": Metric(
        "Light and shade kept, inside",
        MASK,
        shading.shading_correlation,
        "of a recolour; whether it is one, a method without operations does not tell",
    ),
    "leaked_change": Metric("Leakage, weighed", MASK, change.leaked_change),
    "leaked_pixels": Metric("Leakage, pixels", MASK, change.leaked_pixels),
    **_sides("added", "density added"),
    **_sides("removed", "density removed"),
    **_sides("changed", "colour changed"),
    "own_region_share_of_change": Metric(
        "Share of the change inside our own region",
        OWN,
        change.kept_inside,
        "our own region's silhouette, margin included, is the mask",
    ),
    "own_region_psnr_outside": Metric(
        "PSNR outside our own region (dB)",
        OWN,
        preservation.psnr_outside,
        "our own region's silhouette, margin included, grown by the stated dilation",
    ),
    "own_region_added_inside": Metric("Mean density added inside our own region", OWN, change.mean_inside_outside),
    "own_region_removed_inside": Metric("Mean density removed inside our own region", OWN, change.mean_inside_outside),
    "own_region_changed_inside": Metric("Mean colour changed inside our own region", OWN, change.mean_inside_outside),
    "chamfer": Metric(
        "Chamfer distance (scene units)", SHAPE, geometry.chamfer_distance, "of what the views see; both ways' mean"
    ),
    **_chamfer_sides("", "the mask", "of what its pixels show"),
    **_chamfer_sides("own_region_", "our own region", "of what lies in it; what an edit uncovers lies outside"),
}
"""By the name in report.json, in the report's order."""
