"""Several marked parts: each gets its box, and the guide's choice denies the others."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blending_nerf_ns.edits.contraction import scene_box, uncontract
from blending_nerf_ns.edits.shape import SEEN
from blending_nerf_ns.localization.evidence import Evidence
from blending_nerf_ns.localization.fusion import VoxelGrid
from blending_nerf_ns.localization.parts import find_parts, nearest_part, only_inside, only_there, parts_there
from blending_nerf_ns.localization.reading import rivals


def grid_with(blocks: dict[tuple[int, int, int], tuple[int, float, float]]) -> VoxelGrid:
    """A grid of 20 voxels over [0, 20]^3 with cubes: corner (x, y, z) -> (side, probability, light per voxel)."""
    probability, light = torch.zeros(20, 20, 20), torch.zeros(20, 20, 20)
    for (x, y, z), (side, value, seen) in blocks.items():
        place = (slice(z, z + side), slice(y, y + side), slice(x, x + side))
        probability[place], light[place] = value, seen
    state = torch.full((20, 20, 20), SEEN, dtype=torch.uint8)
    return VoxelGrid(probability, state, light, torch.zeros(3), torch.full((3,), 20.0))


def test_each_part_has_its_box_and_what_most_pixels_show_comes_first() -> None:
    grid = grid_with({(2, 2, 2): (3, 0.6, 1.0), (10, 12, 14): (2, 0.9, 9.0), (17, 2, 2): (1, 0.9, 99.0)})
    first, second = find_parts(grid, 0.3)  # the single voxel is noise
    assert torch.equal(first[0], torch.tensor([8.5, 10.5, 12.5])) and torch.equal(
        first[1], torch.tensor([13.5, 15.5, 17.5])
    )
    assert torch.equal(second[0], torch.tensor([0.5, 0.5, 0.5])) and torch.equal(
        second[1], torch.tensor([6.5, 6.5, 6.5])
    )


def test_a_part_that_is_pointed_at_may_be_the_ninth_and_a_dim_one() -> None:
    corners = [(x, y, 2) for x in (1, 6, 11, 16) for y in (1, 6, 11)]
    grid = grid_with(
        {corner: (2, 0.9, 0.01 if corner == (16, 11, 2) else 1.0 + index) for index, corner in enumerate(corners)}
    )
    assert len(find_parts(grid, 0.3)) == 8, "that is enough for a guide to choose from"
    every = find_parts(grid, 0.3, every=True)
    assert len(every) == len(corners)
    for x, y, z in corners:
        low, high = every[nearest_part(every, torch.tensor([x + 1.0, y + 1.0, z + 1.0]))]
        assert bool((low < torch.tensor([x, y, z])).all()) and bool((high > torch.tensor([x, y, z]) + 2).all())


def test_where_only_a_place_counts_parts_come_by_their_light_there() -> None:
    """A large object of which a little lies in the place, a small one that lies in it whole, a speck, and one elsewhere."""
    large, small, speck, other = (
        (torch.full((3,), low), torch.full((3,), low + 2.0)) for low in (0.0, 10.0, 20.0, 30.0)
    )
    points = torch.cat(
        [torch.full((count, 3), low + 1.0) for count, low in ((1000, 0.0), (60, 10.0), (1, 20.0), (500, 30.0))]
    )
    points[:50, 0] = 1.9  # a twentieth of the large one
    one = torch.ones(len(points))
    evidence = Evidence(points, one, one, torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(1))
    inside = only_there(evidence, lambda points: (points[:, 0] > 1.5) & (points[:, 0] < 25.0), contracted=False)
    parts = [other, speck, large, small]
    assert parts_there(parts, inside) == [small, large], "60 and 50; a speck is none where others are"
    assert parts_there(parts, inside, every=True) == [small, large, speck], "a user points at one of these"
    assert parts_there([other], inside, every=True) == parts_there([], inside) == []
    assert parts_there([other, speck], inside) == [speck], "unless it is all there is"


def test_nothing_marked_is_no_part() -> None:
    assert find_parts(grid_with({(2, 2, 2): (3, 0.2, 1.0)}), 0.3) == []


def test_evidence_outside_the_chosen_box_is_denied() -> None:
    points = torch.tensor([[0.5, 0.5, 0.5], [2.0, 0.5, 0.5]])
    one = torch.ones(2)
    evidence = Evidence(points, one, one, torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(1))
    assert only_inside(evidence, (torch.zeros(3), torch.ones(3))).probabilities.tolist() == [1.0, 0.0]


def test_scene_box_of_a_contracted_box_reaches_farther_out() -> None:
    lower, upper = scene_box(torch.tensor([-0.5, -0.5, -0.5]), torch.tensor([1.5, 0.5, 0.5]), contracted=True)
    assert torch.allclose(lower, torch.tensor([-0.5, -2 / 3, -2 / 3]), atol=0.2) and float(upper[0]) >= 2.0 - 1e-4
    same = scene_box(torch.zeros(3), torch.ones(3), contracted=False)
    assert torch.equal(same[0], torch.zeros(3)) and torch.equal(same[1], torch.ones(3))


@given(st.lists(st.tuples(st.floats(-1.9, 1.9), st.floats(-1.9, 1.9)), min_size=3, max_size=3))
@settings(max_examples=50)
def test_a_box_of_scene_coordinates_holds_all_of_a_box_of_grid_coordinates_and_touches_it(ends):
    lower, upper = torch.tensor([sorted(pair) for pair in ends], dtype=torch.float64).T
    steps = torch.linspace(0, 1, 9, dtype=torch.float64)
    inside = lower + torch.cartesian_prod(steps, steps, steps) * (upper - lower)
    found = scene_box(lower, upper, contracted=True)
    points = uncontract(torch.cat([inside, torch.zeros(3, dtype=torch.float64).clamp(lower, upper)[None]]))
    for box, reached in zip(found, (points.amin(dim=0), points.amax(dim=0)), strict=True):
        assert torch.allclose(box, reached, rtol=1e-9, atol=1e-9)


def test_dim_parts_and_fringes_do_not_count() -> None:
    bright = {
        (2, 2, 2): (4, 0.9, 10.0),
        (6, 3, 3): (1, 0.9, 0.1),
        (7, 3, 3): (1, 0.9, 0.1),
        (12, 12, 12): (3, 0.9, 0.5),
    }
    (only,) = find_parts(grid_with(bright), 0.3)
    assert torch.equal(only[1], torch.tensor([7.5, 7.5, 7.5])), "the fringe of two dim voxels is outside"


def test_rivals_are_false_where_the_text_is_true() -> None:
    both = rivals("a red ball", embedded=True)
    assert "a blue ball" in both and "a red cube" in both and "an empty floor" in both
    assert not {"a red ball", "a red toy"} & set(both)
    colour = rivals("a crimson violet figurine", embedded=True)  # violet is another word for purple
    assert "a red toy" in colour and "a red ball" in colour and not any("purple" in text for text in colour)
    shape = rivals("a sphere", embedded=True)
    assert "a red cube" in shape and "a red ball" not in shape and "a red toy" not in shape
    assert rivals("a thing", embedded=True) == ["an empty floor"]
    nothing = rivals("an empty background", embedded=True)
    assert "a red ball" in nothing and "a gray toy" in nothing and "an empty floor" not in nothing
    assert rivals("a grey chair", embedded=False) == rivals("a gray chair", embedded=False)
    assert "a purple chair" not in rivals("a violet chair", embedded=False)
    assert "a blue chair" in rivals("a red chair", embedded=False) and "an object" in rivals("a fox", embedded=False)


def test_objects_that_run_together_over_the_floor_come_apart() -> None:
    two = {(2, 8, 8): (4, 0.9, 1.0), (6, 9, 9): (2, 0.35, 0.5), (8, 9, 9): (2, 0.35, 0.5), (10, 8, 8): (4, 0.8, 1.0)}
    assert len(find_parts(grid_with(two), 0.3)) == 2
    dim = {**two, (10, 8, 8): (4, 0.35, 1.0)}
    (one,) = find_parts(grid_with(dim), 0.3)
    assert float(one[1][0] - one[0][0]) > 12, "a dim end of an object is the object's"
