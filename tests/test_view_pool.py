"""The pool of guidance views: what it keeps, and how points of the region are chosen from a view."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from tiny_run import tiny_model

from blending_nerf_ns.view_pool import ViewPool


def make_pool(count: int, most_bytes: float = float("inf")) -> ViewPool:
    poses = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, -1.2], [0.0, 1.0, 0.0, 0.0]]).repeat(4, 1, 1)
    cameras = Cameras(poses, 14.0, 14.0, 6.0, 6.0, width=12, height=12)
    return ViewPool(tiny_model(), cameras, 12, count, 0, most_bytes)


def test_points_are_chosen_as_if_all_were_gathered() -> None:
    view = make_pool(1)[0]
    gathered = view.intervals.positions[view.intervals.region > 0]
    assert view.num_points == len(gathered) > 100
    assert torch.equal(view.points_in_region(torch.arange(len(gathered))), gathered)


def test_views_beyond_the_memory_are_rendered_again() -> None:
    all_views = [make_pool(3)[index] for index in range(3)]
    one = all_views[0]
    assert one.nbytes > one.intervals.positions.numel() * 4 + one.original.numel() * 4
    pool = make_pool(3, most_bytes=sum(view.nbytes for view in all_views) - 1)
    views = [pool[index] for index in (0, 1)]
    assert pool[0] is views[0], "kept, and drawn last now"
    pool[2]
    assert pool[0] is views[0] and pool[1] is not views[1], "the one that was not drawn for longest made room"
    nothing = make_pool(2, most_bytes=0.0)
    assert torch.equal(nothing[0].original, nothing[0].original), "one is always there"


def test_a_smaller_view_shows_the_same() -> None:
    pool = make_pool(2)
    large = pool[1]
    pool.resize(6)
    assert pool.size == 6 and pool[1].original.shape == (6, 6, 3)
    assert float(pool[1].coverage.mean()) == pytest.approx(float(large.coverage.mean()), abs=0.05)
    pool.resize(12)
    assert torch.equal(pool[1].original, large.original)
