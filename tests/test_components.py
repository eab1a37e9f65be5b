"""Surfaces that hang together: what stands free is taken whole, specks are dropped."""

import numpy as np
import pytest
from test_region import core_of

from blending_nerf_ns.edits.components import SAME_PART, keep_parts
from blending_nerf_ns.edits.shape import FREE, SEEN


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
