"""What is said to the person who runs a command, in one line, before time is spent; and what is left where nothing was made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from open_run import open_pipeline
from run_on_disk import LOWER, UPPER, commanded, refused, said, write_run
from test_layers import two_layers
from tiny_run import tiny_model, write_tiny_capture

from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipelineConfig
from blending_nerf_ns.edits.file import save_edit
from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning, NothingFound, in_one_line, plainly
from blending_nerf_ns.guidance.embedded import check_says_something, meant_words
from blending_nerf_ns.localization.build import warn_unseen
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.runs.atomic import writable
from blending_nerf_ns.runs.config_file import check_capture, check_capture_of, check_checkpoint, leaving_nothing
from blending_nerf_ns.runs.layers import moved_hint
from blending_nerf_ns.runs.look import read_look
from blending_nerf_ns.training.checking import check_edit, check_finetuning
from method_configs.blending_nerf import blending_nerf_cpu

# -- words ------------------------------------------------------------------------------------------------------------


def test_words_that_may_have_been_meant() -> None:
    assert meant_words("a purpel tooy") == "'purpel' (purple?), 'tooy' (toy?)"
    assert meant_words("a fox with wings") == "'fox', 'wings'", "'box' and 'ring' are others"
    assert meant_words("a red ball") == ""


@pytest.mark.parametrize("text", ["a purpel tooy", "the zebra", "a snark of the boojum", "zyx"])
def test_a_text_of_which_nothing_is_known_is_refused(text: str) -> None:
    with pytest.raises(BlendingNerfError, match="know no word of"):
        check_says_something(text)
    with pytest.raises(BlendingNerfError, match="know no word of"):
        check_edit(BlendingPipelineConfig(source_text=text, target_text="a blue ball"))
    check_edit(BlendingPipelineConfig(source_text=text, target_text="a blue ball", region=RegionConfig(source="box")))
    with pytest.raises(BlendingNerfError, match="know no word of"):
        check_edit(BlendingPipelineConfig(source_text="a red ball", target_text=text))
    with pytest.raises(BlendingNerfError, match="know no word of"):
        check_finetuning(FinetunePipelineConfig(source_text="a red ball", target_text=text))
    check_edit(BlendingPipelineConfig(source_text="a red ball", target_text=f"a blue {text}"))


@pytest.mark.parametrize("text", ["a red zebra", "the floor", "a purpel toy", "it", ""])
def test_a_text_of_which_something_is_known_is_read(text: str) -> None:
    check_says_something(text)


# -- the region -------------------------------------------------------------------------------------------------------


def test_where_no_view_sees_anything_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for operations, what in (
        (("change",), "nothing to recolour or to remove"),
        (("add", "change"), "may be added there"),
    ):
        warn_unseen(0.0, operations)
        said = " ".join(capsys.readouterr().out.split())
        assert said.startswith("No training view sees anything in the region") and what in said
    warn_unseen(1e-4, ("change",))
    assert capsys.readouterr().out == ""


def test_a_box_far_from_everything_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = open_pipeline(write_tiny_capture(tmp_path / "capture"))
    pipeline.config.region.box_center, pipeline.config.region.box_size = (0.0, 0.0, 30.0), (4.0, 4.0, 4.0)
    pipeline.work.find_region()
    assert "No training view sees anything in the region" in " ".join(capsys.readouterr().out.split())


def test_an_error_after_the_base_says_that_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = open_pipeline(write_tiny_capture(tmp_path / "capture"))
    pipeline.session.waits, pipeline.config.run_dir = False, tmp_path / "run"
    checkpoints = tmp_path / "run" / "nerfstudio_models"

    def save(step: int) -> None:
        checkpoints.mkdir(parents=True)
        (checkpoints / f"step-{step:09d}.ckpt").touch()

    optimizers = SimpleNamespace(optimizers={})
    pipeline.trainer = SimpleNamespace(optimizers=optimizers, save_config=lambda: None, save_checkpoint=save, step=3)

    def nothing_there() -> None:
        raise NothingFound("'a chair' was not found")

    monkeypatch.setattr(pipeline.work, "prepare", nothing_there)
    with pytest.raises(
        NothingFound, match=r"not found\. The base is trained and kept: --pipeline\.base-run .*run/config\.yml"
    ):
        pipeline.stages.before_step(0)
    assert [file.name for file in checkpoints.iterdir()] == ["step-000000003.ckpt"], "a resumed run had none yet"
    with pytest.raises(NothingFound, match="kept"):
        pipeline.stages.before_step(0)  # it has one: nothing is written again
    pipeline.config.base_run = tmp_path / "other"
    with pytest.raises(NothingFound) as raised:
        pipeline.stages.before_step(0)
    assert "kept" not in str(raised.value), "it was there before"


def test_a_base_is_saved_whatever_becomes_of_the_edits_that_go_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = open_pipeline(write_tiny_capture(tmp_path / "capture"))
    pipeline.session.waits, pipeline.config.run_dir = False, tmp_path / "run"
    saved: list[tuple[bool, int]] = []

    def save() -> bool:
        saved.append((bool(pipeline.model.base_frozen), len(pipeline.model.layers.all())))
        return True

    monkeypatch.setattr(pipeline, "save", save)
    save_edit(tiny_model().edit, "another base", file := tmp_path / "a.edit.safetensors")
    for edits, layers in (((), 1), ((file,), 2)):
        pipeline.model.base_frozen.fill_(False)
        pipeline.config.edits, pipeline.config.edits_of_any_base = edits, True
        pipeline.progress[0] = pipeline.config.base_steps - 1
        pipeline.clock.begin("base", "Base", pipeline.config.base_steps, 0)
        pipeline.stages.after_step(0)
        assert saved == [(True, layers)], "once, with what is on it"
        saved.clear()
    pipeline.model.base_frozen.fill_(False)
    file.unlink()  # while the base was trained
    pipeline.progress[0] = pipeline.config.base_steps - 1
    pipeline.clock.begin("base", "Base", pipeline.config.base_steps, 0)
    with pytest.raises(BlendingNerfError, match=r"there is no edit file .*The base is trained and kept"):
        pipeline.stages.after_step(0)
    assert saved and all(frozen for frozen, _ in saved)


# -- captures and folders ---------------------------------------------------------------------------------------------


def test_a_run_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "config.yml").write_text("")
        with leaving_nothing(folder):
            raise BlendingNerfError("no")

    (tmp_path / "outputs" / "chair" / "nerfacto").mkdir(parents=True)
    with pytest.raises(BlendingNerfError):
        refuse(tmp_path / "outputs" / "chair" / "blending-nerf" / "now")
    assert [path.name for path in (tmp_path / "outputs").rglob("*")] == ["chair", "nerfacto"]
    begun = tmp_path / "outputs" / "chair" / "blending-nerf" / "then"
    (begun / "nerfstudio_models").mkdir(parents=True)
    (begun / "config.yml").write_text("mine")
    with pytest.raises(BlendingNerfError), leaving_nothing(begun):
        raise BlendingNerfError("no")
    assert (begun / "config.yml").read_text() == "mine"


@pytest.mark.slow
def test_data_that_is_no_capture_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    empty, torn = tmp_path / "empty", write_tiny_capture(tmp_path / "torn")
    empty.mkdir()
    photo = json.loads((torn / "transforms.json").read_text())["frames"][5]["file_path"]
    (torn / photo).unlink()
    for data, message in (
        (tmp_path / "nowhere", "there is no such folder"),
        (empty, "transforms.json"),
        (torn, photo),
    ):
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ns-train"), "blending-nerf-cpu", "--data", str(data), "--vis", "tensorboard",
             "--pipeline.source-text", "a red ball", "--pipeline.target-text", "a blue ball"],
            cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1 and last.startswith("blending-nerf: ") and message in last, done.stderr[-2000:]
        assert "Traceback" not in done.stderr and not list((tmp_path / "outputs").iterdir())


def test_a_missing_file_ends_a_command_in_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(
            SystemExit, match=r"there is no .*transforms\.json; if it is the capture\'s, see that --data is whole"
        ),
        in_one_line(),
    ):
        (tmp_path / "transforms.json").read_text()


def test_a_full_disk_ends_a_command_in_one_line_and_a_lost_connection_is_not_one() -> None:
    with pytest.raises(SystemExit, match=r"blending-nerf: .*No space left on device"), in_one_line():
        Path("/dev/full").write_text("more")
    with pytest.raises(ConnectionError), in_one_line():
        raise ConnectionError("refused")


def test_what_a_run_goes_on_from_is_looked_for_before_anything_is_built(tmp_path: Path) -> None:
    manager: Any = deepcopy(blending_nerf_cpu.config.pipeline.datamanager)
    manager.data = tmp_path / "moved"
    with pytest.raises(BlendingNerfError, match=r"capture .*moved is not there; say where it is with --data"):
        check_capture_of(manager)
    pipeline = deepcopy(blending_nerf_cpu.config.pipeline)
    pipeline.datamanager = manager
    with pytest.raises(
        BlendingNerfError, match=r"a command that has no --data, put a link .*ln -s THE/CAPTURE .*moved"
    ):
        pipeline.setup(device="cpu", test_mode="inference")  # as ns-render and ns-viewer do
    manager.data.mkdir()
    check_capture_of(manager)
    whole, torn = tmp_path / "step-000000004.ckpt", tmp_path / "step-000000002.ckpt"
    torch.save({"step": 4}, whole)
    torn.write_bytes(whole.read_bytes()[:-40])
    check_checkpoint(whole)
    with pytest.raises(BlendingNerfError, match=r"step-000000002\.ckpt is truncated"):
        check_checkpoint(torn)
    with pytest.raises(BlendingNerfError, match=r"in that folder: step-000000002\.ckpt, step-000000004\.ckpt"):
        check_checkpoint(tmp_path / "step-000000007.ckpt")


def test_data_that_is_not_there(tmp_path: Path) -> None:
    config = blending_nerf_cpu.config
    check_capture(config)  # nothing is named: nerfstudio's own default
    with pytest.raises(BlendingNerfError, match="nowhere: there is no such folder"):
        check_capture(type(config)(**{**vars(config), "data": tmp_path / "nowhere"}))
    with pytest.raises(BlendingNerfError, match="--prompt 'a blue chair' is for other methods"):
        check_capture(type(config)(**{**vars(config), "prompt": "a blue chair"}))


@pytest.mark.parametrize(
    ("raised", "last"),
    [
        ("BlendingNerfError('its capture is not there')", "blending-nerf: its capture is not there"),
        ("OSError(errno.ENOSPC, 'No space left on device')", "blending-nerf: [Errno 28] No space left on device"),
        ("ValueError('of the program itself')", "ValueError: of the program itself"),
    ],
)
def test_what_another_programs_command_cannot_use_ends_it_in_one_line(raised: str, last: str) -> None:
    program = (
        "import errno\nfrom blending_nerf_ns.errors import BlendingNerfError, end_in_one_line\n"
        "end_in_one_line(), end_in_one_line()\n"
        "try:\n    raise BlendingNerfError('caught')\nexcept ValueError:\n    pass\n"
        f"raise {raised}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[-1] == last
    assert (len(lines) == 1) == last.startswith("blending-nerf")


def test_a_file_where_a_folder_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(OSError, match=r"README.md is a file; name a folder to write to"):
        writable(tmp_path / "README.md")


def test_warnings_that_are_meant_for_a_person_are_said_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    show = plainly(lambda *arguments, **_: shown.append(arguments))
    show(GuidanceWarning("does not know 'zebra'"), GuidanceWarning, "clip.py", 99)
    assert capsys.readouterr().err == "blending-nerf: does not know 'zebra'\n" and not shown
    show(FutureWarning("torch's"), FutureWarning, "torch.py", 1)
    assert len(shown) == 1 and capsys.readouterr().err == ""


# -- runs and looks ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a frozen layer, and one in work on it."""
    monkeypatch.setenv("COLUMNS", "220")
    return write_run(tmp_path / "chair" / "blending-nerf" / "now", two_layers())


def test_a_look_that_is_damaged_is_forgotten_where_that_is_asked_for(folder: Path) -> None:
    (folder / "look.json").write_text('{ "fade": tru')
    assert "is no look" in refused("look", folder)
    commanded("look", folder, "--reset", "--hide", LOWER)
    look = read_look(folder)
    assert look is not None and [info.visible for info in look.layers] == [False, True]
    (folder / "look.json").write_text('{ "fade": tru')
    commanded("look", folder, "--reset")
    assert not (folder / "look.json").exists()


def test_a_blend_ratio_that_changes_nothing_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = two_layers()
    model.edit.info = replace(model.edit.info, operations=("change",))
    write_run(folder, model)
    assert f"--add changes nothing: {UPPER!r} may not add." in said(
        capsys, "look", folder, "--layer", UPPER, "--add", 0.3
    )
    assert "changes nothing" not in said(capsys, "look", folder, "--add", 0.3), "the other layer may"


def test_a_run_that_lies_elsewhere_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = folder / "config.yml"
    config.write_text("experiment_name: chair\nmax_num_iterations: 3\nmethod_name: blending-nerf\ntimestamp: now\n")
    assert moved_hint(folder) is None and "was moved" not in said(capsys, "look", folder)
    config.write_text(config.read_text().replace("timestamp: now", "timestamp: '2026-11-29_101010'"))
    told = said(capsys, "look", folder, "--change", 0.5)
    assert "was moved or copied" in told and "chair/blending-nerf/2026-11-29_101010" in told
    assert "was moved or copied" in said(capsys, "edits", "list", folder)
    config.write_text("- no config of ns-train")
    assert moved_hint(folder) is None


def test_a_run_with_any_name_lies_where_it_says(tmp_path: Path) -> None:
    name = f"Stühle 'von' {'sehr ' * 30}früher"  # which YAML escapes and folds
    folder = tmp_path / name / "blending-nerf" / "2026-11-29_101010"
    folder.mkdir(parents=True)
    fields = {"experiment_name": name, "method_name": "blending-nerf", "timestamp": folder.name}
    (folder / "config.yml").write_text("!!python/object:nowhere.Config\n" + yaml.dump(fields), "utf8")
    assert moved_hint(folder) is None
    assert "was moved or copied" in str(moved_hint(folder.rename(folder.with_name("other"))))


def test_a_run_in_another_folder_of_outputs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(within: Path) -> Path:
        folder = tmp_path / "out" / "chair" / "blending-nerf" / "now"
        folder.mkdir(parents=True, exist_ok=True)
        fields = {"experiment_name": "chair", "method_name": "blending-nerf", "timestamp": "now", "output_dir": within}
        (folder / "config.yml").write_text(yaml.dump(fields))
        return folder

    for within in (tmp_path / "out", Path("../out"), Path("out")):
        run = write(within)
        assert moved_hint(run) is None, within
        shutil.rmtree(tmp_path / "archive", ignore_errors=True)
        shutil.copytree(tmp_path / "out", tmp_path / "archive")
        assert "was moved or copied" in str(moved_hint(tmp_path / "archive" / run.relative_to(tmp_path / "out")))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "out").symlink_to(tmp_path / "archive")  # a folder of outputs on another disk
    assert moved_hint(tmp_path / "home" / "out" / "chair" / "blending-nerf" / "now") is None
    monkeypatch.chdir(tmp_path / "home")
    assert moved_hint(tmp_path / "archive" / "chair" / "blending-nerf" / "now") is None, "it is found from here"


def test_a_run_by_its_folder_of_checkpoints_and_one_without(folder: Path, tmp_path: Path) -> None:
    commanded("edits", "list", folder / "nerfstudio_models")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yml").write_text("")
    assert "begun has no checkpoint: nothing was trained in it" in refused("edits", "list", tmp_path / "begun")
    assert "is no run" in refused("edits", "list", tmp_path)


def test_long_texts_leave_a_table_readable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = two_layers()
    model.edit.info = replace(model.edit.info, target_text="a blue " + "very " * 100 + "ball")
    write_run(folder, model)
    shown = said(capsys, "edits", "list", folder)
    assert shown.count("very") < 15 and "..." in shown


def test_two_layers_of_one_name_are_told_apart_by_their_ids(folder: Path) -> None:
    model = two_layers()
    model.edit.info = replace(model.edit.info, name=LOWER)
    write_run(folder, model)
    ids = [edit.info.id for edit in model.layers.all()]
    message = refused("look", folder, "--hide", LOWER)
    assert "2 layers are called" in message and "by its id" in message and all(id in message for id in ids)
    assert all(id in refused("look", folder, "--order", ids[0]) for id in ids)
