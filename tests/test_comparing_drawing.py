"""Perfect edits of drawn scenes: what they change, what a judge gives them, and where they stand in the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blending_nerf_ns.commands.compare import CompareOptions, compare
from blending_nerf_ns.comparing.cases import DRAWN, EditCase, SceneCase, Workplace, table_cells
from blending_nerf_ns.comparing.drawing import Drawing
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.perfect import draw_views, score_perfect
from blending_nerf_ns.comparing.results import settings, training_fingerprint
from blending_nerf_ns.comparing.running import find_capture, run_cells
from blending_nerf_ns.comparing.scenes import DEMO_EDITS, demo_case, demo_edited, drawn_case
from blending_nerf_ns.comparing.scoring import parse_options
from blending_nerf_ns.comparing.table import markdown
from blending_nerf_ns.demo.capture import CaptureShape, demo_capture_scene, held_out_views, read_mask
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.procedural.base import square_photographs
from blending_nerf_ns.reporting.judge import JudgeConfig

METHODS = choose_methods(["ours", DRAWN])
SMALL = ("--num-views", "2", "--mask-dilation", "3")


def test_what_is_not_trained_has_no_seeds_and_stands_only_where_it_can_be_drawn() -> None:
    captured = SceneCase("captured", DEMO_EDITS[:1])
    other = demo_case([replace(DEMO_EDITS[0], target_text="a green ball")])  # another edit of the same name
    cells = table_cells([demo_case(), captured, other], ["recolour"], METHODS, [0, 1])
    assert [(cell.scene.name, cell.method.name, cell.seed) for cell in cells if cell.method.name == DRAWN] == [
        ("demo", DRAWN, 0)
    ]
    assert len(cells) == 7


def test_edits_of_the_drawing_change_what_they_say() -> None:
    scene, shape = demo_capture_scene(), CaptureShape(size=48)
    (view,) = held_out_views(scene, 0, shape)[:1]
    cameras = square_photographs(torch.tensor(view.pose[None, :3], dtype=torch.float32), shape.focal, shape.size)
    before = draw_views(scene, cameras)
    after = {name: draw_views(edited, cameras) for name, edited in demo_edited().items()}
    assert set(after) == {edit.name for edit in DEMO_EDITS}
    changed = {name: (seen.pictures - before.pictures).abs().amax(-1) > 1e-6 for name, seen in after.items()}
    on_outline = torch.nn.functional.max_pool2d((before.things == 0).float(), 3, 1, 1) > 0
    assert changed["recolour"][before.things == 0].all() and not changed["recolour"][~on_outline].any()
    assert (after["remove"].things == 3).sum() == 0 < (before.things == 3).sum(), "the donut is gone"
    green = after["add"].pictures[after["add"].things == 4].mean(0)
    assert green[1] > 2 * green[0], "something green that was not there"
    assert after["replace"].pictures[after["replace"].things == 0].mean(0)[2] < 0.3, "yellow has no blue"


def test_the_drawing_is_the_photo_of_the_capture(tmp_path: Path) -> None:
    case = demo_case()
    assert case.drawing is not None
    drawing = replace(case.drawing, shape=CaptureShape(size=24, train_views=1, held_out_views=2))
    drawing.write(tmp_path)
    (view, *_) = held_out_views(drawing.scene, 0, drawing.shape)
    cameras = square_photographs(torch.tensor(view.pose[None, :3], dtype=torch.float32), drawing.shape.focal, 24)
    seen = draw_views(drawing.scene, cameras)
    np.testing.assert_array_equal(seen.things[0] == 0, read_mask(tmp_path, drawing.scene.things[0], "test_000"))


OPTIONS = parse_options(["--views", "test", "--masks", "demo", "--num-views", "3"])


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    case = demo_case()
    assert case.drawing is not None
    return replace(case.drawing, shape=CaptureShape(size=64, held_out_views=3))


@pytest.fixture(scope="module")
def scores(drawing: Drawing) -> dict[str, dict]:
    return {
        edit.name: score_perfect(drawing, edit, replace(OPTIONS, mask_room=edit.room))["metrics"] for edit in DEMO_EDITS
    }


@pytest.mark.parametrize("edit", DEMO_EDITS, ids=lambda edit: edit.name)
def test_a_perfect_edit_does_what_its_text_says(edit: EditCase, drawing: Drawing, scores: dict[str, dict]) -> None:
    right = scores[edit.name]
    wrong = score_perfect(drawing, replace(edit, target_text="a black cylinder"), OPTIONS)["metrics"]
    name = "close_up_direction_similarity"
    assert right[name]["value"] > max(0.15, wrong[name]["value"] + 0.05), "the judge tells it from another text"
    assert right["clip_direction_similarity"]["unedited"] == 0.0 < right["clip_direction_similarity"]["value"]
    assert right["psnr"]["value"] < 40.0, "the object itself has changed"
    assert right["chamfer"]["value"] is None and "no depth" in right["chamfer"]["reason"]
    assert "no region" in right["own_region_psnr_outside"]["reason"]


def test_what_stands_in_its_own_place_changes_nothing_outside(scores: dict[str, dict]) -> None:
    assert scores["recolour"]["psnr_outside"]["value"] == 99.0 and scores["recolour"]["leaked_change"]["value"] == 0.0
    for name in ("add", "replace"):  # shadows move, and a cube has corners
        assert scores[name]["psnr_outside"]["value"] > 25.0 and scores[name]["leaked_change"]["value"] < 0.2


def test_room_is_of_leakage_and_close_ups_are_of_the_subject(drawing: Drawing, scores: dict[str, dict]) -> None:
    (added,) = [edit for edit in DEMO_EDITS if edit.name == "add"]
    tight = score_perfect(drawing, added, OPTIONS)["metrics"]
    name = "close_up_direction_similarity"
    assert tight[name]["value"] == scores["add"][name]["value"]
    assert tight["leaked_change"]["value"] > 0.03 > scores["add"]["leaked_change"]["value"]


def test_a_judge_that_is_missing_leaves_its_figures_out(drawing: Drawing) -> None:
    options = replace(OPTIONS, judge=JudgeConfig("ViT-L-14", "/nowhere/weights.pt"), num_views=2)
    said = score_perfect(drawing, DEMO_EDITS[2], options)
    assert said["metrics"]["clip_direction_similarity"]["value"] is None
    assert said["metrics"]["psnr"]["value"] < 99.0 and said["warnings"]


@pytest.mark.parametrize("flags", [["--views", "novel"], ["--masks", "none"], ["--target-text", "a cone"]])
def test_what_cannot_be_drawn_alike_is_refused(flags: list[str], drawing: Drawing) -> None:
    options = parse_options(["--views", "test", "--masks", "demo", *flags])
    with pytest.raises(BlendingNerfError, match="leave drawn-anew out of --methods"):
        score_perfect(drawing, DEMO_EDITS[0], options)


def test_flags_that_nobody_understands_stop_a_table_at_once(tmp_path: Path) -> None:
    cells = table_cells([demo_case()], ["add"], METHODS, [0])
    for flags, message in (
        (("--num-veiws", "3"), "does not understand --num-veiws 3"),
        (("--mask-dilation", "-1"), "is -1"),
        (("--output", "elsewhere"), "reports lie in their runs' folders"),
    ):
        with pytest.raises(BlendingNerfError, match=message):
            run_cells(cells, Workplace(tmp_path / "work", tmp_path / "results", evaluate_flags=flags))
    captured = table_cells([SceneCase("captured", DEMO_EDITS[:1])], [], choose_methods([DRAWN]), [0])
    with pytest.raises(BlendingNerfError, match="there is nothing to run"):
        run_cells(captured, Workplace(tmp_path / "work", tmp_path / "results"))


def test_another_drawing_is_another_setting(tmp_path: Path) -> None:
    case = demo_case()
    assert case.drawing is not None
    place = Workplace(tmp_path / "work", tmp_path / "results")
    (cell,) = table_cells([case], ["replace"], choose_methods([DRAWN]), [0])
    swapped = {**case.drawing.perfect, "replace": case.drawing.perfect["remove"]}
    other = replace(cell, scene=replace(case, drawing=replace(case.drawing, perfect=swapped)))
    again = replace(cell, scene=demo_case())
    assert settings(cell, place) == settings(again, replace(place, train_flags=("--pipeline.edit-steps", "9")))
    assert settings(cell, place) != settings(other, place)
    moved = replace(case.drawing, scene=replace(case.drawing.scene, things=case.drawing.scene.things[::-1]))
    (ours,) = table_cells([case], ["replace"], choose_methods(["ours"]), [0])
    elsewhere = replace(ours, scene=replace(case, drawing=moved))
    assert settings(ours, place) != settings(elsewhere, place)
    assert training_fingerprint(ours, place) != training_fingerprint(elsewhere, place), "other photos"


def test_it_stands_in_the_table(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "work", tmp_path / "results", evaluate_flags=SMALL)
    cells = table_cells([demo_case()], ["add"], choose_methods([DRAWN]), [0])
    results, failures = run_cells(cells, place)
    assert failures == {} and not (place.work / "runs").exists(), "nothing was trained"
    (result,) = results
    assert result["mask_dilation"] == 3 and len(result["views"]["names"]) == 2 and result["guide"] is None
    assert result["settings"]["edit"]["room"] == "above"
    text = markdown(results)
    assert "| demo | add | drawn-anew |" in text and "what this judge gives a right edit" in text
    assert json.loads((place.results / f"{cells[0].key}.json").read_text()) == result
    assert run_cells(cells, place) == ([result], {})


def test_a_capture_whose_list_broke_off_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, write = Workplace(tmp_path / "work", tmp_path / "results"), Path.write_text
    few = CaptureShape(size=16, train_views=2, held_out_views=2, smallest_share=0.0)
    scene = drawn_case("few", demo_capture_scene(), 0, DEMO_EDITS[:1], few)

    def full(path: Path, text: str, *more: Any) -> int:
        write(path, text[:100], *more)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            find_capture(scene, place)
    assert json.loads((find_capture(scene, place) / "transforms.json").read_text())["frames"]


def test_what_there_is_can_be_printed_without_running_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"work": tmp_path / "work", "results": tmp_path / "results", "edits": ("remove",), "seeds": (0,)}
    compare(CompareOptions(run=False, **where))
    assert "There are no results yet." in capsys.readouterr().out and not (tmp_path / "work").exists()
    compare(CompareOptions(methods=(DRAWN,), evaluate_flags="--num-views 2", **where))
    said = capsys.readouterr().out
    compare(CompareOptions(run=False, evaluate_flags="--num-views 2", **where))  # ours is not there
    assert capsys.readouterr().out == said and "| demo | remove | drawn-anew |" in said
