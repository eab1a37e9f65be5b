"""Render one view of a finished run at growing strengths of its edits, side by side: nothing is trained again.

python examples/03_strength_sweep.py outputs/demo/train/demo/blending-nerf-cpu/run/config.yml --output sweep.png
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Tuple

import torch
import tyro
from torchvision.utils import save_image

from blending_nerf_ns.errors import BlendingNerfError, in_one_line
from blending_nerf_ns.reporting.layers import at_strength, shown_as
from blending_nerf_ns.reporting.opening import open_finished
from blending_nerf_ns.runs.atomic import writable


@dataclass
class Sweep:
    """What to render."""

    config: Annotated[Path, tyro.conf.Positional]
    """config.yml of a run of blending-nerf. It can run code: name only runs that you trust."""
    output: Path = Path("sweep.png")
    """Picture to write."""
    view: int = 0
    """Evaluation view."""
    strengths: Tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
    """One picture for each: times the blend ratios by which the run's layers are shown, all together."""


@in_one_line()
def main(sweep: Sweep) -> None:
    """Load, render, write."""
    writable(sweep.output.parent)
    run = open_finished(sweep.config, None)
    model, (cameras, _) = run.blended, run.photos("test")
    if not run.layers or not 0 <= sweep.view < len(cameras):
        raise BlendingNerfError(f"--view {sweep.view}: there are {len(cameras)} evaluation views, from 0")
    camera, pictures = cameras[sweep.view : sweep.view + 1].to(model.device), []
    for strength in sweep.strengths:
        with shown_as(model, at_strength(strength)):
            pictures.append(model.get_outputs_for_camera(camera)["rgb"].permute(2, 0, 1).cpu())
    save_image(torch.stack(pictures), sweep.output, nrow=len(pictures), padding=2)
    print(f"{sweep.output}: strengths {', '.join(f'{s:g}' for s in sweep.strengths)} from left to right")


if __name__ == "__main__":
    main(tyro.cli(Sweep))
