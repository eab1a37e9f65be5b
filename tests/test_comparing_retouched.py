"""Right edits painted into pictures: what they change and what they leave, where solids stand, which edits have one."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_truth import colour_name
from hypothesis import given
from hypothesis import strategies as st
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from tiny_table import REPORT
from torch import Tensor

from blending_nerf_ns.comparing import results, running
from blending_nerf_ns.comparing.brush import BRUSH
from blending_nerf_ns.comparing.cases import RETOUCHED, EditCase, SceneCase, Workplace, table_cells
from blending_nerf_ns.comparing.fitting import fitted, in_place, on_top, room_of, share_inside
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.results import read_result, settings, write_result
from blending_nerf_ns.comparing.retouched import score_retouched
from blending_nerf_ns.comparing.retouching import (
    Shown,
    bright_shade,
    cut_out,
    put_in,
    recolored,
    retouched,
)
from blending_nerf_ns.comparing.scenes import DEMO_EDITS, demo_case
from blending_nerf_ns.comparing.scoring import parse_options, score_pictures
from blending_nerf_ns.comparing.wishes import Wish, wish_of
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.shading import shading_correlation
from blending_nerf_ns.procedural.scene import Scene, Thing, primitive
from blending_nerf_ns.procedural.trace import FIRST_PART, trace
from blending_nerf_ns.procedural.words import COLOUR_NAMES, PRIMITIVES
from blending_nerf_ns.reporting.views import Views

SIZE, FOCAL, AWAY = 48, 60.0, 4.0
RED = np.array([0.8, 0.1, 0.1])
ALL = ("add", "remove", "change")


def cameras() -> Cameras:
    """One that looks along +y at the origin from four units away, z up."""
    pose = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, -AWAY], [0.0, 1.0, 0.0, 0.0]])
    middle = SIZE / 2
    return Cameras(pose[None], fx=FOCAL, fy=FOCAL, cx=middle, cy=middle, width=SIZE, height=SIZE)


def nowhere() -> Tensor:
    return torch.full((1, SIZE, SIZE), torch.inf)


@pytest.mark.parametrize(
    ("source", "target", "operations", "room", "wish"),
    [
        ("a red ball", "a small violet ball", ("change",), "none", Wish("recolour", "purple")),
        ("a red toy", "a grey sphere on top of a red toy", ("add",), "above", Wish("add", "gray", "ball")),
        ("a toy", "a grey sphere on top of a red toy", ("add",), "above", None),
        ("a toy", "a red ball beside a toy", ("add",), "none", None),
        ("a toy", "a red toy on top of a toy", ("add",), "above", None),
        ("a red cube", "a red cube with a green ball on top", ("add",), "above", Wish("add", "green", "ball")),
        ("a red ball", "a red cube", ALL, "around", Wish("replace", "red", "cube")),
        ("a red ball", "a red ball with a blue cube and a cone", ("add",), "above", None),
        ("a red ball", "a red cube and a green ball", ("change",), "none", None),
        ("a red ball", "a striped blue ball", ("change",), "none", None),
        ("a dog", "an empty sofa", ("remove",), "none", Wish("remove")),
        ("a red ball", "a yellow cube", ALL, "around", Wish("replace", "yellow", "cube")),
        ("a red ball", "a blue ball", ALL, "around", None),
        ("a red ball", "a wooden cube", ALL, "around", None),
        ("a dog", "a blue cat", ("change",), "none", None),
        ("a red cube", "a ball on top of a red cube", ("add",), "above", None),
        ("a red cube", "a red cube with a green ball and a dog on top", ("add",), "above", None),
        ("a red ball", "a red ball and a cube", ALL, "around", None),
        ("a red ball", "a blue cube", ALL, "none", None),
        ("a red toy", "a red toy with a blue ball on top", ("add",), "above", Wish("add", "blue", "ball")),
        ("a red cube", "a blue cube with a ball on top", ("add",), "above", None),
        ("a red ball", "a red ball on a blue table", ("change",), "none", None),
        ("a red ball on a floor", "a red ball on a blue floor", ("change",), "none", None),
        ("a ball on a red cube", "a ball on a blue cube", ("change",), "none", None),
        ("a microphone", "a microphone on a blue table", ("change",), "none", None),
        ("a fox on a table", "a fox on a blue table", ("change",), "none", None),
        ("a fox on a table", "a blue fox on a table", ("change",), "none", Wish("recolour", "blue")),
        ("a toy", "a toy in blue", ("change",), "none", Wish("recolour", "blue")),
        ("a red object", "a blue thing", ("change",), "none", Wish("recolour", "blue")),
        ("a red shiny ball", "a red shiny cube", ALL, "around", Wish("replace", "red", "cube")),
        ("a ball on a blue table", "a cube on a blue table", ALL, "around", None),
        ("a red ball", "a red cube on a blue floor", ALL, "around", Wish("replace", "red", "cube")),
        ("a red ball", "a blue cube", ("change", "add"), "around", None),
    ],
)
def test_what_words_and_operations_ask_for(source, target, operations, room, wish) -> None:
    assert wish_of(source, target, operations, room) == wish


@pytest.mark.parametrize("colour", COLOUR_NAMES)
def test_a_shade_is_called_by_its_colours_name(colour: str) -> None:
    shades = [bright_shade(colour, np.random.default_rng(seed)) for seed in range(8)]
    assert {colour_name(shade) for shade in shades} == {colour}
    assert len({tuple(shade) for shade in shades}) == 8


@given(st.integers(0, 10_000), st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3))
def test_a_recolour_keeps_light_and_shade_and_all_outside(seed: int, rgb: list[float]) -> None:
    made = torch.Generator().manual_seed(seed)
    pictures = 0.05 + 0.9 * torch.rand(2, 9, 9, 3, generator=made)
    mask = torch.zeros(2, 9, 9, dtype=torch.bool)
    mask[:, 3:7, 2:6] = True
    pictures[:, 4:6, 3:5] *= 0.6  # the brightest of all are cut off, and these are not
    done = recolored(pictures, mask, torch.tensor(rgb))
    core = torch.zeros_like(mask)
    core[:, 4:6, 3:5] = True  # away from its soft outline
    assert shading_correlation(pictures, done, core) == pytest.approx(1.0, abs=1e-4)
    share = done[core] / done[core].sum(-1, keepdim=True)
    torch.testing.assert_close(share, (torch.tensor(rgb) / sum(rgb)).expand_as(share), atol=1e-5, rtol=1e-4)
    beyond = torch.ones_like(mask)
    beyond[:, 2:8, 1:7] = False
    assert torch.equal(done[beyond], pictures[beyond])


def test_what_is_cut_out_is_filled_from_around_it() -> None:
    pictures = torch.full((2, 20, 20, 3), 0.4)
    pictures[1] = 0.7
    before = pictures.clone()
    mask = torch.zeros(2, 20, 20, dtype=torch.bool)
    mask[0, 2:6, 2:6] = mask[1, 14:18, 9:12] = True
    before[mask] = torch.tensor([1.0, 0.0, 0.0])
    after = cut_out(before, mask, 1)
    torch.testing.assert_close(after, pictures, atol=0.01, rtol=0.0)
    assert torch.equal(after[1, :12], before[1, :12]), "all else is as it was, not rounded to bytes"


def test_a_ball_is_as_large_as_it_is_far() -> None:
    ball = primitive("ball", "red", RED, (0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
    white = torch.ones(1, SIZE, SIZE, 3)
    drawn = put_in(white, nowhere(), cameras(), ball)[0]
    seen = (drawn[..., 1] < 0.99).nonzero().float()
    # its outline is seen at tan(asin(r / d)) of the focal length
    radius = FOCAL * np.tan(np.arcsin(0.5 / AWAY))
    torch.testing.assert_close(seen.mean(0), torch.full((2,), (SIZE - 1) / 2), atol=0.2, rtol=0.0)
    assert len(seen) == pytest.approx(np.pi * (radius + 0.5) ** 2, rel=0.08), "pixels that it touches"
    assert torch.equal(put_in(white, torch.full((1, SIZE, SIZE), 3.4), cameras(), ball), white), (
        "what is before it hides it"
    )
    depth = nowhere()
    depth[..., : SIZE // 2] = 1.0
    half = put_in(white, depth, cameras(), ball)[0]
    assert torch.equal(half[:, : SIZE // 2], white[0, :, : SIZE // 2])
    assert torch.equal(half[:, SIZE // 2 :], drawn[:, SIZE // 2 :])


def two_ears(count: int = 4000) -> np.ndarray:
    """Points of a block 1 x 1 x 0.8 with an ear to z = 1 at both ends of x."""
    points = np.random.default_rng(0).uniform([-0.5, -0.5, 0.0], [0.5, 0.5, 0.8], (count, 3))
    ears = np.random.default_rng(1).uniform([0.4, -0.1, 0.8], [0.5, 0.1, 1.0], (count // 4, 3))
    return np.concatenate([points, ears, ears * [-1, 1, 1]])


def lowest(thing: Thing) -> float:
    """Height of a solid's lowest point, as rays from below meet it."""
    (part,) = thing.parts
    across = torch.linspace(-1.0, 1.0, 41) * float(part.size[0])
    rays = torch.stack(torch.meshgrid(across, across, indexing="ij"), dim=-1).reshape(-1, 2)
    start = torch.tensor([float(part.centre[0]), float(part.centre[1]), -50.0])
    ends = torch.cat([rays, torch.full((len(rays), 1), 50.0)], dim=1)
    seen = trace(Scene((thing,), ground=None), start, torch.nn.functional.normalize(ends, dim=-1))
    return float(seen.position[seen.surface >= FIRST_PART][:, 2].min())


@pytest.mark.parametrize("shape", PRIMITIVES)
def test_what_is_put_on_top_lies_on_what_is_under_it(shape: str) -> None:
    thing = on_top(two_ears(), Wish("add", "red", shape), RED, 0.2)
    (solid,) = thing.parts
    assert float(solid.size[0]) == pytest.approx(0.2 * 0.9, abs=0.03)
    np.testing.assert_allclose(solid.centre[:2], 0.0, atol=0.05, err_msg="between the ears")
    assert 0.7 < lowest(thing) < 0.8, "sunk in a little"


@pytest.mark.parametrize("shape", PRIMITIVES)
def test_what_takes_an_objects_place_stands_where_it_stood(shape: str) -> None:
    thing = in_place(two_ears(), Wish("replace", "blue", shape), RED, 1.0)
    (solid,) = thing.parts
    np.testing.assert_allclose(solid.centre[:2], 0.0, atol=0.05)
    assert lowest(thing) == pytest.approx(0.0, abs=0.08)
    assert 2 * solid.size[0] == pytest.approx(0.9, abs=0.08), "the volume of the box around most of the object"


def test_a_solid_is_drawn_smaller_until_it_lies_in_the_room() -> None:
    def ball(part: float):
        return primitive("ball", "red", RED, (0.0, 0.0, 0.0), (part,) * 3)

    room = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    room[:, 14:34, 14:34] = True  # 10 pixels each way: 10 * AWAY / FOCAL = 0.667 units
    (fits,) = fitted(ball, cameras(), room).parts
    assert 0.667 / 1.18 < fits.size[0] <= 0.667
    assert share_inside(ball(0.66), cameras(), room) == 1.0 and share_inside(ball(0.68), cameras(), room) == 0.0
    everywhere = torch.ones_like(room)
    assert fitted(ball, cameras(), everywhere).parts[0].size[0] == 1.0
    aside = torch.zeros_like(room)
    aside[:, :5, :5] = True
    assert fitted(ball, cameras(), aside).parts[0].size[0] == pytest.approx(0.85**8), (
        "the first below 0.3, and no smaller"
    )


def test_the_room_is_told_by_views_that_show_all_of_the_subject() -> None:
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[0, 2:4, 2:4] = mask[1, 5:, 3:5] = True
    assert room_of(mask, "around").flatten(1).any(dim=1).tolist() == [True, False]
    assert room_of(mask[1:], "around").any()


def test_a_subject_without_a_surface_has_nothing_on_top() -> None:
    for points in (np.zeros((0, 3)), np.zeros((5, 3))):
        with pytest.raises(BlendingNerfError, match="surface in the masks"):
            on_top(points, Wish("add", "red", "ball"), RED, 0.3)


def test_a_solid_is_bent_as_the_lens_bends_its_picture() -> None:
    lens = cameras()
    lens.distortion_params = torch.tensor([[-0.25, 0.0, 0.0, 0.0, 0.0, 0.0]])
    ball = primitive("ball", "red", RED, (-1.2, 0.0, 0.0), (0.3, 0.3, 0.3))
    white = torch.ones(1, SIZE, SIZE, 3)
    straight, bent = (put_in(white, nowhere(), one, ball)[0][..., 1] < 0.9 for one in (cameras(), lens))
    # r' = r (1 + k r^2) of the ball's centre, r = 1.2 / AWAY
    shift = FOCAL * 0.3 * 0.25 * 0.3**2
    columns = [one.nonzero()[:, 1].float().mean() for one in (straight, bent)]
    assert float(columns[1] - columns[0]) == pytest.approx(shift, abs=0.25)


@pytest.fixture
def shown() -> Shown:
    pictures = torch.full((1, SIZE, SIZE, 3), 0.5)
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, 16:32, 16:32] = True
    pictures[mask] = torch.tensor([0.6, 0.5, 0.1])
    points = torch.from_numpy(two_ears()).float() - torch.tensor([0.0, 0.0, 0.5])
    return Shown(cameras(), pictures, torch.where(mask, AWAY - 0.5, torch.inf), mask, points)


@pytest.mark.parametrize(
    "wish",
    [Wish("recolour", "green"), Wish("add", "red", "ball"), Wish("remove"), Wish("replace", "blue", "cube")],
    ids=lambda wish: wish.kind,
)
def test_a_seed_paints_the_same_again(shown: Shown, wish: Wish) -> None:
    first, again, *others = (retouched(shown, wish, seed) for seed in (3, 3, 4, 5, 6))
    assert torch.equal(first, again) and first.shape == shown.pictures.shape
    assert not torch.equal(first, shown.pictures) and first.min() >= 0.0 and first.max() <= 1.0
    assert any(not torch.equal(first, other) for other in others)
    middle = first[0, SIZE // 2, SIZE // 2]
    if wish.kind == "remove":
        torch.testing.assert_close(middle, torch.full((3,), 0.5), atol=0.02, rtol=0.0)
    elif wish.kind == "add":
        assert torch.equal(middle, shown.pictures[0, SIZE // 2, SIZE // 2]), "the object is still there"
        assert (first[0, :16, :, 0] > first[0, :16, :, 2] + 0.2).any(), "and something red above it"
    else:
        assert middle.argmax() == ("red", "green", "blue").index(wish.colour)


def test_it_stands_for_every_seed_where_there_are_masks_and_known_words() -> None:
    unknown = replace(DEMO_EDITS[3], name="chair", target_text="a wooden chair")
    seen = SceneCase("seen", (*DEMO_EDITS, unknown), masks=("alpha",))
    blind = replace(seen, name="blind", masks=("none",))
    cells = table_cells([seen, blind], [], choose_methods([RETOUCHED]), [0, 1])
    assert [(cell.scene.name, cell.edit.name, cell.seed) for cell in cells] == [
        ("seen", edit.name, seed) for seed in (0, 1) for edit in DEMO_EDITS
    ]


def test_a_cell_that_fails_leaves_the_others_to_be_painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails(base: Path, capture: Path, edit: EditCase, *_: object) -> None:
        tried.append(edit.name)
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(running, "score_retouched", fails)
    monkeypatch.setattr(running, "train_base", lambda *_: tmp_path)
    monkeypatch.setattr(running, "find_capture", lambda *_: tmp_path)
    cells = table_cells([demo_case()], ["add", "remove"], choose_methods([RETOUCHED]), [0])
    made, failures = running.run_cells(cells, Workplace(tmp_path / "work", tmp_path / "results"))
    assert made == [] and tried == ["add", "remove"]
    assert set(failures) == {cell.key for cell in cells}
    assert all(said.startswith("RuntimeError('CUDA out of memory')") for said in failures.values())


def test_another_base_wish_or_brush_is_another_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = table_cells([demo_case()], ["replace"], choose_methods([RETOUCHED]), [0])
    place = Workplace(tmp_path / "work", tmp_path / "results")
    longer = replace(place, base_flags=("--pipeline.base-steps", "9"))
    assert settings(cell, place) != settings(cell, longer), "the pictures are the base's"
    assert "region" not in settings(cell, place)["edit"]
    blue = replace(cell.edit, target_text="a blue ball")
    recolour, removal = (replace(cell, edit=replace(blue, operations=(one,))) for one in ("change", "remove"))
    assert settings(recolour, place) != settings(removal, place), "the same words, and another picture"
    write_result(cell, place, settings(cell, place), REPORT, {}, 1)
    assert read_result(cell, place) is not None
    monkeypatch.setattr(results, "BRUSH", BRUSH._replace(shades=4))
    with pytest.raises(BlendingNerfError, match="painted was"):
        read_result(cell, place)


def test_pictures_are_scored_without_a_source_text_as_runs_are(shown: Shown) -> None:
    """Where a box says what is meant, there need be none."""
    edit = EditCase("recolour", "", "a blue object", ("change",))
    assert edit.wish is not None
    options = parse_options(["--views", "test", "--masks", "alpha"])
    views = Views("test", ["a"], shown.cameras, None)
    report = score_pictures(shown.pictures, shown.pictures.flip(-1), shown.mask, views, edit, options)
    assert report["metrics"]["clip_direction_similarity"]["value"] is not None
    assert "an object" in report["prompt_pool"]


@pytest.mark.parametrize(
    ("flags", "target"),
    [
        (["--masks", "none"], "a blue ball"),
        (["--masks", "alpha", "--source-text", "a cone"], "a blue ball"),
        (["--masks", "alpha"], "a wooden ball"),
    ],
)
def test_what_cannot_be_painted_is_refused(flags: list[str], target: str, tmp_path: Path) -> None:
    edit = EditCase("recolour", "a red ball", target, ("change",))
    with pytest.raises(BlendingNerfError, match="leave retouched out of --methods"):
        score_retouched(tmp_path, tmp_path, edit, 0, parse_options(["--views", "test", *flags]), tmp_path / "a.png")


def test_question_18_leaves_a_table_by_another_judge_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples")
    asked = importlib.import_module("18_what_a_right_edit_scores")
    scenes = [demo_case()]
    cell = table_cells(scenes, ["add"], choose_methods(["ours"]), [0])[0]
    here = asked.Right(tmp_path / "out", table=tmp_path)
    place = replace(here.place(), results=tmp_path)
    write_result(cell, place, settings(cell, place), REPORT, {}, 1)
    assert len(asked.of_the_table(here, scenes)) == 1 and capsys.readouterr().out == ""
    other = replace(here, evaluate_flags="--judge.model ViT-L-14 --judge.pretrained openai")
    assert asked.of_the_table(other, scenes) == []
    assert "1 results of" in (said := capsys.readouterr().out) and "evaluate_flags was" in said


def test_question_18_tells_what_is_above_every_right_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples")
    asked = importlib.import_module("18_what_a_right_edit_scores")
    (name, title), _ = asked.DIRECTIONS.items()
    found = {"retouched": (0.5, 0.7), "ours": (0.5, 0.8), "clip-nerf-finetune": (0.7, 0.9)}

    def result(method: str, value: float, edit: str = "add") -> dict:
        return {"settings": {"scene": "mic", "edit": {"name": edit}, "method": method}, "metrics": {name: value}}

    results = [result(method, value) for method, values in found.items() for value in values]
    figures = asked.gather([*results, result("ours", 0.3, "remove")], name)
    assert list(figures) == [("mic", "add")], "what no right edit was painted of has nothing to be compared with"
    *_, row = asked.table(figures).splitlines()
    assert row == "| mic | add | 0.500 to 0.700 (0.600) | 0.650 ± 0.212 | 0.800 ± 0.141, above all of them |"
    asked.draw({title: figures}, tmp_path / "right.png")
    with Image.open(tmp_path / "right.png") as drawn:
        assert (np.asarray(drawn.convert("RGB")) == (255, 127, 14)).all(-1).any(), "the baseline's marker"
