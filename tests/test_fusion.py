"""Fusion on an analytic scene: a solid ball on a floor, another ball, cameras around them, masks good and bad."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import DEFAULT_SHAPE, FREE, HIDDEN, SEEN, RegionShape
from blending_nerf_ns.edits.solids import voxel_positions
from blending_nerf_ns.encoding.contraction import contract
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization import fusion
from blending_nerf_ns.localization.evidence import Evidence, gather_evidence, join_evidence
from blending_nerf_ns.localization.free_space import passed_light
from blending_nerf_ns.localization.fusion import FINE_RAYS, close_gaps, fill_grid, find_box, one_of_every, splat

CENTRE, RADIUS = torch.tensor([0.3, 0.2, 0.3]), 0.3
OTHER_CENTRE, OTHER_RADIUS = torch.tensor([-0.45, -0.3, 0.25]), 0.25
NOTHING, BALL, OTHER, FLOOR = range(4)
PIXELS, VIEWS, RESOLUTION = 48, 16, 48
SCENE = torch.full((3,), -1.0), torch.full((3,), 1.0)
CONTRACTED_SCENE = torch.full((3,), -2.0), torch.full((3,), 2.0)


def identity(points):
    return points


def view(number):
    """Rays of a camera that looks at the scene, and what each of them meets first, and where."""
    around, up = 2.399963 * number, math.radians(10 + 60 * (0.618 * number % 1))  # the golden angle spreads them
    target = torch.tensor([0.0, 0.0, 0.2])
    towards = torch.tensor([math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)])
    right = F.normalize(torch.linalg.cross(-towards, torch.tensor([0.0, 0.0, 1.0])), dim=0)
    above = torch.linalg.cross(right, -towards)
    plane = math.tan(math.radians(27.5)) * ((torch.arange(PIXELS) + 0.5) / PIXELS * 2 - 1)
    directions = F.normalize(-towards + plane[None, :, None] * right - plane[:, None, None] * above, dim=-1)
    directions = directions.reshape(-1, 3)
    origins = (target + 1.7 * towards).expand_as(directions)

    depth, met = torch.full((len(origins),), 30.0), torch.full((len(origins),), NOTHING)
    for label, centre, radius in ((BALL, CENTRE, RADIUS), (OTHER, OTHER_CENTRE, OTHER_RADIUS)):
        along = ((origins - centre) * directions).sum(-1)
        under_root = along**2 - ((origins - centre) ** 2).sum(-1) + radius**2
        t = torch.where(under_root > 0, -along - under_root.clamp_min(0).sqrt(), torch.inf)
        depth, met = torch.where(t < depth, t, depth), torch.where(t < depth, label, met)
    t = torch.where(directions[:, 2] < 0, -origins[:, 2] / directions[:, 2], torch.inf)
    return origins, directions, torch.where(t < depth, t, depth), torch.where(t < depth, FLOOR, met)


def fuse(evidence, grid_box, to_grid, contracted, shape=DEFAULT_SHAPE, resolution=96):
    """The region that the evidence describes, as a search by text finds it."""
    box = find_box(evidence, grid_box, to_grid, contracted, shape)
    grid = fill_grid(evidence, box, to_grid, contracted, resolution, most_rays=FINE_RAYS)
    return region_from_probability(grid.probability, grid.state, grid.lower, grid.upper, shape)


def sharp(depth):
    """Base intervals of 2 mm at the surface that stop all light."""
    edges = depth[:, None] + torch.tensor([-0.3, -0.1, 0.0, 0.002, 0.1, 0.3])
    weights = torch.zeros(len(depth), 5)
    weights[:, 2] = 1.0
    return edges, weights


def foggy(depth):
    """A surface smeared over 3 cm, in intervals of 1.5 cm that do not start at it, behind a haze of 5 % in all."""
    offsets = torch.linspace(-0.1, 0.1, 14) + 0.015 * torch.rand(len(depth), 1)
    haze = (depth[:, None] - 0.3).clamp(0.1, 1.5) * torch.linspace(0.05, 0.9, 6)
    optical = torch.where(offsets[:, :-1] > -0.015, 100.0, 0.0) * offsets.diff(dim=-1)
    behind = torch.exp(optical - optical.cumsum(-1)) * (1 - torch.exp(-optical))
    weights = torch.cat([torch.full((len(depth), 5), 0.01), torch.zeros(len(depth), 1), 0.95 * behind], -1)
    return torch.cat([haze, depth[:, None] + offsets], -1), weights


def noisy(mask, number):
    """A mask as localisers give them: blurred over 5 pixels, uneven, absent in every fifth view."""
    blurred = F.avg_pool2d(mask.view(1, 1, PIXELS, PIXELS), 5, 1, 2)
    uneven = F.interpolate(torch.randn(1, 1, 8, 8), size=(PIXELS, PIXELS), mode="bicubic")
    return (0.9 * blurred + 0.05 + 0.15 * uneven).clamp(0, 1).flatten() * (number % 5 != 4)


@functools.lru_cache
def evidence(base=sharp, good_masks=True, to_grid=identity, label=BALL):
    torch.manual_seed(0)
    parts = []
    for number in range(VIEWS):
        origins, directions, depth, met = view(number)
        mask = (met == label).float()
        mask = mask if good_masks else noisy(mask, number)
        edges, weights = base(depth)
        parts.append(gather_evidence(origins, directions, edges, weights, mask, to_grid))
    return join_evidence(parts)


@functools.lru_cache
def fused(base=sharp, good_masks=True, contracted=False, shape=DEFAULT_SHAPE):
    to_grid = contract if contracted else identity
    scene = CONTRACTED_SCENE if contracted else SCENE
    return fuse(evidence(base, good_masks, to_grid), scene, to_grid, contracted, shape, RESOLUTION)


def core_of(region):
    """The core on the region's grid."""
    copy = Region(region.resolution)
    copy.load_state_dict(region.state_dict())
    copy.reshape(margin=0.0, soft_edge=0.0)
    return copy.weight > 0.5


def overlap(region, contracted):
    """IoU of the core with the solid ball."""
    positions = voxel_positions(region.lower, region.upper, region.resolution, contracted)
    ball = (positions - CENTRE).norm(dim=-1) <= RADIUS
    core = core_of(region)
    return float((core & ball).sum() / (core | ball).sum())


def on_sphere(centre, radius, count=4000):
    return centre + radius * F.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)), dim=-1)


CASES = [(sharp, True, False, 0.85), (foggy, True, False, 0.8), (foggy, False, False, 0.65), (foggy, False, True, 0.65)]


def test_the_rays_that_stand_for_all_lie_in_all_columns_of_a_picture() -> None:
    side, resolution = 64, 16
    at = (torch.arange(side) + 0.5) / side * resolution
    origins = torch.stack([at.repeat(side), at.repeat_interleave(side), torch.full((side**2,), -1.0)], dim=-1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).expand(side**2, 3)
    nothing = torch.zeros(0)
    rays = Evidence(torch.zeros(0, 3), nothing, nothing, origins, ahead, torch.full((side**2,), 40.0))
    box = (torch.zeros(3), torch.full((3,), float(resolution)))
    grid = fill_grid(rays, box, identity, False, resolution, most_rays=side**2 // 16)
    assert bool((grid.state == FREE).all())


@given(st.integers(1, 70), st.integers(1, 500))
def test_one_ray_stands_for_each_run_of_so_many(every: int, count: int) -> None:
    chosen = one_of_every(every, count)
    runs = torch.arange(len(chosen))
    assert len(chosen) == math.ceil(count / every) and int(chosen[-1]) < count
    assert bool((chosen[:-1] // every == runs[:-1]).all())


@pytest.mark.parametrize(("base", "good_masks", "contracted", "least"), CASES)
class TestBallOnFloor:
    def test_the_core_is_the_solid_ball(self, base, good_masks, contracted, least):
        assert overlap(fused(base, good_masks, contracted), contracted) >= least

    def test_its_inside_is_core(self, base, good_masks, contracted, least):
        region = fused(base, good_masks, contracted)
        points = CENTRE + (on_sphere(torch.zeros(3), 0.8 * RADIUS) * torch.rand(4000, 1))
        weight = region.weight_at(contract(points) if contracted else points)
        assert weight.mean() > (0.99 if good_masks else 0.95)

    def test_the_other_ball_is_left_alone(self, base, good_masks, contracted, least):
        region = fused(base, good_masks, contracted)
        points = torch.cat([on_sphere(OTHER_CENTRE, radius) for radius in (0.1, 0.2, OTHER_RADIUS)])
        assert region.weight_at(contract(points) if contracted else points).max() == 0

    def test_free_space_is_not_core_and_the_floor_weighs_nothing_away_from_the_ball(
        self, base, good_masks, contracted, least
    ):
        region = fused(base, good_masks, contracted)
        assert not (core_of(region) & (region.state == FREE)).any()
        floor = torch.cat([torch.rand(20000, 2) * 1.8 - 0.9, torch.zeros(20000, 1)], -1)
        floor = floor[(floor - CENTRE)[:, :2].norm(dim=-1) > RADIUS]
        weight = region.weight_at(contract(floor) if contracted else floor)
        assert (weight == 0).float().mean() > (0.9999 if good_masks else 0.999)

    def test_the_margin_has_room_above_the_ball(self, base, good_masks, contracted, least):
        region = fused(base, good_masks, contracted)
        above = CENTRE + torch.tensor([[0.0, 0.0, RADIUS + 0.03]])
        assert region.weight_at(contract(above) if contracted else above) > 0.97


def test_the_final_grid_is_spent_on_the_object():
    region = fused()
    lower, upper = CENTRE - RADIUS, CENTRE + RADIUS
    assert (region.lower < lower).all() and (region.upper > upper).all()
    assert (region.upper - region.lower).max() < 4.2 * RADIUS


def test_wrong_pixels_of_the_background_do_not_widen_the_final_grid():
    torch.manual_seed(0)
    parts = []
    for number in range(VIEWS):
        origins, directions, depth, met = view(number)
        edges, weights = sharp(depth)
        mask = ((met == BALL) | (torch.rand(len(met)) < 0.01)).float()
        parts.append(gather_evidence(origins, directions, edges, weights, mask, contract))
    region = fuse(join_evidence(parts), CONTRACTED_SCENE, contract, True, resolution=RESOLUTION)
    assert (region.upper - region.lower).max() < 5 * RADIUS
    assert overlap(region, True) > 0.8


def test_margin_over_surfaces_takes_the_floor_around_the_ball():
    floor = torch.tensor([[CENTRE[0] + 0.2, CENTRE[1], 0.0]])
    assert fused().weight_at(floor) == 0
    assert fused(shape=RegionShape(margin=0.15, margin_over_surfaces=True)).weight_at(floor) == pytest.approx(1.0)


def test_a_view_that_takes_the_wrong_ball_is_outvoted():
    parts = []
    for number in range(VIEWS):
        origins, directions, depth, met = view(number)
        edges, weights = sharp(depth)
        mask = (met == (OTHER if number == 3 else BALL)).float()
        parts.append(gather_evidence(origins, directions, edges, weights, mask, identity))
    region = fuse(join_evidence(parts), SCENE, identity, False, resolution=RESOLUTION)
    assert region.weight_at(on_sphere(OTHER_CENTRE, OTHER_RADIUS)).mean() < 0.01
    assert overlap(region, False) > 0.8


class TestNothingFound:
    def test_silent_masks(self):
        parts = evidence()._replace(probabilities=torch.full_like(evidence().probabilities, 0.12))
        with pytest.raises(BlendingNerfError, match=r"threshold of 0\.5: the highest probability .* is 0\.12\..*Lower"):
            fuse(parts, SCENE, identity, False)

    @pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.2])
    def test_what_is_no_probability(self, wrong):
        origins, directions, depth, met = view(0)
        mask = (met == BALL).float()
        mask[7] = wrong
        edges, weights = sharp(depth)
        with pytest.raises(BlendingNerfError, match=r"probabilities in \[0, 1\]"):
            gather_evidence(origins, directions, edges, weights, mask, identity)

    def test_no_views(self):
        with pytest.raises(BlendingNerfError, match="at least one view"):
            join_evidence([])


class TestGather:
    origins, directions = torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]])
    edges = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])

    def gather(self, *weights):
        return gather_evidence(
            self.origins, self.directions, self.edges, torch.tensor([weights]), torch.tensor([0.7]), identity
        )

    def test_visible_samples_at_the_middle_of_their_intervals(self):
        found = self.gather(0.0005, 0.25, 0.0, 0.5)
        assert found.points.tolist() == [[0, 0, 2.5], [0, 0, 4.5]]
        assert found.weights.tolist() == [0.25, 0.5]
        np.testing.assert_allclose(found.probabilities, 0.7)

    def test_a_ray_is_free_up_to_the_interval_it_ends_in(self):
        assert self.gather(0.25, 0.125, 0.25, 0.0).ends.tolist() == [3.0]  # 0.25, 0.375, 0.625: the third
        assert self.gather(0.25, 0.125, 0.0, 0.0).ends.tolist() == [5.0]  # never


class TestGrid:
    def test_splat_by_hand(self):
        # a voxel centre; half way between two in x; outside by a quarter, where the rest is lost
        places = torch.tensor([[1.5, 0.5, 2.5], [3.0, 1.5, 0.5], [0.25, 3.5, 3.5]])
        out = splat(places, torch.tensor([[8.0, 4.0, 1.0]]), 4).view(4, 4, 4)
        assert out[2, 0, 1] == 8
        assert out[0, 1, 2] == 2 and out[0, 1, 3] == 2
        assert out[3, 3, 0] == 0.75
        assert out.sum() == 12.75

    def test_many_points_are_splatted_in_parts(self, monkeypatch):
        generator = torch.Generator().manual_seed(0)
        places, values = 5.0 * torch.rand(50, 3, generator=generator), torch.rand(2, 50, generator=generator)
        whole = splat(places, values, 4)
        monkeypatch.setattr(fusion, "POINTS_AT_ONCE", 7)
        assert whole.sum() > 10.0
        torch.testing.assert_close(splat(places, values, 4), whole)

    def test_light_that_passed_is_the_length_of_ray_in_each_voxel(self):
        # along x through the middle of a row of 8 voxels, free up to x = 6: one voxel before that is left open
        origins = torch.tensor([[-3.0, 4.5, 2.5]]).expand(4000, 3)
        directions = torch.tensor([[1.0, 0.0, 0.0]]).expand(4000, 3)
        box = torch.zeros(3), torch.full((3,), 8.0)
        passed = passed_light(origins, directions, torch.full((4000,), 9.0), box, identity, False, 8)
        passed = passed.view(8, 8, 8) / 4000
        np.testing.assert_allclose(passed[2, 4], [1, 1, 1, 1, 1, 0, 0, 0], atol=0.01)
        assert passed.sum() == pytest.approx(5.0, abs=0.01)

    def test_contracted_rays_prove_free_space_far_away(self):
        directions = torch.tensor([[1.0, 0.0, 0.0]]).expand(500, 3)
        ends = torch.full((500,), 8.0)
        passed = passed_light(torch.zeros(500, 3), directions, ends, CONTRACTED_SCENE, contract, True, 16)
        passed = passed.view(16, 16, 16) / 500
        # 8 away is 1.875: voxels of 0.25 from 0 to 1.625 are crossed, the last one before the end is left open
        np.testing.assert_allclose(passed[8, 8, 8:], [1, 1, 1, 1, 1, 1, 0.5, 0], atol=0.12)

    def test_a_box_a_hair_smaller_than_all_of_space_whose_rays_are_tested_says_the_same(self):
        directions = F.normalize(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
        rays = torch.zeros(2000, 3), directions, torch.full((2000,), 8.0)
        smaller = CONTRACTED_SCENE[0] * 0.99999, CONTRACTED_SCENE[1] * 0.99999
        whole, tested = (passed_light(*rays, box, contract, True, 16) for box in (CONTRACTED_SCENE, smaller))
        assert float(whole.sum()) > 2000 * 7
        assert float((whole - tested).abs().sum()) < 0.01 * float(whole.sum())

    def test_haze_is_not_a_surface_and_what_nothing_reached_is_hidden(self):
        grid = fill_grid(evidence(foggy), SCENE, identity, False, 32)
        positions = voxel_positions(SCENE[0], SCENE[1], 32, False)
        radius = (positions - CENTRE).norm(dim=-1)
        assert (grid.state[radius < RADIUS - 0.13] == HIDDEN).all()
        assert (grid.state[positions[..., 2] < -0.16] == HIDDEN).all()
        air = (positions[..., 2] > 0.16) & (radius > RADIUS + 0.13)
        air &= (positions - OTHER_CENTRE).norm(dim=-1) > OTHER_RADIUS + 0.13
        air &= positions.norm(dim=-1) < 0.8
        assert (grid.state[air] == FREE).float().mean() > 0.99
        on_ball = ((radius - RADIUS).abs() < 0.02) & (positions[..., 2] > 0.3)
        assert (grid.state[on_ball] == SEEN).all()
        assert grid.probability[on_ball].min() > 0.8

    def test_gaps_between_rays_are_closed_but_not_the_inside_of_a_thing(self):
        free = torch.ones(12, 12, 12, dtype=torch.bool)
        seen = torch.zeros_like(free)
        seen[3:9, 3:9, 3:9] = True
        free[3:9, 3:9, 3:9] = False
        seen[4:8, 4:8, 4:8] = False  # a hollow cube that nobody saw from inside
        free[0, :2, 5] = False  # and gaps
        closed = close_gaps(free, seen)
        assert closed[0, 0, 5] and closed[0, 1, 5]
        assert torch.equal(closed[3:9, 3:9, 3:9], free[3:9, 3:9, 3:9])
