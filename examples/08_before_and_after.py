"""One picture of several edits, before and after, each from a held-out view of its capture.

    python examples/08_before_and_after.py RUN/config.yml OTHER_RUN/config.yml --views 2 5 --output before_after.png

The README's picture of what edits do is made so, from the first seeds of the demo's removal, addition and replacement that
`blending-nerf compare` trained (--views 5 5 8).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Tuple, cast

import matplotlib.pyplot as plt
import numpy as np
import tyro
from nerfstudio.utils.eval_utils import eval_setup

from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.model import BlendingModel

INCHES = 2.0
"""Width of one of the pictures."""


@dataclass
class BeforeAndAfter:
    """Which edits, and from where."""

    configs: Annotated[Tuple[Path, ...], tyro.conf.Positional]
    """config.yml of runs of blending-nerf. They can run code: name only runs that you trust."""
    views: Tuple[int, ...] = ()
    """For each run which of the held-out views, from 0; the middle one where none is named."""
    output: Path = Path("before_after.png")
    """Picture to write."""


def before_and_after(config: Path, view: int | None) -> tuple[np.ndarray, np.ndarray, str]:
    """The original and the edited picture of a held-out view, [height, width, 3] in [0, 1], and what the edit is called."""
    _, pipeline, _, _ = eval_setup(config / "config.yml" if config.is_dir() else config, test_mode="test")
    model, data = cast(BlendingModel, pipeline.model), pipeline.datamanager.eval_dataset
    assert data is not None
    view = len(data) // 2 if view is None else view
    outputs = model.get_outputs_for_camera(data.cameras[view : view + 1].to(model.device))
    info = model.edit.info
    words = f'"{info.source_text}" → "{info.target_text}"  ({", ".join(info.operations)})'
    return outputs["original"].cpu().numpy(), outputs["rgb"].cpu().numpy(), words


def main(wanted: BeforeAndAfter) -> None:
    """Render and draw."""
    allow_nerfstudio_checkpoints()
    views = wanted.views or (None,) * len(wanted.configs)
    if len(views) != len(wanted.configs):
        raise SystemExit(f"{len(views)} views are named for {len(wanted.configs)} runs: name one for each, or none")
    pairs = [before_and_after(*one) for one in zip(wanted.configs, views)]
    figure = plt.figure(figsize=(2 * INCHES * len(pairs), 1.15 * INCHES), layout="constrained")
    parts = figure.subfigures(1, len(pairs), squeeze=False)
    for part, (before, after, words) in zip(parts[0], pairs):
        part.suptitle(words, fontsize=7)
        for axes, picture in zip(part.subplots(1, 2), (before, after)):
            axes.imshow(picture.clip(0.0, 1.0))
            axes.set_axis_off()
    figure.savefig(wanted.output, dpi=100)
    print(wanted.output)


if __name__ == "__main__":
    main(tyro.cli(BeforeAndAfter))
