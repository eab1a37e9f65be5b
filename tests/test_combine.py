"""Regions from several sources: the expression, the voxel rules by hand, and their algebra as properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blending_nerf_ns.edits.region import region_from_probability
from blending_nerf_ns.edits.shape import BARRED, FREE, HIDDEN, SEEN, RegionShape, find_core, nearest_voxel
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.build import left_out
from blending_nerf_ns.localization.combine import SOURCES, Operand, combine, combine_bounds, parse_sources, place_of


def seen(probability: list[float], state: list[int]) -> Operand:
    p = torch.tensor(probability).view(1, 1, -1)
    nothing, body = torch.zeros_like(p, dtype=torch.bool), p >= 0.5
    return Operand(p, torch.tensor(state, dtype=torch.uint8).view(1, 1, -1), nothing, body)


def solid(inside: list[int]) -> Operand:
    mask = torch.tensor(inside).view(1, 1, -1).bool()
    return Operand(mask.float(), None, mask, mask)


TEXT = seen([0.9, 0.8, 0.0, 0.0, 0.0], [SEEN, SEEN, SEEN, FREE, HIDDEN])
BOX = solid([1, 0, 0, 1, 0])
SPHERE = solid([0, 0, 0, 1, 1])


def result(expression: str) -> tuple[list[float], list[int]]:
    probability, state = combine(parse_sources(expression), {"text": TEXT, "box": BOX, "sphere": SPHERE})
    return [round(p, 6) for p in probability.flatten().tolist()], state.flatten().tolist()


def test_names_and_operators_from_left_to_right() -> None:
    assert parse_sources("text") == [("|", "text")]
    assert parse_sources(" text&box -sphere") == [("|", "text"), ("&", "box"), ("-", "sphere")]


@pytest.mark.parametrize(
    "text", ["", "word", "text &", "& text", "text box", "text + box", "text & text", "text && box"]
)
def test_what_is_not_understood_is_quoted_with_what_there_is(text: str) -> None:
    with pytest.raises(BlendingNerfError, match="is not understood") as error:
        parse_sources(text)
    assert repr(text) in str(error.value) and all(name in str(error.value) for name in SOURCES)


@pytest.mark.parametrize(
    ("expression", "inside"),
    [
        ("text & box", [0, 1, 1, 0]),
        ("text - box", [1, 0, 0, 1]),
        ("box & text", [0, 1, 1, 0]),
        ("box - text", [0, 1, 1, 0]),
        ("box | sphere - text", [0, 1, 1, 1]),
        ("text & box - sphere", [0, 1, 0, 0]),
        ("box - sphere & text", [0, 1, 0, 0]),
        ("text | box & sphere", [0, 0, 1, 1]),
        ("text", None),
        ("text | box", None),
        ("box | text", None),
        ("text & masks", None),
        ("masks & text", None),
        ("masks & box - text", [0, 1, 1, 0]),
        ("box & masks & text", [0, 1, 1, 0]),
        ("masks & box | sphere & text", [0, 1, 1, 1]),
        ("masks | box & text", None),
        ("masks | box - sphere & text", [1, 1, 0, 0]),
    ],
)
def test_where_a_source_counts(expression: str, inside: list[int] | None) -> None:
    points = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    solids = {"box": lambda p: (p[..., 0] - 1.5).abs() < 1.0, "sphere": lambda p: p[..., 0] > 1.5}
    place = place_of(parse_sources(expression), "text", solids)
    if inside is None:
        assert place is None, "everywhere"
    else:
        assert place is not None and place(points).int().tolist() == inside


def test_both_keeps_the_views_states_and_the_smaller_probability() -> None:
    assert result("text & box") == ([0.9, 0.0, 0.0, 0.0, 0.0], [SEEN, BARRED, BARRED, FREE, BARRED])


def test_what_only_one_of_two_seen_objects_has_is_barred() -> None:
    masks = seen([0.9, 0.1, 0.7, 0.0, 0.0], [SEEN, SEEN, SEEN, FREE, HIDDEN])
    for expression in ("text & masks", "masks & text"):
        _, state = combine(parse_sources(expression), {"text": TEXT, "masks": masks})
        assert state.flatten().tolist() == [SEEN, BARRED, BARRED, FREE, HIDDEN]
    _, state = combine(
        parse_sources("text & masks | box"), {"text": TEXT, "masks": masks, "box": solid([0, 1, 0, 0, 0])}
    )
    assert state.flatten().tolist() == [SEEN, SEEN, BARRED, FREE, HIDDEN]


def test_a_little_that_the_masks_rule_out_is_not_taken_back() -> None:
    """A bar that touches nothing: nearly all of it is both sources', and its end is the text's alone."""
    bar = (slice(10, 14), slice(10, 14), slice(4, 60))
    state = torch.full((64, 64, 64), FREE, dtype=torch.uint8)
    state[bar] = SEEN
    text, masks = torch.zeros(2, 64, 64, 64)
    text[bar] = masks[bar] = 0.9
    masks[..., 58:] = 0.0
    nothing = torch.zeros_like(state, dtype=torch.bool)
    operands = {"text": Operand(text, state, nothing, text > 0.5), "masks": Operand(masks, state, nothing, masks > 0.5)}
    core = {}
    for expression in ("text", "text & masks"):
        probability, states = combine(parse_sources(expression), operands)
        grid, surfaces = states.numpy(), nearest_voxel(states.numpy() == SEEN, (1.0, 1.0, 1.0))
        core[expression] = find_core(probability.numpy(), grid, surfaces, (1.0, 1.0, 1.0), 0.5, "all")
    assert core["text"][bar].all() and core["text & masks"][..., :58][bar].all()
    assert not core["text & masks"][..., 58:].any()


def test_either_lets_a_solid_claim_free_and_hidden_space() -> None:
    assert result("text | sphere") == ([0.9, 0.8, 0.0, 1.0, 1.0], [SEEN, SEEN, SEEN, SEEN, SEEN])


def test_a_solid_that_is_lost_as_a_speck_is_told() -> None:
    """What the views say of a large one, and a small one of the user's apart from it."""
    axis = torch.arange(40)
    x, y, z = axis[None, None, :], axis[None, :, None], axis[:, None, None]
    large = (x < 22) & (y < 22) & (z < 22) & (x > 1) & (y > 1) & (z > 1)
    corners = torch.zeros(3), torch.full((3,), 40.0)
    for side, lost in ((3, ["sphere"]), (8, [])):
        small = (x >= 30) & (x < 30 + side) & (y >= 30) & (y < 30 + side) & (z >= 30) & (z < 30 + side)
        operands = {name: Operand(mask.float(), None, mask, mask) for name, mask in (("box", large), ("sphere", small))}
        probability, state = combine(parse_sources("box | sphere"), operands)
        region = region_from_probability(probability, state, *corners, RegionShape(margin=0.0, soft_edge=0.0))
        assert left_out(["sphere"], operands, probability, region) == lost
        # what another source takes away is not lost
        rest = {**operands, "masks": Operand(small.float(), None, small, small)}
        probability, state = combine(parse_sources("box | sphere - masks"), rest)
        region = region_from_probability(probability, state, *corners, RegionShape(margin=0.0, soft_edge=0.0))
        assert left_out(["sphere"], rest, probability, region) == []


def test_but_not_takes_the_solids_inside_away() -> None:
    assert result("text - box") == ([0.0, 0.8, 0.0, 0.0, 0.0], [BARRED, SEEN, SEEN, BARRED, HIDDEN])


def test_solids_alone_know_nothing_of_what_is_hidden() -> None:
    assert result("box | sphere") == ([1.0, 0.0, 0.0, 1.0, 1.0], [SEEN, FREE, FREE, SEEN, SEEN])
    assert result("box - sphere") == ([1.0, 0.0, 0.0, 0.0, 0.0], [SEEN, FREE, FREE, BARRED, BARRED])


def test_a_box_without_what_the_text_names() -> None:
    probabilities, states = result("box - text")
    assert probabilities == [0.0, 0.0, 0.0, 1.0, 0.0] and states == [BARRED, BARRED, SEEN, SEEN, HIDDEN]


def test_what_a_later_source_adds_is_no_longer_barred() -> None:
    probabilities, states = result("text - box | sphere")
    assert states == [BARRED, SEEN, SEEN, SEEN, SEEN] and probabilities == [0.0, 0.8, 0.0, 1.0, 1.0]


def test_what_a_later_source_adds_has_room_around_it() -> None:
    """A voxel beside the text is the box's bar no more; one beside the box still is."""
    operands = {
        "box": solid([1, 1, 0, 0, 0, 0, 0, 0]),
        "sphere": solid([0, 1, 1, 0, 0, 0, 0, 0]),
        "text": seen([0.0] * 6 + [0.9, 0.0], [FREE] * 6 + [SEEN, FREE]),
    }
    _, state = combine(parse_sources("box & sphere | text"), operands)
    assert state.flatten().tolist() == [BARRED, SEEN, BARRED, BARRED, FREE, FREE, SEEN, FREE]
    operands["box"], operands["sphere"] = solid([1, 1, 1, 0, 0, 0, 0, 0]), solid([0, 0, 1, 1, 1, 1, 0, 0])
    _, state = combine(parse_sources("box - sphere | text"), operands)
    assert state.flatten().tolist() == [SEEN, SEEN, BARRED, BARRED, BARRED, BARRED, SEEN, FREE], "taken away by name"


def test_what_is_nearer_is_asked_in_the_scenes_lengths() -> None:
    """A box is seldom a cube, and has as many voxels along each side."""
    one, other = torch.zeros(9, 9, 9, dtype=torch.bool), torch.zeros(9, 9, 9, dtype=torch.bool)
    one[4, 4, 6] = other[8, 4, 4] = True
    placed = Operand(one.float(), None, one, one)
    text = Operand(other.float(), torch.where(other, SEEN, FREE).to(torch.uint8), torch.zeros_like(one), other)
    operands = {"box": placed, "sphere": placed, "text": text}
    for wide, stays_barred in ((1.0, True), (4.0, False)):
        _, state = combine(parse_sources("box & sphere | text"), operands, (1.0, 1.0, wide))
        assert (int(state[4, 4, 4]) == BARRED) == stays_barred


grids = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([HIDDEN, FREE, SEEN]), st.booleans()), min_size=6, max_size=6
)


@given(grids)
def test_intersection_lies_in_both_and_union_holds_both(rows) -> None:
    text, box = seen([p for p, _, _ in rows], [s for _, s, _ in rows]), solid([i for _, _, i in rows])
    operands = {"text": text, "box": box}
    both, either = (combine(parse_sources(f"text {sign} box"), operands)[0] for sign in "&|")
    for one in operands.values():
        assert bool((both <= one.probability).all()) and bool((either >= one.probability).all())
    less = combine(parse_sources("text - box"), operands)[0]
    assert not bool(less[box.claimed].any())
    assert torch.equal(both, combine(parse_sources("box & text"), operands)[0])


def test_bounds() -> None:
    def box(low: float, high: float):
        return torch.full((3,), low), torch.full((3,), high)

    boxes = {"text": box(0.0, 1.0), "box": box(0.5, 2.0), "sphere": box(3.0, 4.0)}
    either, both = (combine_bounds(parse_sources(f"text {sign} box"), boxes) for sign in "|&")
    assert float(either[0][0]) == 0.0 and float(either[1][0]) == 2.0
    assert float(both[0][0]) == 0.5 and float(both[1][0]) == 1.0
    assert float(combine_bounds(parse_sources("text - box"), boxes)[1][0]) == 1.0
    with pytest.raises(BlendingNerfError, match=r"sphere.*does not meet"):
        combine_bounds(parse_sources("text & sphere"), boxes)
