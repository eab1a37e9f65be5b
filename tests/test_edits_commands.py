"""`blending-nerf edits` on a run's folder."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from run_on_disk import LOWER, UPPER, commanded, content_of, refused, said, write_run
from test_layers import two_layers
from tiny_run import clear_field, rays_towards_middle, tiny_model

from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.commands import edits
from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.file import load_edit, read_edit_header, save_edit
from blending_nerf_ns.edits.layers import clear
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.runs.checkpoints import _unfinished
from blending_nerf_ns.runs.holding import fcntl, held_open
from blending_nerf_ns.runs.layers import RunLayers
from blending_nerf_ns.runs.look import look_of, look_said_after, read_look, write_look


def loaded(folder: Path) -> BlendingModel:
    """A tiny model as the pipeline would load the run."""
    state = content_of(folder)["pipeline"]
    model = tiny_model(seed=7)
    model.layers.make_room(state, "_model.layers.")
    own = {name.removeprefix("_model."): value for name, value in state.items() if name.startswith("_model.")}
    model.load_state_dict(own, strict=True)
    return model


@torch.no_grad()
def picture(model: BlendingModel) -> torch.Tensor:
    return model(rays_towards_middle(150))["rgb"]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def model() -> BlendingModel:
    """A frozen layer, and one in work on it."""
    return two_layers()


@pytest.fixture
def folder(tmp_path: Path, model: BlendingModel) -> Path:
    """A run with this model."""
    return write_run(tmp_path / "run", model)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An edit of the same base, recoloured only."""
    other = tiny_model(operations=("change",))
    other.describe("a red ball", "a golden ball", ("change",))
    other.set_strengths(change=0.5)
    path = tmp_path / "golden.edit.safetensors"
    save_edit(other.edit, fingerprint(other.base.state_dict()), path)
    return path


# -- edits ----------------------------------------------------------------------------------------------------------


def test_list_shows_the_layers_as_the_look_does(
    folder: Path, model: BlendingModel, capsys: pytest.CaptureFixture[str]
) -> None:
    lower, upper = model.layers.all()
    text = said(capsys, "edits", "list", folder)
    assert "the lowest first" in text and text.index(LOWER) < text.index(UPPER)
    for edit in (lower, upper):
        size = str(int((edit.region.weight > 0.5).sum()))
        assert edit.info.id in text and edit.info.source_text in text and size in text
    assert "add 1, remove 1, change 1" in text and text.count("in work, on") == 1
    lower.info = replace(lower.info.with_strengths(change=0.25), visible=False, operations=("change",))
    model.layers.move(lower.info.id, +1)
    write_look(look_of(model.layers, fade=True), folder)
    (folder / "config.yml").write_text("!!python/object/apply:os.abort []")
    text = said(capsys, "edits", "list", folder / "config.yml")
    assert text.index(UPPER) < text.index(LOWER) and "off" in text and "change 0.25" in text and "faded in" in text


def test_show_says_what_a_file_holds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "edits", "show", file)
    base = read_edit_header(file).base
    for part in ("blending-nerf edit 1", "a red ball", "a golden ball", "change 0.5", "24", base, " MB"):
        assert part in text, part
    (strengths,) = [line for line in text.splitlines() if "change 0.5" in line]
    assert "add" not in strengths, "an operation that it does not use"
    assert "there is no edit file" in refused("edits", "show", file.with_name("nothing"))


def test_save_writes_a_layer_as_it_is_shown(folder: Path, model: BlendingModel, tmp_path: Path) -> None:
    commanded("look", folder, "--layer", LOWER, "--change", 0.5, "--hide", LOWER)
    path = tmp_path / "saved" / "ball.edit.safetensors"
    commanded("edits", "save", folder, LOWER, "--output", path)
    base = fingerprint(model.base.state_dict())
    edit, lower = load_edit(path, base), model.layers.all()[0]
    assert edit.info == lower.info.with_strengths(change=0.5), "and switched on"
    assert torch.equal(edit.region.weight, lower.region.weight)
    for name, value in lower.field.state_dict().items():
        assert torch.allclose(edit.field.state_dict()[name], value, atol=2e-3), name
    commanded("edits", "save", folder, model.edit.info.id, "--output", path)
    assert read_edit_header(path).description["info"]["name"] == UPPER


def test_a_layer_of_a_run_of_before_is_saved_as_it_was(folder: Path, model: BlendingModel, tmp_path: Path) -> None:
    """Written before colours had a weight of their own: it goes on without."""
    content, path = content_of(folder), tmp_path / "ball.edit.safetensors"
    for name in [name for name in content["pipeline"] if name.endswith("region.color_weight")]:
        del content["pipeline"][name]
        settings = name.replace("color_weight", "settings")
        content["pipeline"][settings] = content["pipeline"][settings][:7]
    torch.save(content, max((folder / "nerfstudio_models").glob("*.ckpt")))
    commanded("edits", "save", folder, LOWER, "--output", path)
    edit = load_edit(path, fingerprint(model.base.state_dict()))
    assert edit.region.changes_everywhere and torch.equal(edit.region.weight, model.layers.all()[0].region.weight)
    with pytest.raises(RuntimeError, match=r"color_weight"):
        loaded(folder)
    state = of_any_age(content["pipeline"])
    new = tiny_model(seed=7)
    new.layers.make_room(state, "_model.layers.")
    new.load_state_dict({name.removeprefix("_model."): v for name, v in state.items() if name.startswith("_model.")})
    assert all(edit.region.changes_everywhere for edit in new.layers.all())


def test_apply_puts_a_file_directly_under_the_edit_in_work(
    folder: Path, model: BlendingModel, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(folder)
    commanded("edits", "apply", folder, file)
    assert "It was already" not in capsys.readouterr().out
    after, shown = content_of(folder), loaded(folder)
    assert [edit.info.name for edit in shown.layers.all()] == [LOWER, "a golden ball", UPPER]
    assert shown.layers.all()[1].info.strengths.change == 0.5 and shown.layers.all()[2] is shown.edit
    assert not torch.allclose(picture(shown), picture(model), atol=1e-3), "it is seen"
    model.layers.add(load_edit(file, fingerprint(model.base.state_dict())))
    assert torch.equal(picture(shown), picture(model)), "as if it had been put on in a training"
    for name, value in before["pipeline"].items():
        assert name == "_model.layers._extra_state" or torch.equal(after["pipeline"][name], value), name
    assert after["step"] == 17 and after["optimizers"]["edit_field"]["param_groups"] == [{"lr": 0.01}]
    assert [path.name for path in (folder / "nerfstudio_models").iterdir()] == ["step-000000017.ckpt"]
    monkeypatch.setenv("COLUMNS", "60")
    commanded("edits", "apply", folder, file)
    order = loaded(folder).layers.order
    assert len(set(order)) == 4, "a second time it gets another id"
    said, remove = capsys.readouterr().out, shlex.join(["blending-nerf", "edits", "remove", str(folder), order[2]])
    assert f"It was already: what is on acts twice, until {remove}." in said, "in one line, to be copied"


def test_apply_puts_a_file_under_the_edit_in_work_also_where_that_is_empty(
    tmp_path: Path, model: BlendingModel, file: Path
) -> None:
    model.layers.freeze_copy()
    clear(model.edit)
    model.edit_ready.fill_(False)
    folder = write_run(tmp_path / "run", model)
    commanded("edits", "apply", folder, file)
    shown = loaded(folder)
    *kept, in_work = model.layers.order
    assert shown.layers.order[:2] == kept and shown.layers.order[3] == in_work, "so that a resume trains on it"
    assert shown.layers.all()[2].info.name == "a golden ball"
    assert not torch.allclose(picture(shown), picture(model), atol=1e-3)
    message = refused("edits", "save", folder, model.edit.info.id, "--output", tmp_path / "e.edit.safetensors")
    assert "still empty" in message


def test_apply_and_remove_keep_the_look_in_step(folder: Path, model: BlendingModel, file: Path) -> None:
    commanded("look", folder, "--order", UPPER, LOWER, "--fade", "--hide", LOWER)
    commanded("edits", "apply", folder, file)
    look = read_look(folder)
    assert look is not None and look.fade
    assert [info.name for info in look.layers] == ["a golden ball", UPPER, LOWER], "under the one in work there too"
    assert [info.visible for info in look.layers] == [True, True, False]
    commanded("edits", "remove", folder, "a golden ball")
    look = read_look(folder)
    assert look is not None and look.fade and [info.name for info in look.layers] == [UPPER, LOWER]


@pytest.mark.parametrize("command", ["apply", "remove"])
@pytest.mark.parametrize("later", [True, False])
def test_a_look_says_nothing_new_when_a_layer_comes_or_goes(
    folder: Path, model: BlendingModel, file: Path, command: str, later: bool
) -> None:
    """What was moved in the viewer after it was saved is in the checkpoint, which a resume shows."""
    write_look(look_of(model.layers), folder)
    ago = time.time() + (60 if later else -60)
    os.utime(folder / "look.json", (ago, ago))
    commanded("edits", command, folder, file if command == "apply" else LOWER)
    look = read_look(folder)
    assert look is not None and len(look.layers) == (3 if command == "apply" else 1)
    assert look_said_after(edits.open_run(folder).checkpoint, folder) is later


def test_apply_keeps_a_look_that_knows_the_layer(folder: Path, model: BlendingModel, file: Path) -> None:
    """Loaded in ns-viewer, moved there, and the look saved: `apply` keeps the layer for good, as it was shown."""
    edit = load_edit(file, fingerprint(model.base.state_dict()))
    model.layers.add(edit)
    edit.info = replace(edit.info, visible=False).with_strengths(change=0.3)
    model.layers.move(edit.info.id, 1)
    write_look(look_of(model.layers, fade=True), folder)
    before = read_look(folder)
    commanded("edits", "apply", folder, file)
    assert read_look(folder) == before and before is not None and before.layers[2].strengths.change == 0.3
    assert look_said_after(edits.open_run(folder).checkpoint, folder), "on a resume, too"


@pytest.mark.skipif(fcntl is None, reason="nothing is held on Windows")
@pytest.mark.parametrize("command", ["apply", "remove"])
def test_nothing_is_written_into_a_run_that_is_open(folder: Path, file: Path, command: str) -> None:
    checkpoint = folder / "nerfstudio_models" / "step-000000017.ckpt"
    arguments = ("edits", command, folder, file if command == "apply" else LOWER)
    before = checkpoint.read_bytes()
    with held_open(folder), held_open(folder):  # two trainings may share a folder
        assert "is open, and its next save would be without this" in refused(*arguments)
    assert checkpoint.read_bytes() == before
    commanded(*arguments)
    assert checkpoint.read_bytes() != before


@pytest.mark.skipif(fcntl is None, reason="nothing is held on Windows")
def test_what_is_read_is_what_is_written_anew(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands at once: the second would put back what the first had read, without the first one's layer."""
    meeting: list[str] = []
    read = edits.open_run

    def read_and_meet(run: Path) -> RunLayers:
        found = read(run)
        if not meeting:
            meeting.append("")
            meeting[0] = refused("edits", "apply", folder, file)
        return found

    monkeypatch.setattr(edits, "open_run", read_and_meet)
    commanded("edits", "apply", folder, file)
    assert "is open" in meeting[0] and len(loaded(folder).layers.order) == 3


def test_checkpoints_may_lie_on_another_disk(folder: Path, file: Path) -> None:
    """Behind a link; nothing unfinished can be renamed from one disk to another."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == folder.stat().st_dev:
        pytest.skip("there is no second disk here: /dev/shm")
    with TemporaryDirectory(dir=memory) as far:
        models = Path(far) / "checkpoints"
        shutil.move(folder / "nerfstudio_models", models)
        (folder / "nerfstudio_models").symlink_to(models)
        commanded("edits", "apply", folder, file)
        assert len(loaded(folder).layers.order) == 3
        assert [path.name for path in Path(far).rglob("*")] == ["checkpoints", "step-000000017.ckpt"]
        partial = _unfinished(folder / "nerfstudio_models" / "step-000000018.ckpt")
        assert partial.parent.resolve() == models, "what lies above may be another's, or another disk"
        assert int(partial.name[partial.name.find("-") + 1 : partial.name.find(".")]) == 0, "as nerfstudio reads it"


def test_an_edit_that_has_not_begun_is_not_saved(tmp_path: Path, model: BlendingModel) -> None:
    clear_field(model.edit)
    folder = write_run(tmp_path / "run", model)
    message = refused("edits", "save", folder, UPPER, "--output", tmp_path / "e.edit.safetensors")
    assert "still empty" in message and bool(model.edit_ready)


def test_an_edit_of_another_base_wants_any_base(folder: Path, model: BlendingModel, file: Path) -> None:
    other = file.with_name("other.edit.safetensors")
    save_edit(model.edit, "1111aaaa", other)
    before = (folder / "nerfstudio_models" / "step-000000017.ckpt").read_bytes()
    message = refused("edits", "apply", folder, other)
    assert "1111aaaa" in message and fingerprint(model.base.state_dict()) in message and "--any-base" in message
    assert (folder / "nerfstudio_models" / "step-000000017.ckpt").read_bytes() == before
    commanded("edits", "apply", folder, other, "--any-base")
    assert len(loaded(folder).layers.order) == 3


def test_remove_takes_a_frozen_layer_out(folder: Path, model: BlendingModel) -> None:
    commanded("edits", "remove", folder, LOWER)
    shown = loaded(folder)
    assert shown.layers.order == [model.edit.info.id] and not shown.layers.frozen
    model.layers.remove(model.layers.order[0])
    assert torch.equal(picture(shown), picture(model))
    assert not (folder / "look.json").exists(), "no look comes from nothing"


def test_what_edits_refuses(folder: Path, model: BlendingModel, tmp_path: Path) -> None:
    mine = write_run(tmp_path / "my run", model)
    advice = refused("edits", "remove", mine, UPPER).partition("hide it: ")[2]
    assert f"--hide {UPPER!r}" in advice
    commanded(*shlex.split(advice)[1:])
    assert f"{UPPER!r}" in refused("edits", "remove", mine, UPPER), "and it is there, hidden"
    assert "no layer is called 'hat'; there are 'a blue ball'" in refused("edits", "remove", folder, "hat")
    assert "ends with .edit.safetensors" in refused("edits", "save", folder, LOWER, "--output", tmp_path / "ball.pt")
    assert "is no run" in refused("edits", "list", tmp_path / "nowhere")
    (tmp_path / "bare" / "nerfstudio_models").mkdir(parents=True)
    assert "holds no whole checkpoint" in refused("edits", "list", tmp_path / "bare")
    model.base_frozen.fill_(False)
    training = write_run(tmp_path / "training", model)
    message = refused("edits", "save", training, LOWER, "--output", tmp_path / "ball.edit.safetensors")
    assert "not trained to its end" in message


@pytest.mark.parametrize("damage", ["no layers", "a layer is missing", "no JSON", "not in the order"])
def test_a_checkpoint_whose_layers_cannot_be_read(folder: Path, damage: str) -> None:
    content = content_of(folder)
    state = content["pipeline"]
    if damage == "no layers":
        del state["_model.layers._extra_state"]
    elif damage == "a layer is missing":
        state.pop(next(name for name in state if name.endswith("._extra_state") and ".frozen." in name))
    elif damage == "no JSON":
        state["_model.edit._extra_state"] = torch.zeros(3, dtype=torch.uint8)
    else:
        state["_model.layers._extra_state"] = torch.tensor(list(b'{"order": []}'), dtype=torch.uint8)
    torch.save(content, folder / "nerfstudio_models" / "step-000000017.ckpt")
    message = refused("edits", "list", folder)
    assert "step-000000017.ckpt" in message
    assert ("holds no list of layers" if damage == "no layers" else "cannot be read") in message


def test_no_pickled_code_runs(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({**content_of(folder), "extra": Bomb()}, folder / "nerfstudio_models" / "step-000000018.ckpt")
    assert "more than tensors and numbers" in refused("edits", "list", folder)
    assert not (tmp_path / "ran").exists()
