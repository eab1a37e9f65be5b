"""A solid that the user placed claims the air in it: what views see there, and what an addition does with it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Optional

import pytest
import torch
from tiny_run import clear_field, ring, tiny_model

from blending_nerf_ns.demo.capture import demo_capture_scene
from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.seeds import seeds_beside
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN, RegionShape
from blending_nerf_ns.edits.soft_solid import Seed
from blending_nerf_ns.edits.solids import oriented_box, region_from_solid, sphere
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.procedural.base import ProceduralBase
from blending_nerf_ns.training import beginning
from blending_nerf_ns.training.beginning import Place, choose_start, solids_to_try
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.placed import is_empty, look_into, placed_solids
from blending_nerf_ns.training.team import Team

FLOOR = replace(demo_capture_scene(), things=())
HALF = 0.3
"""Half the side of the box that is placed."""


def region_of_box(bottom: float) -> Region:
    """A box on or above the floor, or reaching into it."""
    box = oriented_box([0.0, 0.0, bottom + HALF], [2 * HALF] * 3)
    return region_from_solid(box, (torch.full((3,), -2.5), torch.full((3,), 2.5)), contracted=False, resolution=48)


def seen_in(region: Region) -> torch.Tensor:
    """By six cameras around a floor with nothing on it."""
    base, cameras, views = ProceduralBase(FLOOR), ring(6, 64, radius=2.0), []
    cameras.camera_to_worlds[:, 2, 3] += 0.3
    for index in range(6):
        rays = cameras.generate_rays(camera_indices=index).flatten()
        views.append(SimpleNamespace(rays=rays, base=base.render(rays).samples, num_rays=len(rays)))
    return look_into(region, base, views)


@pytest.mark.parametrize(
    "solid", [oriented_box([0.1, 0.0, 0.0], [0.5, 0.4, 0.6], [20.0, 0.0, 30.0]), sphere([0.0, 0.1, 0.0], 0.3)]
)
def test_a_solid_that_was_placed_is_told_from_what_views_found(solid) -> None:
    region = region_from_solid(solid, (torch.full((3,), -1.0), torch.ones(3)), contracted=False, resolution=48)
    placed, core = placed_solids(region), region.probability == 1.0
    assert not bool((placed & ~core).any()) and int(placed.sum()) >= 0.98 * int(core.sum())


def test_surfaces_that_views_found_were_not_placed() -> None:
    probability, state = torch.zeros(40, 40, 40), torch.full((40, 40, 40), FREE, dtype=torch.uint8)
    state[10:30, 10:30, 10:30], probability[10:30, 10:30, 10:30] = SEEN, 0.9
    state[14:26, 14:26, 14:26] = HIDDEN  # a shell of four voxels, as a base of few steps has them
    region = region_from_probability(probability, state, -torch.ones(3), torch.ones(3), RegionShape())
    assert not bool(placed_solids(region).any())


def test_what_stands_on_the_floor_is_told_from_air() -> None:
    for bottom, empty in ((0.2, True), (-0.1, False)):
        region = region_of_box(bottom)
        solid, seen = placed_solids(region), seen_in(region)
        assert is_empty(solid, seen) is empty, bottom
        free = solid & (seen == FREE)
        assert float(free.sum() / solid.sum()) == pytest.approx(1.0 if empty else 5 / 6, abs=0.1)


def test_a_ball_has_the_air_in_a_box_and_stands_on_what_is_in_it() -> None:
    region = region_of_box(-0.1)
    solid, seen = placed_solids(region), seen_in(region)
    ball, *_ = seeds_beside(region, air=solid & (seen == FREE))
    radius, bottom = float(ball.radii[0]), float(ball.center[2] - ball.radii[2])
    assert 0.6 * HALF < radius <= HALF and abs(bottom) < 0.05
    assert float(ball.center[:2].abs().max()) + radius < HALF + 0.03
    before, *_ = seeds_beside(region)
    assert float(before.radii[0]) < 0.2 * HALF, "without it there is the margin alone"


def test_no_ray_tells_nothing() -> None:
    region = region_of_box(0.0)
    assert bool((look_into(region, ProceduralBase(FLOOR), []) == HIDDEN).all())


@pytest.mark.parametrize("operations", [("add",), ("add", "remove")])
def test_what_may_only_add_fills_a_box_in_the_air(operations: tuple[str, ...]) -> None:
    model = tiny_model(operations=operations)
    clear_field(model.edit)
    guided = GuidanceConfig(image_size=24, views=4, crops=2)

    def training() -> EditTraining:
        return EditTraining(
            guided, model, ring(4, 24), load_clip("embedded"), "an empty floor", "a red ball", 0, Team()
        )

    with torch.no_grad():
        fog = {place.where for place in solids_to_try(training())}
        assert fog == {"beside the object"} | ({"in its place"} if "remove" in operations else set())
        model.base.field.average_init_density = 0.0
        places = solids_to_try(training())
        half = 0.25
        assert {place.where for place in places} == {"where nothing is"}
        assert all(float(place.seed.radii.amin()) > 0.6 * half for place in places)
    words = choose_start(training())
    assert "where nothing is" in words and model.edit.field.has_seed
    assert model.edit.field.starts_removed is ("remove" in operations)


# -- a box around, on, and over an object ---------------------------------------------------------------------------


def asked(
    region: Region, seen: torch.Tensor, operations: tuple[str, ...], monkeypatch
) -> tuple[set[str], Optional[torch.Tensor], list[Place]]:
    """Where solids are tried, the air that the ones beside the object are told of, and the solids."""
    told: list[Optional[torch.Tensor]] = []

    def beside(region: Region, shown: object, air: Optional[torch.Tensor]) -> list[Seed]:
        told.append(air)
        return seeds_beside(region, None, air)

    monkeypatch.setattr(beginning, "look_into", lambda *_: seen)
    monkeypatch.setattr(beginning, "seeds_beside", beside)
    monkeypatch.setattr(beginning, "shown_by_photos", lambda *_: None)
    edit = SimpleNamespace(region=region, info=SimpleNamespace(operations=operations))
    editing = SimpleNamespace(model=SimpleNamespace(edit=edit, unedited=None), pool=[])
    places = solids_to_try(editing)  # type: ignore[arg-type]
    (air,) = told
    return {place.where for place in places}, air, places


def test_in_a_box_around_an_object_only_what_may_add_alone_has_the_air_beside_it(monkeypatch) -> None:
    region = region_of_box(0.0)
    solid, seen = placed_solids(region), torch.full_like(region.state, FREE)
    seen[: seen.shape[0] // 2] = SEEN
    where, air, _ = asked(region, seen, ("add",), monkeypatch)
    assert where == {"beside the object"} and air is not None
    assert bool(air.any()) and torch.equal(air, solid & (seen == FREE))
    where, air, _ = asked(region, seen, ("add", "remove"), monkeypatch)
    assert "in its place" in where and air is None


@pytest.mark.parametrize("operations", [("add",), ("add", "remove")])
def test_a_box_in_the_air_over_an_object_that_was_found_is_room_and_no_object(monkeypatch, operations) -> None:
    """`text | box`: a hat on a head. The whole of it was taken for nothing, and a solid for head and box tried in their place; what is in
    the head's place is no larger than the head."""
    probability, state = torch.zeros(40, 40, 40), torch.full((40, 40, 40), FREE, dtype=torch.uint8)
    seen = state.clone()
    for part in (state, seen):
        part[4:20, 10:30, 10:30], part[6:18, 12:28, 12:28] = SEEN, HIDDEN
    state[22:36, 10:30, 10:30] = SEEN
    probability[(state == SEEN)] = 1.0
    region = region_from_probability(probability, state, -torch.ones(3), torch.ones(3), RegionShape())
    where, air, places = asked(region, seen, operations, monkeypatch)
    assert where == {"beside the object"} | ({"in its place"} if "remove" in operations else set())
    head = -0.8, 0.0  # z of its bottom and top: voxels 4 to 20 of 40 in [-1, 1]
    for seed in (place.seed for place in places if place.instead):
        low, high = float(seed.center[2] - seed.radii[2]), float(seed.center[2] + seed.radii[2])
        assert head[0] - 0.01 < low and high < head[1] + 0.01, (low, high)
    ball, *_ = seeds_beside(region, None, air)
    assert float(ball.center[2]) > 0.0 and float(ball.radii[0]) > 0.2, "in the box"
