"""Strength against preservation: one edit at growing blend ratios, each operation on its own and all together.

A method that does nothing preserves best, so neither number stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Dict, List, NamedTuple, Optional

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from tqdm import tqdm

from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.directions import clip_direction_similarity
from blending_nerf_ns.evaluation.preservation import psnr, psnr_outside, ssim, ssim_outside
from blending_nerf_ns.evaluation.text import clip_similarity
from blending_nerf_ns.model import AMOUNTS, BlendingModel
from blending_nerf_ns.reporting.content import finite
from blending_nerf_ns.reporting.judge import Judge
from blending_nerf_ns.reporting.layers import at_strength, shown_as
from blending_nerf_ns.reporting.pictures import Pictures, render_pictures
from blending_nerf_ns.reporting.subject import Masks
from blending_nerf_ns.reporting.workbench import look_close

ALL = "all"
"""Name of the curve of all operations together."""


class SweepCase(NamedTuple):
    """What the sweep is measured by."""

    cameras: Cameras
    judge: Judge
    source: Optional[Float[Tensor, "features"]]
    target: Optional[Float[Tensor, "features"]]
    masks: Optional[Masks]
    """With something inside and something outside."""
    dilation: int


class Seen(NamedTuple):
    """What the judge sees in pictures."""

    whole: Optional[Float[Tensor, "views features"]]
    """None without a judge."""
    close: Optional[Float[Tensor, "seen features"]]
    """In close-ups of the subject; None without a judge or masks."""

    @classmethod
    def of(cls, pictures: Float[Tensor, "views height width 3"], case: SweepCase) -> Seen:
        """Let it look."""
        close = look_close(case.judge, pictures, case.masks.subject, case.dilation) if case.masks else None
        return cls(case.judge.look(pictures), close)


def sweep_strengths(
    model: BlendingModel, operations: Sequence[str], strengths: Sequence[float], case: SweepCase
) -> Dict[str, List[Dict[str, Any]]]:
    """Render the layers that are shown at each strength, times the blend ratios that they are shown with, and measure.

    Args:
        model: with its layers; those that are off stay off.
        operations: that some shown layer has. Each gets a curve on which it alone is on.
        strengths: growing, from 0.
        case: views, judge, texts and mask.

    Returns:
        By the operation's name, and "all" for all together: one dictionary for each strength, with None for what cannot be
        measured.
    """
    alone = list(operations) if len(operations) > 1 else []
    points = [(curve, strength) for curve in (ALL, *alone) for strength in strengths if strength > 0]
    curves: Dict[str, List[Dict[str, Any]]] = {ALL: [], **{name: [] for name in alone}}
    with tqdm(total=1 + len(points), desc="Strengths", dynamic_ncols=True) as bar:
        with shown_as(model, at_strength(0.0, OPERATIONS)):
            off = render_pictures(model, case.cameras, "", bar=False)
        before = Seen.of(off.original, case)
        bar.update()
        for curve in curves.values():  # with nothing on, all curves meet
            curve.append({"strength": 0.0, **_measure(off, before, case)})
        for name, strength in points:
            with shown_as(model, at_strength(strength, OPERATIONS if name == ALL else (name,))):
                pictures = render_pictures(model, case.cameras, "", bar=False)
            curves[name].append({"strength": strength, **_measure(pictures, before, case)})
            bar.update()
    return curves


def _measure(pictures: Pictures, before: Seen, case: SweepCase) -> Dict[str, Optional[float]]:
    original, edited, mask = pictures.original, pictures.edited, case.masks and case.masks.room
    after = Seen.of(edited, case)
    source, target, dilation = case.source, case.target, case.dilation
    figures: Dict[str, Optional[float]] = {}

    def put(name: str, compute: Callable[..., float], *told: Any, **more: Any) -> None:
        figures[name] = None
        if all(one is not None for one in told):
            with suppress(BlendingNerfError):  # why is said beside the figure of the whole edit
                figures[name] = compute(*told, **more)

    put("clip_direction_similarity", clip_direction_similarity, before.whole, after.whole, source, target)
    put("close_up_direction_similarity", clip_direction_similarity, before.close, after.close, source, target)
    put("clip_similarity", clip_similarity, after.whole, target)
    put("psnr", psnr, original, edited)
    put("ssim", ssim, original, edited)
    put("psnr_outside", psnr_outside, original, edited, mask, dilation=dilation)
    put("ssim_outside", ssim_outside, original, edited, mask, dilation=dilation)
    amounts = {f"mean_{name}": float(torch.mean(getattr(pictures, name))) for name in AMOUNTS}
    return finite({**figures, "largest_difference": float((edited - original).abs().max()), **amounts})
