"""What a removal takes along: a shadow with nothing solid behind it, but no part of a table, of a neighbour or of a long shadow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from tiny_run import clear_field, ring, tiny_model
from torch import Tensor, nn

from blending_nerf_ns.bases.base import Base, BaseRender, BaseSamples, Proposal
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.region import region_from_probability
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN, RegionShape
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.localization import clearing
from blending_nerf_ns.localization.clearing import (
    Strangeness,
    clear_region,
    strangeness,
    takes_along,
)
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.views import FrozenScene
from blending_nerf_ns.rendering.compositing import render_weights
from blending_nerf_ns.training import preparing
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.preparing import clear_place
from blending_nerf_ns.training.team import Team

FLOOR, SHADE, GREEN, RED = 0.5, 0.2, (0.1, 0.7, 0.1), (0.8, 0.1, 0.1)
RADIUS, HEIGHT = 0.2, 0.15
SHADOW = 0.23
"""Radius of the cylinder's shadow: a little more than its own."""
THICK = 0.04
"""Of floor and shadow."""


# -- the measure ------------------------------------------------------------------------------------------------------


def row(*grays: float) -> Tensor:
    """A picture of one line."""
    return torch.tensor(grays)[None, :, None].expand(1, len(grays), 3)


#                    floor      object          its place      floor
BEFORE = row(FLOOR, FLOOR, SHADE, 0.9, 0.9, SHADE, FLOOR, FLOOR)
RIM = row(FLOOR, FLOOR, SHADE, FLOOR, FLOOR, SHADE, FLOOR, FLOOR)
CLEAR = row(*[FLOOR] * 8)


def flat(picture: Tensor) -> Tensor:
    """One depth for all of it."""
    return torch.ones(picture.shape[:2])


def test_what_stands_in_front_says_nothing_of_what_is_behind() -> None:
    """A red ball before half of a shadow: of the other half the floor says what it should look like."""
    red = torch.tensor([False, False, False, True, True, False, False, False])[:, None] * torch.tensor(RED)
    before, left, taken = (
        torch.where(red > 0, red, picture)
        for picture in (
            row(0.9, 0.9, SHADE, SHADE, SHADE, SHADE, SHADE, FLOOR),
            row(FLOOR, FLOOR, SHADE, SHADE, SHADE, SHADE, SHADE, FLOOR),
            row(*[FLOOR] * 8),
        )
    )
    depth = torch.ones(1, 8)
    assert len(strangeness(before, left, taken, depth).spared) == 3
    depth[:, 3:5] = 0.9
    found = strangeness(before, left, taken, depth)
    assert len(found.spared) == 1 and found.clearer


@pytest.mark.parametrize(
    ("before", "spared", "taken", "clearer"),
    [
        (BEFORE, RIM, CLEAR, True),
        (BEFORE, RIM + 0.4 * (RIM == SHADE) * torch.tensor([1.0, 0.0, 0.0]), CLEAR, False),  # something red
        (BEFORE, RIM + 0.7 * (RIM == SHADE), CLEAR, False),  # something bright
        (BEFORE, RIM, row(FLOOR, FLOOR, 0.0, FLOOR, FLOOR, 0.0, FLOOR, FLOOR), False),  # holes in a table
        (  # a neighbour, of which a part would go
            row(FLOOR, FLOOR, 0.9, 0.9, 0.7, 0.7, 0.7, FLOOR),
            row(FLOOR, FLOOR, FLOOR, FLOOR, 0.7, 0.7, 0.7, FLOOR),
            row(FLOOR, FLOOR, FLOOR, FLOOR, FLOOR, 0.7, 0.7, FLOOR),
            False,
        ),
        (  # a shadow that goes on
            row(FLOOR, FLOOR, 0.9, 0.9, SHADE, SHADE, SHADE, SHADE, FLOOR),
            row(FLOOR, FLOOR, FLOOR, FLOOR, SHADE, SHADE, SHADE, SHADE, FLOOR),
            row(FLOOR, FLOOR, FLOOR, FLOOR, FLOOR, SHADE, SHADE, SHADE, FLOOR),
            False,
        ),
        (BEFORE, CLEAR, CLEAR, False),  # nothing to gain
        (BEFORE, RIM, row(*[0.4] * 8), False),  # nothing is left alone, so nothing says what it should look like
    ],
)
def test_what_is_clearer(before: Tensor, spared: Tensor, taken: Tensor, clearer: bool) -> None:
    assert strangeness(before, spared, taken, flat(before)).clearer == clearer


def test_distances_from_the_nearest_untouched_pixel_by_hand() -> None:
    found = strangeness(BEFORE, RIM, row(FLOOR, FLOOR, 0.4, FLOOR, FLOOR, 0.7, FLOOR, FLOOR), flat(RIM))
    assert found.spared.tolist() == pytest.approx([0.3, 0.3]) and found.taken.tolist() == pytest.approx([0.1, 0.2])
    assert found.shade.tolist() == pytest.approx([0.0, 0.0], abs=1e-6), "gray, and 0.4 times as bright"
    red = RIM + 0.3 * (RIM == SHADE) * torch.tensor([1.0, 0.0, 0.0])
    # 0.5, 0.2, 0.2 comes closest to gray in 0.3, which is 0.2, 0.1 and 0.1 away
    assert strangeness(BEFORE, red, CLEAR, flat(red)).shade.tolist() == pytest.approx([0.4 / 3] * 2)


def test_half_as_far_and_few_pixels_spoilt() -> None:
    tenth = Strangeness(torch.full((10,), 0.2), torch.tensor([0.05] * 9 + [0.3]), torch.full((10,), 0.05))
    assert tenth.clearer
    assert not tenth._replace(taken=torch.tensor([0.0] * 8 + [0.3] * 2)).clearer, "a fifth of them is spoilt"
    assert not tenth._replace(taken=torch.full((10,), 0.11)).clearer, "more than half as far"
    assert not tenth._replace(shade=torch.tensor([0.0] * 9 + [0.08])).clearer, "a tenth of it is no shadow"
    twentieth = Strangeness(torch.full((20,), 0.2), torch.full((20,), 0.05), torch.tensor([0.0] * 19 + [0.2]))
    assert twentieth.clearer


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1))
def test_nothing_is_clearer_than_itself(grays: list[float], object_gray: float) -> None:
    after, before = row(*grays), row(object_gray, *grays[1:])
    found = strangeness(before, after, after, flat(after))
    assert len(found.spared) == 0 and not found.clearer


# -- a cylinder on a floor --------------------------------------------------------------------------------------------


def beside_it(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Where a thin red block stands, on the shadow."""
    return (x > RADIUS + 0.015) & (x < RADIUS + 0.035) & (y.abs() < 0.08) & (z > 0.0) & (z < HEIGHT)


class CylinderOnFloor(nn.Module):
    """A green cylinder and its shadow, a slab; on a floor that is the background or, where it is solid, a plate over a black void."""

    contracted = False
    grid_box = (torch.full((3,), -1.0), torch.full((3,), 1.0))

    def __init__(self, solid: bool, beside: bool, shadow: float, plate: float) -> None:
        super().__init__()
        self.solid, self.beside, self.radius, self.floor = solid, beside, shadow, plate

    def to_grid(self, points: Tensor) -> Tensor:
        return points

    def at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Density and colour."""
        height, from_axis = points[..., 2], points[..., :2].norm(dim=-1)
        cylinder = (height > 0.0) & (height < HEIGHT) & (from_axis < RADIUS)
        slab = (height < 0.0) & (height > -THICK)
        shadow, floor = slab & (from_axis < self.radius), slab & (from_axis < self.floor) & self.solid
        gray = torch.where(shadow, SHADE, FLOOR)[..., None].expand(*points.shape)
        block = beside_it(*points.unbind(-1)) & self.beside
        rgb = torch.where(cylinder[..., None], torch.tensor(GREEN), gray)
        return 300.0 * (cylinder | shadow | floor | block), torch.where(block[..., None], torch.tensor(RED), rgb)

    def samples(self, rays: RayBundle) -> BaseSamples:
        edges = torch.linspace(0.0, 4.0, 321).expand(len(rays), -1)
        middles = 0.5 * (edges[:, 1:] + edges[:, :-1])
        density, rgb = self.at(rays.origins[:, None] + middles[..., None] * rays.directions[:, None])
        return BaseSamples(edges, density, rgb, torch.full((len(rays), 3), 0.0 if self.solid else FLOOR))

    def render(self, rays: RayBundle) -> BaseRender:
        rays.nears, rays.fars = torch.zeros(len(rays), 1), torch.full((len(rays), 1), 4.0)
        samples = self.samples(rays)
        weights = render_weights(samples.density, samples.edges.diff(dim=-1))
        accumulation = weights.sum(-1, keepdim=True)
        rgb = (weights[..., None] * samples.rgb).sum(1) + (1 - accumulation) * samples.background
        middles = 0.5 * (samples.edges[:, 1:] + samples.edges[:, :-1])
        depth = (weights * middles).sum(-1, keepdim=True) / accumulation.clamp_min(1e-6)
        outputs = {"rgb": rgb, "depth": depth, "accumulation": accumulation}
        return BaseRender(samples, outputs, Proposal(samples.edges, samples.density, samples.background))

    def resample(self, rays: RayBundle, proposal: Proposal, kept: Callable[[Tensor], Tensor]) -> BaseSamples:
        return self.samples(rays)  # everywhere, so behind what is gone as well


def removing(solid: bool, beside: bool = False, shadow: float = SHADOW, plate: float = 1.0) -> EditTraining:
    """Of the cylinder, whose region is known; nothing is removed yet. Shadow and solid floor have these radii."""
    model, side = tiny_model(contracted=False), 48
    model.base = CylinderOnFloor(solid, beside, shadow, plate)  # type: ignore[assignment]
    model.edit.info = replace(model.edit.info, operations=("remove",))
    clear_field(model.edit)
    line = (torch.arange(side) + 0.5) / side * 1.2 - 0.6
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    from_axis = torch.hypot(x, y)
    cylinder, slab = (z > -0.013) & (z < HEIGHT + 0.013) & (from_axis < RADIUS), (z < 0.0) & (z > -THICK)
    state = torch.full((side,) * 3, FREE, dtype=torch.uint8)
    state[slab & (from_axis < (plate if solid else shadow))] = SEEN
    state[slab & (from_axis < RADIUS)] = HIDDEN
    state[cylinder | (beside_it(x, y, z) & beside)] = SEEN
    region = region_from_probability(
        cylinder.float(), state, torch.full((3,), -0.6), torch.full((3,), 0.6), RegionShape(soft_edge=0.03)
    )
    model.edit.region = region
    model.edit.fit_field_to_region()
    config = GuidanceConfig(image_size=32, views=6, crops=2)
    return EditTraining(
        config, model, ring(6, 32), load_clip("embedded"), "a green cylinder", "an empty floor", 0, Team()
    )


def removed(editing: EditTraining) -> Tensor:
    """The pool's first view of the removal."""
    editing.model.edit.field.start_from_removal()
    return editing.picture(editing.pool[0])


@pytest.mark.parametrize("shadow", [SHADOW, 0.4], ids=["a rim", "twice as wide as the object"])
def test_a_shadow_on_a_floor_that_is_background_goes_with_what_threw_it(shadow: float) -> None:
    editing = removing(solid=False, shadow=shadow)
    model = editing.model
    margin = model.edit.region.shape.margin
    assert clear_place(editing, RegionConfig())
    shape = model.edit.region.shape
    assert shape.attached and not shape.margin_over_surfaces and shape.margin == margin
    assert model.edit.field.untouched, "nothing was removed yet"
    assert torch.equal(model.edit.field.lower, model.edit.region.bounds()[0]), "the field is where the region is now"
    assert float((removed(editing) - FLOOR).abs().mean()) < 1e-3, "only floor is left"
    clear_field(model.edit)
    model.make_room(attached=False)
    assert float((removed(editing) - FLOOR).abs().mean()) > 1e-2, "spared, it is dark around nothing"


def test_a_shadow_that_goes_on_out_of_sight_stays_whole() -> None:
    editing = removing(solid=False, shadow=0.65)  # the region's grid ends at 0.6
    before = editing.model.edit.region.weight.clone()
    assert not clear_place(editing, RegionConfig())
    assert torch.equal(editing.model.edit.region.weight, before)


def test_a_solid_floor_stays() -> None:
    editing = removing(solid=True)
    before = editing.model.edit.region.weight.clone()
    assert not clear_place(editing, RegionConfig())
    assert torch.equal(editing.model.edit.region.weight, before)


def test_a_plate_under_it_that_is_a_hole_without_stays() -> None:
    """It ends within the grid, but what is behind it is black."""
    editing = removing(solid=True, plate=0.45)
    before = editing.model.edit.region.weight.clone()
    assert not clear_place(editing, RegionConfig())
    assert torch.equal(editing.model.edit.region.weight, before)
    editing.model.make_room(attached=True)
    assert not torch.equal(editing.model.edit.region.weight, before), "there was something to take"


def test_what_stands_beside_it_stays_even_where_nothing_would_be_left_of_it() -> None:
    editing = removing(solid=False, beside=True)
    assert not clear_place(editing, RegionConfig())
    seen = removed(editing)
    assert bool(((seen - torch.tensor(RED)).abs().amax(-1) < 0.1).any())


def test_a_second_look_is_from_where_the_first_was(monkeypatch: pytest.MonkeyPatch) -> None:
    editing, poses, whole = removing(solid=False, shadow=0.4), [], preparing.clear_surroundings

    def noting(base: Base, edit: Edit, cameras: Cameras, *sizes: int) -> bool:
        poses.append(cameras.camera_to_worlds)
        return whole(base, edit, cameras, *sizes)

    monkeypatch.setattr(preparing, "clear_surroundings", noting)
    assert clear_place(editing, RegionConfig())
    weight = editing.model.edit.region.weight.clone()
    assert editing.pool[0].index == 0  # which aims at the region of now
    assert not torch.equal(editing.pool.cameras.camera_to_worlds[0], poses[0][0]), "a wider one"
    assert clear_place(editing, RegionConfig())
    assert torch.equal(editing.model.edit.region.weight, weight)
    assert torch.equal(*poses)


def test_a_region_that_no_edit_holds_takes_the_same_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "CLEARING_SIZE", 32)
    editing = removing(solid=False, shadow=0.4)
    base, region = editing.model.base, editing.model.edit.region
    before = region.weight.clone()
    assert clear_region(FrozenScene(base, ring(6, 32)), region) and region.shape.attached
    assert int((region.weight > 0).sum()) > int((before > 0).sum()), "the shadow, which is wider"
    solid = removing(solid=True)
    before = solid.model.edit.region.weight.clone()
    assert not clear_region(FrozenScene(solid.model.base, ring(6, 32)), solid.model.edit.region)
    assert torch.equal(solid.model.edit.region.weight, before)


def test_an_interrupt_leaves_the_region_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    editing, looks = removing(solid=False), []
    before = editing.model.edit.region.weight.clone()

    def interrupted(*pictures: Tensor) -> Strangeness:
        looks.append(pictures)
        if len(looks) > 3:  # before all are seen
            raise KeyboardInterrupt
        return strangeness(*pictures)

    monkeypatch.setattr(clearing, "strangeness", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clear_place(editing, RegionConfig())
    assert torch.equal(editing.model.edit.region.weight, before) and editing.model.edit.field.untouched


def test_who_looks_what_it_takes_along() -> None:
    assert takes_along(RegionConfig(), ["remove"])
    assert not takes_along(RegionConfig(), ["remove", "add"]), "what is added stands there"
    for said in (RegionConfig(margin_over_surfaces=False), RegionConfig(margin_over_surfaces=True)):
        assert not takes_along(said, ["remove"])
    assert not takes_along(RegionConfig(source="file"), ["remove"]), "cut as the file says"
