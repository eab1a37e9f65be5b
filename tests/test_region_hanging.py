"""What would be left hanging in the air belongs to the object; its ground, its hat and what stands beside it do not."""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray
from test_region import core_of

from blending_nerf_ns.edits.components import with_hanging
from blending_nerf_ns.edits.shape import FREE, SEEN, TIP, UNSURE

THRESHOLD = 0.5
DOUBTED, DENIED = 0.3, 0.1
"""Above and below UNSURE of the threshold."""
Place = Tuple[slice, slice, slice]


def toy() -> Tuple[ndarray, ndarray]:
    """A rod of 20 layers, five voxels a side, on a table of which the localiser knows well: its lowest layer is 6."""
    state = np.full((48, 32, 32), FREE, dtype=np.uint8)
    state[4:6] = SEEN  # the table, up to the grid's edge
    state[6:26, 13:18, 13:18] = SEEN
    probability = np.zeros(state.shape)
    probability[6:26, 13:18, 13:18] = 0.9
    return probability, state


def with_piece(place: Place, believed: float) -> Tuple[ndarray, ndarray, ndarray]:
    """The toy and more surfaces, of which a localiser believes so much; and where they are."""
    probability, state = toy()
    piece = np.zeros(state.shape, dtype=bool)
    piece[place] = True
    piece &= state == FREE
    state[piece], probability[piece] = SEEN, believed
    return probability, state, piece


EAR = (slice(20, 24), slice(15, 16), slice(18, 22))
PIECES: Dict[str, Tuple[Place, float, bool]] = {
    "the tip of an ear": (EAR, DOUBTED, True),
    "what the localiser denies: a hat": (EAR, DENIED, False),
    "what does not touch it": ((EAR[0], EAR[1], slice(21, 25)), DOUBTED, False),
    "a tenth of the surfaces and more: a hat that is mistaken for it": (
        (slice(26, 28), slice(10, 21), slice(13, 18)),
        DOUBTED,
        False,
    ),
    "what is left over near the foot: a fleck of the table": ((slice(7, 9), EAR[1], EAR[2]), DOUBTED, False),
    "what reaches down to the foot": ((slice(7, 24), EAR[1], slice(18, 20)), DOUBTED, False),
    "what hangs together with something else": ((slice(6, 24), EAR[1], slice(18, 20)), DOUBTED, False),
    "what goes on out of sight": ((EAR[0], EAR[1], slice(18, 32)), DOUBTED, False),
}


def shell_of(probability: ndarray, state: ndarray) -> ndarray:
    """What is sure of an object, with what hangs on it."""
    seen = state == SEEN
    return with_hanging(seen & (probability >= THRESHOLD), seen, probability, UNSURE * THRESHOLD)


@pytest.mark.parametrize("name", PIECES)
def test_by_hand(name: str) -> None:
    place, believed, taken = PIECES[name]
    probability, state, piece = with_piece(place, believed)
    assert piece.any()
    alone = probability >= THRESHOLD
    assert np.array_equal(shell_of(probability, state), alone | piece if taken else alone)


@pytest.mark.parametrize(("rest", "taken"), [(0.26, False), (0.28, True)])
def test_it_goes_by_the_mean(rest: float, taken: bool) -> None:
    probability, state, piece = with_piece(EAR, rest)
    probability[EAR[0], EAR[1], 21] = 0.0  # its end, a quarter of it, is denied: 0.2 is needed in the mean
    shell = shell_of(probability, state)
    assert shell[piece].all() == shell[piece].any() == taken


def test_of_two_parts_each_has_a_foot_of_its_own() -> None:
    """On a shelf high above the toy a part of its own: what is left near that one's foot is the shelf's."""
    probability, state = toy()
    state[30:46, 13:18, 2:7], probability[30:46, 13:18, 2:7] = SEEN, 0.9
    low, high = (slice(30, 32), slice(15, 16), slice(7, 10)), (slice(40, 42), slice(15, 16), slice(7, 10))
    for place in (low, high):
        state[place], probability[place] = SEEN, DOUBTED
    shell = shell_of(probability, state)
    assert not shell[low].any() and shell[high].all()


@pytest.mark.parametrize(("long", "taken"), [(TIP, True), (TIP + 1, False)])
def test_a_core_has_its_tips_as_far_as_they_are_near(long: int, taken: bool) -> None:
    first = slice(18, 19)  # half of what is around that is the toy's anyway
    probability, state, _ = with_piece((EAR[0], EAR[1], first), DOUBTED)
    assert core_of(probability, state)[(EAR[0], EAR[1], first)].all()
    probability, state, piece = with_piece((EAR[0], EAR[1], slice(18, 19 + long)), DOUBTED)
    core = core_of(probability, state)
    assert core[piece].all() == taken


@settings(max_examples=50)
@given(st.integers(0, 2**31 - 1), st.floats(0.01, 1.0), st.floats(0.0, 0.5))
def test_some_surfaces_more_and_never_one_that_touches_another(seed: int, least: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.random((12, 12, 12)) < share
    shell = seen & (rng.random(seen.shape) < 0.5)
    probability = rng.random(seen.shape)
    more = with_hanging(shell, seen, probability, least)
    assert not (shell & ~more).any() and not (more & ~seen).any()
    taken, others = more & ~shell, np.pad(seen & ~more, 1)
    for z, y, x in np.argwhere(taken):
        assert not others[z : z + 3, y : y + 3, x : x + 3].any(), "it touches what stays"
    assert np.array_equal(with_hanging(shell, seen, np.zeros_like(probability), least), shell)
