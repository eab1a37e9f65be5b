"""How the editable field starts, and how far it may grow from there."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from blending_nerf_ns.edits.activations import NO_EDIT_FOG
from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.edit import build_edit
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.edits.layer import LayerInfo
from blending_nerf_ns.edits.soft_solid import NO_END, Seed, soft_solid
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.blending import EditSamples, blend
from blending_nerf_ns.rendering.compositing import composite_blend


def small_field() -> EditField:
    return EditField(EditFieldConfig(num_levels=2, max_res=16, log2_hashmap_size=8, implementation="torch"))


def test_a_seed_ball_is_dense_inside_and_nothing_far_away() -> None:
    field = small_field()
    with torch.no_grad():
        field.shape_head.weight.zero_()
    center, up = torch.tensor([0.1, 0.0, -0.2]), torch.tensor([0.0, 0.0, 1.0])
    points = torch.stack([center, center + 0.3 * up, center + 0.4 * up, center + 0.9 * up])
    directions = up.expand(4, 3)
    with torch.no_grad():
        before = field(points, field.look_along(directions)).density
    field.start_from_solid(Seed(center, torch.full((3,), 0.3)), torch.tensor([0.1, 0.8, 0.2]))
    with torch.no_grad():
        after = field(points, field.look_along(directions))
    scale = field.config.density_scale / 2.0
    assert after.density[0] == pytest.approx(scale * (math.log1p(math.exp(20.0)) - NO_EDIT_FOG), rel=1e-5)
    assert after.density[1] == pytest.approx(scale * (math.log(2.0) - NO_EDIT_FOG), rel=1e-5), (
        "its surface is where the bias is undone"
    )
    assert torch.equal(after.density[2:], before[2:]) and bool((before == scale * 1e-6).all())
    assert torch.allclose(field.first_color, torch.tensor([0.1, 0.8, 0.2]))


def test_no_network_is_asked_for_no_points() -> None:
    """tinycudann's fails there: of a picture that misses a layer, or a view from nearby of another object."""
    field = small_field()

    def refuse_none(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert len(inputs[0]), "cutlass_matmul.h: Error Internal"

    for network in (field.grid, field.trunk, field.shape_head, field.color_head):
        network.register_forward_pre_hook(refuse_none)
    points, views = torch.zeros(0, 3), field.look_along(torch.zeros(0, 3))
    for rays in (None, torch.zeros(0, dtype=torch.long)):
        outputs = field(points, views, rays)
        assert [tuple(value.shape) for value in outputs] == [(0,), (0, 3), (0,), (0,)]
        assert all(value.dtype == torch.float32 and value.requires_grad for value in outputs)
    assert field.density_ratio(points).shape == (0,)


def test_what_adds_nothing_yet_is_no_fog_and_can_still_grow() -> None:
    field = small_field()
    with torch.no_grad():
        field.shape_head.weight.zero_()
    points, up = torch.rand(100, 3) - 0.5, torch.tensor([0.0, 0.0, 1.0]).expand(100, 3)
    scale = field.config.density_scale / 2.0
    for bias, expected in ((-6.0, 1e-6), (-9.0, 1e-6), (0.0, math.log(2.0) - math.log1p(math.exp(-6.0)))):
        field.zero_grad()
        with torch.no_grad():
            field.shape_head.bias[0] = bias
        density = field(points, field.look_along(up)).density
        assert density.tolist() == pytest.approx([scale * expected] * 100, rel=1e-5)
        density.sum().backward()
        slope = field.shape_head.bias.grad
        assert slope is not None and float(slope[0]) == pytest.approx(100 * scale / (1 + math.exp(-bias)), rel=1e-4)


@pytest.mark.parametrize(("density", "ratio"), [(0.0, 0.0), (5.0, 1.0)], ids=["empty", "taken away"])
def test_where_nothing_is_a_picture_pulls_at_the_colour_that_would_grow(density: float, ratio: float) -> None:
    """One interval of length 0.1 before blue: what grows there is the edit's red, whatever the original's green was."""
    field = small_field()
    with torch.no_grad():
        field.shape_head.weight.zero_()
        color = field.first_color.copy_(torch.tensor([0.9, 0.05, 0.05]))
    up = torch.tensor([[0.0, 0.0, 1.0]])
    out = field(torch.zeros(1, 3), field.look_along(up))
    one = torch.ones(1, 1)
    edit = EditSamples(out.density[None], color.view(1, 1, 3), ratio * one, 0.0 * one, one)
    blended = blend(density * one, torch.tensor([[[0.0, 1.0, 0.0]]]), edit)
    pixel = composite_blend(blended, edit.rgb, torch.tensor([[0.0, 0.1]]), torch.tensor([[0.0, 0.0, 1.0]]))
    for value, wanted in (
        (pixel.rgb[0, 0], 0.9),
        (pixel.rgb[0, 1], 0.05),
        (pixel.rgb[0, 2], -0.95),
        (pixel.added[0], 1.0),
    ):
        (slope,) = torch.autograd.grad(value, out.density, retain_graph=True)
        assert float(slope) == pytest.approx(0.1 * wanted, rel=1e-3)
    assert float(pixel.added) < 1e-5, "and nobody sees it"


def test_a_box_reaches_into_its_corners_and_a_ball_does_not() -> None:
    corner = torch.tensor([[0.25, 0.25, 0.25], [0.0, 0.0, 0.0]])
    found = [soft_solid(corner, Seed(torch.zeros(3), torch.full((3,), 0.3), power), 6.0).lift for power in (2.0, 8.0)]
    assert float(found[0][0]) < 6.0 < float(found[1][0]), "6 undoes the bias"
    assert torch.allclose(found[0][1], found[1][1]) and all(torch.isfinite(one).all() for one in found)


def test_a_solid_lifts_by_hand_computed_amounts_and_is_lit_from_above() -> None:
    ball = Seed(torch.zeros(3), torch.full((3,), 2.0))
    lifts = soft_solid(
        torch.tensor([[0.0, 0.0, 1.4], [0.0, 0.0, 2.0], [0.0, 0.0, 2.3], [0.0, 3.0, 0.0]]), ball, 6.0
    ).lift
    assert lifts.tolist() == pytest.approx([12.0, 6.0, 3.0, 0.0], abs=1e-5)
    sharper = soft_solid(torch.tensor([[0.0, 0.0, 1.8], [0.0, 0.0, 2.1], [0.0, 0.0, 2.2]]), ball, 6.0, softness=0.1)
    assert sharper.lift.tolist() == pytest.approx([12.0, 3.0, 0.0], abs=1e-4)
    up, down = torch.tensor([[0.0, 0.0, 0.29]]), torch.tensor([[0.0, 0.0, -0.29]])
    for power in (2.0, 8.0):
        seed = Seed(torch.zeros(3), torch.full((3,), 0.3), power)
        shades = [float(soft_solid(point, seed, 6.0).shade) for point in (up, down)]
        assert shades == pytest.approx([1 - 0.7 * 0.1, 1 - 0.7 * 0.9]), "normals are straight up and down"


def test_what_starts_beside_the_object_grows_so_far_and_no_farther() -> None:
    """Whatever is learned: a guide that has a red ball on top is glad of red specks anywhere."""
    field = small_field()
    with torch.no_grad():
        field.shape_head.weight.zero_()
    ball = Seed(torch.zeros(3), torch.full((3,), 0.25))
    points = torch.tensor([[0.0, 0.0, height] for height in (0.3, 0.3625, 0.4, 0.9)])
    along = field.look_along(torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3))
    scale, wanted = field.config.density_scale / 2.0, math.log1p(math.exp(3.0)) - NO_EDIT_FOG
    for reach, shares in ((1.6, (1.0, 0.5, 0.0, 0.0)), (math.inf, (1.0, 1.0, 1.0, 1.0))):
        field.config.seed_reach = reach
        with torch.no_grad():
            field.start_from_solid(ball, torch.full((3,), 0.5))
            field.shape_head.bias[0] = 3.0  # of density everywhere
            density = field(points, along).density
        lifted = (
            math.log1p(math.exp(3.0 + 6.0 / 0.3 * 0.1)) - NO_EDIT_FOG
        )  # 0.3 is 1.2 radii: 0.1 before the soft edge ends
        assert density[0] == pytest.approx(scale * lifted, rel=1e-4)
        for found, share in zip(density[1:].tolist(), shares[1:], strict=True):
            assert found == pytest.approx(scale * max(wanted * share, 1e-6), rel=1e-3)
    old = {name: value for name, value in field.state_dict().items() if name != "seed_reach"}
    field.load_state_dict(of_any_age(old))
    assert float(field.seed_reach) == NO_END, "what was made before grew without end, and is shown as it was"
    field.config.seed_reach = 1.3
    field.start_from_solid(ball, torch.full((3,), 0.5))
    assert float(field.seed_reach) == pytest.approx(1.3), "but not what is begun now"
    field.start_from_solid(ball, torch.full((3,), 0.5), in_place=True)
    assert float(field.seed_reach) == NO_END, "the room of a replacement is the object's bounding box"


def test_what_takes_an_objects_place_has_a_sharper_edge_and_what_was_made_before_a_soft_one() -> None:
    field, gray = small_field(), torch.full((3,), 0.5)
    field.config.seed_reach = math.inf
    with torch.no_grad():
        field.shape_head.weight.zero_()
    ball = Seed(torch.zeros(3), torch.full((3,), 0.5))
    points = torch.tensor([[0.0, 0.0, 0.475], [0.0, 0.0, 0.5], [0.0, 0.0, 0.6]])  # 0.95, 1 and 1.2 radii
    along, scale = field.look_along(torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)), field.config.density_scale / 2.0

    def density() -> list[float]:
        with torch.no_grad():
            return (field(points, along).density / scale).tolist()

    def by_hand(softness: float) -> list[float]:
        lifts = [6.0 / softness * max(0.0, 1.0 + softness - distance) for distance in (0.95, 1.0, 1.2)]
        return [max(math.log1p(math.exp(lift - 6.0)) - NO_EDIT_FOG, 1e-6) for lift in lifts]

    field.start_from_solid(ball, gray, in_place=True)
    assert density() == pytest.approx(by_hand(0.1), rel=1e-3)
    kept = field.state_dict()
    field.start_from_solid(ball, gray)
    assert density() == pytest.approx(by_hand(0.3), rel=1e-3)
    field.load_state_dict(of_any_age({name: value for name, value in kept.items() if name != "softness"}))
    assert density() == pytest.approx(by_hand(0.3), rel=1e-3), "as it was shown then"


def test_a_field_knows_whether_it_has_a_seed() -> None:
    field = small_field()
    with torch.no_grad():
        field.start_from_solid(Seed(torch.zeros(3), torch.full((3,), 0.3), 8.0), torch.full((3,), 0.5))
        assert field.has_seed and not small_field().has_seed
        assert not field.untouched, "a resume before the first step must not choose again"
        field.load_state_dict(small_field().state_dict())
        assert not field.has_seed, "asked again after loading"
        field.start_from_solid(Seed(torch.zeros(3), torch.full((3,), 0.3)), torch.full((3,), 0.5))

        class Asks(dict):
            """A state in whose middle somebody else, a viewer's panel, asks the field."""

            def __contains__(self, name: object) -> bool:
                assert field.has_seed or name != "seed"
                return super().__contains__(name)

        asked = Asks(small_field().state_dict())
        field._load_from_state_dict(asked, "", {}, True, [], [], [])
        assert not field.has_seed and field.untouched, "whatever was asked meanwhile"
        field.start_from_solid(Seed(torch.zeros(3), torch.full((3,), 0.3)), torch.full((3,), 0.5))


def test_a_field_of_before_there_were_seeds_has_none_and_its_removals_are_not_stretched() -> None:
    state = small_field().state_dict()
    old = {f"layer.{name}": value for name, value in state.items() if name not in ("seed", "stretch", "fog", "light")}
    assert float(of_any_age(old)["layer.fog"]) == 0.0, "and its fog is as it was"
    assert float(of_any_age(old)["layer.light"]) == 0.0, "and its colours are flat"
    assert of_any_age(old)["layer.seed"].tolist() == [0.0] * 7
    assert float(of_any_age(old)["layer.stretch"]) == 1.0
    new = {**old, "layer.seed": torch.ones(7), "layer.stretch": torch.tensor(1.1)}
    assert of_any_age(new)["layer.seed"].tolist() == [1.0] * 7
    assert float(of_any_age(new)["layer.stretch"]) == pytest.approx(1.1)


def test_what_is_taken_away_is_gone_altogether_and_stays_so() -> None:
    field = small_field()
    points = torch.rand(100, 3) - 0.5
    field.start_from_removal()
    ratio = field.density_ratio(points)
    assert torch.equal(ratio, torch.ones(100))
    ratio.sum().backward()
    gradient = field.shape_head.bias.grad
    assert gradient is not None and float(gradient[1]) == 0.0
    # half of it is still learned: 1.1 sigmoid(x) = 0.55 at x = 0, with a slope of 1.1 / 4 at each point
    field.zero_grad()
    with torch.no_grad():
        field.shape_head.weight.zero_()
        field.shape_head.bias[1] = 0.0
    ratio = field.density_ratio(points)
    assert torch.allclose(ratio, torch.full((100,), 0.55))
    ratio.sum().backward()
    slope = field.shape_head.bias.grad
    assert slope is not None and float(slope[1]) == pytest.approx(100 * 1.1 / 4, rel=1e-4)


@pytest.mark.parametrize(
    "field",
    [
        {"num_levels": 0},
        {"features_per_level": 0},
        {"hidden_dim": "wide"},
        {"hidden_dim": -4},
        {"log2_hashmap_size": 80},
        {"density_scale": "wide"},
        {"density_scale": None},
    ],
)
def test_sizes_that_no_field_has_are_no_description_of_an_edit(field: dict[str, Any]) -> None:
    info = LayerInfo(id="a", target_text="a blue ball").to_dict()
    sizes = {"num_levels": 2, "max_res": 16, "log2_hashmap_size": 8, "implementation": "torch"}
    build_edit({"field": sizes, "info": info, "resolution": 8})
    with pytest.raises(BlendingNerfError, match="this is no description of an edit: "):
        build_edit({"field": sizes | field, "info": info, "resolution": 8})
    with pytest.raises(BlendingNerfError, match="an edit has the operations"):
        build_edit({"field": sizes, "info": info | {"operations": [["add"]]}, "resolution": 8})
