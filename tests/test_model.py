"""The model on random fields: identity, exact locality, and gradients to the edit alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox, SceneBox
from tiny_run import rays_towards_middle, region_from_box, tiny_model
from torch.nn.functional import normalize

from blending_nerf_ns.edits.field import EditFieldConfig
from blending_nerf_ns.edits.intersection import intersect_region, ray_box, ray_contracted_box
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.blending import Strengths
from blending_nerf_ns.training.view_pool import ViewPool


@pytest.mark.parametrize("contracted", [True, False])
@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_rays_that_miss_the_region_are_the_base_bit_for_bit(contracted: bool, seed: int) -> None:
    model, rays = tiny_model(contracted, seed), rays_towards_middle(200, seed)
    alone = model.base(rays_towards_middle(200, seed))
    outputs = model(rays)
    missed = torch.ones(200, dtype=torch.bool)
    missed[model.intersect(rays).rays] = False
    assert 20 < int(missed.sum()) < 180, "the test's rays must both meet and miss the region"
    for mine, theirs in (("rgb", "rgb"), ("original", "rgb"), ("depth", "depth"), ("accumulation", "accumulation")):
        assert torch.equal(outputs[mine][missed], alone[theirs][missed]), mine
    assert torch.equal(outputs["original"], alone["rgb"])
    assert not torch.equal(outputs["rgb"][~missed], alone["rgb"][~missed]), "a random edit must show"


@settings(max_examples=15)
@given(
    st.integers(0, 10**6), st.booleans(), st.tuples(*[st.floats(0.0, 1.5)] * 3), st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    st.tuples(*[st.floats(0.1, 0.8)] * 3), st.floats(0.0, 0.3), st.floats(0.0, 0.3),
)  # fmt: skip
@torch.no_grad()
def test_nothing_changes_outside_any_region_whatever_the_field_and_the_strengths(
    seed: int, contracted: bool, strengths: tuple, centre: tuple, size: tuple, margin: float, soft: float
) -> None:
    model = tiny_model(contracted, seed)
    shape = RegionShape(margin=margin, soft_edge=soft)
    place = {"grid_box": model.base.grid_box, "contracted": contracted, "resolution": 24}
    region = region_from_box(centre, size, (20.0, 40.0, seed % 90), shape=shape, **place)
    model.edit.region.load_state_dict(region.state_dict())
    model.edit.fit_field_to_region()
    model.set_strengths(*strengths)
    rays = rays_towards_middle(120, seed)
    alone, outputs = model.base(rays_towards_middle(120, seed)), model(rays)
    missed = torch.ones(120, dtype=torch.bool)
    missed[model.intersect(rays).rays] = False
    for mine, theirs in (("rgb", "rgb"), ("depth", "depth"), ("accumulation", "accumulation")):
        assert torch.equal(outputs[mine][missed], alone[theirs][missed]), mine


@pytest.mark.parametrize("contracted", [True, False])
@torch.no_grad()
def test_all_strengths_zero_give_the_original_without_a_short_cut(contracted: bool) -> None:
    model, rays = tiny_model(contracted), rays_towards_middle(200)
    render = model.base.render(rays)
    met = model.intersect(rays)
    base = render.samples.among(met.rays)
    proposal = render.proposal.among(met.rays)
    pixels, removed = model.blend(rays[met.rays], base, proposal, met, Strengths(0.0, 0.0, 0.0))
    assert float((pixels.rgb - render.outputs["rgb"][met.rays]).abs().max()) <= 1e-5
    assert float((pixels.accumulation - render.outputs["accumulation"][met.rays, 0]).abs().max()) <= 1e-5
    assert float(removed.abs().max()) == 0.0


@torch.no_grad()
def test_the_models_short_cut_at_strength_zero_is_the_original_with_its_depth() -> None:
    model, rays = tiny_model(), rays_towards_middle(100)
    model.set_strengths(0.0, 0.0, 0.0)
    outputs = model(rays)
    alone = model.base(rays_towards_middle(100))
    assert torch.equal(outputs["rgb"], alone["rgb"]) and torch.equal(outputs["depth"], alone["depth"])


@pytest.mark.parametrize("operation", ["add", "remove", "change"])
@torch.no_grad()
def test_an_operation_that_was_not_chosen_does_nothing(operation: str) -> None:
    others = tuple(name for name in ("add", "remove", "change") if name != operation)
    outputs = tiny_model(operations=others)(rays_towards_middle(150))
    amount = {"add": "added", "remove": "removed", "change": "changed"}
    assert float(outputs[amount[operation]].max()) == 0.0
    for other in others:
        assert float(outputs[amount[other]].max()) > 0.0


@torch.no_grad()
def test_a_run_says_what_its_edit_runs_on_for_tomorrow_something_else_may_be_installed() -> None:
    config = replace(tiny_model().config, edit_field=EditFieldConfig(implementation="auto", log2_hashmap_size=6))
    model = config.setup(scene_box=SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3])), num_train_data=2)
    assert model.config.edit_field.implementation == model.edit.field.implementation == "torch"


def test_outputs_are_named_shaped_and_in_range() -> None:
    outputs = tiny_model()(rays_towards_middle(64))
    for name in ("rgb", "original", "edit"):
        assert outputs[name].shape == (64, 3)
    for name in ("region", "added", "removed", "changed", "depth", "accumulation"):
        assert outputs[name].shape == (64, 1)
    for name in set(outputs) - {"depth"}:
        assert float(outputs[name].min()) >= 0.0 and float(outputs[name].max()) <= 1.0 + 1e-6, name


def test_gradients_reach_the_edit_and_never_the_base() -> None:
    model, rays = tiny_model(), rays_towards_middle(100)
    render = model.base.render(rays)
    met = model.intersect(rays)
    base = render.samples.among(met.rays)
    proposal = render.proposal.among(met.rays)
    pixels, removed = model.blend(rays[met.rays], base, proposal, met, Strengths())
    (pixels.rgb.sum() + pixels.edit_rgb.sum() + removed.sum() + pixels.added.sum()).backward()
    for name, parameter in model.edit.field.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().sum()) > 0.0, name
    assert all(parameter.grad is None for parameter in model.base.parameters())


@torch.no_grad()
def test_a_full_removal_shows_what_lies_behind_with_samples_of_its_own() -> None:
    model, rays = tiny_model(operations=("remove",)), rays_towards_middle(200, spread=0.2)
    model.edit.field.shape_head.weight.zero_()
    model.edit.field.shape_head.bias.copy_(torch.tensor([-20.0, 20.0, -20.0]))
    met = model.intersect(rays if model.base.collider is None else model.base.collider(rays))
    outputs = model(rays)
    removed = outputs["removed"][met.rays, 0]
    assert float(removed.max()) > 0.02, "the test's base must have something to remove"
    changed = (outputs["rgb"] - outputs["original"]).abs().amax(dim=-1)[met.rays]
    assert float(changed[removed > 0.02].max()) > 1e-4
    assert float(changed[removed == 0.0].max() if bool((removed == 0.0).any()) else 0.0) <= 1e-5


def test_slab_test_by_hand() -> None:
    origins = torch.tensor([[-2.0, 0.0, 0.0], [-2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    enter, leave = ray_box(origins, directions, torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([1.0, 1.0, 3.0]))
    assert enter[0] == 1.0 and leave[0] == 3.0
    assert leave[1] <= enter[1], "a ray beside the box misses it"
    assert enter[2] == -1.0 and leave[2] == 3.0


@torch.no_grad()
def test_a_box_of_contracted_space_is_found_where_a_slab_test_would_be_wrong() -> None:
    model = tiny_model(contracted=True)
    lower, upper = (
        torch.tensor([1.4, -0.2, -0.2]),
        torch.tensor([1.6, 0.2, 0.2]),
    )  # x from 1 / 0.6 to 1 / 0.4 in the scene
    origins, directions = torch.tensor([[-1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    enter, leave = ray_contracted_box(origins, directions, lower, upper, model.base.to_grid, far=1000.0)
    assert float(enter) <= 1.0 + 1.0 / 0.6 and float(leave) >= 1.0 + 1.0 / 0.4
    assert float(leave - enter) < 3.0, "not the whole ray"
    away = ray_contracted_box(origins, -directions, lower, upper, model.base.to_grid, far=1000.0)
    assert float(away[1]) <= float(away[0])


@pytest.mark.parametrize("distance", [1.0, 8.0, 13.0, 50.0])
@torch.no_grad()
def test_a_camera_far_away_meets_a_region_that_reaches_out_of_the_unit_cube(distance: float) -> None:
    base, centre, some = (
        tiny_model(contracted=True).base,
        torch.tensor([1.0, 0.0, 0.0]),
        torch.Generator().manual_seed(0),
    )
    region = region_from_box(centre.tolist(), (0.2,) * 3, grid_box=base.grid_box, contracted=True, resolution=48)
    assert region.reaches_far
    goals = centre + 0.16 * (torch.rand(500, 3, generator=some) - 0.5)
    origins = (centre + distance * normalize(torch.tensor([-1.0, -0.7, 0.5]), dim=0)).expand_as(goals)
    met = intersect_region(
        region, origins, normalize(goals - origins, dim=-1), base.to_grid, True, 0.05, torch.full((500,), 1000.0), 64
    )
    assert len(met.rays) == 500
    length = met.edges[:, -1] - met.edges[:, 0]
    assert float(length.max()) < 1.5, "and not much more than it"


@pytest.mark.parametrize(("centre", "size"), [(8.0, 3.0), (6.0, 4.0), (6.0, 2.0)])
@torch.no_grad()
def test_intervals_far_away_are_no_longer_than_what_is_edited_there(centre: float, size: float) -> None:
    model = tiny_model(contracted=True)
    place = {"grid_box": model.base.grid_box, "contracted": True, "resolution": 64}
    region = region_from_box((centre, 0.0, 0.0), (size,) * 3, **place)
    origins, directions = torch.tensor([[-0.5, 0.01, 0.02]]), torch.tensor([[1.0, 0.0, 0.0]])
    met = intersect_region(region, origins, directions, model.base.to_grid, True, 0.05, 1000.0, 48)
    (edges,), (weight,) = met.edges, met.region
    first = int(weight.nonzero()[0])
    fine = torch.linspace(0.05, 20.0, 4000)
    reached = region.weight_at(model.base.to_grid(origins + fine[:, None] * directions)) > 0
    assert abs(float(edges[first] - fine[reached][0])) < 0.25 * size, "it begins where the region does"
    near = edges[:-1] < 0.5 + centre + size / 2
    assert float(edges.diff()[near].max()) < 0.5 * size and bool((edges.diff() > 0).all())


@torch.no_grad()
def test_a_region_smaller_than_the_way_between_two_probes_is_met() -> None:
    base, centre, origin = (
        tiny_model(contracted=True).base,
        torch.tensor([1.0, 0.2, 0.1]),
        torch.tensor([0.0, 0.9, 0.5]),
    )
    region = region_from_box(centre.tolist(), (0.02,) * 3, grid_box=base.grid_box, contracted=True, resolution=32)
    goals = centre + 0.02 * (torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) - 0.5)
    origins, far = origin.expand_as(goals), torch.full((4000,), 1000.0)
    met = intersect_region(region, origins, normalize(goals - origin, dim=-1), base.to_grid, True, 0.05, far, 48)
    assert region.reaches_far and len(met.rays) >= 3990


@torch.no_grad()
def test_intervals_lie_in_the_region_and_before_the_far_plane() -> None:
    model, rays = tiny_model(contracted=False), rays_towards_middle(100)
    met = intersect_region(
        model.edit.region, rays.origins, rays.directions, model.base.to_grid, False, 0.5, torch.full((100,), 1.4), 16
    )
    assert float(met.edges.min()) >= 0.5 and float(met.edges.max()) <= 1.4 + 1e-6
    assert bool((met.edges.diff(dim=-1) >= 0).all()) and bool((met.region.amax(dim=-1) > 0).all())


def one_camera(size: int = 12) -> Cameras:
    pose = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, -1.2], [0.0, 1.0, 0.0, 0.0]])
    return Cameras(pose[None], 14.0, 14.0, size / 2, size / 2, width=size, height=size)


@torch.no_grad()
def test_the_next_picture_takes_over_how_the_user_wants_the_region_cut(capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model()
    before = model.get_outputs_for_camera(one_camera())
    model.wishes.ask("region's margin", lambda: model.make_room(margin=0.6))
    assert model.version == 0, "a callback changes nothing by itself"
    after = model.get_outputs_for_camera(one_camera())
    assert model.version == 1 and model.edit.region.shape.margin == pytest.approx(0.6)
    outline = [bool((picture["region_overlay"] == 1.0).all(-1).any()) for picture in (before, after)]
    assert outline[0] and float(after["region"].sum()) > float(before["region"].sum())
    weight = model.edit.region.weight.clone()
    model.wishes.ask("region's margin", lambda: model.make_room(margin=9.0))
    model.get_outputs_for_camera(one_camera())
    assert torch.equal(weight, model.edit.region.weight) and "region's margin" in capsys.readouterr().out


@torch.no_grad()
def test_the_viewers_crop_box_becomes_the_region() -> None:
    model = tiny_model()
    box = OrientedBox.from_params((0.3, 0.1, -0.2), (0.4, 0.2, 0.7), (0.3, 0.5, 0.2))
    with pytest.raises(BlendingNerfError, match="crop is off"):
        model.take_crop_box(None, RegionShape())
    assert model.version == 0
    model.take_crop_box(box, RegionShape(margin=0.9))
    assert model.edit.region.shape.margin != 0.9, "it is cut as the one before"
    region = model.edit.region
    assert model.version == 1
    region.reshape(margin=0.0, soft_edge=0.0)
    points = 0.8 * (2 * torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) - 1)
    inside, weight = box.within(points), region.weight_at(points)
    assert float(((weight > 0.5) == inside).float().mean()) > 0.97 and float(weight[inside].mean()) > 0.7


def test_views_are_rendered_anew_for_another_region() -> None:
    model = tiny_model()
    poses = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, -1.2], [0.0, 1.0, 0.0, 0.0]]).repeat(4, 1, 1)
    pool = ViewPool(model, Cameras(poses, 14.0, 14.0, 6.0, 6.0, width=12, height=12), 12, 2, seed=0)
    first = pool[0]
    assert pool[0] is first
    model.wishes.ask("region's margin", lambda: model.make_room(margin=0.3))
    model.wishes.grant()
    assert pool[0] is not first and float(pool[0].coverage.sum()) >= float(first.coverage.sum())
