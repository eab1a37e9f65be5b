"""The region: interpolation by hand, fill and growth on small grids, stored and loaded again."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.growth import body_around, find_blocked, grow
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN, SHADE, RegionShape, find_core, nearest_voxel
from blending_nerf_ns.errors import BlendingNerfError

UNIT = torch.zeros(3), torch.ones(3)
CORE_ONLY = RegionShape(margin=0.0, soft_edge=0.0)
VOXELS = (1.0, 1.0, 1.0)


def seen_block(resolution=16, low=6, high=10):
    """A solid cube of seen voxels with probability 1, in free space."""
    probability = torch.zeros(resolution, resolution, resolution)
    state = torch.full_like(probability, FREE, dtype=torch.uint8)
    inside = (slice(low, high),) * 3
    probability[inside], state[inside] = 1.0, SEEN
    return probability, state


def core_of(probability, state, spacing=VOXELS):
    """The core at a threshold of a half."""
    return find_core(probability, state, nearest_voxel(state == SEEN, spacing), spacing, 0.5, "all")


def region_weight(probability, state, spacing, shape):
    """The region's weight on the grid: every step, nothing cached, every part by itself."""
    shape = shape.checked()
    surfaces = nearest_voxel(state == SEEN, spacing)
    core = find_core(probability, state, surfaces, spacing, shape.threshold, shape.keep)
    return grow(body_around(core, find_blocked(core, state, surfaces), state, spacing), shape)


def drawn_core(picture, surfaces):
    """The core (#) of a drawn section, three voxels thick and the lowest row last; h: hidden, .: free, else a surface's letter."""
    letters = np.array([list(row) for row in picture[::-1]])
    state = np.select([letters == "h", letters == "."], [HIDDEN, FREE], SEEN).astype(np.uint8)
    probability = np.select([letters == letter for letter in surfaces], list(surfaces.values()), 0.0)
    core = core_of(*(np.repeat(grid[:, None], 3, axis=1) for grid in (probability, state)))
    return ["".join(row) for row in np.where(core[::-1, 1], "#", " ")]


def one_voxel(z, y, x, resolution=10):
    """A region over [0, 1]^3 whose weight is 1 at one voxel."""
    probability = torch.zeros(resolution, resolution, resolution)
    state = torch.full_like(probability, FREE, dtype=torch.uint8)
    probability[z, y, x], state[z, y, x] = 1.0, SEEN
    return region_from_probability(probability, state, *UNIT, CORE_ONLY)


class TestWeightAt:
    def test_voxels_are_cells_and_the_order_is_z_y_x(self):
        region = one_voxel(z=2, y=4, x=7)  # its centre: (0.75, 0.45, 0.25)
        points = torch.tensor([[0.75, 0.45, 0.25], [0.25, 0.45, 0.75], [0.70, 0.45, 0.25], [0.70, 0.40, 0.20]])
        # half way to one neighbour, then half way along all three axes
        np.testing.assert_allclose(region.weight_at(points), torch.tensor([1.0, 0.0, 0.5, 0.125]), atol=1e-6, rtol=0)

    def test_a_voxel_reaches_to_its_neighbours_centres_and_no_further(self):
        region = one_voxel(z=2, y=4, x=7)
        lower, upper = region.bounds()
        np.testing.assert_allclose(lower, [0.65, 0.35, 0.15], rtol=1e-6)
        np.testing.assert_allclose(upper, [0.85, 0.55, 0.35], rtol=1e-6)
        points = torch.rand(20000, 3)
        inside = ((points > lower) & (points < upper)).all(-1)
        weight = region.weight_at(points)
        assert (weight[inside] > 0).float().mean() > 0.99
        assert torch.equal(weight[~inside], torch.zeros(int((~inside).sum())))

    def test_exactly_zero_outside_the_box(self):
        # a region that fills its grid up to the outermost layer, which is always 0
        region = region_from_probability(torch.ones(8, 8, 8), torch.full((8, 8, 8), SEEN), *UNIT, CORE_ONLY)
        assert region.weight.sum() == 6**3
        points = torch.randn(50000, 3) * 3
        outside = ((points < 0) | (points > 1)).any(-1)
        far = torch.tensor([[1e30, 0.5, 0.5], [-torch.inf, 0.5, 0.5], [0.5, 1 + 1e-7, 0.5], [0.5, 0.5, -1e-7]])
        weight = region.weight_at(torch.cat([points[outside], far]))
        assert torch.equal(weight, torch.zeros_like(weight))

    @pytest.mark.parametrize("shape", [(3,), (0, 3), (5, 3), (2, 5, 3)])
    def test_any_batch_shape_and_dtype(self, shape):
        region = one_voxel(z=2, y=4, x=7)
        assert region.weight_at(torch.rand(shape)).shape == shape[:-1]
        assert region.weight_at(torch.rand(shape, dtype=torch.half)).dtype == torch.float32

    def test_a_new_region_is_empty(self):
        region = Region(8)
        assert not region.weight.any()
        assert torch.equal(region.weight_at(torch.rand(10, 3)), torch.zeros(10))
        assert torch.equal(torch.stack(region.bounds()), torch.tensor([[-1.0] * 3, [1.0] * 3]))


class TestGrowth:
    def test_margin_and_soft_edge_by_hand(self):
        core = np.zeros((1, 1, 20), dtype=bool)
        core[0, 0, 8:12] = True  # 4 voxels of 0.5; the other two sides measure 0: diagonal 2
        core = np.repeat(np.repeat(core, 3, 0), 3, 1)
        state = np.where(core, SEEN, FREE).astype(np.uint8)
        diagonal = math.sqrt(2.0**2 + 2 * 0.003**2)
        shape = RegionShape(margin=0.5 / diagonal, soft_edge=1.0 / diagonal)
        line = grow(body_around(core, np.zeros_like(core), state, (0.001, 0.001, 0.5)), shape)[1, 1]
        # 0.5 of margin is one voxel; then 1.0 of soft edge is two steps of a half
        expected = [0] * 5 + [0, 0.5, 1, 1, 1, 1, 1, 1, 0.5, 0] + [0] * 5
        np.testing.assert_allclose(line, expected, atol=1e-5)

    def test_distances_are_those_of_the_box_not_of_voxels(self):
        probability, state = seen_block()
        # voxels of 1 x 1 x 2 (x, y, z): core of 4 x 4 x 8, diagonal sqrt(96)
        upper = torch.tensor([16.0, 16.0, 32.0])
        shape = RegionShape(margin=2.05 / math.sqrt(96), soft_edge=0.0)
        region = region_from_probability(probability, state, torch.zeros(3), upper, shape)
        assert region.weight[8, 8].nonzero().flatten().tolist() == list(range(4, 12))
        assert region.weight[:, 8, 8].nonzero().flatten().tolist() == list(range(5, 11))

    @settings(max_examples=30)
    @given(st.integers(0, 2**31 - 1), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.3), st.booleans())
    def test_monotone_in_margin(self, seed, one, other, soft, over):
        probability, state = random_evidence(seed)
        narrow, wide = sorted((one, other))
        weights = [
            region_weight(probability, state, VOXELS, RegionShape(0.5, margin, soft, over)) for margin in (narrow, wide)
        ]
        assert (weights[1] >= weights[0]).all()

    @settings(max_examples=30)
    @given(st.integers(0, 2**31 - 1), st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.floats(0, 0.2), st.booleans())
    def test_monotone_in_threshold(self, seed, one, other, margin, over):
        # specks are a share of the core and so the one thing that is not monotone: this core is in one piece
        probability, state = random_evidence(seed)
        low, high = sorted((one, other))
        weights = [
            region_weight(probability, state, VOXELS, RegionShape(threshold, margin, 0.1, over))
            for threshold in (low, high)
        ]
        assert (weights[0] >= weights[1]).all()

    @settings(max_examples=30)
    @given(st.integers(0, 2**31 - 1), st.floats(0.05, 0.9), st.floats(0, 1), st.floats(0, 1), st.booleans())
    def test_bounded_and_zero_on_the_outermost_layer(self, seed, threshold, margin, soft, over):
        weight = region_weight(*random_evidence(seed), VOXELS, RegionShape(threshold, margin, soft, over))
        assert weight.min() >= 0 and weight.max() <= 1
        assert not np.pad(np.zeros((10, 10, 10)), 1, constant_values=1)[weight > 0].any()

    def test_the_margin_spares_other_surfaces_unless_told_otherwise(self):
        # a seen block that stands on a seen floor at z = 5
        probability, state = seen_block()
        state[:5], state[5] = HIDDEN, SEEN
        spared = region_from_probability(probability, state, *UNIT, RegionShape(margin=0.45, soft_edge=0.0))
        away = torch.ones(16, 16, dtype=torch.bool)
        away[5:11, 5:11] = False
        assert torch.equal(spared.weight[:7][:, away], torch.zeros_like(spared.weight[:7][:, away]))
        assert spared.weight[8, 8, 12] == 1  # into free space
        # between floor voxels away from the block, too: interpolation brings nothing in
        floor = torch.stack(torch.meshgrid(torch.rand(60), torch.rand(60), indexing="xy"), -1).reshape(-1, 2)
        floor = floor[((floor - 0.5).abs() > 4 / 16).any(-1)]
        points = torch.cat([floor, 5 / 16 + torch.rand(len(floor), 1) / 16], -1)
        assert torch.equal(spared.weight_at(points), torch.zeros(len(points)))
        spared.reshape(margin_over_surfaces=True)
        assert spared.weight[5, 8, 11] == 1 and spared.weight[4, 8, 8] == 1


def random_evidence(seed):
    """One blob of probability in a random mix of seen, free and hidden voxels."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.arange(12) - 5.5] * 3, indexing="ij")
    probability = np.exp(-(x**2 + y**2 + z**2) / 12).astype(np.float32)
    state = rng.choice(np.array([HIDDEN, FREE, SEEN], dtype=np.uint8), p=[0.2, 0.3, 0.5], size=(12, 12, 12))
    state[5:7, 5:7, 5:7] = SEEN
    return probability, state


class TestCore:
    def ball_on_floor(self):
        """The visible shell of a ball of radius 8 that stands on a floor at z = 3; all hidden inside and below."""
        z, y, x = np.meshgrid(*[np.arange(28)] * 3, indexing="ij")
        radius = np.sqrt((x - 14) ** 2 + (y - 14) ** 2 + (z - 12) ** 2)
        state = np.full(x.shape, FREE, dtype=np.uint8)
        state[z <= 3] = HIDDEN
        state[z == 3] = SEEN
        state[(z == 3) & (np.hypot(x - 14, y - 14) < 4)] = HIDDEN  # no view sees below the ball
        state[(radius < 8) & (z > 3)] = HIDDEN
        state[(radius >= 8) & (radius < 9) & (z > 5)] = SEEN
        state[(radius >= 8) & (radius < 9) & (z > 3) & (z <= 5)] = HIDDEN
        probability = ((state == SEEN) & (z > 3)).astype(np.float32)
        return probability, state, radius, z

    def test_a_solid_is_filled_and_the_ground_below_is_not(self):
        probability, state, radius, z = self.ball_on_floor()
        core = core_of(probability, state)
        assert core[(radius < 9) & (z > 5)].all()
        assert core[(radius < 8) & (z > 3)].all()  # where no view sees its sides, too
        assert not core[z <= 3].any()
        assert not core[state == FREE].any()

    def test_what_is_hidden_under_its_surface_is_the_objects(self):
        # O: the object's surface, F: another, h: hidden, rest: free. Nearer to the floor than to the sides by far, the
        # lowest layer is the object's all the same, except where a ray got in between it and the lid
        picture = [
            "...............",
            "..OOOOOOOOO....",
            "..OhhhhhhhO....",
            "..OhhhhhhhO....",
            "..Ohhhh.hhO....",
            "..OhhhhhhhO....",
            "..hhhhhhhhh....",
            "FFFFFFFFFFFFFFF",
            "hhhhhhhhhhhhhhh",
        ]
        expected = [
            "               ",
            "  #########    ",
            "  #########    ",
            "  #########    ",
            "  ##### ###    ",
            "  #########    ",
            "  ##### ###    ",
            "               ",
            "               ",
        ]
        assert drawn_core(picture, {"O": 1.0, "F": 0.0}) == expected

    def test_a_shaded_underside_is_the_objects_and_the_floor_below_it_is_not(self):
        # 9: sure. 3: enough of it for what the object roofs. 1: too little. h: hidden. At the left the localiser is as
        # unsure of the floor, at the right a thing hangs under the roof that it is sure not to be meant
        picture = [
            "...............",
            "..999999999....",
            "..9hhhhhhh9....",
            "..3hhhhhhh3....",
            "...33333111....",
            "...............",
            "333333333111111",
            "hhhhhhhhhhhhhhh",
        ]
        expected = [
            "               ",
            "  #########    ",
            "  #########    ",
            "  #########    ",
            "   #####       ",
            "               ",
            "               ",
            "               ",
        ]
        assert drawn_core(picture, {"9": 0.9, "3": 0.3, "1": 0.1}) == expected

    def test_a_doubt_among_the_objects_surfaces_is_the_objects(self):
        # a wall one voxel thick, 5 x 5: around the doubt in the middle 5 of 9 are sure, around those to the right of it 3
        state = np.full((5, 5, 3), FREE, dtype=np.uint8)
        state[:, :, 1] = SEEN
        probability = np.full((5, 5, 3), 0.9)
        probability[2, 2] = 0.0
        probability[:, 3:] = 0.0
        core = core_of(probability, state)
        expected = np.ones((5, 5), dtype=bool)
        expected[:, 3:] = False
        assert np.array_equal(core[:, :, 1], expected)

    def test_only_near_what_is_sure(self):
        state = np.full((20, 1, 1), SEEN, dtype=np.uint8)
        probability = np.full((20, 1, 1), 0.3)
        probability[15] = 0.9
        core = core_of(probability, state)[:, 0, 0]
        assert core.tolist() == [15 - SHADE <= z <= 15 for z in range(20)]

    def test_free_voxels_are_never_core(self):
        probability, state = (grid.numpy() for grid in seen_block())
        probability[:] = 1.0
        core = core_of(probability, state)
        assert np.array_equal(core, state == SEEN)

    def test_a_hidden_voxel_near_another_surface_is_not_the_objects(self):
        probability = np.zeros((1, 3, 12), dtype=np.float32)
        state = np.full((1, 3, 12), HIDDEN, dtype=np.uint8)
        state[0, 2, [0, 10]] = SEEN  # the object at both ends of its bounding box
        state[0, 2, 5] = SEEN  # another surface between them
        state[0, 0, :11] = SEEN  # far away, and what makes the two ends one object
        probability[0, 2, [0, 10]] = probability[0, 0, :11] = 1
        line = core_of(probability, state, (1.0, 100.0, 1.0))[0, 2]
        # from the left: 1, 2, 3, 4 away from the object and 4, 3, 2, 1 from the other surface; up to 2 : 1 is the object's
        assert line.tolist() == [True, True, True, True, False, False, False, True, True, True, True, False]

    def test_a_part_that_was_left_out_is_a_surface_like_any_other(self):
        probability = torch.zeros(24, 24, 24)
        state = torch.full_like(probability, FREE, dtype=torch.uint8)
        for part in ((slice(8, 14), slice(8, 14), slice(3, 9)), (slice(8, 12), slice(8, 12), slice(14, 18))):
            probability[part], state[part] = 1.0, SEEN
        region = region_from_probability(
            probability, state, *UNIT, RegionShape(margin=0.9, soft_edge=0, keep="largest")
        )
        assert region.weight[10, 10, 11] == 1
        assert not region.weight[7:13, 7:13, 13:19].any()
        region.reshape(keep="all")
        assert region.weight[8:12, 8:12, 14:18].all()


class TestReshape:
    def test_nothing_found_says_what_was_the_highest_and_leaves_the_region_alone(self):
        probability, state = seen_block()
        region = region_from_probability(0.3125 * probability, state, *UNIT, RegionShape(threshold=0.25))
        before = region.state_dict()
        before = {name: value.clone() for name, value in before.items()}
        with pytest.raises(BlendingNerfError, match=r"threshold of 0\.5: the highest probability is 0\.312.*Lower"):
            region.reshape(threshold=0.5)
        assert all(torch.equal(value, before[name]) for name, value in region.state_dict().items())

    def test_no_surface_seen_at_all(self):
        with pytest.raises(BlendingNerfError, match="highest probability is 0"):
            region_from_probability(torch.ones(8, 8, 8), torch.zeros(8, 8, 8), *UNIT)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"threshold": 0.0}, r"threshold must be in \(0, 1\], not 0"),
            ({"threshold": 1.5}, "not 1.5"),
            ({"margin": -0.1}, "margin must be in"),
            ({"soft_edge": math.nan}, "soft_edge must be in"),
            ({"keep": "some"}, "'some'"),
        ],
    )
    def test_values_out_of_range(self, change, message):
        region = region_from_probability(*seen_block(), *UNIT)
        with pytest.raises(BlendingNerfError, match=message):
            region.reshape(**change)

    def test_it_makes_what_a_new_region_would_be(self):
        evidence = seen_block()
        region = region_from_probability(*evidence, *UNIT)
        assert region.shape == pytest.approx((0.5, 0.05, 0.03, False, "all", 0.0, "all", True, False))
        region.reshape(margin=0.3, soft_edge=0.2, margin_over_surfaces=True, keep="largest")
        again = region_from_probability(*evidence, *UNIT, RegionShape(0.5, 0.3, 0.2, True, "largest"))
        assert torch.equal(region.weight, again.weight)
        assert torch.equal(torch.stack(region.bounds()), torch.stack(again.bounds()))

    def test_grids_of_another_shape(self):
        with pytest.raises(BlendingNerfError, match=r"resolution 12 takes grids of \(12, 12, 12\)"):
            Region(12).set_evidence(*seen_block(16), *UNIT)
        with pytest.raises(BlendingNerfError, match="box is empty"):
            region_from_probability(*seen_block(16), torch.ones(3), torch.ones(3))
        with pytest.raises(BlendingNerfError, match="at least 8"):
            Region(4)


class TestStorage:
    def test_a_fresh_region_of_the_same_resolution_loads_any_state(self):
        torch.manual_seed(0)
        probability, state = seen_block()
        region = region_from_probability(
            probability * (0.5 + 0.5 * torch.rand_like(probability)), state, -torch.rand(3), torch.rand(3),
            RegionShape(0.61, 0.1, 0.07, True, "largest", 0.02, "up", False),
        )  # fmt: skip
        loaded = Region(16)
        loaded.load_state_dict({name: value.clone() for name, value in region.state_dict().items()}, strict=True)
        assert loaded.shape == region.shape
        points = torch.rand(1000, 3) * 2 - 1
        assert torch.equal(loaded.weight_at(points), region.weight_at(points))
        assert torch.equal(loaded.color_weight_at(points), region.color_weight_at(points))
        # probabilities are stored in half precision: the weight is made from what is stored
        weight = loaded.weight.clone()
        loaded.reshape()
        assert torch.equal(loaded.weight, weight)
        assert loaded.probability.dtype == torch.half

    def test_everything_is_a_buffer_and_nothing_is_trained(self):
        region = Region(8)
        assert not list(region.parameters())
        grids = {"probability", "state", "weight", "color_weight"}
        assert set(region.state_dict()) == {*grids, "lower", "upper", "reach", "settings"}

    def test_a_region_that_was_stored_before_there_were_so_many_settings(self):
        region = region_from_probability(*seen_block(), *UNIT, RegionShape(0.61, 0.1, 0.07, True, "largest"))
        stored = region.state_dict()
        loaded = nn.ModuleDict({"region": Region(16)})
        old = {f"region.{name}": value for name, value in stored.items() if name != "color_weight"}
        loaded.load_state_dict(of_any_age({**old, "region.settings": stored["settings"][:5]}))
        assert loaded["region"].shape == region.shape
        assert len(stored["settings"]) == len(RegionShape._fields)
