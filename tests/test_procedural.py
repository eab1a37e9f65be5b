"""Procedural scenes: rays against hand-computed hits, colours inside their words, truth of captions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_truth import colour_name, facts_of, is_true

from blending_nerf_ns.procedural import captions, shapes, words
from blending_nerf_ns.procedural.backgrounds import texture_bank
from blending_nerf_ns.procedural.batches import Painter
from blending_nerf_ns.procedural.captions import Item, Phrase, item
from blending_nerf_ns.procedural.render import look_at, render
from blending_nerf_ns.procedural.sampling import figure_parts, random_camera, random_scene
from blending_nerf_ns.procedural.scene import Light, Scene, Surface, demo_scene, primitive
from blending_nerf_ns.procedural.stock import load_stock, make_stock
from blending_nerf_ns.procedural.trace import in_shadow, scene_parts

HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("shape", "origin", "direction", "depth", "normal"),
    [
        ("ball", (-3, 0, 0), (1, 0, 0), 2.0, (-1, 0, 0)),
        ("ball", (0, 0, 0), (0, 0, 2), 0.5, (0, 0, 1)),  # from inside, with a direction twice as long
        ("ball", (-3, 1.01, 0), (1, 0, 0), None, None),
        ("cube", (0.5, 0.2, 5), (0, 0, -1), 4.0, (0, 0, 1)),
        ("cube", (1.2, 0, 5), (0, 0, -1), None, None),
        ("cylinder", (-3, 0, 0.9), (1, 0, 0), 2.0, (-1, 0, 0)),
        ("cylinder", (0.3, 0.3, 4), (0, 0, -1), 3.0, (0, 0, 1)),
        ("cylinder", (-3, 0, 1.1), (1, 0, 0), None, None),
        # half way up, the cone's radius is 0.5; its side leans with slope 1/2
        ("cone", (-3, 0, 0), (1, 0, 0), 2.5, (-2 / math.sqrt(5), 0, 1 / math.sqrt(5))),
        ("cone", (0.2, 0.1, -4), (0, 0, 1), 3.0, (0, 0, -1)),
        ("cone", (0.6, 0, 3), (0, 0, -1), 3.2, (2 / math.sqrt(5), 0, 1 / math.sqrt(5))),
        # tube radius 0.3 around a ring of radius 0.7
        ("donut", (-3, 0, 0), (1, 0, 0), 2.0, (-1, 0, 0)),
        ("donut", (0.7, 0, 2), (0, 0, -1), 1.7, (0, 0, 1)),
        ("donut", (0, 0, 2), (0, 0, -1), None, None),  # through the hole
    ],
)
def test_rays_meet_unit_shapes_where_geometry_says(shape, origin, direction, depth, normal):
    o, d = torch.tensor([origin], dtype=torch.float32), torch.tensor([direction], dtype=torch.float32)
    t, n = shapes.INTERSECT[shape](o, d, tube=0.3)
    if depth is None:
        assert t.item() == shapes.MISS
        return
    assert t.item() == pytest.approx(depth, abs=2e-3)
    torch.testing.assert_close(
        torch.nn.functional.normalize(n, dim=-1)[0], torch.tensor(normal).float(), atol=5e-3, rtol=0
    )


def _ball_scene(**more) -> Scene:
    return Scene((primitive("ball", "red", (0.8, 0.1, 0.1), (0, 0, 1), (1, 1, 1)),), **more)


def test_render_draws_the_projected_disc_and_its_id():
    # a ball of radius 1 seen from distance 5 is a disc of radius f * tan(asin(1/5)) pixels
    rgb, ids = render(_ball_scene(), look_at((0, -5, 1), (0, 0, 1)), 100, 100, 32, 32, 64, 64)
    assert rgb.shape == (64, 64, 3)
    assert rgb.dtype == np.float32
    assert rgb.min() >= 0 and rgb.max() <= 1
    area = math.pi * (100 * math.tan(math.asin(0.2))) ** 2
    assert (ids == 0).sum() == pytest.approx(area, rel=0.03)
    assert ids[32, 32] == 0 and ids[2, 2] == -1
    red, green, blue = rgb[ids == 0].mean(0)
    assert red > 2 * green and red > 2 * blue


def test_camera_is_opengl_with_z_up():
    # an object on the right of the camera's view and above its axis lands right of and above the image's centre
    scene = Scene((primitive("cube", "blue", (0, 0, 1), (1, 0, 2), (0.2, 0.2, 0.2)),), ground=None)
    _, ids = render(scene, look_at((0, -6, 1), (0, 0, 1)), 64, 64, 32, 32, 64, 64)
    rows, columns = np.nonzero(ids == 0)
    assert columns.mean() == pytest.approx(32 + 64 / 6, abs=0.7)
    assert rows.mean() == pytest.approx(32 - 64 / 6, abs=0.7)


def test_nearer_object_hides_farther_and_principal_point_moves_the_picture():
    near = primitive("cube", "red", (1, 0, 0), (0, -2, 1), (0.5, 0.5, 0.5))
    far = primitive("cube", "blue", (0, 0, 1), (0, 2, 1), (0.5, 0.5, 0.5))
    _, ids = render(Scene((far, near)), look_at((0, -6, 1), (0, 0, 1)), 60, 60, 10, 20, 48, 48)
    assert ids[20, 10] == 1


def test_shadow_falls_opposite_the_light():
    light = np.array([HALF, 0, HALF])
    scene = _ball_scene(light=Light(direction=light))
    points = torch.tensor([[-1.5, 0, 0.01], [1.5, 0, 0.01], [-6, 0, 0.01]])
    shadow = in_shadow(scene_parts(scene)[0], points, torch.tensor(light, dtype=torch.float32))
    # the ball's centre is at height 1, so that its shadow's is at x = -1; it is sqrt(2) long either way
    assert shadow.tolist() == [True, False, False]


def test_round_table_ends_and_ground_can_be_left_out():
    sky, table = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
    plain = Light(colour=(0, 0, 0), ambient=(1, 1, 1))
    for radius, ground, expected in ((0.5, Surface.flat(table), sky), (9, Surface.flat(table), table), (9, None, sky)):
        scene = Scene((), ground, Surface.flat(sky), plain, ground_radius=radius)
        rgb, ids = render(scene, look_at((3, 0, 3), (2, 0, 0)), 200, 200, 4, 4, 8, 8)
        np.testing.assert_allclose(rgb[4, 4], expected, atol=0.01)
        assert (ids == -1).all()


def test_demo_scene_shows_four_named_objects():
    names = [(t.colour, t.shape) for t in demo_scene().things]
    assert names == [("red", "ball"), ("red", "cube"), ("blue", "cone"), ("green", "donut")]
    _, ids = render(demo_scene(), look_at((4, 1, 2.5), (0, 0, 0.3)), 120, 120, 48, 48, 96, 96, supersampling=1)
    assert set(np.unique(ids)) == {-1, 0, 1, 2, 3}
    for thing in demo_scene().things:
        assert colour_name(thing.rgb[0]) == thing.colour


@pytest.mark.parametrize("colour", words.COLOUR_NAMES)
def test_sampled_colours_carry_their_own_name_only(colour):
    rng = np.random.default_rng(0)
    assert {colour_name(words.sample_rgb(colour, rng)) for _ in range(200)} == {colour}


def test_pale_lavender_is_purple():
    assert colour_name((0.72, 0.62, 0.90)) == "purple"


def test_unknown_colour_says_which_are_known():
    with pytest.raises(ValueError, match=r"'mauve'.*red, orange"):
        words.sample_rgb("mauve", np.random.default_rng(0))


def test_vocabulary_has_every_caption_word_and_ends_with_the_end_token():
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(100)]
    facts = facts_of(scenes)
    said = {w for b in range(100) for w in captions.say(captions.true_phrase(facts, b, rng), rng).split()}
    assert said <= set(words.VOCABULARY)
    assert len(set(words.VOCABULARY)) == len(words.VOCABULARY)
    assert words.VOCABULARY[-1] == words.END


def _two() -> Scene:
    cube = primitive("cube", "blue", (0, 0, 1), (0, 0, 0.5), (0.5, 0.5, 0.5), finish="shiny")
    ball = primitive("ball", "red", (1, 0, 0), (3, 0, 0.5), (0.5, 0.5, 0.5))
    return Scene((cube, ball))


@pytest.mark.parametrize(
    ("phrase", "truth"),
    [
        (Phrase((item("red", "ball"),)), True),
        (Phrase((item("red", "cube"),)), False),
        (Phrase((item("red", "toy"),)), True),  # generic words are true of every object
        (Phrase((item("green"),)), False),
        (Phrase((item("blue", "cube", "shiny"),)), True),
        (Phrase((item("blue", "cube", "matte"),)), False),
        (Phrase((item("red", "ball"), item("blue", "cube")), "both"), True),
        (Phrase((item("red", "ball"), item("red", "thing")), "both"), False),  # one object is not two
        (Phrase((item("red", "ball"), item("blue", "cube")), "on"), False),
        (Phrase((item("red", "ball"), item("blue", "cube")), "beside"), True),
        (Phrase((), "empty"), False),
    ],
)
def test_truth_of_phrases(phrase, truth):
    assert is_true(phrase, _two()) is truth


def test_stacking_is_on_top_of_and_not_beside():
    cube, ball = _two().things
    stacked = Scene((cube, type(ball)(ball.shape, ball.colour, ball.rgb, ball.parts, ball.finish, on_top_of=0)))
    ball_on_cube = Phrase((item("red", "ball"), item("blue", "cube")), "on")
    assert is_true(ball_on_cube, stacked)
    assert not is_true(Phrase(ball_on_cube.items[::-1], "on"), stacked)
    assert not is_true(Phrase(ball_on_cube.items, "beside"), stacked)
    assert is_true(Phrase((), "empty"), Scene(()))


def test_barely_seen_objects_leave_phrases_undecided():
    facts = facts_of([_two()])
    facts.seen[0, 1] = -1  # the red ball
    phrases = [Phrase((item("red", "ball"),)), Phrase((item("blue", "cube"),)), Phrase((item("green", "cone"),))]
    assert captions.holds(facts, phrases).tolist() == [[-1, 1, 0]]


def test_captions_made_for_a_scene_are_true_of_it():
    rng = np.random.default_rng(3)
    scenes = [random_scene(rng) for _ in range(60)]
    facts = facts_of(scenes)
    assert all(is_true(captions.true_phrase(facts, b, rng), scene) for b, scene in enumerate(scenes))


def test_what_stands_on_a_third_object_is_said_to_be_beside_nothing():
    low = primitive("cube", "blue", (0.1, 0.1, 0.8), (0, 0, 0.4), (0.4, 0.4, 0.4))
    high = replace(primitive("ball", "red", (0.8, 0.1, 0.1), (0, 0, 1.1), (0.3, 0.3, 0.3)), on_top_of=0)
    apart = primitive("cone", "green", (0.1, 0.7, 0.1), (1.5, 0, 0.4), (0.4, 0.4, 0.4))
    facts, rng = facts_of([Scene((low, high, apart))]), np.random.default_rng(0)
    phrases = [captions.true_phrase(facts, 0, rng) for _ in range(300)]
    assert captions.holds(facts, phrases).eq(1).all() and {"on", "beside", "both"} <= {
        phrase.kind for phrase in phrases
    }


def test_a_pixels_object_is_the_one_that_its_centre_sees():
    pose = look_at((4, 1, 2.5), (0, 0, 0.3))
    one, three = (render(demo_scene(), pose, 60, 60, 24, 24, 48, 48, supersampling=k)[1] for k in (1, 3))
    assert (one == three).all() and len(set(one.flat)) > 2
    with pytest.raises(ValueError, match="supersampling 2 is even"):
        render(demo_scene(), pose, 60, 60, 24, 24, 48, 48, supersampling=2)


def test_figures_are_mostly_one_colour():
    rng = np.random.default_rng(1)
    shares = [np.mean([p.role == 0 for p in figure_parts(0.5, rng)]) for _ in range(50)]
    assert np.mean(shares) > 0.5
    assert any(p.role for p in figure_parts(0.5, rng))


def test_random_cameras_see_the_objects():
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(10):
        scene = random_scene(rng, count=1)
        pose, focal = random_camera(scene, rng)
        _, ids = render(scene, pose, 32 * focal, 32 * focal, 16, 16, 32, 32, supersampling=1)
        seen.append((ids == 0).any())
    assert np.mean(seen) >= 0.9


@pytest.fixture(scope="module")
def painter(tmp_path_factory) -> Painter:
    folder = tmp_path_factory.mktemp("stock")
    make_stock(folder, count=12, size=48, seed=0)
    return Painter(load_stock(folder), texture_bank(6, 32, seed=0), seed=0, size=32)


def test_stock_gives_endless_looks_of_the_same_scenes(painter):
    first, second = painter.paint(np.arange(12)), painter.paint(np.arange(12), views=2)
    assert first.images.shape == (12, 3, 32, 32) and second.images.shape == (24, 3, 32, 32)
    assert first.masks.shape == (12, 4, 32, 32)
    assert float(first.images.min()) >= 0 and float(first.images.max()) <= 1
    assert (first.facts.shape == second.facts.shape[:12]).all()
    assert (first.facts.colour != second.facts.colour[:12]).any()
    visible = first.masks.mean((-1, -2)) > 0
    assert (visible[first.facts.seen == 1]).all()
    assert (first.facts.colour[first.facts.shape < 0] == -2).all()


def test_a_stock_of_another_size_is_made_anew(tmp_path):
    make_stock(tmp_path, count=3, size=24, seed=0)
    make_stock(tmp_path, count=2, size=24, seed=0)
    assert len(load_stock(tmp_path)) == 2, "the third would be of another time"


def test_missing_stock_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="run make_stock"):
        load_stock(tmp_path)


def test_open_attributes_fit_anything():
    facts = facts_of([_two()])
    assert captions.matches(facts, [Item()]).all()
