"""How many rays are taken at a time, and how large the views are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from blending_nerf_ns.training.chunks import (
    _available,
    _left_in_cgroup,
    bytes_per_ray,
    free_memory,
    rays_of_chunk,
)
from blending_nerf_ns.training.resolution import view_size


def test_a_chunk_takes_a_quarter_of_what_is_free() -> None:
    # 1 kB a ray, twice that with what a backward pass adds: 2 MB hold 1024 of them, and are a quarter of 8
    assert [rays_of_chunk(free, 1e3, 2048) for free in (1e9, 17e6, 16.4e6, 16.3e6, 1e6, 0.0)] == [
        2048, 2048, 2048, 1024, 128 - 64, 64,
    ]  # fmt: skip
    assert rays_of_chunk(1e9, 1e3, 3) == 3 and rays_of_chunk(float("inf"), 1e3, 1 << 40) == 1 << 40


def test_a_graph_is_weighed_by_the_ray() -> None:
    weight = torch.nn.Parameter(torch.ones(1000))
    rays = torch.randn(10_000, 3)

    def render(part: slice) -> torch.Tensor:
        values = rays[part] * weight[:3]  # keeps a view of the rays, which is of no ray's own, and the weights
        return values.exp()  # keeps its result: three numbers of four bytes for each ray

    assert bytes_per_ray(render, len(rays)) == 12.0
    assert bytes_per_ray(render, 2) == 12.0


def test_free_memory_is_what_machine_and_container_leave(tmp_path: Path) -> None:
    assert free_memory(torch.device("cpu")) > 0
    meminfo = tmp_path / "meminfo"
    assert _available(meminfo) == _left_in_cgroup(tmp_path) == float("inf")
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:    3 kB\n")
    assert _available(meminfo) == 3072.0
    (tmp_path / "memory.max").write_text("max\n")
    assert _left_in_cgroup(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 500\n")
    assert _left_in_cgroup(tmp_path) == 600.0


@pytest.mark.parametrize(
    ("share", "size", "wanted"),
    [(0.0, 512, 256), (0.29, 512, 256), (0.3, 512, 512), (0.0, 300, 224), (0.0, 224, 224), (0.0, 64, 64)],
)
def test_early_views_are_half_as_large_where_the_guide_sees_no_more(share: float, size: int, wanted: int) -> None:
    assert view_size(share, size, seen=224, coarse=0.3) == wanted
