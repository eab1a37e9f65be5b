"""Results of the table: what they depend on, what tells them apart, and what they keep of a report."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tiny_table import BASELINE, EDIT, OURS, REPORT, SCENE, result_of, workplace

from blending_nerf_ns.comparing import results, running
from blending_nerf_ns.comparing.asking import edit_flags
from blending_nerf_ns.comparing.cases import Cell, Method, Workplace
from blending_nerf_ns.comparing.results import (
    capture_fingerprint,
    code_version,
    compact,
    hash_of,
    read_result,
    settings,
    training_fingerprint,
    without_folder,
)
from blending_nerf_ns.comparing.scenes import read_scene
from blending_nerf_ns.comparing.table import figure_of
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.embedded import EMBEDDED_DIR, MINI_JUDGE_NAME
from blending_nerf_ns.reporting import judge
from blending_nerf_ns.reporting.judge import JudgeConfig


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    return workplace(tmp_path, monkeypatch)


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


@pytest.mark.parametrize("said", ["{}", "--pipeline.guidance.pretrained={}"])
@pytest.mark.parametrize("in_full", [True, False])
def test_weights_are_told_by_what_is_in_them_however_they_are_named(
    said: str, in_full: bool, place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell, file, prints = Cell(SCENE, EDIT, OURS, 0), tmp_path / "tuned.pt", []
    own = replace(place, train_flags=(said.format(file if in_full else file.name),))
    for moment, content in enumerate((b"first", b"tuned once more")):
        file.write_bytes(content)
        os.utime(file, (moment, moment))
        prints.append(training_fingerprint(cell, own))
        (flag,) = settings(cell, own)["train_flags"]
        assert str(tmp_path) not in flag and flag.startswith(said.format("tuned.pt "))
    assert prints[0] != prints[1]


def test_a_judge_on_this_disk_is_told_by_its_name_alone(tmp_path: Path) -> None:
    """Results and their table are made to be passed on."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "open_clip_config.json").touch()
    (tmp_path / "tuned.pt").touch()
    assert JudgeConfig(str(tmp_path / "mine")).name == "mine"
    assert JudgeConfig("ViT-L-14", str(tmp_path / "tuned.pt")).name == "ViT-L-14 (tuned.pt)"
    assert JudgeConfig("ViT-L-14", "openai").name == "ViT-L-14 (openai)"


def test_a_word_that_is_no_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("3", "embedded"):
        (tmp_path / name).touch()
    for word in ("3", "--pipeline.guidance.crops=3", "embedded", "a sentence " * 30, "no/such.pt", "0.5"):
        assert without_folder(word) == word


def test_a_capture_without_transforms_is_its_photos_and_not_what_is_made_of_them(tmp_path: Path) -> None:
    for name in ("transforms_train.json", "train/a.png", "images/b.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    before = capture_fingerprint(tmp_path)
    for made in ("camera_paths/look.json", "images_2/b.JPG"):
        (tmp_path / made).parent.mkdir()
        (tmp_path / made).write_text("made")
        assert capture_fingerprint(tmp_path) == before
    (tmp_path / "train" / "a.png").write_text("retaken")
    retaken = capture_fingerprint(tmp_path)
    (tmp_path / "train" / "c.png").write_text("x")
    assert len({before, retaken, capture_fingerprint(tmp_path)}) == 3


def test_a_result_is_of_the_files_that_were_there_when_it_was_begun(
    place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, masks = Cell(SCENE, EDIT, OURS, 0), Path("somewhere/outlines.json")

    def trained(*_: object) -> Path:
        masks.write_text('{"b.png": [[0, 0], [4, 0], [0, 4]]}')  # while it trained
        return tmp_path / "seed0.0"

    monkeypatch.setattr(running, "find_capture", lambda *_: tmp_path)
    monkeypatch.setattr(running, "train_base", lambda *_: tmp_path)
    monkeypatch.setattr(running, "fill_for_scene", lambda flags, *_: flags)
    monkeypatch.setattr(running, "train", trained)
    monkeypatch.setattr(running, "evaluate", lambda *_: REPORT)
    place.results.mkdir(exist_ok=True)
    begun_with = settings(cell, place)
    assert json.loads(json.dumps(running.run_cell(cell, place)["settings"])) == json.loads(json.dumps(begun_with))
    with pytest.raises(BlendingNerfError, match="contents was"):
        read_result(cell, place)


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


def test_a_result_says_by_which_code(monkeypatch, tmp_path) -> None:
    def git(*words: str) -> str:
        asked = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a", *words]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(results, "__file__", str(tmp_path / "package" / "comparing" / "results.py"))
    assert code_version.__wrapped__() == version("blending_nerf_ns"), "installed, and in no clone"
    (tmp_path / "file").write_text("1")
    git("init", "-q")
    git("add", "file")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "--short", "HEAD")
    assert code_version.__wrapped__() == commit
    (tmp_path / "file").write_text("22")
    assert code_version.__wrapped__() == f"{commit}+", "with changes"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git refuses a clone of another user
    assert code_version.__wrapped__() == version("blending_nerf_ns")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert code_version.__wrapped__() == version("blending_nerf_ns")


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


def test_what_a_region_is_read_from_is_told_by_its_content_and_not_by_its_place(place: Workplace) -> None:
    scenes = place.work.with_name("my scenes")
    scenes.mkdir()
    told = {
        "name": "recolour",
        "source_text": "a",
        "target_text": "b",
        "region": {"source": "file", "file": "r.safetensors"},
    }
    (scenes / "scene.json").write_text(json.dumps({"name": "tiny", "edits": [told]}))
    (scenes / "r.safetensors").write_bytes(b"one")
    scene = read_scene(scenes / "scene.json", {"tiny": place.work.parent})
    cell = Cell(scene, scene.edits[0], OURS, 0)
    flags = edit_flags(cell)
    assert flags[flags.index("--pipeline.region.file") + 1] == str(scenes / "r.safetensors"), "one word, blank and all"
    before = settings(cell, place), training_fingerprint(cell, place)
    assert str(scenes) not in json.dumps(before[0])
    (scenes / "r.safetensors").write_bytes(b"two")
    os.utime(scenes / "r.safetensors", (1.0, 1.0))  # some disks' clocks are coarse
    assert settings(cell, place) != before[0] and training_fingerprint(cell, place) != before[1]
