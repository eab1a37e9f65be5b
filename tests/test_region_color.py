"""Where colours may change: on the object alone, or in its margin, too."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_region import UNIT, random_evidence, seen_block

from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.edits.intersection import RegionIntervals
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import load_region, save_region

WIDE = RegionShape(margin=0.3, soft_edge=0.05, change_in_margin=False)
LINE = torch.stack([torch.linspace(0.0, 1.0, 33), torch.full((33,), 0.5), torch.full((33,), 0.5)], dim=-1)
"""Through the block of `seen_block`, which lies from 0.375 to 0.625 along each axis."""


def test_by_hand():
    region = region_from_probability(*seen_block(), *UNIT, WIDE)
    assert not region.changes_everywhere
    # the margin is 0.3 of a diagonal of 0.43: two voxels of 1/16; the soft edge of 0.02 is less than one
    in_margin, on_object = torch.tensor([[0.29, 0.5, 0.5]]), torch.tensor([[0.5, 0.5, 0.5]])
    assert (float(region.weight_at(in_margin)), float(region.color_weight_at(in_margin))) == (1.0, 0.0)
    assert (float(region.weight_at(on_object)), float(region.color_weight_at(on_object))) == (1.0, 1.0)
    narrow = region_from_probability(*seen_block(), *UNIT, WIDE.of_object)
    assert torch.equal(region.color_weight_at(LINE), narrow.weight_at(LINE)), "that of the region without a margin"


@pytest.mark.parametrize("shape", [WIDE._replace(change_in_margin=True), WIDE.of_object])
def test_where_there_is_no_difference_both_are_the_same(shape):
    region = region_from_probability(*seen_block(), *UNIT, shape)
    assert region.changes_everywhere
    assert torch.equal(region.color_weight_at(LINE), region.weight_at(LINE))


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1), st.floats(0, 0.5), st.floats(0, 0.3), st.sampled_from(["all", "up", "box"]))
def test_colours_change_nowhere_more_than_the_region_allows(seed, margin, soft, direction):
    probability, state = (torch.from_numpy(grid) for grid in random_evidence(seed))
    shape = RegionShape(0.5, margin, soft, grow=direction, change_in_margin=False)
    region = region_from_probability(probability, state, *UNIT, shape)
    points = torch.rand(2000, 3)
    assert (region.color_weight_at(points) <= region.weight_at(points)).all()
    assert region.color_weight.max() == 1.0


@pytest.mark.parametrize("soft", [0.05, 0.4])
def test_a_field_recolours_the_object_and_not_its_margin(soft):
    torch.manual_seed(0)
    shape = WIDE._replace(soft_edge=soft)
    field = EditField(EditFieldConfig(num_levels=2, base_res=4, max_res=8, log2_hashmap_size=8))
    edits = [
        Edit(region_from_probability(*seen_block(), *UNIT, shape._replace(change_in_margin=everywhere)), field)
        for everywhere in (True, False)
    ]
    edges = torch.linspace(0.0, 1.0, 34)[None]
    weight = edits[0].region.weight_at(LINE)
    intervals = RegionIntervals(torch.tensor([0]), edges, LINE[None], weight[None])
    with torch.no_grad():
        free, bound = (edit.evaluate(intervals, torch.tensor([[1.0, 0.0, 0.0]])) for edit in edits)
    for name in ("density", "rgb", "density_ratio", "region"):
        assert torch.equal(getattr(free, name), getattr(bound, name)), f"its {name} knows of no such bound"
    colored = edits[1].region.color_weight_at(LINE)
    expected = colored * free.color_ratio[0]
    torch.testing.assert_close((bound.region * bound.color_ratio)[0], expected)
    if soft > 0.1:  # both fade there, one before the other
        assert int(((weight > 0.0) & (weight < 1.0) & (colored > 0.0) & (colored < weight)).sum()) >= 1
        return
    margin = (weight == 1.0) & (colored == 0.0)
    assert int(margin.sum()) >= 4 and (free.color_ratio[0][margin] > 0.0).all()
    assert (bound.color_ratio[0][margin] == 0.0).all()


def test_a_region_of_before_changes_everywhere_and_a_file_says_what_it_does(tmp_path):
    region = region_from_probability(*seen_block(), *UNIT, WIDE)
    stored = region.state_dict()
    old = {name: value for name, value in stored.items() if name != "color_weight"}
    loaded = Region(16)
    loaded.load_state_dict(of_any_age({**old, "settings": stored["settings"][:7]}))
    assert loaded.shape.change_in_margin and loaded.changes_everywhere
    assert torch.equal(loaded.weight, region.weight)
    loaded.reshape()
    assert loaded.changes_everywhere, "nor does it once it was cut anew"
    save_region(region, tmp_path / "region.safetensors")
    assert torch.equal(load_region(tmp_path / "region.safetensors").color_weight, region.color_weight)


SPARED = {"margin_over_surfaces": False, "grow": "all", "attached": False}


def test_operations_decide_unless_the_user_or_a_file_does():
    assert not RegionConfig().shape().change_in_margin
    assert RegionConfig().room_for(["add", "change"]) == {**SPARED, "margin": 0.05, "change_in_margin": False}
    assert RegionConfig(margin=0.2).room_for(["change"]) == {**SPARED, "change_in_margin": True}, (
        "a margin to be recoloured"
    )
    assert RegionConfig(change_in_margin=True).room_for(["add", "change"]) == {**SPARED, "margin": 0.05}
    assert RegionConfig(source="file").room_for(["change"]) == {}
    over = RegionConfig(margin_over_surfaces=True)
    assert "margin_over_surfaces" not in over.room_for(["remove"])
    assert over.shape().change_in_margin, "a table that is taken along is to be recoloured"
    assert over.room_for(["add", "change"])["change_in_margin"]


def test_what_may_take_an_objects_place_has_room_for_another_shape() -> None:
    assert RegionConfig().shape().grow == "all"
    assert RegionConfig().room_for(["add", "remove", "change"])["grow"] == "box"
    assert RegionConfig().room_for(["remove", "change"])["grow"] == "all"
    assert "grow" not in RegionConfig(grow="all").room_for(["add", "remove"]), "the user said it"
    assert RegionConfig(grow="up").shape().grow == "up"
