"""How soon an edit is seen: seconds from its start until a tenth of its final shift of hue.

    PYTHONPATH=tests python -m bench.first_change          # trains the demo's base first, unless it is kept

It trains as `ns-train` does, and looks at held-out views in between; the clock stands while it looks.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, cast

import numpy as np
import torch
import tyro
import yaml
from jaxtyping import Float
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from rich.console import Console

from blending_nerf_ns.demo.capture import demo_capture_scene, find_subject, write_capture
from blending_nerf_ns.demo.commands import environment
from blending_nerf_ns.demo.measure import hsv, hue_fraction, hue_of_text
from blending_nerf_ns.demo.run import Demo, operations, start_afresh, train
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.trainer import BlendingTrainer, BlendingTrainerConfig

CHANGED = 0.1
"""Share of the final shift of hue that a person notices."""
CORE = 0.8
"""A pixel belongs to the subject where the region makes up this much of it."""


class Look(NamedTuple):
    """What held-out views show at some time."""

    seconds: float
    """Since the edit was started, less what looking took."""
    step: int
    hue: float
    """Of the subject's mean colour, in degrees."""
    fraction: float | None
    """Share of the subject's pixels that wear the target's hue."""


@dataclass
class FirstChange:
    """The demo's edit, watched."""

    source: str = "a red ball"
    target: str = "a blue ball"
    output: Path = Path("outputs/bench/first_change")
    """Folder of the base, which is kept, of the run and of first_change.json."""
    every: int = 10
    """Steps between looks; the first few steps are all looked at."""
    views: int = 3
    """Held-out views that are looked at."""
    steps: int = 200
    """Of the edit, as in the demo."""
    stop_when_settled: bool = True
    """Or all steps."""
    threads: int = 1
    """Of torch. With one, the processor's own seconds are counted, and a busy machine gives nearly the same figures."""
    arguments: Tuple[str, ...] = ()
    """More flags for the base's ns-train."""


def hue_between(one: float, two: float) -> float:
    """Angle between two hues in degrees, in [0, 180]."""
    return abs((one - two + 180.0) % 360.0 - 180.0)


def first_change(original: float, looks: Sequence[Look]) -> Look:
    """The first look at which a tenth of the final shift of hue is there.

    Example:
        >>> looks = [Look(3.0, 1, 5.0, None), Look(5.0, 2, 350.0, None), Look(9.0, 3, 240.0, None)]
        >>> first_change(5.0, looks).seconds  # 15 of 125 degrees
        5.0
    """
    final = hue_between(original, looks[-1].hue)
    return next(look for look in looks if hue_between(original, look.hue) >= CHANGED * final)


def run(bench: FirstChange) -> Dict[str, Any]:
    """Train, watch, print, write."""
    torch.set_num_threads(bench.threads)
    torch.manual_seed(0)  # as ns-train does
    demo = Demo(bench.source, bench.target, bench.output / "base", train_arguments=bench.arguments)
    if not (demo.run_folder / "config.yml").exists():
        scene = demo_capture_scene()
        start_afresh(demo.output)
        write_capture(demo.capture, scene, find_subject(scene, demo.source), demo.shape)
        train(_of_base_alone(demo), environment(demo.output / "bin"))
    shutil.rmtree(bench.output / "edit", ignore_errors=True)
    trainer = _trainer(bench, demo)
    pipeline = cast(BlendingPipeline, trainer.pipeline)
    watcher = _Watcher(pipeline, bench)
    trainer.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], watcher.after_step))
    watcher.start()
    trainer.train()
    original, looks = watcher.end()
    first, last = first_change(original, looks), looks[-1]
    found = {
        "first_change_seconds": first.seconds,
        "first_change_step": first.step,
        "region_seconds": watcher.region_seconds,
        "edit_seconds": last.seconds,
        "edit_steps": last.step,
        "hue_original": original,
        "stages": json.loads((trainer.base_dir / "stages.json").read_text()),
        "looks": [look._asdict() for look in looks],
    }
    (bench.output / "first_change.json").write_text(json.dumps(found, indent=1) + "\n")
    Console().print(
        f"first change after {first.seconds:.1f} s (step {first.step}), all {last.step} steps after {last.seconds:.1f} s, "
        f"{watcher.region_seconds:.1f} s of that for the region; hue {original:.0f}° -> {last.hue:.0f}°, "
        f"{'no' if last.fraction is None else format(last.fraction, '.0%')} hue of the target"
    )
    return found


def _of_base_alone(demo: Demo) -> Demo:
    return Demo(
        demo.source, demo.target, demo.output, train_arguments=(*demo.train_arguments, "--pipeline.edit-steps", "0")
    )


def _trainer(bench: FirstChange, demo: Demo) -> BlendingTrainer:
    """A trainer whose next step is the edit's first; the demo's configuration, on the base that it trained."""
    base = demo.run_folder / "config.yml"
    config: BlendingTrainerConfig = yaml.load(base.read_text(), Loader=yaml.Loader)  # ours, written just now
    config.output_dir, config.timestamp = bench.output / "edit", "run"
    config.viewer.quit_on_train_completion = True
    pipeline: Any = config.pipeline
    pipeline.base_run, pipeline.edit_steps = base, bench.steps
    pipeline.guidance.stop_when_settled = bench.stop_when_settled
    pipeline.source_text, pipeline.target_text = bench.source, bench.target
    pipeline.operations = operations(bench.source, bench.target)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    return trainer


class _Watcher:
    """Looks at held-out views while an edit trains, by a clock that stands meanwhile."""

    def __init__(self, pipeline: BlendingPipeline, bench: FirstChange) -> None:
        self._pipeline, self._model = pipeline, cast(BlendingModel, pipeline.model)
        cameras = pipeline.datamanager.eval_dataset.cameras  # type: ignore[union-attr]
        self._cameras = [cameras[i : i + 1].to(pipeline.device) for i in range(min(bench.views, len(cameras)))]
        self._every, self._target = bench.every, hue_of_text(bench.target)
        self._clock = time.process_time if bench.threads == 1 else time.perf_counter
        self._pictures: List[Tuple[Look, Float[np.ndarray, "views height width 3"]]] = []
        self._looked = 0.0

    def start(self) -> None:
        self._started = self._clock()
        self.region_seconds = 0.0
        find = self._pipeline.work.find_region

        def find_region() -> None:
            find()
            self.region_seconds = self._clock() - self._started

        self._pipeline.work.find_region = find_region

    def after_step(self, step: int) -> None:
        done = int(self._pipeline.progress[1])
        last = done >= self._pipeline.work.end
        if done > 5 and done % self._every and not last:
            return
        began = self._clock()
        look = Look(began - self._started - self._looked, done, 0.0, None)
        self._pictures.append((look, self._see("rgb")))
        self._looked += self._clock() - began

    def end(self) -> Tuple[float, List[Look]]:
        """The original's hue, and all looks. Where the subject is, only the finished edit's region says."""
        original, core = self._see("original"), self._see("region")[..., 0] > CORE

        def hue(pictures: Float[np.ndarray, "views height width 3"]) -> float:
            return float(hsv(pictures[core].mean(0))[0])

        looks = [
            look._replace(hue=hue(seen), fraction=hue_fraction(seen, core, self._target))
            for look, seen in self._pictures
        ]
        return hue(original), looks

    def _see(self, name: str) -> Float[np.ndarray, "views height width channels"]:
        training = self._pipeline.training
        self._pipeline.eval()
        seen = [self._model.get_outputs_for_camera(camera)[name].cpu().numpy() for camera in self._cameras]
        self._pipeline.train(training)
        return np.stack(seen)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # nerfstudio's and torch's, of every step
    run(tyro.cli(FirstChange, description=sys.modules[__name__].__doc__))
