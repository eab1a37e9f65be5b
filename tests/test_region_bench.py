"""How long a slider of the region takes: `pytest tests/test_region_bench.py -n0 --benchmark-only`. Asserts no time."""

from __future__ import annotations

import itertools

import pytest
import torch

from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN

RESOLUTION = 128


@pytest.fixture(scope="module")
def region() -> Region:
    """A ball of 60 % of the grid's width on a floor, seen from above, hidden inside."""
    steps = (torch.arange(RESOLUTION) + 0.5) / RESOLUTION * 2 - 1
    z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    away, voxel = (x**2 + y**2 + (z + 0.1) ** 2).sqrt(), 2.0 / RESOLUTION
    state = torch.full(z.shape, FREE, dtype=torch.uint8)
    state[(away < 0.6) | (z < -0.7)] = HIDDEN
    state[(away - 0.6).abs() < voxel] = SEEN
    state[((z + 0.7).abs() < voxel) & (away > 0.6)] = SEEN
    probability = ((away - 0.6).abs() < voxel).float() * 0.9
    return region_from_probability(probability, state, -torch.ones(3), torch.ones(3))


@pytest.mark.parametrize("slider", ["threshold", "soft_edge", "margin"])
def test_moving(benchmark, region: Region, slider: str) -> None:
    values = itertools.cycle([0.3, 0.2, 0.1])
    benchmark.pedantic(lambda: region.reshape(**{slider: next(values)}), rounds=9, warmup_rounds=1)
    assert region.weight.any()
