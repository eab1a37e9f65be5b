"""The editor's walk without a browser: type, start, watch, reset, undo, a second layer, save, be killed, resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import BIN, TINY_FLAGS, run, run_of, write_tiny_capture
from viser_client import ViserClient, free_port

from blending_nerf_ns.edits.layer import LayerInfo, unpack

pytestmark = pytest.mark.slow

RATIOS = ("Blend ratio: add", "Blend ratio: remove", "Blend ratio: change")
STEPS = 60


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ViserClient, subprocess.Popen]]:
    """A folder, a client of the viewer of a training in it, and the training; its edit is everywhere, its base mostly fog."""
    folder = tmp_path_factory.mktemp("editor")
    write_tiny_capture(folder / "capture")
    port, log = free_port(), folder / "train.log"
    flags = TINY_FLAGS[TINY_FLAGS.index("--machine.device-type") :]
    command = [
        str(BIN / "ns-train"), "blending-nerf-cpu", "--data", "capture", "--output-dir", "out", "--experiment-name", "tiny",
        "--timestamp", "live", *flags, "--vis", "viewer", "--viewer.websocket-port", str(port),
        "--viewer.websocket-host", "127.0.0.1", "--pipeline.region.box-size", "3", "3", "3",
        "--pipeline.base-steps", "100", "--pipeline.edit-steps", str(STEPS),
        "--pipeline.guidance.stop-when-settled", "False", "--pipeline.guidance.budget-remove", "1.5",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        training = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=environment)
    try:
        yield folder, ViserClient(port), training
    finally:
        training.kill()
        training.wait(20)
        print(log.read_text()[-6000:])


def test_a_run_waits_for_its_user_trains_what_was_typed_and_can_be_taken_back(editor) -> None:
    _, client, training = editor
    assert client.listen(lambda: client.says("Waiting: write what is there"), 240), client.paragraphs
    assert client.elements["Source text"]["value"] == "" and not client.elements["Start"]["disabled"]
    assert client.elements["Undo"]["disabled"], "there is nothing to undo yet"
    assert client.elements["Budget: remove"]["value"] == 1.5, "no limit: beyond a slider's usual end"
    client.look((0.5, 0.3, 0.3))
    client.listen(lambda: client.pictures > 0)
    client.move("Max res", 64)  # a picture of 512 pixels takes longer than a test should wait
    before = client.settle()

    client.click("Start")
    assert client.listen(lambda: client.says("nothing to edit towards")), "it says what is missing and waits on"
    client.move("Source text", "a red ball")
    client.move("Target text", "a blue ball")
    client.click("Start")
    assert client.listen(lambda: client.says("The edit is done"), 240), client.paragraphs
    assert client.says(f"Step {STEPS} of {STEPS}") and client.says("Similarity to the target")
    after = client.settle()
    edit = np.abs(after - before).max()
    assert edit > 0.02, "the edit shows"
    client.move("Target text", "a red ball")
    client.click("Start")
    assert client.listen(lambda: client.says("mean the same to the guide")), client.paragraphs
    assert client.says("The edit is done") and client.says(f"Step {STEPS} of {STEPS}"), (
        "no round by the words of before"
    )
    client.move("Target text", "a blue ball")
    client.move("Start the edit again", True)
    client.click("Apply texts")
    assert client.listen(lambda: not client.elements["Start the edit again"]["value"]), "it is taken once"
    assert client.listen(lambda: client.says("The edit is being trained")), client.paragraphs
    client.click("Undo")
    assert client.listen(lambda: client.says(f"Step {STEPS} of {STEPS}"))
    for name in RATIOS:
        client.move(name, 0.0)
    assert np.abs(client.settle() - before).max() < 0.2 * edit, "with all blend ratios at 0 the original is back"
    for name in RATIOS:
        client.move(name, 1.0)

    client.click("Reset")
    assert client.listen(lambda: client.says(f"Step 0 of {STEPS}") and not client.elements["Undo"]["disabled"])
    assert np.abs(client.settle() - before).max() < 0.6 * edit
    client.click("Undo")
    assert client.listen(lambda: client.says(f"Step {STEPS} of {STEPS}"))
    assert np.abs(client.settle() - after).mean() < 0.2 * np.abs(after - before).mean(), "a reset can be undone"

    client.move("Region: source", "file")
    client.click("Find the region")
    assert client.listen(lambda: client.says("the region's source is file, and none is named")), "it says what is wrong"
    assert client.says(f"Step {STEPS} of {STEPS}"), "and the edit stays as it is"
    client.move("Region: source", "box")
    client.click("Find the region")
    assert client.listen(lambda: client.says(f"Step 0 of {STEPS}"), 120), "found anew, without training"
    client.click("Undo")
    assert client.listen(lambda: client.says(f"Step {STEPS} of {STEPS}"))
    assert training.poll() is None


def test_a_second_layer_a_storm_and_what_is_saved(editor) -> None:
    folder, client, _ = editor
    home = run_of(folder, "live")
    client.click("New layer on top")
    assert client.listen(lambda: client.says("is kept; the next edit is made on top"))
    assert client.listen(lambda: len(client.elements["Layer"]["options"]) == 2)
    client.move("Source text", "a green donut")
    client.move("Target text", "a yellow donut")
    client.click("Start")
    assert client.listen(lambda: client.says("The edit is being trained"), 120)
    for i in range(1000):  # a storm on one slider while it trains
        client.move("Blend ratio: change", round(0.5 + 0.5 * i / 999, 3))
    client.move("Blend ratio: change", 0.35)
    assert client.listen(lambda: client.says("The edit is done"), 240), client.paragraphs
    client.look((0.4, 0.4, 0.3))
    client.settle()

    client.click("Save the uppermost layer")
    assert client.listen(lambda: client.says("a_yellow_donut.edit.safetensors"))
    files = list((home / "edits").iterdir())
    assert [file.name for file in files] == ["a_yellow_donut.edit.safetensors"] and files[0].stat().st_size < 8e6
    client.click("Save look")
    assert client.listen(lambda: (home / "look.json").exists())
    look = json.loads((home / "look.json").read_text())
    assert [layer["name"] for layer in look["layers"]] == ["a blue ball", "a yellow donut"]
    assert look["layers"][1]["strengths"]["change"] == 0.35, "the last event of the storm counts"


def test_a_killed_run_is_resumed_with_both_layers(editor) -> None:
    folder, client, training = editor
    home = run_of(folder, "live")
    client.move("Target text", "a red donut")
    client.click("Reset")
    client.click("Start")
    assert client.listen(lambda: client.says("The edit is being trained"), 120)
    client.listen(lambda: False, 3.0)
    training.send_signal(signal.SIGKILL)
    training.wait(20)
    paths = sorted((home / "nerfstudio_models").glob("*.ckpt"))
    state = torch.load(paths[-1], weights_only=True)["pipeline"]
    # as if it had been killed while it saved, too: the newest file is cut
    time.sleep(0.1)
    broken = paths[-1].with_name(f"step-{int(paths[-1].stem[5:]) + 1:09d}.ckpt")
    broken.write_bytes(paths[-1].read_bytes()[:-5000])
    done = run(
        "ns-train", "blending-nerf-cpu", "--output-dir", "out", "--experiment-name", "tiny", "--timestamp", "again",
        "--load-dir", home / "nerfstudio_models", "--data", "capture", "--vis", "tensorboard",
        "--viewer.quit-on-train-completion", "True", cwd=folder,
    )  # fmt: skip
    assert "is truncated; falling back" in " ".join(done.stdout.split())
    newest = max((run_of(folder, "again") / "nerfstudio_models").glob("*.ckpt"))
    resumed = torch.load(newest, weights_only=True)["pipeline"]
    frozen = {key.split(".")[3] for key in resumed if key.startswith("_model.layers.frozen.")}
    assert len(frozen) == 1 and resumed["progress"].tolist()[1] == STEPS
    key = f"_model.layers.frozen.{frozen.pop()}.field.shape_head.bias"
    assert torch.equal(resumed[key], state[key]), "the first layer is as it was, bit for bit"


def default_interrupt() -> None:
    """Let SIGINT be what it is in a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def resumed(folder: Path, name: str, *flags: object) -> Iterator[tuple[ViserClient, subprocess.Popen, Path]]:
    """A client of the viewer of a training that goes on from `again`, the training, and its log."""
    port, log = free_port(), folder / f"{name}.log"
    command = [
        str(BIN / "ns-train"), "blending-nerf-cpu", "--data", "capture", "--output-dir", "out", "--experiment-name", "tiny",
        "--timestamp", name, "--load-dir", str(run_of(folder, "again") / "nerfstudio_models"), "--vis", "viewer",
        "--viewer.websocket-port", str(port), "--viewer.websocket-host", "127.0.0.1", "--machine.device-type", "cpu",
        *map(str, flags),
    ]  # fmt: skip
    with log.open("w") as out:
        # a shell's background jobs, and so this test in one, ignore interrupts, which a process inherits
        training = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, preexec_fn=default_interrupt)
    try:
        yield ViserClient(port), training, log
    finally:
        training.kill()
        training.wait(20)
        print(log.read_text()[-3000:])


def test_what_is_done_while_a_run_sleeps_is_not_lost_with_it(editor) -> None:
    folder, _, _ = editor
    models = run_of(folder, "again").with_name("sleeping") / "nerfstudio_models"

    def saved() -> dict:
        return torch.load(max(models.glob("*.ckpt")), weights_only=True)["pipeline"]

    def layers() -> int:
        return len({key.split(".")[3] for key in saved() if key.startswith("_model.layers.frozen.")})

    with resumed(folder, "sleeping") as (client, training, log):
        assert client.listen(lambda: client.says("The edit is done"), 240)
        client.look((0.5, 0.3, 0.3))
        client.listen(lambda: client.pictures > 0)
        file = run_of(folder, "live") / "edits" / "a_yellow_donut.edit.safetensors"
        client.move("Edit file", str(file))
        client.click("Load as a layer")
        assert client.listen(lambda: len(client.elements["Layer"]["options"]) == 3)
        assert client.listen(lambda: any(models.glob("*.ckpt")) and layers() == 2, 60), "it is saved at once"
        client.move("Blend ratio: change", 0.25)
        client.move("Budget: add", 0.35)
        client.settle()
        training.send_signal(signal.SIGINT)
        training.wait(120)
    assert "terminate called" not in log.read_text(), "no thread of a picture is left to the interpreter"
    assert training.returncode >= 0, "nor was it ended by a signal"
    info = LayerInfo.from_dict(unpack(saved()["_model.edit._extra_state"])["info"])
    assert info.strengths.change == 0.25, "and what sliders said with the interrupt"
    assert "budget_add: 0.35" in (run_of(folder, "sleeping") / "config.yml").read_text()


def test_a_run_that_ends_with_its_edit_can_be_paused_before(editor) -> None:
    folder, _, _ = editor
    words = ("--pipeline.target-text", "a white donut", "--viewer.quit-on-train-completion", "True")
    with resumed(folder, "quitting", *words) as (client, training, _):
        client.look((0.5, 0.3, 0.3))  # before it has a camera a viewer knows no client, and hears none
        assert client.listen(lambda: client.says("The edit is being trained"), 240)
        client.click("Pause")
        assert client.listen(lambda: client.says("Waiting: write")), "paused"
        assert not client.says(f"Step {STEPS} of"), "before its end"
        client.listen(lambda: False, 2.0)
        assert training.poll() is None, "and it waits for its user"
        client.click("Find the region")
        assert client.listen(lambda: client.says(f"Step 0 of {STEPS}"), 60)
        client.click("Start")
        assert training.wait(240) == 0, "once started it ends with its edit"
    newest = max((run_of(folder, "quitting") / "nerfstudio_models").glob("*.ckpt"))
    assert torch.load(newest, weights_only=True)["pipeline"]["progress"].tolist()[1] == STEPS
