"""What a table says before hours are spent: flags, masks, words and regions that its commands would refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tyro
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion
from tiny_table import BASELINE, OURS, REPORT, SCENE, result_of, workplace

from blending_nerf_ns.comparing import running
from blending_nerf_ns.comparing.asking import edit_flags, join_flags
from blending_nerf_ns.comparing.beforehand import check_trainings
from blending_nerf_ns.comparing.cases import Cell, Workplace, table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.running import run_cells
from blending_nerf_ns.comparing.scenes import read_scenes
from blending_nerf_ns.errors import BlendingNerfError

(BUDGETLESS,) = choose_methods(["no-budgets"])
SCENES = Path(__file__).resolve().parent.parent / "examples" / "scenes"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    return workplace(tmp_path, monkeypatch)


def test_flags_of_a_dataparser_come_last_whoever_gives_them(place, tmp_path: Path, monkeypatch) -> None:
    """Behind its name ns-train reads no other flags."""
    scaled = ("nerfstudio-data", "--downscale-factor", "2")
    (cell,) = table_cells([replace(SCENE, train_flags=scaled, capture=tmp_path)], ["again"], [BUDGETLESS], [0])
    asked = replace(place, train_flags=("--pipeline.edit-steps", "7"), base_flags=("--pipeline.base-steps", "9"))
    check_trainings([cell], asked)
    commands = []
    monkeypatch.setattr(running, "run_logged", lambda command, log, env: commands.append(command))
    running.train_base(cell.scene, tmp_path, asked, {})
    told = tyro.cli(AnnotatedBaseConfigUnion, args=commands[0][1:])
    assert told.pipeline.datamanager.dataparser.downscale_factor == 2
    assert (told.pipeline.base_steps, told.pipeline.edit_steps) == (9, 0), "a base alone, whatever is said of edits"
    assert join_flags(["--project-name", "colmap", "--vis", "tensorboard"], ["--pipeline.seed", "1"])[:2] == [
        "--project-name",
        "colmap",
    ]
    twice = join_flags(scaled, ["--pipeline.seed", "1"], ["nerfstudio-data", "--center-method", "none"])
    assert twice == ["--pipeline.seed", "1", *scaled, "--center-method", "none"]
    with pytest.raises(BlendingNerfError, match=r"tiny, its base: .*does not know --pipeline.base-stepps 9"):
        check_trainings([cell], replace(place, base_flags=("--pipeline.base-stepps", "9")))


@pytest.mark.parametrize(
    ("masks", "flags", "message"),
    [
        (("polygons", "nowhere.json"), (), "there is no polygon file nowhere.json"),
        (("images", "nowhere"), (), "the masks of tiny, nowhere, are not there"),
        (("outline",), (), "--masks outline is not understood"),
        (("none",), ("--prompts-file", "nowhere.txt"), "there is no prompts file nowhere.txt"),
        (("none",), ("--judge.model", "ViT-of-nobody"), "open_clip has no model 'ViT-of-nobody'"),
        (("none",), ("--judge.pretrained", "openai"), "embedded-judge has weights of its own"),
        (("alpha",), ("--views", "novel"), "novel views have none"),
    ],
)
def test_what_an_evaluation_would_refuse_is_refused_before_hours_are_spent(
    masks, flags, message, place, monkeypatch
) -> None:
    monkeypatch.setattr(running, "run_cell", lambda cell, place: pytest.fail("it was trained"))
    cells = table_cells([replace(SCENE, masks=masks)], [], [OURS], [0])
    with pytest.raises(BlendingNerfError, match=message):
        run_cells(cells, replace(place, evaluate_flags=flags))


def test_masks_are_those_that_are_asked_for(place, monkeypatch) -> None:
    monkeypatch.setattr(running, "run_cell", lambda cell, place: result_of(cell, place))
    cells = table_cells([replace(SCENE, masks=("alpha",))], [], [OURS], [0])
    _, failures = run_cells(cells, replace(place, evaluate_flags=("--views", "novel", "--masks", "none")))
    assert failures == {}


def own_scene(folder: Path, **edit: Any) -> list[Cell]:
    """A person's own scene with one edit, as read from its file."""
    (folder / "capture").mkdir(exist_ok=True)
    frames = {"frames": [{"file_path": "images/0001.png"}, {"file_path": "images/0002.png"}]}
    (folder / "capture" / "transforms.json").write_text(json.dumps(frames))
    asked = {"name": "mine", "source_text": "a red ball", "target_text": "a blue ball", **edit}
    masks = asked.pop("masks", ["none"])
    (folder / "mine.json").write_text(json.dumps({"name": "own", "masks": masks, "edits": [asked]}))
    scenes = read_scenes([str(folder / "mine.json")], [f"own={folder / 'capture'}"])
    return table_cells(scenes, [], [OURS, BASELINE], [0])


@pytest.mark.parametrize(
    ("edit", "train_flags", "message"),
    [
        ({"region": {"treshold": "0.2"}}, (), "own, mine, by ours: .*does not know --pipeline.region.treshold 0.2"),
        (
            {"region": {"source": "box", "box-center": [0, 0]}},
            (),
            "does not understand .*--pipeline.region.box-center 0 0",
        ),
        ({"region": {"source": "masks", "masks": "nowhere"}}, (), "there is no mask folder .*nowhere"),
        ({"region": {"source": "file", "file": "nowhere.safetensors"}}, (), "nowhere.safetensors"),
        ({"source_text": "the walnut dresser"}, (), "walnut"),
        ({"source_text": "a blue ball"}, (), "there is nothing to edit towards"),
        ({}, ("--pipeline.edit-stepps", "3"), "does not know --pipeline.edit-stepps 3"),
        ({}, ("--pipeline.guidance.model", "ViT-B-61"), "open_clip has no model 'ViT-B-61'"),
        ({"masks": ["polygons", "outlines.json"]}, (), "outlines a.png, and own has no test photo of these names"),
    ],
)
def test_what_ns_train_would_refuse_is_refused_before_a_base_is_trained(
    edit: dict[str, Any], train_flags: tuple[str, ...], message: str, place, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(running, "run_cell", lambda cell, place: pytest.fail("it was trained"))
    (tmp_path / "outlines.json").write_text('{"a.png": [[0, 0], [4, 0], [0, 4]]}')
    with pytest.raises(BlendingNerfError, match=message):
        run_cells(own_scene(tmp_path, **edit), replace(place, train_flags=train_flags))


def test_photos_are_outlined_of_the_split_that_is_looked_at(place, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(running, "run_cell", lambda cell, place: REPORT)
    (tmp_path / "outlines.json").write_text('{"0001.png": [[0, 0], [4, 0], [0, 4]]}')
    cells = own_scene(tmp_path, masks=["polygons", "outlines.json"])
    listed = tmp_path / "capture" / "transforms.json"
    split = {"train_filenames": ["images/0001.png"], "test_filenames": ["images/0002.png"]}
    listed.write_text(json.dumps(json.loads(listed.read_text()) | split))
    with pytest.raises(BlendingNerfError, match=r"outlines 0001\.png, and own has no test photo of these names"):
        run_cells(cells, place)
    assert len(run_cells(cells, replace(place, evaluate_flags=("--views", "train")))[0]) == len(cells)


def test_a_scene_of_ones_own_is_run_and_a_failure_is_said_at_once(place, tmp_path: Path, monkeypatch, capsys) -> None:
    cells = own_scene(tmp_path, region={"source": "box", "box-center": [0, 0, 0.2], "margin-over-surfaces": True})
    told = " ".join(edit_flags(cells[0]))
    assert told.endswith("--pipeline.region.box-center 0 0 0.2 --pipeline.region.margin-over-surfaces True")
    said = []

    def run_cell(cell: Cell, place: Workplace) -> dict[str, Any]:
        said.append(capsys.readouterr().err)
        raise BlendingNerfError("its base is nowhere")

    monkeypatch.setattr(running, "run_cell", run_cell)
    run_cells(cells, replace(place, train_flags=("nerfstudio-data", "--downscale-factor", "2")))
    assert "own__mine__ours__seed0: its base is nowhere" in said[1], "before the next one is begun"
    with pytest.raises(BlendingNerfError, match=r"transforms\.json, is a file: name the folder"):
        read_scenes([str(tmp_path / "mine.json")], [f"own={tmp_path / 'capture' / 'transforms.json'}"])
