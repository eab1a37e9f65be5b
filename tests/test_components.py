"""Surfaces that hang together: what stands free is taken whole, specks are dropped."""

import numpy as np
import pytest
import torch
from test_region import core_of

from blending_nerf_ns.edits.components import SAME_PART, attached_surfaces, keep_parts
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import FREE, SEEN, RegionShape


@pytest.mark.parametrize("gap", [0, 1, 2 * SAME_PART, 2 * SAME_PART + 1, None])
def test_what_stands_free_is_taken_whole_and_what_stands_on_a_ground_is_not(gap):
    # a rod of 40 surfaces: of its last two, a foot, nobody is sure; so many voxels under it a ground, or none
    state = np.full((48, 9, 9), FREE, dtype=np.uint8)
    state[7:47, 4, 4] = SEEN
    probability = np.where(state == SEEN, 0.9, 0.0)
    probability[7:9] = 0.0
    if gap is not None:
        state[6 - gap] = SEEN
    rod = core_of(probability, state)[:, 4, 4]
    assert rod[9:47].all() and not rod[[*range(7), 47]].any()
    stands_free = gap is None or gap > 2 * SAME_PART
    assert rod[7:9].all() == rod[7:9].any() == stands_free


def test_what_goes_on_outside_of_the_grid_is_not_taken_whole():
    state = np.full((48, 9, 9), FREE, dtype=np.uint8)
    state[:40, 4, 4] = SEEN
    probability = np.where(state == SEEN, 0.9, 0.0)
    probability[:2] = 0.0
    assert core_of(probability, state)[:, 4, 4].nonzero()[0].tolist() == list(range(2, 40))


def test_half_of_what_stands_free_is_half_of_it():
    state = np.full((42, 3, 3), FREE, dtype=np.uint8)
    state[1:41, 1, 1] = SEEN
    probability = np.where(state == SEEN, 0.9, 0.0)
    probability[1:21] = 0.0
    assert core_of(probability, state)[:, 1, 1].nonzero()[0].tolist() == list(range(21, 41))


def test_specks_are_dropped_and_the_largest_part_can_be_kept_alone():
    core = np.zeros((40, 40, 40), dtype=bool)
    core[2:12, 2:12, 2:12] = True  # 1000
    core[20:26, 20:26, 20:26] = True  # 216
    core[36:38, 36:38, 36:38] = True  # 8 of 1224: 0.7 %
    both = keep_parts(core, "all")
    assert both.sum() == 1216 and not both[36:].any()
    assert keep_parts(core, "largest").sum() == 1000


def test_what_is_attached_is_taken_whole_or_not_at_all():
    """A cube; at its foot one plate that ends within the grid, and one that does not; a block that only the first plate holds."""
    seen, core = np.zeros((20, 20, 20), dtype=bool), np.zeros((20, 20, 20), dtype=bool)
    core[5:10, 8:12, 8:12] = seen[5:10, 8:12, 8:12] = True
    attached = np.zeros_like(seen)
    attached[4, 8:18, 9] = True  # by an edge of the cube, and on
    attached[5:8, 17, 9:11] = True  # and what stands on that
    beyond, apart = np.zeros_like(seen), np.zeros_like(seen)
    beyond[4, 11, 12:] = True
    apart[4, 2, 2:5] = True
    found = attached_surfaces(core, seen | attached | beyond | apart)
    assert np.array_equal(found, attached)
    bridged = attached | beyond
    bridged[4, 11, 9:12] = True
    assert not attached_surfaces(core, seen | bridged | apart).any(), "it all goes on out of sight now"


def test_a_region_takes_what_is_attached_and_its_margin_is_as_wide_as_without():
    side = 24
    state, probability = torch.full((side,) * 3, FREE, dtype=torch.uint8), torch.zeros(side, side, side)
    state[9:15, 9:15, 9:15] = state[9, 9:15, 15:20] = SEEN
    probability[9:15, 9:15, 9:15] = 1.0
    shape, corner = RegionShape(margin=0.15, soft_edge=0.0), torch.full((3,), 12.0)  # 0.15 of 6 sqrt(3): 1.56 voxels
    region = region_from_probability(probability, state, -corner, corner, shape)
    assert region.weight[9, 11, 16:19].tolist() == [0.0, 0.0, 0.0], "another surface is spared"
    region.reshape(attached=True)
    assert region.weight[9, 11, 19:23].tolist() == [1.0, 1.0, 0.0, 0.0], "the last of it, its margin, and no more"
    again = Region(side)
    again.load_state_dict(region.state_dict())
    again.reshape(margin=0.0)
    assert again.shape.attached and again.weight.sum() == 6 * (36 + 5) and bool(again.weight[9, 9:15, 15:20].all())
    again.reshape(attached=False)
    assert not bool(again.weight[9, 9:15, 16:20].any())
