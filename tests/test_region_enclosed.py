"""Doubtful and hidden voxels inside an object are the object's; what it stands on, or beside, is not."""

from __future__ import annotations

import numpy as np
import pytest

from blending_nerf_ns.edits.shape import BARRED, ENCLOSED, FREE, HIDDEN, SEEN, find_core, nearest_voxel, with_enclosed

SIDE, VOXELS = 16, (1.0, 1.0, 1.0)
MIDDLE = (8, 8, 8)


def block() -> np.ndarray:
    """Six voxels a side, in the middle."""
    core = np.zeros((SIDE,) * 3, dtype=bool)
    core[5:11, 5:11, 5:11] = True
    return core


@pytest.mark.parametrize(("state", "taken"), [(HIDDEN, True), (SEEN, True), (FREE, False), (BARRED, False)])
def test_what_is_enclosed_unless_it_is_free_or_ruled_out(state: int, taken: bool) -> None:
    core, states = block(), np.full((SIDE,) * 3, SEEN, dtype=np.uint8)
    core[MIDDLE], states[MIDDLE] = False, state
    assert bool(with_enclosed(core, states)[MIDDLE]) == taken


def test_a_speck_of_several_voxels_is_taken_from_outside_in() -> None:
    core, states = block(), np.full((SIDE,) * 3, SEEN, dtype=np.uint8)
    core[7:9, 7:9, 7:9] = False
    assert np.array_equal(with_enclosed(core, states), block())


def test_surfaces_around_stay_their_own() -> None:
    """Of all places outside of a block, in front of its faces, edges and corners, and in the edge between two blocks."""
    states = np.full((SIDE,) * 3, SEEN, dtype=np.uint8)
    assert np.array_equal(with_enclosed(block(), states), block())
    two = block()
    two[2:5, :, :] = True  # it stands on a slab
    assert np.array_equal(with_enclosed(two, states), two)


def test_neighbours_by_hand() -> None:
    """Sixteen of the 26 are too few, seventeen are enough."""
    states = np.full((SIDE,) * 3, SEEN, dtype=np.uint8)
    places = [place for place in np.ndindex(3, 3, 3) if place != (1, 1, 1)]
    for count in (ENCLOSED - 1, ENCLOSED):
        core = np.zeros((SIDE,) * 3, dtype=bool)
        for z, y, x in places[:count]:
            core[7 + z, 7 + y, 7 + x] = True
        assert bool(with_enclosed(core, states)[MIDDLE]) == (count == ENCLOSED)


def test_light_that_stopped_inside_a_block_is_no_other_surface() -> None:
    """Its skin is seen, its inside hidden; some light came through and shows a surface there that nothing calls the object."""
    state = np.full((SIDE,) * 3, FREE, dtype=np.uint8)
    state[block()] = SEEN
    state[6:10, 6:10, 6:10] = HIDDEN
    state[7:9, 8, 7:9] = SEEN
    probability = np.where(state == SEEN, 1.0, 0.0).astype(np.float32)
    probability[7:9, 8, 7:9] = 0.05
    state[3:5] = SEEN  # it stands on a table
    surfaces = nearest_voxel(state == SEEN, VOXELS)
    assert np.array_equal(find_core(probability, state, surfaces, VOXELS, 0.5, "all"), block())
