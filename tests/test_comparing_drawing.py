"""Perfect edits of drawn scenes: what they change, what a judge gives them, and where they stand in the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from blending_nerf_ns.comparing.cases import SceneCase, Workplace, table_cells
from blending_nerf_ns.comparing.drawing import draw_views, score_perfect
from blending_nerf_ns.comparing.methods import DRAWN, choose_methods
from blending_nerf_ns.comparing.running import run_cells
from blending_nerf_ns.comparing.scenes import DEMO_EDITS, demo_case, demo_edited
from blending_nerf_ns.comparing.table import markdown
from blending_nerf_ns.demo.capture import CaptureShape, demo_capture_scene, held_out_views, read_mask
from blending_nerf_ns.procedural.base import square_photographs
from blending_nerf_ns.reporting.judge import JudgeConfig
from blending_nerf_ns.reporting.options import ReportOptions

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


@pytest.fixture(scope="module")
def drawn() -> dict:
    case = demo_case()
    assert case.drawing is not None
    drawing = replace(case.drawing, shape=CaptureShape(size=64, held_out_views=3))
    options = ReportOptions(num_views=3)
    texts = ("a red ball", "a blue ball")
    return {
        words: score_perfect(drawing, "recolour", words, "a red ball", options)
        for words in (texts, ("a red ball", "a green cone"))
    }


def test_a_perfect_edit_does_what_its_text_says_and_nothing_outside(drawn) -> None:
    right, wrong = (said["metrics"] for said in drawn.values())
    assert right["clip_direction_similarity"]["unedited"] == 0.0
    for name in ("clip_direction_similarity", "close_up_direction_similarity"):
        assert right[name]["value"] > wrong[name]["value"] + 0.1, "the judge tells it from another text"
    assert right["close_up_direction_similarity"]["value"] > 0.4
    assert right["psnr_outside"]["value"] == 99.0 and right["leaked_change"]["value"] == 0.0
    assert right["psnr"]["value"] < 40.0, "the ball itself has changed"
    assert right["chamfer"]["value"] is None and "no depth" in right["chamfer"]["reason"]
    assert "no region" in right["own_region_psnr_outside"]["reason"]


def test_a_judge_that_is_missing_leaves_its_figures_out() -> None:
    case = demo_case()
    assert case.drawing is not None
    drawing = replace(case.drawing, shape=CaptureShape(size=32, held_out_views=2))
    options = ReportOptions(num_views=2, judge=JudgeConfig("ViT-L-14", "/nowhere/weights.pt"), mask_dilation=2)
    said = score_perfect(drawing, "remove", ("a green donut", "an empty floor"), "a green donut", options)
    assert said["metrics"]["clip_direction_similarity"]["value"] is None
    assert said["metrics"]["psnr"]["value"] < 99.0 and said["warnings"]


def test_it_stands_in_the_table(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "work", tmp_path / "results", evaluate_flags=SMALL)
    cells = table_cells([demo_case()], ["add"], choose_methods([DRAWN]), [0])
    results, failures = run_cells(cells, place)
    assert failures == {} and not (place.work / "runs").exists(), "nothing was trained"
    (result,) = results
    assert result["mask_dilation"] == 3 and len(result["views"]["names"]) == 2 and result["guide"] is None
    assert result["settings"]["edit"]["room"] == "above"
    text = markdown(results)
    assert "| demo | add | drawn-anew |" in text and "what the judge gives a perfect one" in text
    assert json.loads((place.results / f"{cells[0].key}.json").read_text()) == result
    assert run_cells(cells, place) == ([result], {})
