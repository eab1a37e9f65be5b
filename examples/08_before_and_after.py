"""One picture of several edits, before and after, each from a held-out view of its capture.

    python examples/08_before_and_after.py RUN/config.yml OTHER_RUN/config.yml --views 2 5 --output before_after.png

The README's picture of what edits do is made so, from the first seeds of the demo's removal, addition and replacement that
`blending-nerf compare` trained (--views 5 5 8).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Tuple

import matplotlib.pyplot as plt
import numpy as np
import tyro

from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.errors import BlendingNerfError, in_one_line
from blending_nerf_ns.reporting.opening import open_finished
from blending_nerf_ns.runs.atomic import writable

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
    run = open_finished(config, None)
    cameras, _ = run.photos("test")
    view = len(cameras) // 2 if view is None else view
    if not 0 <= view < len(cameras):
        raise BlendingNerfError(f"--views {view}: {config} has {len(cameras)} held-out views, from 0")
    outputs = run.blended.get_outputs_for_camera(cameras[view : view + 1].to(run.model.device))
    source, target = run.texts("", "")
    allowed = {operation for edit in run.layers for operation in edit.info.operations}
    words = f'"{source}" → "{target}"  ({", ".join(name for name in OPERATIONS if name in allowed)})'
    return outputs["original"].cpu().numpy(), outputs["rgb"].cpu().numpy(), words


@in_one_line()
def main(wanted: BeforeAndAfter) -> None:
    """Render and draw."""
    if not wanted.configs:
        raise BlendingNerfError("name at least one run's config.yml")
    writable(wanted.output.parent)
    views = wanted.views or (None,) * len(wanted.configs)
    if len(views) != len(wanted.configs):
        raise BlendingNerfError(
            f"{len(views)} views are named for {len(wanted.configs)} runs: name one for each, or none"
        )
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
