"""Solids that an addition may start from: where there is room for them, and how large they are."""

from __future__ import annotations

import math

import pytest
import torch

from blending_nerf_ns.edits.region import region_from_probability
from blending_nerf_ns.edits.seeds import seeds_beside, seeds_in_place
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN, RegionShape

SIDE = 24


def cube_on_a_grid(**shape: object):
    """A region around a cube of 6 voxels in the middle of 24, in a box of side 2.4: a voxel is 0.1 wide."""
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    probability[9:15, 9:15, 9:15], state[9:15, 9:15, 9:15] = 1.0, SEEN
    wanted = RegionShape(threshold=0.5, soft_edge=0.0, **shape)  # type: ignore[arg-type]
    return region_from_probability(probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), wanted)


def test_balls_touch_the_object_and_fit_into_the_free_part() -> None:
    region = cube_on_a_grid(margin=0.0, margin_distance=0.5)
    balls = seeds_beside(region)
    assert len(balls) == 6 and all(ball.power == 2.0 for ball in balls)
    for center, radii, _ in balls:
        radius = float(radii[0])
        beside = ((center.abs() - 0.3).clamp_min(0)).norm()  # from the cube's surface
        assert radius - 0.11 <= float(beside) <= radius + 0.21, "as near as voxels allow"
        inside = center + radius * 0.7 * torch.nn.functional.normalize(torch.randn(200, 3), dim=-1)
        assert bool((region.weight_at(inside) > 0.5).all())
    assert [round(float(ball.radii[0]), 3) for ball in balls[::3]] == pytest.approx([0.25, 0.18], abs=0.08)


def test_where_the_room_is_above_balls_are_on_top() -> None:
    balls = seeds_beside(cube_on_a_grid(margin=0.0, margin_distance=0.6, grow="up"))
    assert len(balls) == 2, "one of each size"
    for center, _, _ in balls:
        assert float(center[2]) > 0.3 and center[:2].abs().max() <= 0.11, "above the middle of the cube"


def test_the_first_ball_is_on_the_head_and_not_on_an_ear() -> None:
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    for part in (
        (slice(6, 12), slice(9, 15), slice(9, 15)),
        (slice(12, 15), slice(9, 10), slice(9, 10)),
    ):  # cube and ear
        probability[part], state[part] = 1.0, SEEN
    shape = RegionShape(threshold=0.5, soft_edge=0.0, margin=0.0, margin_distance=0.6, grow="up")
    region = region_from_probability(probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), shape)
    for center, _, _ in seeds_beside(region):
        assert float(center[2]) > 0.0 and center[:2].norm() < 0.35, "the ear is 0.25 away on both axes"


def test_a_ball_starts_where_the_photos_show_it() -> None:
    region = cube_on_a_grid(margin=0.0, margin_distance=0.6, grow="up")
    (largest, *_), height = seeds_beside(region), (torch.arange(SIDE) - 11.5) * 0.1
    assert float(largest.center[2] + largest.radii[2]) > 0.8
    shown = torch.where(height < 0.75, 0.5, 0.44)[:, None, None].expand(SIDE, SIDE, SIDE)  # of the object half is seen
    lower, *_ = seeds_beside(region, shown)
    assert float(lower.center[2]) > 0.3 and float(lower.center[2] + lower.radii[2]) < 0.8
    nearly, *_ = seeds_beside(region, shown.clamp_min(0.46))
    assert torch.equal(nearly.center, largest.center), "nine tenths of that do"
    nowhere = torch.where(height < 0.3, 1.0, 0.0)[:, None, None].expand(SIDE, SIDE, SIDE)
    again, *_ = seeds_beside(region, nowhere)
    assert torch.equal(again.center, largest.center), "better than none"


def test_what_grows_upwards_starts_over_the_middle_although_there_is_more_room_at_an_end() -> None:
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    bar = slice(6, 10), slice(9, 15), slice(4, 20)  # 1.6 long, its top at -0.2
    probability[bar], state[bar] = 1.0, SEEN
    shape = RegionShape(threshold=0.5, soft_edge=0.0, margin=0.0, margin_distance=0.8, grow="up")
    region = region_from_probability(probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), shape)
    height, along = ((torch.arange(SIDE) - 11.5) * 0.1 for _ in range(2))
    most = torch.where(along > 0.45, 0.8, 0.2)  # how high the photos' frames reach
    shown = (height[:, None, None] < most).float().expand(SIDE, SIDE, SIDE)
    ball, *_ = seeds_beside(region, shown)
    assert float(ball.center[0].abs()) < 0.45 and float(ball.center[2]) > -0.2
    least = torch.where(along > 0.45, 0.8, -0.2)  # there is none over the middle that is worth it
    ball, *_ = seeds_beside(region, (height[:, None, None] < least).float().expand(SIDE, SIDE, SIDE))
    assert float(ball.center[0]) > 0.45


def test_without_free_room_there_is_no_ball() -> None:
    assert seeds_beside(cube_on_a_grid(margin=0.0)) == []


def test_a_ball_and_a_box_in_the_objects_place_are_as_large_as_it_is() -> None:
    ball, box = seeds_in_place(cube_on_a_grid(margin=0.0, margin_distance=0.5))
    for seed in (ball, box):
        assert torch.allclose(seed.center, torch.zeros(3), atol=1e-6)
        assert torch.allclose(seed.radii, torch.full((3,), 0.3), atol=1e-6)
    assert (ball.power, box.power) == (2.0, 8.0)


def arch(**shape: object):
    """Two posts and a beam, 12 voxels wide and 10 high, hidden inside the beam: most of their box is free."""
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    for part in (
        (slice(6, 16), slice(11, 13), slice(6, 8)),
        (slice(6, 16), slice(11, 13), slice(16, 18)),
        (slice(12, 16), slice(6, 18), slice(6, 18)),
    ):
        probability[part], state[part] = 1.0, SEEN
    state[13:15, 7:17, 7:17] = HIDDEN
    wanted = RegionShape(threshold=0.5, soft_edge=0.0, margin=0.0, **shape)  # type: ignore[arg-type]
    return region_from_probability(probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), wanted)


def test_what_takes_an_objects_place_has_its_volume_and_room_for_it() -> None:
    """By hand: the hull is a slab of 12 x 12 x 4 and a trapezium of sides 2 and 12 and height 6, 12 long: 1,080 of its box's 1,440."""
    boxed = arch(grow="box")
    ball, box, held = seeds_in_place(boxed)
    half = torch.tensor([0.6, 0.6, 0.5])
    assert torch.allclose(ball.radii, half), "of that volume it would be larger than the box"
    assert torch.allclose(box.radii, 0.75 ** (1 / 3) * half, atol=1e-5)
    assert torch.allclose(box.center, torch.tensor([0.0, 0.0, -0.6 + float(box.radii[2])]), atol=1e-5), "on its feet"
    assert torch.allclose(held.center[:2], torch.zeros(2), atol=1e-6), "of all that fit, the one in the middle"
    inside = torch.nn.functional.normalize(torch.randn(400, 3), dim=-1) * 0.8
    for seed in (ball, held):
        points = seed.center + seed.radii * inside
        assert bool((boxed.weight_at(points) > 0.999).all())
        assert not bool((arch().weight_at(points) > 0.999).all()), "a margin alone would cut it to pieces"


def test_the_ball_that_the_hull_holds() -> None:
    """By hand: of a pyramid of 10 steps, whose hull is a prism of 20 x 20 x 1 and a frustum from 20 to 2 of height 9."""
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    for layer in range(10):
        inner = slice(2 + layer, 22 - layer)
        probability[layer + 4, inner, inner], state[layer + 4, inner, inner] = 1.0, SEEN
    region = region_from_probability(
        probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), RegionShape(margin=0.0, soft_edge=0.0)
    )
    ball, box, held = seeds_in_place(region)
    half, filled = torch.tensor([1.0, 1.0, 0.5]), (400 + 3 * (400 + 4 + 40)) / 4000
    assert torch.allclose(ball.radii, (6 * filled / math.pi) ** (1 / 3) * half, atol=1e-5)
    assert torch.allclose(box.radii, filled ** (1 / 3) * half, atol=1e-5)
    # in the box [-1, 1]³ the slope goes by the rims of the steps (1, -0.8) and (0.1, 1): the plane 2 x + z = 1.2 is as far from
    # (0, r - 1) as r where (2.2 - r) = √5 r
    share = 2.2 / (1 + math.sqrt(5))
    assert torch.allclose(held.radii, share * half, atol=1e-5)
    assert torch.allclose(held.center, torch.tensor([0.0, 0.0, -0.8 + 0.5 * share]), atol=1e-5), "middle: -0.3"


def test_a_ball_holds_no_other() -> None:
    place = torch.arange(SIDE) - 11.5
    inside = place[:, None, None] ** 2 + place[:, None] ** 2 + place**2 <= 8.0**2
    state = torch.where(inside, SEEN, FREE).to(torch.uint8)
    corners = torch.full((3,), -1.2), torch.full((3,), 1.2)
    region = region_from_probability(inside.float(), state, *corners, RegionShape(margin=0.0, soft_edge=0.0))
    assert len(seeds_in_place(region)) == 2
