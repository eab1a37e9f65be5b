"""Render one view of a finished edit at growing strengths, side by side: nothing is trained again.

python examples/03_strength_sweep.py outputs/demo/train/demo/blending-nerf-cpu/run/config.yml --output sweep.png
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Tuple, cast

import torch
import tyro
from nerfstudio.utils.eval_utils import eval_setup
from torchvision.utils import save_image

from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.model import BlendingModel


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
    """One picture for each; all three blend ratios move together."""


def main(sweep: Sweep) -> None:
    """Load, render, write."""
    allow_nerfstudio_checkpoints()
    _, pipeline, _, _ = eval_setup(
        sweep.config / "config.yml" if sweep.config.is_dir() else sweep.config, test_mode="test"
    )
    model = cast(BlendingModel, pipeline.model)
    assert pipeline.datamanager.eval_dataset is not None
    camera = pipeline.datamanager.eval_dataset.cameras[sweep.view : sweep.view + 1].to(model.device)
    pictures = []
    for strength in sweep.strengths:
        model.set_strengths(strength, strength, strength)
        pictures.append(model.get_outputs_for_camera(camera)["rgb"].permute(2, 0, 1).cpu())
    save_image(torch.stack(pictures), sweep.output, nrow=len(pictures), padding=2)
    print(f"{sweep.output}: strengths {', '.join(f'{s:g}' for s in sweep.strengths)} from left to right")


if __name__ == "__main__":
    main(tyro.cli(Sweep))
