"""The table: its cells, what is run again and what is not, and its means worked out by hand."""

from __future__ import annotations

import importlib
import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_run import ring
from tiny_table import BASELINE, EDIT, OURS, REPORT, SCENE, result_of, workplace

from blending_nerf_ns.cli import main
from blending_nerf_ns.comparing import running
from blending_nerf_ns.comparing.cases import Cell, EditCase, Workplace, table_cells
from blending_nerf_ns.comparing.methods import ABLATIONS, choose_methods, methods
from blending_nerf_ns.comparing.places import EVERYTHING, everything_seen, fill_flags
from blending_nerf_ns.comparing.results import settings, write_result
from blending_nerf_ns.comparing.running import only_here, run_cells, train
from blending_nerf_ns.comparing.scenes import DEMO_EDITS, demo_case, read_scenes
from blending_nerf_ns.comparing.table import COLUMNS, markdown, rows_of, spread_of
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.embedded import unknown_words

SCENES = Path(__file__).resolve().parent.parent / "examples" / "scenes"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    return workplace(tmp_path, monkeypatch)


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
    assert [scene.name for scene in scenes] == ["demo", "fox", "mic", "toy"]
    for scene in scenes:
        assert [edit.name for edit in scene.edits] == ["recolour", "add", "remove", "replace"]
        for edit in scene.edits:
            assert unknown_words(edit.source_text) == unknown_words(edit.target_text) == []
    assert [scene.name for scene in scenes if scene.development] == ["toy"]
    polygons = [Path(scene.masks[1]) for scene in scenes if scene.masks[0] == "polygons"]
    assert len(polygons) == 2 and all(file.is_file() for file in polygons), "they lie beside the examples"
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
    file.write_text('{"name": "it", "edits": [], "mask": ["alpha"]}')
    with pytest.raises(BlendingNerfError, match="no scene has 'mask'; there are development, edits, masks"):
        read_scenes([str(file)], [f"it={tmp_path}"])
    for text in ("null", "5"):
        file.write_text(
            f'{{"name": "it", "edits": [{{"name": "recolour", "source_text": {text}, "target_text": "a"}}]}}'
        )
        with pytest.raises(BlendingNerfError, match=r"this is no edit: .*source_text is (None|5), wanted a text"):
            read_scenes([str(file)], [f"it={tmp_path}"])
    file.write_text('{"name": "it", "edits": ["recolour"]}')
    with pytest.raises(BlendingNerfError, match="this is no edit: 'recolour'"):
        read_scenes([str(file)], [f"it={tmp_path}"])
    with pytest.raises(BlendingNerfError, match="wanted NAME=FOLDER"):
        read_scenes(["demo"], ["it"])
    for name in ("it", "demo"):
        with pytest.raises(BlendingNerfError, match="no scene of that name that has photos is asked for"):
            read_scenes(["demo"], [f"{name}={tmp_path}"])
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
    with pytest.raises(SystemExit, match="it's\" cannot be told apart: No closing quotation"):
        main(["compare", "--no-run", "--work", str(tmp_path), "--train-flags=--pipeline.target-text it's"])


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


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("error", [PermissionError("disk says no"), RuntimeError("CUDA error")])
def test_a_full_disk_or_a_spoilt_file_stops_its_own_run_alone(
    place, monkeypatch, error: Exception, noted: bool
) -> None:
    place.work.mkdir()
    if not noted:
        (place.work / "logs").write_text("")  # no log can be written either
    cells = table_cells([SCENE], [], [OURS, BASELINE], [0])

    def run_cell(cell: Cell, place: Workplace) -> dict[str, Any]:
        if cell.key == cells[0].key:
            raise error
        return result_of(cell, place, psnr_outside=30.0)

    monkeypatch.setattr(running, "run_cell", run_cell)
    results, failures = run_cells(cells, place)
    assert len(results) == 3 and set(failures) == {cells[0].key}
    log = place.work / "logs" / f"{cells[0].key}.log"
    assert failures[cells[0].key] == repr(error) + (f"; more of it is in {log}" if noted else "")
    assert not noted or "in run_cell" in log.read_text()
    place.results.mkdir(exist_ok=True)
    half = json.dumps({"settings": result_of(cells[1], place)["settings"]})
    for content in ("<<<<<<< HEAD", "{}", "[]", '{"settings": null}', half):
        (place.results / f"{cells[1].key}.json").write_text(content)
        with pytest.raises(BlendingNerfError, match=rf"{cells[1].key}\.json is no result, or not all of one"):
            run_cells(cells, place)


def test_a_base_that_fails_is_trained_once_and_other_scenes_go_on(place, monkeypatch) -> None:
    cells = table_cells([replace(SCENE, capture=place.work)], [], [OURS, BASELINE], [0, 1])
    other = table_cells([replace(SCENE, name="other", capture=place.work)], [], [OURS], [0])
    commands = []

    def diverges(command: list[str], log: Path, env: dict[str, str]) -> None:
        commands.append(command)
        raise BlendingNerfError("it diverged after an hour")

    monkeypatch.setattr(running, "run_logged", diverges)
    place.work.mkdir()
    results, failures = run_cells([*cells, *other], place)
    assert len(commands) == 2 and results == [] and set(failures) == {cell.key for cell in [*cells, *other]}
    assert failures[cells[-1].key] == "tiny has no base: it diverged after an hour"


def test_a_run_without_its_judge_has_no_result(place, monkeypatch) -> None:
    """The network may be back tomorrow; a result without its figures would stand there for good."""
    cell = Cell(SCENE, EDIT, OURS, 0)
    report = {**REPORT, "judge": {"name": "judge", "available": False, "reason": "the hub is not reachable"}}
    with pytest.raises(BlendingNerfError, match="is made and not scored: the hub is not reachable"):
        write_result(cell, place, settings(cell, place), report, {}, 1)
    assert not place.results.exists()


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
    shutil.rmtree(attempts / "seed0.3")  # gigabytes
    shutil.rmtree(attempts / "seed0.0")
    assert attempt() == attempts / "seed0.3" and len(commands) == 5, "what is gone is made again, over nothing else"


# -- the table ------------------------------------------------------------------------------------------------------


def test_means_and_deviations_are_those_of_a_sample() -> None:
    spread = spread_of([1.0, 2.0, 6.0])
    assert spread is not None and spread.mean == 3.0 and spread.std == pytest.approx(7.0**0.5) and spread.count == 3
    assert str(spread_of([20.0, 22.0])) == "21.0 ± 1.4"
    assert spread_of([None, None]) is None


def test_pictures_of_several_sizes_are_told_apart(place: Workplace) -> None:
    cells = table_cells([SCENE], ["again"], [OURS, BASELINE], [0])
    results = [result_of(cell, place, psnr_outside=30.0) for cell in cells]
    assert "Views: 2 test of 8 x 6." in markdown(results) and "several" not in markdown(results)
    results[1]["views"] = results[1]["views"] | {"width": 16, "height": 12}
    told = "tiny was seen in several ways, 2 test of 8 x 6; 2 test of 16 x 12: compare figures within one of them."
    assert told in markdown(results)


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
    assert "Judge: judge; guide: guide. Views: 2 test of 8 x 6. Masks grown by 5 pixels." in text
    assert markdown([]) == "There are no results yet."


# -- open questions -------------------------------------------------------------------------------------------------

QUESTIONS = sorted(file.name for file in SCENES.parent.glob("1[1-8]_*.py"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_list_cases_that_the_guide_can_read_and_draw_their_answers(name, tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SCENES.parent))
    asking = importlib.import_module("open_questions.asking")
    values = dict.fromkeys((*COLUMNS, "shading_correlation", "chamfer_inside", "chamfer_outside"), 0.25)
    asked: list[Cell] = []
    swept = [{"strength": at, "close_up_direction_similarity": at / 2, "psnr_outside": 99.0 - at} for at in (0.0, 1.0)]
    sweep = {"strengths": [0.0, 1.0], "curves": {"all": swept, "change": swept}}

    def answer(cells: list[Cell], place: Workplace):
        asked.extend(cells)
        return [{**result_of(cell, place, **values), "sweep": sweep} for cell in cells], {}

    monkeypatch.setattr(asking, "run_cells", answer)
    question = runpy.run_path(str(SCENES.parent / name))
    options = question.get("Right", asking.Captures)(output=tmp_path)  # one asks for more
    question["main"](options)
    own = f'(Path("outputs/questions/{name[:2]}")'
    assert own in (SCENES.parent / name).read_text(), "or the next question would find another's results"
    assert len({cell.key for cell in asked}) == len(asked) >= 4
    for cell in asked:
        assert unknown_words(f"{cell.edit.source_text} {cell.edit.target_text}") == []
    assert len(list(tmp_path.glob("*.png"))) == 1
    (told,) = tmp_path.glob("*.md")
    if name.startswith("16"):
        assert "| recolour | change | 0.000, 99.0 dB | 0.500, 98.0 dB |" in told.read_text()


def test_a_question_with_runs_that_failed_says_so_and_draws_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SCENES.parent))
    asking = importlib.import_module("open_questions.asking")

    def answer(cells: list[Cell], place: Workplace):
        done = [result_of(cell, place, **dict.fromkeys(COLUMNS, 0.25)) for cell in cells[1:]]
        return done, {cells[0].key: "No space left on device"}

    monkeypatch.setattr(asking, "run_cells", answer)
    with pytest.raises(SystemExit, match=r"blending-nerf: 1 of \d+ runs failed(.|\n)*No space left"):
        runpy.run_path(str(SCENES.parent / "17_light_and_shade.py"))["main"](asking.Captures(output=tmp_path))
    (told,) = tmp_path.glob("*.md")
    assert "No space left on device" in told.read_text() and "| drawn-anew |" in told.read_text()
    assert not list(tmp_path.glob("*.png"))
