"""Region views checked by projecting the region's sphere; the spread choice of cameras by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.views import TOO_CLOSE, look_at, region_views, spread_views

UP = torch.tensor([0.0, 0.0, 1.0])
SIZE = 100


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cameras(count: int, distance: float = 2.0, seed: int = 0) -> Tensor:
    """Poses around the origin that look at it."""
    position = functional.normalize(torch.randn(count, 3, generator=seeded(seed)), dim=-1) * distance
    return look_at(position, -position, UP)


def project(points: Tensor, pose: Tensor, focal: Tensor) -> Tensor:
    """Pixels (x right, y down) of points [P, 3] in an OpenGL camera with the principal point in the middle."""
    local = (points - pose[:, 3]) @ pose[:, :3]
    assert (local[:, 2] < 0).all()  # in front
    return torch.stack([local[:, 0], -local[:, 1]], -1) / -local[:, 2:] * focal + SIZE / 2


def sphere(center: Tensor, radius: float) -> Tensor:
    return center + radius * functional.normalize(torch.randn(4000, 3, generator=seeded(7)), dim=-1)


def test_look_at_by_hand():
    pose = look_at(torch.tensor([[0.0, -3.0, 0.0]]), torch.tensor([[0.0, 2.0, 0.0]]), UP)[0]
    assert torch.allclose(pose[:, 0], torch.tensor([1.0, 0.0, 0.0]))  # right
    assert torch.allclose(pose[:, 1], torch.tensor([0.0, 0.0, 1.0]))  # up
    assert torch.allclose(pose[:, 2], torch.tensor([0.0, -1.0, 0.0]))  # backwards
    assert torch.allclose(pose[:, 3], torch.tensor([0.0, -3.0, 0.0]))


@settings(max_examples=40)
@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda d: sum(x * x for x in d) > 1e-4))
@example((0.03125, 0.03125, 1.0))
def test_look_at_is_a_rotation_whatever_the_direction(direction: tuple):
    rotation = look_at(torch.zeros(1, 3), torch.tensor([direction]), UP)[0, :, :3]
    assert torch.allclose(rotation.T @ rotation, torch.eye(3), atol=1e-4)
    assert torch.linalg.det(rotation).item() == pytest.approx(1.0, abs=1e-4)
    assert torch.allclose(-rotation[:, 2], functional.normalize(torch.tensor(direction), dim=0), atol=1e-4)
    assert rotation[2, 1] >= -1e-5  # never upside down


@pytest.mark.parametrize("radius", [0.1, 0.5, 0.8])
def test_sphere_fills_the_chosen_share(radius: float):
    center = torch.tensor([0.2, -0.1, 0.1])
    poses = cameras(20, distance=2.5)
    views = region_views(poses, center, radius, UP, 12, SIZE, seeded(), fill=(0.6, 0.6), aim_jitter=0.0)
    for pose, focal in zip(views.camera_to_world, views.focal):
        pixels = project(sphere(center, radius), pose, focal)
        extent = pixels.amax(0) - pixels.amin(0)
        assert extent.tolist() == pytest.approx([60.0, 60.0], rel=0.02)
        assert ((pixels.amax(0) + pixels.amin(0)) / 2).tolist() == pytest.approx([50.0, 50.0], abs=1.0)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), radius=st.floats(0.05, 0.9), spot=st.floats(0.0, 0.5))
def test_jittered_sphere_stays_in_the_picture(seed: int, radius: float, spot: float):
    center = torch.full((3,), spot)
    views = region_views(cameras(8, 3.0, seed), center, radius, UP, 6, SIZE, seeded(seed))
    assert views.camera_to_world.shape == (6, 3, 4)
    for pose, focal in zip(views.camera_to_world, views.focal):
        pixels = project(sphere(center, radius), pose, focal)
        extent = (pixels.amax(0) - pixels.amin(0)) / SIZE
        assert extent.min() >= 0.43
        assert extent.max() <= 1.0  # a share of 0.9, seen at the side of a wide view, is longer
        assert pixels.min() >= -0.05 * SIZE
        assert pixels.max() <= 1.05 * SIZE


def test_positions_are_those_of_training_cameras():
    poses = cameras(10)
    exact = region_views(poses, torch.zeros(3), 0.3, UP, 30, SIZE, seeded(), position_jitter=0.0, closer=0.0)
    assert torch.allclose(exact.camera_to_world[:, :, 3], poses[exact.indices, :, 3], atol=1e-6)
    assert len(exact.indices.unique()) > 5
    near = region_views(poses, torch.zeros(3), 0.3, UP, 60, SIZE, seeded(), position_jitter=0.05, closer=0.0)
    moved = (near.camera_to_world[:, :, 3] - poses[near.indices, :, 3]).norm(dim=-1)
    assert moved.max() <= 0.05 * 2.0 + 1e-5
    assert moved.min() > 0
    closer = region_views(poses, torch.zeros(3), 0.3, UP, 60, SIZE, seeded(), position_jitter=0.0, closer=1.0)
    distance = closer.camera_to_world[:, :, 3].norm(dim=-1)
    assert distance.min() >= 0.7 * 2.0 - 1e-5
    assert distance.max() <= 2.0 + 1e-5


def test_cameras_inside_the_region_are_avoided_or_see_wide():
    poses = torch.cat([cameras(5, 0.2), cameras(5, 2.0)])
    views = region_views(poses, torch.zeros(3), 0.5, UP, 40, SIZE, seeded())
    assert views.indices.min() >= 5
    assert (views.camera_to_world[:, :, 3].norm(dim=-1) >= TOO_CLOSE * 0.5).all()
    views = region_views(poses[:5], torch.zeros(3), 0.5, UP, 10, SIZE, seeded())
    assert views.focal.tolist() == [SIZE / 2] * 10
    assert torch.isfinite(views.camera_to_world).all()
    centre = region_views(poses[:1], poses[0, :, 3], 0.5, UP, 3, SIZE, seeded(), position_jitter=0.0)
    assert torch.allclose(centre.camera_to_world[:, :, 2], poses[0, :, 2].expand(3, 3), atol=1e-5)


def test_views_from_straight_above():
    above = look_at(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[0.0, 0.0, -1.0]]), UP)
    views = region_views(above, torch.zeros(3), 0.4, UP, 5, SIZE, seeded())
    rotation = views.camera_to_world[:, :, :3]
    assert torch.allclose(rotation.transpose(1, 2) @ rotation, torch.eye(3).expand(5, 3, 3), atol=1e-4)


def test_seed_decides():
    first = region_views(cameras(10), torch.zeros(3), 0.3, UP, 4, SIZE, seeded(1))
    again = region_views(cameras(10), torch.zeros(3), 0.3, UP, 4, SIZE, seeded(1))
    other = region_views(cameras(10), torch.zeros(3), 0.3, UP, 4, SIZE, seeded(2))
    assert torch.equal(first.camera_to_world, again.camera_to_world)
    assert not torch.equal(first.camera_to_world, other.camera_to_world)


def test_spread_views_on_a_line():
    # cameras at x = 0, 1, 2, 3, 10, all looking the same way: the far one, then the other end, then the middle
    poses = torch.eye(4)[:3].repeat(5, 1, 1)
    poses[:, 0, 3] = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0])
    assert spread_views(poses, 3).tolist() == [4, 0, 3]
    assert sorted(spread_views(poses, 9).tolist()) == [0, 1, 2, 3, 4]
    assert spread_views(poses, 0).tolist() == []


def test_spread_views_by_direction_alone():
    # one tripod: twelve directions around it, each photographed three times
    angle = torch.arange(36) // 3 * (torch.pi / 6)
    direction = torch.stack([angle.cos(), angle.sin(), torch.zeros(36)], -1)
    poses = look_at(torch.ones(36, 3), direction, UP)
    chosen = spread_views(poses, 4)
    turns = sorted((angle[chosen] / (torch.pi / 2)).tolist())
    assert [t - turns[0] for t in turns] == pytest.approx([0, 1, 2, 3], abs=1e-4)
    assert len({int(i) // 3 for i in spread_views(poses, 12)}) == 12


def test_spread_views_cover_better_than_the_first_ones():
    angle = torch.linspace(0, 2 * torch.pi, 61)[:-1]
    position = torch.stack([angle.cos(), angle.sin(), torch.full((60,), 0.3)], -1)
    poses = look_at(position, -position, UP)
    chosen = position[spread_views(poses, 8)]
    gaps = torch.cdist(position, chosen).amin(1)
    assert gaps.max() < 0.65  # evenly, neighbours are 45 degrees apart: at most 22.5 + one step of 6


def test_errors():
    with pytest.raises(BlendingNerfError, match="radius is 0"):
        region_views(cameras(3), torch.zeros(3), 0.0, UP, 2, SIZE)
    with pytest.raises(BlendingNerfError, match=r"fill .* got \(0.9, 0.4\)"):
        region_views(cameras(3), torch.zeros(3), 0.3, UP, 2, SIZE, fill=(0.9, 0.4))
    with pytest.raises(BlendingNerfError, match="no training camera"):
        region_views(cameras(3)[:0], torch.zeros(3), 0.3, UP, 2, SIZE)
