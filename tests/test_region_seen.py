"""How much of what a ray sees lies in a region: what chooses views, aims crops and draws the overlay."""

import math

import torch

from blending_nerf_ns.edits.edit import accumulated_region
from blending_nerf_ns.edits.intersection import RegionIntervals

RAYS, FINE, ROUNDS = 64, 256, 10


def met(edges: torch.Tensor, region: torch.Tensor) -> RegionIntervals:
    return RegionIntervals(torch.arange(len(edges)), edges, torch.zeros(*region.shape, 3), region)


def test_by_hand() -> None:
    """A density of ln 2 from 1 to 3: the region has the last three quarters, at half the weight from 2 on."""
    edges, density = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[0.0, math.log(2.0)]])
    intervals = met(torch.tensor([[1.5, 2.0, 5.0]]), torch.tensor([[1.0, 0.5]]))
    seen = (0.5**0.5 - 0.5) + 0.5 * (0.5 - 0.25)
    torch.testing.assert_close(accumulated_region(edges, density, intervals), torch.tensor([seen]))


def test_it_is_never_less_than_nothing() -> None:
    """In float32, behind a wall and across the base's edges, rounding lets light come back; no crop can be drawn by that."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(ROUNDS):
        edges = (4.0 * torch.rand(RAYS, 33, generator=generator)).sort(dim=-1).values
        walls = torch.rand(RAYS, 32, generator=generator) > 0.3
        density = 10.0 ** (6.0 * torch.rand(RAYS, 32, generator=generator) - 4.0) * walls
        own = 3.0 * torch.rand(RAYS, 1, generator=generator) + torch.linspace(0.0, 0.5, FINE + 1)
        ends, rays = own.unfold(1, 2, 1).flatten(0, 1), torch.arange(RAYS).repeat_interleave(FINE)
        seen = accumulated_region(edges[rays], density[rays], met(ends, torch.ones(RAYS * FINE, 1)))
        assert float(seen.min()) >= 0.0 and float(seen.max()) <= 1.0
