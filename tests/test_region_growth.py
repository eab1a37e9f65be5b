"""Margins that are lengths, margins that grow upwards, and regions that are reshaped live."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_region import UNIT, VOXELS, random_evidence, region_weight, seen_block

from blending_nerf_ns.edits import region as region_module
from blending_nerf_ns.edits.growth import body_around, find_blocked, grow
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN, RegionShape, diagonal, find_core, nearest_voxel
from blending_nerf_ns.edits.solids import oriented_box, region_from_solid, sphere
from blending_nerf_ns.errors import BlendingNerfError, NothingFound

SEEDS = st.integers(0, 2**31 - 1)


def nothing_else(core):
    """The state of a grid in which only the core is seen."""
    return np.where(core, SEEN, FREE).astype(np.uint8)


class TestUpwards:
    def grown(self, **shape):
        """Around a cube of 3 x 3 x 3 voxels of size 1 in the middle of 15 x 15 x 15; margin 2, soft edge 2."""
        core = np.zeros((15, 15, 15), dtype=bool)
        core[6:9, 6:9, 6:9] = True
        shape = RegionShape(margin=0.0, soft_edge=2 / math.sqrt(27), margin_distance=2.0, **shape)
        return grow(body_around(core, np.zeros_like(core), nothing_else(core), VOXELS), shape)

    def test_by_hand(self):
        weight = self.grown(grow="up")
        straight_up = [0] * 6 + [1, 1, 1, 1, 1, 0.5, 0, 0, 0]
        np.testing.assert_allclose(weight[:, 7, 7], straight_up, atol=1e-6)  # nothing below
        np.testing.assert_allclose(weight[7, 7], [0] * 6 + [1] * 3 + [0] * 6)  # nor beside
        # above the edge of its top: (up, out) of (1, 1) and (2, 2) lie 45 degrees from +z, (1, 2) lies 63 from it
        assert weight[9, 7, 9] == 1 and weight[9, 9, 9] == 1 and weight[9, 7, 10] == 0
        assert weight[10, 7, 10] == pytest.approx(1 - (math.sqrt(8) - 2) / 2)

    def test_it_is_the_part_of_all_directions_that_lies_above(self):
        everywhere, upwards = self.grown(), self.grown(grow="up")
        assert everywhere[3, 7, 7] == pytest.approx(0.5) and everywhere[7, 7, 10] == 1
        np.testing.assert_array_equal(upwards, np.where(upwards > 0, everywhere, 0))
        assert not upwards[:6].any() and 0 < upwards.sum() < 0.5 * everywhere.sum()

    def test_over_a_head_there_is_room_beside_an_ear(self):
        core = np.zeros((15, 15, 15), dtype=bool)
        core[3:6, 4:11, 4:11] = True  # a head whose top is layer 5, and on its left an ear of five layers
        core[6:11, 7, 4] = True
        shape = RegionShape(margin=0.0, soft_edge=0.0, margin_distance=4.0, grow="up")
        weight = grow(body_around(core, np.zeros_like(core), nothing_else(core), VOXELS), shape)
        assert (weight[6:9, 7, 5:11] == 1).all(), "the ear is nearer than the head there, and not below"
        assert (weight[7, 7, :4] == 0).all(), "beyond the ear there is nothing below"

    def test_between_the_feet_of_a_toy_there_is_none(self):
        core = np.zeros((24, 15, 15), dtype=bool)
        core[3:5, 4:11, 4:6] = core[3:5, 4:11, 9:11] = True  # two feet, a belly above them, and room between
        core[10:13, 5:10, 4:11] = True
        shape = RegionShape(margin=0.0, soft_edge=0.0, margin_distance=3.0, grow="up")
        weight = grow(body_around(core, np.zeros_like(core), nothing_else(core), VOXELS), shape)
        assert (weight[core] == 1).all() and (weight[13:16, 7, 7] == 1).all(), "the object, and on top of it"
        assert (weight[5:10, 5:10, 4:11] == 0).all(), "on the feet, but under the belly"
        assert (weight[5:8, 10, 4:6] == 1).all(), "on the toes that the belly does not roof"

    @settings(max_examples=30)
    @given(SEEDS, st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 3), st.booleans())
    def test_never_more_than_in_all_directions(self, seed, margin, soft, distance, over):
        evidence = random_evidence(seed)
        shape = RegionShape(0.5, margin, soft, over, margin_distance=distance)
        everywhere = region_weight(*evidence, VOXELS, shape)
        upwards = region_weight(*evidence, VOXELS, shape._replace(grow="up"))
        core = region_weight(*evidence, VOXELS, RegionShape(margin=0.0, soft_edge=0.0))
        assert (upwards <= everywhere).all() and (upwards >= core).all()

    def test_of_a_region(self):
        region = region_from_probability(*seen_block(), *UNIT, RegionShape(margin=0.3, soft_edge=0.1))
        assert region.weight_at(torch.tensor([0.5, 0.5, 0.3])) > 0.9
        region.reshape(grow="up")
        above, below, beside = torch.tensor([[0.5, 0.5, 0.7], [0.5, 0.5, 0.3], [0.7, 0.5, 0.5]])
        assert region.weight_at(above) > 0.9 and region.weight_at(below) == 0 and region.weight_at(beside) == 0
        assert region.bounds()[0][2] == pytest.approx(5.5 / 16)  # a voxel's weight ends at its neighbours' centres


class TestTheBox:
    """Room for another shape of the object's size: its bounding box, as far as nothing else is there."""

    def corner(self, **shape):
        """An L of two bars on a grid of voxels of size 1, hidden where they meet, with a neighbour in its box."""
        probability, state = np.zeros((12, 12, 12), np.float32), np.full((12, 12, 12), FREE, np.uint8)
        for bar in ((slice(3, 9), 3, 3), (3, slice(3, 9), 3)):
            probability[bar], state[bar] = 0.9, SEEN
        state[3, 3, 3], state[8, 8, 3] = HIDDEN, SEEN
        shape = RegionShape(margin=0.0, soft_edge=0.0, **shape)
        return region_weight(probability, state, VOXELS, shape), state

    def test_by_hand(self):
        weight, _ = self.corner(grow="box")
        expected = np.zeros_like(weight)
        expected[3:9, 3:9, 3] = 1
        expected[7:9, 7:9, 3] = 0  # the neighbour, and what touches it
        np.testing.assert_array_equal(weight, expected)

    def test_a_margin_goes_on_from_there(self):
        weight, state = self.corner(grow="box", margin_distance=2.0)
        assert (weight[3:7, 3:7, 1:6] == 1).all() and weight[5, 5, 6] == 0
        assert weight[1, 1, 3] == 0 and weight[1, 3, 3] == 1, "round the box's edges it is a distance"
        assert weight[8, 8, 3] == 0, "the neighbour is spared"
        everywhere, _ = self.corner(grow="box", margin_distance=2.0, margin_over_surfaces=True)
        assert everywhere[8, 8, 3] == 1

    def test_each_part_has_a_box_of_its_own(self):
        core = np.zeros((9, 9, 40), dtype=bool)
        for start in (4, 30):
            core[2:6, 4, start] = core[2, 4:7, start] = True
        state = nothing_else(core)
        state[0, 0, 0] = HIDDEN
        shape = RegionShape(margin=0.0, soft_edge=0.0, grow="box")
        weight = grow(body_around(core, np.zeros_like(core), state, VOXELS), shape)
        assert (weight[2:6, 4:7, [4, 30]] == 1).all() and not weight[:, :, 5:30].any()

    @pytest.mark.parametrize(
        "solid",
        [sphere((0.1, 0.0, 0.0), 0.4), oriented_box((0, 0, 0), (1.0, 0.3, 0.2), (0, 0, 45))],
        ids=["sphere", "box"],
    )
    def test_a_solid_that_somebody_placed_is_left_as_it_is(self, solid):
        region = region_from_solid(solid, (-torch.ones(3), torch.ones(3)), contracted=False, resolution=32)
        before = region.weight.clone()
        region.reshape(grow="box")
        assert torch.equal(region.weight, before) and region.weight.any()

    @settings(max_examples=30)
    @given(SEEDS, st.floats(0, 0.5), st.floats(0, 0.5), st.booleans())
    def test_it_is_no_less_than_all_directions_and_spares_the_same(self, seed, margin, soft, over):
        probability, state = random_evidence(seed)
        shape = RegionShape(0.5, margin, soft, over, change_in_margin=False)
        everywhere = region_weight(probability, state, VOXELS, shape)
        boxed = region_weight(probability, state, VOXELS, shape._replace(grow="box"))
        assert (boxed >= everywhere).all()
        surfaces = nearest_voxel(state == SEEN, VOXELS)
        core = find_core(probability, state, surfaces, VOXELS, 0.5, "all")
        if not over:
            assert not boxed[find_blocked(core, state, surfaces)].any()
        assert shape._replace(grow="box").of_object == shape.of_object, "colours change on the object alone"


class TestMarginDistance:
    @settings(max_examples=30)
    @given(SEEDS, st.floats(0, 0.3), st.floats(0, 0.3), st.booleans(), st.sampled_from(["all", "up", "box"]))
    def test_it_is_added_to_the_share(self, seed, share, more, over, direction):
        (probability, state), spacing = random_evidence(seed), (0.2, 0.1, 0.15)
        surfaces = nearest_voxel(state == SEEN, spacing)
        core = find_core(probability, state, surfaces, spacing, 0.5, "all")
        body = body_around(core, find_blocked(core, state, surfaces), state, spacing)
        shape = RegionShape(0.5, share, 0.1, over, grow=direction)
        by_length = grow(body, shape._replace(margin_distance=more * diagonal(core, spacing)))
        np.testing.assert_allclose(by_length, grow(body, shape._replace(margin=share + more)), atol=1e-5)

    def test_by_hand(self):
        region = region_from_probability(
            *seen_block(), *UNIT, RegionShape(margin=0.0, soft_edge=0.0, margin_distance=2.1 / 16)
        )
        assert region.weight[8, 8].nonzero().flatten().tolist() == list(range(4, 12))  # two voxels on each side of 6-9


class TestWhatTouchesTheObjectAlone:
    """A rod of 100 surfaces on a table that no view saw it touch, with a shadow of two voxels at its foot."""

    def region(self, table: int) -> Region:
        probability, state = torch.zeros(110, 110, 110), torch.full((110, 110, 110), FREE, dtype=torch.uint8)
        state[5:105, 9, 9], probability[5:105, 9, 9] = SEEN, 0.9
        state[5, 9, 10:12] = SEEN
        state[table, 1:18, 1:18] = SEEN
        shape = RegionShape(margin=0.0, margin_distance=3 / 110, soft_edge=0.0, change_in_margin=False)
        region = region_from_probability(probability, state, *UNIT, shape)
        return region

    def test_a_margin_takes_it_and_paint_does_not(self):
        region = self.region(table=3)
        shadow, rod = region.weight[5, 9, 10:12], region.weight[5, 9, 9]
        assert rod == 1 and (shadow == 1).all()
        assert not region.color_weight[5, 9, 11] and not region.weight[3].any(), "neither the table"

    def test_with_the_table_it_is_the_tables(self):
        region = self.region(table=4)  # the foot touches it
        assert region.weight[5, 9, 9] == 1 and not region.weight[5, 9, 11] and not region.weight[4].any()


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"margin_distance": -0.1}, "margin_distance must be finite and at least 0, not -0.1: it is a length"),
            ({"margin_distance": math.inf}, "margin_distance must be finite .* not inf"),
            ({"margin_distance": math.nan}, "margin_distance must be finite .* not nan"),
            ({"margin_distance": 1e39}, "margin_distance must be finite .* not inf"),  # as stored in float32
            ({"grow": "down"}, "grow must be 'all' or 'up' or 'box', not 'down'"),
        ],
    )
    def test_values_out_of_range(self, change, message):
        region = region_from_probability(*seen_block(), *UNIT)
        before = {name: value.clone() for name, value in region.state_dict().items()}
        with pytest.raises(BlendingNerfError, match=message):
            region.reshape(**change)
        assert all(torch.equal(value, before[name]) for name, value in region.state_dict().items())


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "threshold": st.floats(0.05, 1.0),
        "margin": st.floats(0, 2),
        "soft_edge": st.floats(0, 1),
        "margin_over_surfaces": st.booleans(),
        "keep": st.sampled_from(["all", "largest"]),
        "margin_distance": st.floats(0, 3),
        "grow": st.sampled_from(["all", "up", "box"]),
        "change_in_margin": st.booleans(),
    },
)
BOX = torch.zeros(3), torch.tensor([1.0, 0.8, 1.3])


def evidence_of(seed):
    probability, state = random_evidence(seed)
    return torch.from_numpy(probability), torch.from_numpy(state)


class TestLive:
    @settings(max_examples=60)
    @given(SEEDS, st.lists(st.one_of(CHANGES, SEEDS, st.just("load")), max_size=6))
    def test_whatever_came_before_the_weight_is_that_of_a_new_region(self, seed, events):
        """Events: changes of the shape, other evidence, and another region's state."""
        evidence = evidence_of(seed)
        region = region_from_probability(*evidence, *BOX)
        for event in events:
            if isinstance(event, int):
                evidence = evidence_of(event)
                region.set_evidence(*evidence, *BOX, region.shape._replace(threshold=0.5))
            elif event == "load":
                evidence = evidence_of(seed + 1)
                region.load_state_dict(region_from_probability(*evidence, *BOX, RegionShape(margin=0.3)).state_dict())
            else:
                before = region.shape
                try:
                    region.reshape(**event)
                except NothingFound:
                    assert region.shape == before
            new = region_from_probability(*evidence, *BOX, region.shape)
            assert torch.equal(region.weight, new.weight)
            assert torch.equal(region.color_weight, new.color_weight)
            assert torch.equal(region.settings, new.settings) and torch.equal(region.reach, new.reach)

    def test_the_core_is_looked_for_only_where_it_may_have_changed(self, monkeypatch):
        calls = []
        monkeypatch.setattr(
            region_module, "find_core", lambda *arguments: calls.append(arguments) or find_core(*arguments)
        )
        region = region_from_probability(*seen_block(), *UNIT)
        for changes, expected in [
            ({"soft_edge": 0.2, "margin": 1.0, "margin_distance": 0.5}, 1),
            ({"grow": "up", "margin_over_surfaces": True}, 1),
            ({"threshold": 0.25}, 2),
            ({"threshold": 0.25, "margin": 0.1}, 2),
            ({"keep": "largest"}, 3),
        ]:
            region.reshape(**changes)
            assert len(calls) == expected, changes
