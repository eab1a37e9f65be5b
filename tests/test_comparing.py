"""The table: its cells, what is run again and what is not, and its means worked out by hand."""

from __future__ import annotations

import importlib
import json
import re
import runpy
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tiny_run import ring

from blending_nerf_ns.cli import main
from blending_nerf_ns.comparing import running
from blending_nerf_ns.comparing.cases import Cell, EditCase, Method, SceneCase, Workplace, table_cells
from blending_nerf_ns.comparing.methods import ABLATIONS, choose_methods, methods
from blending_nerf_ns.comparing.places import EVERYTHING, everything_seen, fill_flags
from blending_nerf_ns.comparing.results import (
    code_version,
    compact,
    hash_of,
    read_result,
    settings,
    training_fingerprint,
)
from blending_nerf_ns.comparing.running import edit_flags, only_here, run_cells, train
from blending_nerf_ns.comparing.scenes import DEMO_EDITS, demo_case, read_scenes
from blending_nerf_ns.comparing.table import COLUMNS, figure_of, markdown, rows_of, spread_of
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.embedded import EMBEDDED_DIR, MINI_JUDGE_NAME, unknown_words
from blending_nerf_ns.reporting import judge

SCENES = Path(__file__).resolve().parent.parent / "examples" / "scenes"
EDIT = EditCase("recolour", "a red ball", "a blue ball", ("change",), {"box-size": "1 2 3"})
SCENE = SceneCase("tiny", (EDIT, replace(EDIT, name="again")), masks=("polygons", "somewhere/outlines.json"))
OURS, BASELINE = choose_methods(["ours", "clip-nerf-finetune"])


def result_of(cell: Cell, place: Workplace, **metrics: float | None) -> dict[str, Any]:
    """A result as `run_cell` makes one."""
    return {
        "settings": settings(cell, place),
        "metrics": metrics,
        "views": {"kind": "test", "names": ["a", "b"]},
        "judge": "judge",
        "guide": "guide",
        "mask_dilation": 5,
        "prompt_pool": ["a blue ball", "a red ball"],
        "warnings": [],
        "seconds": {"base": 100.0, "region": 2.0, "edit": 3.0},
        "edit_steps": 240,
        "attempts": 1,
    }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    (tmp_path / "somewhere").mkdir()
    (tmp_path / "somewhere" / "outlines.json").write_text('{"a.png": [[0, 0], [4, 0], [0, 4]]}')
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path / "work", tmp_path / "results", evaluate_flags=("--num-views", "2"))


# -- cells ----------------------------------------------------------------------------------------------------------


def test_cells_are_all_combinations_seed_by_seed() -> None:
    cells = table_cells([SCENE], [], [OURS, BASELINE], [0, 3])
    assert [cell.key for cell in cells] == [
        f"tiny__{edit}__{method}__seed{seed}"
        for seed in (0, 3)
        for edit in ("recolour", "again")
        for method in ("ours", "clip-nerf-finetune")
    ]
    assert len(table_cells([SCENE], ["again"], [OURS], [0])) == 1
    with pytest.raises(BlendingNerfError, match="no edit 'paint'; it has recolour, again"):
        table_cells([SCENE], ["paint"], [OURS], [0])


def test_settings_name_no_place_and_flags_suit_the_method(place: Workplace) -> None:
    cell = Cell(SCENE, EDIT, OURS, 2)
    weights = place.work.with_name("weights.safetensors")
    weights.touch()
    own = replace(place, evaluate_flags=("--judge.model", "ViT-L-14", "--judge.pretrained", str(weights)))
    assert settings(cell, own)["evaluate_flags"][-1].startswith("weights.safetensors "), "wherever they lie"
    told = []
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"another")):
        (folder := place.work.with_name(name)).mkdir()
        (folder / "weights.safetensors").write_bytes(content)
        guided = ("--pipeline.guidance.pretrained", str(folder / "weights.safetensors"))
        told.append(training_fingerprint(cell, replace(place, train_flags=guided)))
    assert told[0] == told[1] != told[2], "many weights have one name"
    told = json.dumps(settings(cell, place))
    assert "outlines.json" in told and "somewhere" not in told and str(place.work) not in told
    flags = edit_flags(cell)
    assert (
        flags[-4:] == ["--pipeline.region.box-size", "1", "2", "3"] and flags[flags.index("--pipeline.seed") + 1] == "2"
    )
    baseline = edit_flags(replace(cell, method=BASELINE))
    assert not [flag for flag in baseline if "region" in flag or "operations" in flag]


def test_runs_that_were_trained_otherwise_are_told_apart(place: Workplace) -> None:
    cell = Cell(SCENE, EDIT, OURS, 2)

    def changed(place: Workplace = place, method: Method = OURS, **edit: Any) -> str:
        return training_fingerprint(replace(cell, method=method, edit=replace(EDIT, **edit)), place)

    same = training_fingerprint(cell, place)
    assert same == changed(room="around") == changed(subject="a ball"), "measured otherwise, trained alike"
    assert same == changed(replace(place, evaluate_flags=()))
    others = [changed(replace(place, train_flags=("--pipeline.edit-steps", "9"))), changed(region={"margin": "0.2"})]
    others += [changed(replace(place, base_flags=("--pipeline.base-steps", "9"))), changed(target_text="a green ball")]
    assert len({same, *others}) == 5
    # a method without a region is told of neither region nor operations
    assert changed(method=BASELINE, region={"margin": "0.2"}) == changed(method=BASELINE)


def test_methods_are_chosen_by_name() -> None:
    assert [m.name for m in choose_methods(["ours", "ablations", "ours"])] == ["ours", *ABLATIONS]
    assert methods("gpu")["ours"].config == "blending-nerf"
    with pytest.raises(BlendingNerfError, match="no method 'theirs'"):
        choose_methods(["theirs"])
    with pytest.raises(BlendingNerfError, match="no method 'resampled' of size gpu"):
        choose_methods(["resampled"], "gpu")
    there = [name for name in ABLATIONS if name in methods("gpu")]
    assert there and [m.name for m in choose_methods(["ablations"], "gpu")] == there


def test_a_region_of_everything_lies_where_the_cameras_look() -> None:
    places = everything_seen(ring(8, size=12, radius=1.5))  # a picture is as wide as its distance
    assert {name: abs(round(float(value), 3)) for name, value in places.items()} == {
        "x": 0,
        "y": 0,
        "z": 0,
        "side": 1.5,
    }
    filled = fill_flags(EVERYTHING, places)
    assert filled[:3] == ["--pipeline.region.source", "box", "--pipeline.region.box-center"]
    assert filled[-3:] == [places["side"]] * 3 and not [flag for flag in filled if "{" in flag]
    assert methods()["no-region"].flags == EVERYTHING


def test_scenes_of_the_package_use_words_that_the_guide_knows() -> None:
    files = sorted(SCENES.glob("*.json"))
    data = [f"{json.loads(file.read_text())['name']}={SCENES}" for file in files]
    scenes = read_scenes(["demo", *map(str, files)], data)
    assert [scene.name for scene in scenes] == ["demo", "mic", "toy"]
    for scene in scenes:
        assert [edit.name for edit in scene.edits] == ["recolour", "add", "remove", "replace"]
        for edit in scene.edits:
            assert unknown_words(edit.source_text) == unknown_words(edit.target_text) == []
    assert scenes[2].development and Path(scenes[2].masks[1]).is_file(), "the polygons lie beside the examples"
    assert demo_case().edits == DEMO_EDITS


def test_scenes_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    file = tmp_path / "scene.json"
    with pytest.raises(BlendingNerfError, match="there is no scene"):
        read_scenes([str(file)], [])
    file.write_text('{"name": "it", "edits": [{"name": "recolour", "shade": 1}]}')
    with pytest.raises(BlendingNerfError, match="this is no edit"):
        read_scenes([str(file)], [])
    file.write_text('{"name": "it", "edits": []}')
    with pytest.raises(BlendingNerfError, match="add --data it=FOLDER"):
        read_scenes([str(file)], [])
    with pytest.raises(BlendingNerfError, match="nowhere, is not there"):
        read_scenes([str(file)], [f"it={tmp_path / 'nowhere'}"])
    file.write_text('{"name": "it", "edits": [], "masks": "alpha"}')
    with pytest.raises(BlendingNerfError, match="masks is 'alpha', wanted a list"):
        read_scenes([str(file)], [f"it={tmp_path}"])
    with pytest.raises(BlendingNerfError, match="wanted NAME=FOLDER"):
        read_scenes(["demo"], ["it"])
    with pytest.raises(BlendingNerfError, match="operations among"):
        EditCase("recolour", "a", "b", ("paint",))
    with pytest.raises(BlendingNerfError, match="the room 'below'; choose among none, around, above"):
        EditCase("recolour", "a", "b", room="below")  # type: ignore[arg-type]


def test_flags_for_other_commands_stand_behind_an_equals_sign(tmp_path: Path, capsys) -> None:
    """As the help shows them: what follows a space would be this command's own."""
    flags = [
        "--train-flags=--pipeline.edit-steps 200",
        "--evaluate-flags=--judge.model ViT-L-14 --judge.pretrained openai",
    ]
    main(["compare", "--no-run", "--work", str(tmp_path), *flags])
    assert "There are no results yet." in capsys.readouterr().out


# -- running --------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_run_again_and_a_failure_does_not_stop_the_others(place, monkeypatch) -> None:
    cells = table_cells([SCENE], [], [OURS, BASELINE], [0])
    ran = []

    def run_cell(cell: Cell, place: Workplace) -> dict[str, Any]:
        ran.append(cell.key)
        if cell.edit.name == "again" and cell.method is BASELINE:
            raise BlendingNerfError("it broke")
        place.results.mkdir(exist_ok=True)
        result = result_of(cell, place, psnr_outside=30.0)
        (place.results / f"{cell.key}.json").write_text(json.dumps(result))
        return result

    monkeypatch.setattr(running, "run_cell", run_cell)
    results, failures = run_cells(cells, place)
    assert len(results) == 3 and failures == {cells[3].key: "it broke"} and ran == [cell.key for cell in cells]
    ran.clear()
    results, failures = run_cells(cells, place)
    assert len(results) == 3 and ran == [cells[3].key]
    with pytest.raises(BlendingNerfError, match=r"other settings .*evaluate_flags was .*'2'.*is .*'4'"):
        run_cells(cells, replace(place, evaluate_flags=("--num-views", "4")))


@pytest.mark.parametrize(
    ("masks", "flags", "message"),
    [
        (("polygons", "nowhere.json"), (), "there is no polygon file nowhere.json"),
        (("images", "nowhere"), (), "the masks of tiny, nowhere, are not there"),
        (("outline",), (), "--masks outline is not understood"),
        (("none",), ("--prompts-file", "nowhere.txt"), "there is no prompts file nowhere.txt"),
        (("none",), ("--judge.model", "ViT-of-nobody"), "open_clip has no model 'ViT-of-nobody'"),
        (("none",), ("--judge.pretrained", "openai"), "embedded-judge has weights of its own"),
    ],
)
def test_what_an_evaluation_would_refuse_is_refused_before_hours_are_spent(
    masks, flags, message, place, monkeypatch
) -> None:
    monkeypatch.setattr(running, "run_cell", lambda cell, place: pytest.fail("it was trained"))
    cells = table_cells([replace(SCENE, masks=masks)], [], [OURS], [0])
    with pytest.raises(BlendingNerfError, match=message):
        run_cells(cells, replace(place, evaluate_flags=flags))


def test_a_run_without_its_judge_has_no_result(place, monkeypatch) -> None:
    """The network may be back tomorrow; a result without its figures would stand there for good."""
    cell, run = Cell(SCENE, EDIT, OURS, 0), place.work / "run"
    (run / "evaluation").mkdir(parents=True)
    told = {"judge": {"available": False, "reason": "the hub is not reachable"}}
    (run / "evaluation" / "report.json").write_text(json.dumps(told))
    monkeypatch.setattr(running, "run_logged", lambda command, log, env: None)
    with pytest.raises(BlendingNerfError, match="is trained and not scored: the hub is not reachable"):
        running.evaluate(cell, run, Path("capture"), place, place.work / "log", {})


def test_another_capture_under_the_same_name_is_another(place, tmp_path) -> None:
    def capture(name: str, x: float, photo: bytes) -> Cell:
        folder = tmp_path / name
        folder.mkdir()
        frames = [{"file_path": "a.png", "transform_matrix": [[x]]}]
        (folder / "transforms.json").write_text(json.dumps({"frames": frames}))
        (folder / "a.png").write_bytes(photo)
        return Cell(replace(SCENE, capture=folder), EDIT, OURS, 0)

    one, same = capture("one", 1.0, b"photo"), capture("same", 1.0, b"photo")
    others = [capture("moved", 2.0, b"photo"), capture("retaken", 1.0, b"another")]
    assert settings(one, place) == settings(same, place), "wherever it lies"
    assert len({training_fingerprint(cell, place) for cell in (one, same, *others)}) == 3
    place.results.mkdir()
    path = place.results / f"{one.key}.json"
    path.write_text(json.dumps(result_of(one, place)))
    assert read_result(same, place) is not None
    for other in others:
        with pytest.raises(BlendingNerfError, match=r"other settings .*contents was"):
            read_result(other, place)
    older = json.loads(path.read_text())
    del older["settings"]["contents"]["capture"]
    path.write_text(json.dumps(older))
    assert read_result(others[0], place) == older, "of before a capture was among the contents"


def test_a_judge_with_other_weights_is_another(place, monkeypatch) -> None:
    cell = Cell(SCENE, EDIT, OURS, 0)
    before, trained = settings(cell, place), training_fingerprint(cell, place)
    assert before["contents"]["judge"] == hash_of(EMBEDDED_DIR / f"{MINI_JUDGE_NAME}.safetensors")
    weights = place.work / "judge.safetensors"
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(b"others")
    told = replace(place, evaluate_flags=("--judge.model", "ViT-L-14", "--judge.pretrained", str(weights)))
    assert settings(cell, told)["contents"]["judge"] == hash_of(weights)
    tagged = replace(place, evaluate_flags=("--judge.model", "ViT-L-14", "--judge.pretrained", "openai"))
    assert "judge" not in settings(cell, tagged)["contents"], "of a tag, the flags tell all there is to tell"
    monkeypatch.setattr(judge, "MINI_JUDGE_NAME", "mini_clip")
    assert settings(cell, place) != before and training_fingerprint(cell, place) == trained, "measured otherwise"


def test_files_that_changed_under_their_name_are_other_settings(place, tmp_path) -> None:
    outlines = tmp_path / "outlines.json"
    outlines.write_text("{}")
    cell = Cell(replace(SCENE, masks=("polygons", str(outlines))), EDIT, OURS, 0)
    before, trained = settings(cell, place), training_fingerprint(cell, place)
    place.results.mkdir()
    path = place.results / f"{cell.key}.json"
    path.write_text(json.dumps(result_of(cell, place)))
    assert read_result(cell, place) is not None
    outlines.write_text('{"a": 1}')
    assert settings(cell, place) != before and training_fingerprint(cell, place) == trained, "measured otherwise"
    with pytest.raises(BlendingNerfError, match=r"other settings .*contents was"):
        read_result(cell, place)
    old = json.loads(path.read_text())
    del old["settings"]["contents"]
    path.write_text(json.dumps(old))
    assert read_result(cell, place) == old, "of before contents were kept"


def test_what_another_process_is_at_comes_last_and_is_taken_from_it(place, monkeypatch) -> None:
    cells = table_cells([SCENE], [], [OURS, BASELINE], [0])
    other, ran = only_here(place, cells[0].key), []

    def finish(cell: Cell) -> dict[str, Any]:
        place.results.mkdir(exist_ok=True)
        result = result_of(cell, place, psnr_outside=30.0)
        (place.results / f"{cell.key}.json").write_text(json.dumps(result))
        return result

    def run_cell(cell: Cell, place: Workplace) -> dict[str, Any]:
        ran.append(cell.key)
        if len(ran) == 3:  # the other process is done with its own
            finish(cells[0])
            other.release()
        return finish(cell)

    monkeypatch.setattr(running, "run_cell", run_cell)
    other.acquire()
    results, failures = run_cells(cells, place)
    assert ran == [cell.key for cell in cells[1:]] and failures == {}
    assert [result["settings"]["method"] for result in results] == ["ours", "clip-nerf-finetune"] * 2


def test_a_result_says_by_which_code(monkeypatch) -> None:
    in_a_clone = code_version.__wrapped__()
    assert re.fullmatch(r"[0-9a-f]{7,}\+?", in_a_clone) or in_a_clone == version("blending_nerf_ns"), "or installed"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git refuses a clone of another user
    assert code_version.__wrapped__() == version("blending_nerf_ns")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert code_version.__wrapped__() == version("blending_nerf_ns")


def test_a_half_finished_run_goes_on_and_a_finished_one_is_taken(tmp_path: Path, monkeypatch) -> None:
    commands: list[list[str]] = []

    def stopped(command: list[str], log: Path, env: dict[str, str]) -> None:
        commands.append(command)
        folder = attempts / command[command.index("--timestamp") + 1] / "nerfstudio_models"
        folder.mkdir(parents=True)
        if len(commands) < 4:
            if len(commands) == 2:
                (folder / "step-000000004.ckpt").touch()
            raise BlendingNerfError("killed")

    attempts = tmp_path / "runs" / "experiment" / "blending-nerf-cpu"
    monkeypatch.setattr(running, "run_logged", stopped)

    def attempt() -> Path:
        return train(["blending-nerf-cpu"], tmp_path, attempts, "seed0", ["--flag"], tmp_path / "log", {})

    for _ in range(3):
        with pytest.raises(BlendingNerfError, match="killed"):
            attempt()
    assert attempt() == attempts / "seed0.3"
    resumed = [command[command.index("--load-dir") + 1] if "--load-dir" in command else None for command in commands]
    second = str(attempts / "seed0.1" / "nerfstudio_models")
    assert resumed == [None, None, second, second], "the newest attempt that saved something"
    assert commands[0][-1] == "--flag" and str(tmp_path / "runs") in commands[0] and "experiment" in commands[0]
    assert attempt() == attempts / "seed0.3" and len(commands) == 4


# -- the table ------------------------------------------------------------------------------------------------------


def test_means_and_deviations_are_those_of_a_sample() -> None:
    spread = spread_of([1.0, 2.0, 6.0])
    assert spread is not None and spread.mean == 3.0 and spread.std == pytest.approx(7.0**0.5) and spread.count == 3
    assert str(spread_of([20.0, 22.0])) == "21.0 ± 1.4"
    assert spread_of([None, None]) is None


def test_the_table_has_a_line_for_each_method_of_each_edit(place: Workplace) -> None:
    scene = replace(SCENE, development=True)
    cells = table_cells([scene], ["recolour"], [OURS, BASELINE], [0, 1])
    values = {("ours", 0): 0.25, ("ours", 1): 0.75, ("clip-nerf-finetune", 0): None, ("clip-nerf-finetune", 1): 0.5}
    results = [result_of(c, place, clip_direction_similarity=values[c.method.name, c.seed]) for c in cells]
    rows = rows_of(results, ["clip_direction_similarity"])
    assert list(rows) == [("tiny", "recolour", "ours"), ("tiny", "recolour", "clip-nerf-finetune")]
    text = markdown(results, {"clip_direction_similarity": COLUMNS["clip_direction_similarity"]})
    assert "| tiny (development) | recolour | ours | 0.500 ± 0.354 | 5 | 2 |" in text
    assert "| tiny (development) | recolour | clip-nerf-finetune | 0.500 (1 of 2) | 5 | 2 |" in text
    assert "Judge: judge; guide: guide. Views: 2 test. Masks grown by 5 pixels." in text
    assert markdown([]) == "There are no results yet."


def test_seconds_are_those_of_region_and_edit() -> None:
    report = {
        **{"metrics": {}, "guide": {"name": "guide"}, "judge": {"name": "judge"}, "prompt_pool": [], "warnings": []},
        **{"views": dict.fromkeys(("kind", "names", "height", "width")), "masks": {"dilation": 5}},
    }
    stages = {"base_seconds": 50.04, "region_seconds": 30.0, "edit_seconds": 70.0, "edit_steps": 240}
    result = {**compact(report, stages), "attempts": 1}
    assert result["seconds"] == {"base": 50.0, "region": 30.0, "edit": 70.0} and result["edit_steps"] == 240
    assert figure_of(result, "seconds") == 100.0
    assert figure_of({**result, "attempts": 2}, "seconds") is None, "the last attempt's only"
    assert figure_of({**compact(report, {}), "attempts": 1}, "seconds") is None, "nothing was trained"


# -- open questions -------------------------------------------------------------------------------------------------

QUESTIONS = sorted(file.name for file in SCENES.parent.glob("1[1-5]_*.py"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_list_cases_that_the_guide_can_read_and_draw_their_answers(name, tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SCENES.parent))
    asking = importlib.import_module("open_questions.asking")
    values = dict.fromkeys((*COLUMNS, "own_region_chamfer_inside", "own_region_chamfer_outside"), 0.25)
    asked: list[Cell] = []

    def answer(cells: list[Cell], place: Workplace):
        asked.extend(cells)
        return [result_of(cell, place, **values) for cell in cells], {}

    monkeypatch.setattr(asking, "run_cells", answer)
    question = runpy.run_path(str(SCENES.parent / name))
    options = question.get("Captures", asking.Asking)(output=tmp_path)
    question["main"](options)
    assert len({cell.key for cell in asked}) == len(asked) >= 4
    for cell in asked:
        assert unknown_words(f"{cell.edit.source_text} {cell.edit.target_text}") == []
    assert len(list(tmp_path.glob("*.png"))) == len(list(tmp_path.glob("*.md"))) == 1
