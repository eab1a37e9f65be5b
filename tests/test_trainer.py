"""nerfstudio's trainer as ours: what it does while something else renders."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Optional, cast

import pytest
import torch
import yaml
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.engine.trainer import Trainer
from nerfstudio.plugins.types import MethodSpecification
from tiny_run import write_tiny_capture

from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.runs.adopting import adopt_resumed_run
from blending_nerf_ns.runs.checkpoints import ResumedScaler
from blending_nerf_ns.runs.holding import fcntl, held_alone
from blending_nerf_ns.runs.look import look_of, look_said_after, write_look
from blending_nerf_ns.trainer import BlendingTrainer
from method_configs.baselines import clip_nerf_finetune_cpu
from method_configs.blending_nerf import blending_nerf_cpu


def set_up(
    capture: Path,
    output: Path,
    load_dir: Optional[Path] = None,
    timestamp: Optional[str] = None,
    method: MethodSpecification = blending_nerf_cpu,
    target: str = "a blue ball",
) -> BlendingTrainer:
    """Set up, and not run."""
    config: Any = deepcopy(method.config)
    config.data = config.pipeline.datamanager.data = capture
    config.output_dir, config.vis, config.machine.device_type = output, "tensorboard", "cpu"
    config.load_dir = load_dir
    config.set_timestamp()
    config.timestamp = timestamp or config.timestamp
    config.pipeline.source_text, config.pipeline.target_text = "a red ball", target
    config.save_config()  # as ns-train does before it sets anything up
    trainer = cast(BlendingTrainer, config.setup(local_rank=0, world_size=1))
    trainer.setup()
    return trainer


@pytest.fixture
def trainer(tmp_path: Path) -> BlendingTrainer:
    return set_up(write_tiny_capture(tmp_path / "capture"), tmp_path / "out")


def order_of(
    trainer: BlendingTrainer, name: str, act: Callable[[], object], rendered: Callable[[], None] = lambda: None
) -> list[str]:
    """What ends first, what is done in this thread or a picture that another has begun."""
    rendering, events = threading.Event(), []

    def render() -> None:
        with trainer.train_lock:  # as nerfstudio's viewer does; a wish that is granted here changes what is saved
            rendering.set()
            time.sleep(1.0)
            events.append("rendered")
            rendered()

    thread = threading.Thread(target=render)
    thread.start()
    assert rendering.wait(10)
    act()
    events.append(name)
    thread.join()
    return events


def test_a_checkpoint_waits_for_a_picture_and_may_be_written_within_a_step(trainer: BlendingTrainer) -> None:
    # nerfstudio's loop calls this outside of its lock
    assert order_of(trainer, "saved", lambda: trainer.save_checkpoint(0)) == ["rendered", "saved"]
    with trainer.train_lock:  # as ours do, from callbacks of a step
        trainer.save_checkpoint(1)
    assert len(list(trainer.checkpoint_dir.glob("*.ckpt"))) >= 1


def test_a_checkpoint_is_loaded_while_no_picture_is_made(trainer: BlendingTrainer) -> None:
    assert order_of(trainer, "loaded", trainer._load_checkpoint) == ["rendered", "loaded"]


@pytest.mark.parametrize("linked", [False, True], ids=["", "its checkpoints behind a link"])
def test_a_run_is_resumed_in_its_own_folder(trainer: BlendingTrainer, tmp_path: Path, linked: bool) -> None:
    """Of the same --timestamp: nerfstudio would write the method's defaults over the config.yml that says what the run was."""
    folder = trainer.base_dir
    trainer.config.pipeline.edit_steps = trainer.config.pipeline.edit_steps + 7  # type: ignore[attr-defined]
    trainer.save_config()
    trainer.save_checkpoint(0)
    if linked:
        (folder / "nerfstudio_models").rename(tmp_path / "far")
        (folder / "nerfstudio_models").symlink_to(tmp_path / "far")
    again = set_up(tmp_path / "capture", tmp_path / "out", folder / "nerfstudio_models", trainer.config.timestamp)
    assert again.base_dir == folder
    for config in (again.config, yaml.load((folder / "config.yml").read_text(), Loader=yaml.Loader)):
        assert config.pipeline.edit_steps == trainer.config.pipeline.edit_steps  # type: ignore[attr-defined]


@pytest.mark.parametrize(("target", "kept"), [("a blue ball", True), ("a green ball", False)])
def test_another_round_begins_with_a_fresh_optimizer_as_start_in_the_panel_does(
    target: str, kept: bool, trainer: BlendingTrainer, tmp_path: Path
) -> None:
    pipeline, adam = cast(BlendingPipeline, trainer.pipeline), trainer.optimizers.optimizers["edit_field"]
    for parameter in pipeline.model.edit.field.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    pipeline.model.freeze_base()
    box = OrientedBox.from_params((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.6, 0.6, 0.6))
    pipeline.model.take_crop_box(box, RegionShape())
    pipeline.progress[1] = pipeline.config.edit_steps
    trainer.save_checkpoint(9)
    again = set_up(tmp_path / "capture", tmp_path / "again", trainer.checkpoint_dir, target=target)
    assert bool(again.optimizers.optimizers["edit_field"].state) == kept
    assert cast(BlendingPipeline, again.pipeline).work.is_done == kept


def test_what_is_pressed_before_the_training_begins_is_done(trainer: BlendingTrainer) -> None:
    """A page that is open connects by itself, and its pictures grant what was asked."""
    pipeline = cast(BlendingPipeline, trainer.pipeline)
    pipeline.session.set_texts("a red ball", "a green ball")
    pipeline.session.layers.change(pipeline.model.edit.info.id, change=0.5)
    pipeline.model.wishes.grant()
    assert pipeline.model.edit.info.strengths.change == 0.5
    assert "target_text: a green ball\n" in (trainer.base_dir / "config.yml").read_text()


def test_a_run_that_scaled_no_gradients_can_be_resumed_by_one_that_does(trainer: BlendingTrainer) -> None:
    """On a GPU with the method's own mixed precision, of a run that was trained without."""
    assert isinstance(trainer.grad_scaler, ResumedScaler) and trainer.grad_scaler.state_dict() == {}
    with pytest.raises(RuntimeError, match="source state dict is empty"):
        torch.amp.GradScaler("cpu").load_state_dict({})
    scaler, other = ResumedScaler("cpu"), ResumedScaler("cpu", init_scale=8.0)
    scaler.load_state_dict({})
    assert scaler.get_scale() == 2.0**16
    scaler.load_state_dict(other.state_dict())
    assert scaler.get_scale() == 8.0


def test_a_part_of_a_configuration_is_not_resumed(trainer: BlendingTrainer, tmp_path: Path) -> None:
    """Wherever it ends: much of it is YAML as well."""
    path = trainer.base_dir / "config.yml"
    whole = path.read_text()
    ends = whole.index("\npipeline:"), whole.index("\nvis:")
    for end in (0, 20, ends[0], ends[0] + 60, *range(ends[0] + 100, ends[1], (ends[1] - ends[0]) // 12), ends[1]):
        path.write_text(whole[:end])
        with pytest.raises(BlendingNerfError, match="is no configuration, or not all of one"):
            adopt_resumed_run(trainer.config, path)
    with pytest.raises(SystemExit, match="cannot resume: "):
        set_up(tmp_path / "capture", tmp_path / "out", trainer.checkpoint_dir)
    path.write_text(whole)
    adopt_resumed_run(trainer.config, path)


@pytest.mark.parametrize(("given", "steps"), [((), 0), (("target_text",), 400), (("target_text", "edit_steps"), 50)])
def test_an_edit_on_a_run_of_a_base_alone_has_steps(
    trainer: BlendingTrainer, given: tuple[str, ...], steps: int
) -> None:
    path, config = trainer.base_dir / "config.yml", deepcopy(blending_nerf_cpu.config)
    saved = cast(Any, trainer.config.pipeline)
    saved.edit_steps = 0
    trainer.save_config()
    assert "edit_steps: 0\n" in path.read_text()
    pipeline = cast(Any, config.pipeline)
    pipeline.edit_steps = 50 if "edit_steps" in given else pipeline.edit_steps
    adopt_resumed_run(config, path, frozenset(given))
    assert pipeline.edit_steps == steps


def test_what_cannot_be_saved_is_said_and_a_run_that_waits_goes_on(trainer: BlendingTrainer) -> None:
    pipeline = cast(BlendingPipeline, trainer.pipeline)
    pipeline.trainer, trainer.step = trainer, 0
    (trainer.base_dir / "step-000000000.ckpt.partial").mkdir()
    with pytest.raises(OSError, match="cannot be written"):
        pipeline.save()
    pipeline.session.waits = True
    assert not pipeline.save() and "Not saved: " in pipeline.session.status.message
    (trainer.base_dir / "step-000000000.ckpt.partial").rmdir()
    assert pipeline.save()


def test_what_was_moved_in_the_panel_is_kept_beside_every_checkpoint(trainer: BlendingTrainer) -> None:
    pipeline = cast(BlendingPipeline, trainer.pipeline)
    file = trainer.base_dir / "config.yml"
    before = file.read_text()
    pipeline.config.region.margin = 0.2
    trainer.save_checkpoint(0)
    assert file.read_text() == before, "nobody steers this run"
    pipeline.session.steered = True
    trainer.save_checkpoint(1)  # a run that is killed now goes on with both
    assert "margin: 0.2\n" in file.read_text()
    written = file.stat().st_mtime_ns
    trainer.save_checkpoint(2)
    assert file.stat().st_mtime_ns == written, "and is not written again for nothing"


def test_config_and_checkpoint_are_written_while_no_picture_is_made(
    trainer: BlendingTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that grants a wish may write config.yml as well."""
    cast(BlendingPipeline, trainer.pipeline).session.steered = True
    written: list[int] = []
    monkeypatch.setattr(trainer, "save_config", lambda: written.append(time.monotonic_ns()))
    rendered: list[int] = []
    order_of(trainer, "saved", lambda: trainer.save_checkpoint(0), lambda: rendered.append(time.monotonic_ns()))
    assert rendered[0] < written[0]


def test_a_look_that_a_shell_says_meanwhile_is_later_than_the_checkpoint(trainer: BlendingTrainer) -> None:
    """Else a resume would take the checkpoint's word, which has not heard of it."""
    pipeline, folder = cast(BlendingPipeline, trainer.pipeline), trainer.base_dir
    pipeline.config.run_dir, layers = folder, pipeline.session.layers
    checkpoint = trainer.checkpoint_dir / "step-000000000.ckpt"
    layers.save_look()
    pipeline.model.wishes.grant()
    trainer.save_checkpoint(0)
    os.utime(checkpoint, (time.time() + 5, time.time() + 5))
    assert not look_said_after(checkpoint, folder), (
        "its own look: the checkpoint knows of it, and of what was moved since"
    )
    write_look(look_of(pipeline.model.layers, fade=True), folder)
    os.utime(folder / "look.json", (time.time() - 60, time.time() - 60))
    trainer.save_checkpoint(0)
    assert look_said_after(checkpoint, folder)
    trainer.save_checkpoint(0)
    assert look_said_after(checkpoint, folder), "at every save"
    layers.change(pipeline.model.edit.info.id, change=0.3)
    pipeline.model.wishes.grant()
    os.utime(folder / "look.json", (1, 1))
    trainer.save_checkpoint(0)
    assert not look_said_after(checkpoint, folder), "until something is moved in the panel, later"


@pytest.mark.skipif(fcntl is None, reason="nothing is held on Windows")
def test_a_run_is_held_for_as_long_as_it_may_save(trainer: BlendingTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(step: int) -> Any:
        with pytest.raises(BlendingNerfError, match="is open, and its next save"), held_alone(trainer.base_dir):
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.pipeline, "get_train_loss_dict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    with held_alone(trainer.base_dir):
        pass


@pytest.mark.parametrize("method", [blending_nerf_cpu, clip_nerf_finetune_cpu], ids=["ours", "the baseline"])
def test_what_was_trained_before_an_interrupt_is_kept_without_a_viewer_as_well(
    method: MethodSpecification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_until(trainer: BlendingTrainer, last: int) -> None:
        train = trainer.pipeline.get_train_loss_dict

        def interrupted(step: int) -> Any:
            if step >= last:
                raise KeyboardInterrupt
            return train(step)

        monkeypatch.setattr(trainer.pipeline, "get_train_loss_dict", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.train()

    trainer = set_up(write_tiny_capture(tmp_path / "capture"), tmp_path / "out", method=method)
    assert trainer.config.steps_per_save > 3
    train_until(trainer, 3)
    (kept,) = trainer.checkpoint_dir.glob("*.ckpt")
    assert torch.load(kept, weights_only=True)["pipeline"]["progress"].tolist() == [3, 0]
    stages = trainer.base_dir / "stages.json"
    taken = json.loads(stages.read_text())["base_seconds"]
    again = set_up(
        tmp_path / "capture", tmp_path / "out", trainer.checkpoint_dir, trainer.config.timestamp, method=method
    )
    train_until(again, 5)
    assert json.loads(stages.read_text())["base_seconds"] > taken > 0.0, "what it took before, and more"


def test_a_baseline_that_is_saved_is_not_saved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a viewer Ctrl-C is how a run ends that was done and saved long ago."""

    def stopped(self: Trainer) -> None:
        raise KeyboardInterrupt

    trainer = set_up(write_tiny_capture(tmp_path / "capture"), tmp_path / "out", method=clip_nerf_finetune_cpu)
    monkeypatch.setattr(Trainer, "train", stopped)
    cast(Any, trainer.pipeline).has_unsaved, trainer.step = True, 0
    written = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
        written.append((trainer.checkpoint_dir / "step-000000000.ckpt").stat().st_mtime_ns)
    assert written[0] == written[1]


def test_what_is_asked_as_a_run_is_interrupted_counts_for_its_times(
    trainer: BlendingTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset that no picture has granted yet."""
    pipeline, stages = cast(BlendingPipeline, trainer.pipeline), trainer.base_dir / "stages.json"

    def stopped(self: Trainer) -> None:
        pipeline.session.reset()
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train", stopped)
    pipeline.session.steered = True
    pipeline.clock.times |= {"edit_seconds": 60.0, "edit_steps": 9}
    pipeline.progress[1] = 9
    pipeline.stages.end()
    assert json.loads(stages.read_text())["edit_seconds"] == 60.0
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert json.loads(stages.read_text()) == {} and int(pipeline.progress[1]) == 0


def test_a_resume_wants_the_capture_that_the_run_was_trained_on(
    trainer: BlendingTrainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outputs = trainer.base_dir, cast(Any, trainer.pipeline.datamanager).train_dataparser_outputs
    outputs.save_dataparser_transform(folder / "dataparser_transforms.json")  # as nerfstudio does when training begins
    trainer.save_checkpoint(0)
    again = set_up(tmp_path / "capture", tmp_path / "again", folder / "nerfstudio_models")
    assert cast(BlendingPipeline, again.pipeline).config.resumed
    transforms = tmp_path / "capture" / "transforms.json"
    photos = json.loads(transforms.read_text())
    photos["frames"][0]["transform_matrix"][0][3] += 0.5  # as a run of COLMAP with more photos may place it
    transforms.write_text(json.dumps(photos))
    with pytest.raises(SystemExit, match=r"was trained on another capture, or on other frames .*Then: .*Now: "):
        set_up(tmp_path / "capture", tmp_path / "refused", folder / "nerfstudio_models")
    capsys.readouterr()
    deepcopy(trainer.config.pipeline).setup(device="cpu", test_mode="inference")  # as ns-viewer and ns-render do
    assert "was trained on another capture" in " ".join(capsys.readouterr().out.split()), "and is shown all the same"
    (folder / "dataparser_transforms.json").unlink()
    set_up(tmp_path / "capture", tmp_path / "nobody_can_tell", folder / "nerfstudio_models")


@pytest.mark.parametrize("paused", [True, False])
def test_a_run_with_a_viewer_begins_as_it_was_asked_to(
    trainer: BlendingTrainer, paused: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = cast(BlendingPipeline, trainer.pipeline)
    trainer.config.start_paused, pipeline.session.waits = paused, True
    trainer.config.max_num_iterations = trainer.asked_iterations = 200
    seen = []

    def wait_for(what: Callable[[], bool], most: float) -> None:
        last = time.monotonic() + most
        while not what() and time.monotonic() < last:
            time.sleep(0.05)

    def watch() -> None:
        wait_for(lambda: hasattr(trainer, "stop_training"), 60.0)  # set as the loop begins
        wait_for(lambda: int(pipeline.progress[0]) > 0, 1.0 if paused else 60.0)
        seen.append((trainer.training_state, int(pipeline.progress[0]) > 0))
        trainer.stop_training = True

    thread = threading.Thread(target=watch)
    thread.start()
    trainer.train()
    thread.join()
    assert seen == [("paused", False) if paused else ("training", True)]
    assert "--max-num-iterations 200 changes nothing" in " ".join(capsys.readouterr().out.split())
