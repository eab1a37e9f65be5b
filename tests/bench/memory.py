"""Peak memory of a guidance step by the picture's size, each in a process of its own.

On a CPU: the peak of resident memory during the step, less what was resident just before it. On CUDA: the allocator's.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import torch
import tyro
from rich.progress import track

from .guiding import make_guiding
from .scene import MethodName, Scale, make_scene
from .steps import ALL, SHARE, STEP
from .table import Figure
from .timing import growth

SIZES, DIRECT_SIZES = (64, 128, 256, 512), (64, 128, 256)
"""Sides of guidance views, in pixels. A direct step at 512 would want more memory than a laptop has."""
SMALL_CHUNK = 512
"""Rays per chunk for machines that are short of memory: little but the guide's own is left."""
WARM_SIZE = 24


@dataclass
class Step:
    """One guidance step whose memory is measured."""

    method: MethodName = "blending-nerf-cpu"
    device: str = "cpu"
    folder: Path = Path("outputs/bench")
    """Where the trained base is kept."""
    size: int = 64
    """Side of the guidance view, in pixels."""
    rays_per_chunk: Optional[int] = None
    """Rays whose graph is held at a time; the method's own if not given."""
    threads: int = 1
    scale: Scale = Scale()  # noqa: RUF009


def peak_of_step(step: Step) -> float:
    """Bytes at the peak of one step beyond those just before it; the view's base is rendered and kept before."""
    torch.set_num_threads(step.threads)
    device = torch.device(step.device)
    scene = make_scene(step.method, device, step.folder, step.scale)
    make_guiding(scene, WARM_SIZE).step(STEP, SHARE)  # what is made once and kept: gradients, kernels, CLIP's buffers
    editing = make_guiding(scene, step.size, step.rays_per_chunk)
    assert len(editing.pool[0].intervals.rays) > 0
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        editing.step(STEP, SHARE)
        return float(torch.cuda.max_memory_allocated(device) - before)
    ctypes.CDLL(None).malloc_trim(0)  # what is free would hide the step's first allocations
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's own peak starts again from here
    before = _resident("VmRSS")
    editing.step(STEP, SHARE)
    return _resident("VmHWM") - before


def measure_memory(
    base: Step,
    sizes: Tuple[int, ...] = SIZES,
    direct_sizes: Tuple[int, ...] = DIRECT_SIZES,
    peak: Callable[[Step], float] | None = None,
) -> List[Figure]:
    """`memory_512_over_128` with the method's chunks, the same with small ones, and how direct steps grow.

    Args:
        base: method, device and the like; size and chunk are varied.
        sizes: of guidance views; the figure compares the largest with the second.
        direct_sizes: those that are also done without deferring.
        peak: bytes of one step; `in_own_process` if not given.
    """
    kinds = {"": None, "small_chunks": SMALL_CHUNK, "direct": ALL}
    wanted = [(kind, size) for kind in kinds for size in (direct_sizes if kind == "direct" else sizes)]
    peaks = {
        (kind, size): (peak or in_own_process)(replace(base, size=size, rays_per_chunk=kinds[kind]))
        for kind, size in track(wanted, description="Memory", transient=True)
    }
    smallest = sizes[0]
    figures = []
    for kind, chunk in kinds.items():
        its_sizes = direct_sizes if kind == "direct" else sizes
        note = {"": "the method's chunks", "direct": "one chunk"}.get(kind, f"chunks of {chunk} rays")
        shown = ", ".join(f"{size}²: {peaks[kind, size] / 2**20:.0f} MiB" for size in its_sizes)
        if kind != "direct":
            name = "memory_512_over_128" if not kind else f"memory_512_over_128_{kind}"
            figures.append(Figure(name, peaks[kind, sizes[-1]] / peaks[kind, sizes[1]], note=f"{note}; {shown}"))
        else:
            exponent = growth([float(s) ** 2 for s in its_sizes], [peaks[kind, s] for s in its_sizes])
            figures.append(Figure("memory_growth_direct", exponent, note=f"exponent over pixels, {note}; {shown}"))
        figures += [
            Figure(
                f"memory_over_{smallest}" + (f"_{kind}" if kind else ""),
                peaks[kind, s] / peaks[kind, its_sizes[0]],
                str(s),
            )
            for s in its_sizes[1:]
        ]
    return figures


def in_own_process(step: Step) -> float:
    """`peak_of_step` in a fresh process: what was freed before is not there to be taken again."""
    flags = [f"--method={step.method}", f"--device={step.device}", f"--folder={step.folder}", f"--size={step.size}"]
    flags += [f"--threads={step.threads}"]
    flags += [] if step.rays_per_chunk is None else [f"--rays-per-chunk={step.rays_per_chunk}"]
    flags += [f"--scale.{name.replace('_', '-')}={value}" for name, value in step.scale._asdict().items()]
    # with these, memory that was freed stays in the process and would hide what a step allocates
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    paths = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, "-W", "ignore", "-m", "bench.memory", *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {' '.join(flags)}\n{done.stderr[-3000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _resident(name: str) -> float:
    """A line of the process's own status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    print(json.dumps(peak_of_step(tyro.cli(Step))))
