"""What `blending-nerf evaluate` can be asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional, Tuple

from blending_nerf_ns.edits.layer import STRONGEST
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import ROUNDING
from blending_nerf_ns.evaluation.masks import Room
from blending_nerf_ns.reporting.judge import JudgeConfig


@dataclass(frozen=True)
class ReportOptions:
    """Which views, which judge, which masks."""

    output: Optional[Path] = None
    """Folder for report.json and report.html; `evaluation/` in the run's folder if none is named."""
    data: Optional[Path] = None
    """The capture, if it has moved."""
    views: Literal["novel", "test", "train"] = "novel"
    """A path between the training cameras that no photo was taken from, held-out photos' views, or training views."""
    num_views: int = 12
    """How many views, spread over all there are."""
    image_size: int = 192
    """Longer side of a picture in pixels, at most."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """The CLIP that scores. It should not be the one that guided."""
    source_text: str = ""
    """What was there; the layers' own words if empty."""
    target_text: str = ""
    """What it should have become; the layers' own words if empty."""
    prompts_file: Optional[Path] = None
    """Prompt pool of R-precision, one prompt a line; else the target among texts that are false where it is true."""
    masks: Tuple[str, ...] = ("none",)
    """Where the subject is, told by something else than the edit's own region. `demo`: drawn from the demo's scene.
    `alpha`: alpha channel of the photos (views test or train). `polygons FILE.json`: drawn by hand, {image name: [[x, y],
    ...]} in pixels of the full-size photo. `images FOLDER`: white where it is, named as the photos. `none`: figures that need a mask are left out."""
    mask_room: Room = "none"
    """What the edit was asked to use beside the subject's pixels: nothing, the rectangle `around` them (another shape), or
    that and as much again `above` (something put on top)."""
    mask_dilation: int = 5
    """Pixels around the mask that count as inside; from 5 on SSIM outside sees nothing of what is inside."""
    subject: str = ""
    """With `--masks demo`: the object that the edit is of, where the source text does not name one."""
    change_threshold: float = 1.5 / 255
    """A pixel has changed where some channel, from 0 to 1, differs by more, in [1e-5, 1). The default is 1.5 of 255 levels."""
    sweep: Tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    """Blend ratios of the sweep; 0 is always among them."""
    sweep_views: int = 6
    """Views of the sweep, spread over all; 0: no sweep."""
    shown_views: int = 6
    """Views on the page, spread over all."""

    def check(self) -> None:
        """Say what cannot be, before anything is computed.

        Raises:
            BlendingNerfError: with the value.
        """
        for name, least in (("num_views", 2), ("image_size", 11), ("sweep_views", 0), ("shown_views", 1)):
            value = getattr(self, name)
            if value < least:
                raise BlendingNerfError(f"--{name.replace('_', '-')} is {value}, wanted {least} or more")
        if self.judge.pretrained and self.judge.has_own_weights:
            raise BlendingNerfError(
                f"--judge.pretrained {self.judge.pretrained}: {self.judge.model} has weights of its own; name an open_clip model "
                "with --judge.model ViT-L-14, or leave this out"
            )
        if self.mask_dilation < 0:
            raise BlendingNerfError(f"--mask-dilation is {self.mask_dilation}, wanted 0 pixels or more")
        if not ROUNDING <= self.change_threshold < 1:
            raise BlendingNerfError(
                f"--change-threshold is {self.change_threshold}, wanted a number in [{ROUNDING}, 1)"
            )
        for strength in self.sweep:
            if not (math.isfinite(strength) and 0.0 <= strength <= STRONGEST):
                raise BlendingNerfError(f"--sweep has {strength}, wanted blend ratios in [0, {STRONGEST:g}]")

    @property
    def strengths(self) -> Tuple[float, ...]:
        """Of the sweep, growing, from 0."""
        return tuple(sorted({0.0, *self.sweep}))
