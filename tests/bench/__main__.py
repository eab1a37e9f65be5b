"""Measure speed and memory, print a table, write JSON: `make bench`, or `PYTHONPATH=tests python -m bench --help`."""

from __future__ import annotations

import platform
import shlex
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Literal, Tuple

import torch
import tyro

from .frames import measure_frames
from .growth import measure_growth
from .hashing import measure_hashing
from .memory import Step, measure_memory
from .scene import MethodName, Scale, make_scene
from .steps import measure_steps
from .table import Figure, show, write
from .timing import ROUNDS
from .views import measure_views

Part = Literal["frames", "growth", "steps", "views", "memory", "hashing"]
PARTS: Tuple[Part, ...] = ("hashing", "steps", "views", "growth", "frames", "memory")


@dataclass
class Bench:
    """Ratios of what an edit costs to what its base costs, measured in turns."""

    device: str = "cpu"
    """cpu, or cuda: torch's name of it."""
    method: MethodName = "blending-nerf-cpu"
    """Whose sizes base and edit have; both run in torch."""
    output: Path = Path("outputs/bench")
    """Folder of bench.json (of other methods and devices, bench-METHOD-DEVICE.json) and of the trained base."""
    only: Tuple[Part, ...] = PARTS
    """What to measure; the file keeps what it has of the others."""
    size: int = 256
    """Side of the frames, in pixels."""
    rounds: int = ROUNDS
    """Turns that each figure is the median of."""
    threads: int = 1
    """Of torch on a CPU. With one, the processor's own seconds are counted, and a busy machine gives nearly the same
    figures; with more, those of a clock on the wall, which wants a quiet one."""
    scale: Scale = Scale()  # noqa: RUF009
    """Of the base's training."""


def run(bench: Bench) -> List[Figure]:
    """Measure, print, write."""
    torch.set_num_threads(bench.threads)
    device = torch.device(bench.device)
    scene = make_scene(bench.method, device, bench.output, bench.scale)
    step = Step(bench.method, bench.device, bench.output, threads=bench.threads, scale=bench.scale)
    measure: Dict[Part, Callable[[], List[Figure]]] = {
        "frames": lambda: measure_frames(scene, bench.size, bench.rounds),
        "growth": lambda: measure_growth(scene, bench.rounds),
        "steps": lambda: measure_steps(scene, bench.rounds),
        "views": lambda: measure_views(scene, bench.rounds),
        "hashing": lambda: measure_hashing(scene, bench.rounds),
        "memory": lambda: measure_memory(step),
    }
    usual = (bench.method, bench.device) == ("blending-nerf-cpu", "cpu")
    name = "bench.json" if usual else f"bench-{bench.method}-{device.type}.json"
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": bench.threads,
        "torch": torch.__version__,
    }
    figures: List[Figure] = []
    for part in bench.only:
        found = measure[part]()
        # each part is written at once: a run that is cut short loses none
        write(bench.output / name, found, _command(bench, part), machine)
        show(found, f"{part}: {bench.method} on {bench.device}")
        figures += found
    return figures


def _command(bench: Bench, part: Part) -> str:
    flags = ["--only", part, "--method", bench.method, "--device", bench.device, "--threads", str(bench.threads)]
    flags += ["--rounds", str(bench.rounds), *(("--size", str(bench.size)) if part == "frames" else ())]
    return f"make bench BENCH_ARGS={shlex.quote(' '.join(flags))}"


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # nerfstudio's and torch's, of every step
    run(tyro.cli(Bench, description=sys.modules[__name__].__doc__))
