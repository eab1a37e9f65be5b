"""Where an edit starts: from the plain beginning that the guide likes best, as far as the edit may do that."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny_run import ring, tiny_model

from blending_nerf_ns import beginning
from blending_nerf_ns.beginning import beginnings, choose_start, shown_by_photos
from blending_nerf_ns.editing import EditTraining
from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.field import ALL_REMOVED, NO_EDIT_FOG, EditField, EditFieldConfig
from blending_nerf_ns.edits.region import region_from_probability
from blending_nerf_ns.edits.seeds import seeds_beside, seeds_in_place
from blending_nerf_ns.edits.shape import FREE, HIDDEN, SEEN, RegionShape
from blending_nerf_ns.edits.soft_solid import NO_END, Seed, soft_solid
from blending_nerf_ns.edits.solids import voxel_positions
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig, budgets
from blending_nerf_ns.guidance.frames import share_of_frames
from blending_nerf_ns.guidance.losses import solidity_loss
from blending_nerf_ns.rendering.blending import EditSamples, blend
from blending_nerf_ns.rendering.compositing import composite_blend
from blending_nerf_ns.team import Team

SIDE = 24


def cube_on_a_grid(**shape: object):
    """A region around a cube of 6 voxels in the middle of 24, in a box of side 2.4: a voxel is 0.1 wide."""
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    probability[9:15, 9:15, 9:15], state[9:15, 9:15, 9:15] = 1.0, SEEN
    wanted = RegionShape(threshold=0.5, soft_edge=0.0, **shape)  # type: ignore[arg-type]
    return region_from_probability(probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), wanted)


def small_field() -> EditField:
    return EditField(EditFieldConfig(num_levels=2, max_res=16, log2_hashmap_size=8, implementation="torch"))


def guiding(operations: tuple[str, ...], target: str = "a blue ball") -> EditTraining:
    model = tiny_model()
    model.edit.info = replace(model.edit.info, operations=operations)
    model.edit.field.reset()
    config = GuidanceConfig(image_size=24, views=4, crops=2)
    return EditTraining(config, model, ring(4, 24), load_clip("embedded"), "a red ball", target, 0, Team())


# -- room -----------------------------------------------------------------------------------------------------------


def test_balls_touch_the_object_and_fit_into_the_free_part() -> None:
    region = cube_on_a_grid(margin=0.0, margin_distance=0.5)
    balls = seeds_beside(region)
    assert len(balls) == 6 and all(ball.power == 2.0 for ball in balls)
    for center, radii, _ in balls:
        radius = float(radii[0])
        beside = ((center.abs() - 0.3).clamp_min(0)).norm()  # from the cube's surface
        assert radius - 0.11 <= float(beside) <= radius + 0.21, "as near as voxels allow"
        inside = center + radius * 0.7 * torch.nn.functional.normalize(torch.randn(200, 3), dim=-1)
        assert bool((region.weight_at(inside) > 0.5).all())
    assert [round(float(ball.radii[0]), 3) for ball in balls[::3]] == pytest.approx([0.25, 0.18], abs=0.08)


def test_where_the_room_is_above_balls_are_on_top() -> None:
    balls = seeds_beside(cube_on_a_grid(margin=0.0, margin_distance=0.6, grow="up"))
    assert len(balls) == 2, "one of each size"
    for center, _, _ in balls:
        assert float(center[2]) > 0.3 and center[:2].abs().max() <= 0.11, "above the middle of the cube"


def test_the_first_ball_is_on_the_head_and_not_on_an_ear() -> None:
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    for part in (
        (slice(6, 12), slice(9, 15), slice(9, 15)),
        (slice(12, 15), slice(9, 10), slice(9, 10)),
    ):  # cube and ear
        probability[part], state[part] = 1.0, SEEN
    shape = RegionShape(threshold=0.5, soft_edge=0.0, margin=0.0, margin_distance=0.6, grow="up")
    region = region_from_probability(probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), shape)
    for center, _, _ in seeds_beside(region):
        assert float(center[2]) > 0.0 and center[:2].norm() < 0.35, "the ear is 0.25 away on both axes"


def test_a_ball_starts_where_the_photos_show_it() -> None:
    region = cube_on_a_grid(margin=0.0, margin_distance=0.6, grow="up")
    (largest, *_), height = seeds_beside(region), (torch.arange(SIDE) - 11.5) * 0.1
    assert float(largest.center[2] + largest.radii[2]) > 0.8
    shown = torch.where(height < 0.75, 0.5, 0.44)[:, None, None].expand(SIDE, SIDE, SIDE)  # of the object half is seen
    lower, *_ = seeds_beside(region, shown)
    assert float(lower.center[2]) > 0.3 and float(lower.center[2] + lower.radii[2]) < 0.8
    nearly, *_ = seeds_beside(region, shown.clamp_min(0.46))
    assert torch.equal(nearly.center, largest.center), "nine tenths of that do"
    nowhere = torch.where(height < 0.3, 1.0, 0.0)[:, None, None].expand(SIDE, SIDE, SIDE)
    again, *_ = seeds_beside(region, nowhere)
    assert torch.equal(again.center, largest.center), "better than none"


def test_without_free_room_there_is_no_ball() -> None:
    assert seeds_beside(cube_on_a_grid(margin=0.0)) == []


def test_a_ball_and_a_box_in_the_objects_place_are_as_large_as_it_is() -> None:
    ball, box = seeds_in_place(cube_on_a_grid(margin=0.0, margin_distance=0.5))
    for seed in (ball, box):
        assert torch.allclose(seed.center, torch.zeros(3), atol=1e-6)
        assert torch.allclose(seed.radii, torch.full((3,), 0.3), atol=1e-6)
    assert (ball.power, box.power) == (2.0, 8.0)


def test_each_voxel_knows_who_shows_it() -> None:
    """Four cameras around, whose frames are cut so that none of the three axes is like another."""
    editing = guiding(("add",))
    photos, region = editing.photos, editing.model.edit.region
    photos.cx, photos.cy = photos.cx * torch.tensor([[0.2], [0.6], [1.0], [1.5]]), photos.cy * 0.5
    shown = shown_by_photos(editing)
    centres = voxel_positions(region.lower, region.upper, region.resolution, editing.model.base.contracted)
    exact = share_of_frames(photos, centres)
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)):
        off = float((shown - exact.permute(order)).abs().mean())
        assert off < 0.03 if order == (0, 1, 2) else off > 0.06, (order, off)


def arch(**shape: object):
    """Two posts and a beam, 12 voxels wide and 10 high, hidden inside the beam: most of their box is free."""
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    for part in (
        (slice(6, 16), slice(11, 13), slice(6, 8)),
        (slice(6, 16), slice(11, 13), slice(16, 18)),
        (slice(12, 16), slice(6, 18), slice(6, 18)),
    ):
        probability[part], state[part] = 1.0, SEEN
    state[13:15, 7:17, 7:17] = HIDDEN
    wanted = RegionShape(threshold=0.5, soft_edge=0.0, margin=0.0, **shape)  # type: ignore[arg-type]
    return region_from_probability(probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), wanted)


def test_what_takes_an_objects_place_has_its_volume_and_room_for_it() -> None:
    """By hand: the hull is a slab of 12 x 12 x 4 and a trapezium of sides 2 and 12 and height 6, 12 long: 1,080 of its box's 1,440."""
    boxed = arch(grow="box")
    ball, box, held = seeds_in_place(boxed)
    half = torch.tensor([0.6, 0.6, 0.5])
    assert torch.allclose(ball.radii, half), "of that volume it would be larger than the box"
    assert torch.allclose(box.radii, 0.75 ** (1 / 3) * half, atol=1e-5)
    assert torch.allclose(box.center, torch.tensor([0.0, 0.0, -0.6 + float(box.radii[2])]), atol=1e-5), "on its feet"
    assert torch.allclose(held.center[:2], torch.zeros(2), atol=1e-6), "of all that fit, the one in the middle"
    inside = torch.nn.functional.normalize(torch.randn(400, 3), dim=-1) * 0.8
    for seed in (ball, held):
        points = seed.center + seed.radii * inside
        assert bool((boxed.weight_at(points) > 0.999).all())
        assert not bool((arch().weight_at(points) > 0.999).all()), "a margin alone would cut it to pieces"


def test_the_ball_that_the_hull_holds() -> None:
    """By hand: of a pyramid of 10 steps, whose hull is a prism of 20 x 20 x 1 and a frustum from 20 to 2 of height 9."""
    probability, state = torch.zeros(SIDE, SIDE, SIDE), torch.full((SIDE, SIDE, SIDE), FREE, dtype=torch.uint8)
    for layer in range(10):
        inner = slice(2 + layer, 22 - layer)
        probability[layer + 4, inner, inner], state[layer + 4, inner, inner] = 1.0, SEEN
    region = region_from_probability(
        probability, state, torch.full((3,), -1.2), torch.full((3,), 1.2), RegionShape(margin=0.0, soft_edge=0.0)
    )
    ball, box, held = seeds_in_place(region)
    half, filled = torch.tensor([1.0, 1.0, 0.5]), (400 + 3 * (400 + 4 + 40)) / 4000
    assert torch.allclose(ball.radii, (6 * filled / math.pi) ** (1 / 3) * half, atol=1e-5)
    assert torch.allclose(box.radii, filled ** (1 / 3) * half, atol=1e-5)
    # in the box [-1, 1]³ the slope goes by the rims of the steps (1, -0.8) and (0.1, 1): the plane 2 x + z = 1.2 is as far from
    # (0, r - 1) as r where (2.2 - r) = √5 r
    share = 2.2 / (1 + math.sqrt(5))
    assert torch.allclose(held.radii, share * half, atol=1e-5)
    assert torch.allclose(held.center, torch.tensor([0.0, 0.0, -0.8 + 0.5 * share]), atol=1e-5), "middle: -0.3"


def test_a_ball_holds_no_other() -> None:
    place = torch.arange(SIDE) - 11.5
    inside = place[:, None, None] ** 2 + place[:, None] ** 2 + place**2 <= 8.0**2
    state = torch.where(inside, SEEN, FREE).to(torch.uint8)
    corners = torch.full((3,), -1.2), torch.full((3,), 1.2)
    region = region_from_probability(inside.float(), state, *corners, RegionShape(margin=0.0, soft_edge=0.0))
    assert len(seeds_in_place(region)) == 2


# -- the field's beginnings -----------------------------------------------------------------------------------------


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
        field.reset()
        assert field.untouched and not field.has_seed


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


# -- what is tried --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        (("change",), ["the original", "one colour"]),
        (("remove",), ["the original", "the object taken away"]),
        (("remove", "change"), ["the original", "one colour", "the object taken away"]),
    ],
)
def test_only_what_the_edit_may_do_is_tried_and_the_field_is_left_alone(
    operations: tuple[str, ...], words: list[str]
) -> None:
    editing = guiding(operations)
    before = {name: value.clone() for name, value in editing.model.edit.field.state_dict().items()}
    with torch.no_grad():
        tried = list(beginnings(editing))
    assert [one.words.partition(",")[0] for one in tried] == words
    after = editing.model.edit.field.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(math.isfinite(one.loss) for one in tried)


def test_an_interrupt_leaves_the_field_alone_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for operations in (("remove",), ("add",)):
        editing = guiding(operations, "a green ball on top of a red ball")
        before = {name: value.clone() for name, value in editing.model.edit.field.state_dict().items()}
        monkeypatch.setattr(editing, "_pixels", interrupt)
        with pytest.raises(KeyboardInterrupt), torch.no_grad():
            list(beginnings(editing))
        after = editing.model.edit.field.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before), operations


def test_balls_are_tried_where_something_may_be_added() -> None:
    editing = guiding(("add",), "a green ball on top of a red ball")
    with torch.no_grad():
        tried = list(beginnings(editing))
    assert tried[0].words == "the original" and tried[1].words.startswith("a ball beside") and len(tried) == 2
    seen = []
    for one in tried:
        one.begin()
        seen.append([float(editing.picture_and_added(editing.pool[i])[1].max()) for i in range(4)])
    assert float(editing.model.edit.field.seed[3]) > 0
    assert max(seen[1]) > 5 * max(seen[0]), "it is seen, through the fog of this base"


def test_a_ball_is_compared_on_as_many_views_as_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few tell the balls apart: a loss of other views is another number."""
    monkeypatch.setattr(beginning, "seeds_beside", lambda region, shown: seeds_beside(region)[:1])
    losses = []
    for few in (1, 4):
        monkeypatch.setattr(beginning, "BALL_VIEWS", few)
        torch.manual_seed(0)
        with torch.no_grad():
            losses.append([one.loss for one in beginnings(guiding(("add",), "a green ball on top of a red ball"))])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6) and len(losses[0]) == 2


def test_the_best_beginning_is_taken() -> None:
    editing = guiding(("remove", "change"))
    with torch.no_grad():
        best = min(beginnings(editing), key=lambda one: one.loss)
    assert choose_start(editing) == best.words
    bias = editing.model.edit.field.shape_head.bias
    started = {"the original": False, "the object taken away": True}.get(best.words, False)
    assert (float(bias[1].detach()) == ALL_REMOVED) is started
    assert editing.model.edit.field.untouched is (best.words == "the original")


def test_an_edit_that_may_only_remove_and_has_removed_all_is_done() -> None:
    for operations, done in ((("remove",), True), (("remove", "change"), False)):
        edit = guiding(operations).model.edit
        assert not edit.is_all_removed
        edit.field.start_from_removal()
        assert edit.is_all_removed is done


# -- losses ---------------------------------------------------------------------------------------------------------


def test_half_transparent_pixels_cost() -> None:
    assert float(solidity_loss(torch.tensor([0.0, 1.0]))) == 0.0
    assert float(solidity_loss(torch.tensor([0.5]))) == 1.0
    assert float(solidity_loss(torch.tensor([0.25, 0.0]))) == pytest.approx(0.375)


def test_an_edit_that_may_only_remove_may_remove_all() -> None:
    assert budgets(GuidanceConfig(), ("remove",)) == (0.5, 1.0, 1.0)
    assert budgets(GuidanceConfig(), ("add", "remove")) == (0.5, 0.5, 1.0)
    assert budgets(GuidanceConfig(), ("add", "remove"), seeded=True) == (0.5, 1.0, 1.0), (
        "a solid is in the object's place"
    )
    assert budgets(GuidanceConfig(budget_remove=0.25), ("remove",)) == (0.5, 0.25, 1.0)
