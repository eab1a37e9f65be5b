"""How many rays' graphs are held at a time: as many as free memory allows, up to a bound.

The bound is small: a step's memory is then that of one chunk however large the picture is, and a processor has enough to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict

import torch
from jaxtyping import Float
from torch import Tensor

SHARE = 0.25
"""Of the free memory, that a chunk may take: others want some of it, and it is an estimate."""
TRANSIENTS = 2.0
"""What a chunk takes at most, over what its graph keeps: a backward pass has tensors of its own."""
SMALLEST = 64
"""Rays of a chunk however little memory is free."""
PROBED = 256
"""Rays whose graph is measured."""


def rays_of_chunk(free: float, bytes_per_ray: float, most: int) -> int:
    """Rays of a chunk: the bound, halved until the chunk fits into its share of the free memory.

    Halves only, so that the little by which free memory always moves changes no step.

    Args:
        free: bytes.
        bytes_per_ray: that the graph of a ray keeps.
        most: the bound.

    Example:
        >>> rays_of_chunk(free=8e6, bytes_per_ray=1e3, most=4096)  # a quarter of 8 MB, at 2 kB for each ray
        512
    """
    rays = max(most, 1)
    while rays > SMALLEST and rays * bytes_per_ray * TRANSIENTS > SHARE * free:
        rays //= 2
    return rays


def bytes_per_ray(render: Callable[[slice], Float[Tensor, "rays channels"]], num_rays: int) -> float:
    """Bytes that the graph of a ray keeps for its backward pass, by that of some rays against that of twice as many.

    Args:
        render: pixels of a slice of the rays, differentiable.
        num_rays: rays in all, which the probes are spread over.
    """
    step = max(1, num_rays // PROBED)
    few, many = slice(0, num_rays, 2 * step), slice(0, num_rays, step)
    more = len(range(num_rays)[many]) - len(range(num_rays)[few])
    # what does not grow with the rays, such as the field's weights, is in both
    return (_graph_bytes(lambda: render(many)) - _graph_bytes(lambda: render(few))) / max(1, more)


def _graph_bytes(render: Callable[[], Float[Tensor, "rays channels"]]) -> int:
    """Bytes of all tensors that a call keeps for its backward pass."""
    kept: Dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()  # several tensors may lie in one
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        render()
    return sum(kept.values())


def free_memory(device: torch.device) -> float:
    """Bytes that may still be taken: of the GPU, what torch holds and does not use included; else of the machine.

    Infinite where the system does not say.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return min(_available(Path("/proc/meminfo")), _left_in_cgroup(Path("/sys/fs/cgroup")))


def _available(meminfo: Path) -> float:
    try:
        lines = meminfo.read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return float("inf")


def _left_in_cgroup(folder: Path) -> float:
    """What a container leaves its processes; "max" stands for no limit. Files that it only has read count as free."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        if limit == "max":
            return float("inf")
        cached = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())["inactive_file"]
        return float(limit) - float((folder / "memory.current").read_text()) + float(cached)
    except (OSError, ValueError, KeyError):
        return float("inf")
