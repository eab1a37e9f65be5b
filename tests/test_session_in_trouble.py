"""A full disk, a full GPU and a step that fails, where a person waits: what is said, and that nothing is lost."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from open_run import grant, open_pipeline

from blending_nerf_ns.errors import NothingFound
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.trainer import BlendingTrainer
from blending_nerf_ns.training.loss_record import read_losses
from blending_nerf_ns.viewer.edit_folder import describe
from method_configs.blending_nerf import blending_nerf_cpu


def test_what_the_disk_refuses_is_said(done: BlendingPipeline, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    done.session.layers.save(done.model.edit.info.id, tmp_path / "taken")
    done.session.set_texts("a red ball", "a green ball")
    assert "saving an edit" in grant(done) and done.work.texts[1] == "a green ball", "and what was asked next is done"


def test_a_disk_that_is_full_leaves_no_wish_half_done(done: BlendingPipeline) -> None:
    def full() -> None:
        raise OSError("No space left on device")

    done.trainer = SimpleNamespace(save_config=full, training_state="training")
    done.trainer.optimizers = SimpleNamespace(optimizers={"edit_field": SimpleNamespace(state={})})
    done.session.reset()
    done.session.undo()
    done.session.layers.new()
    grant(done)
    assert [edit.info.name for edit in done.model.layers.all()] == ["a blue ball", ""]
    done.session.undo()
    assert "nothing to undo" in grant(done), "or the layer that is kept would be made a second time"
    done.session.set_texts("a red ball", "a green ball")
    assert "Not saved: No space left" in grant(done) and done.session.history.last == "prompts"


def test_a_gpu_that_is_full_is_said_where_somebody_waits(done: BlendingPipeline) -> None:
    def find() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    done.session.waits = False
    with pytest.raises(torch.OutOfMemoryError):
        done.session.errands.attempt(find)
    done.session.waits = True
    assert (
        not done.session.errands.attempt(find)
        and "out of memory" in done.session.status.message
        and not done.session.running
    )


def trainer_of(pipeline: BlendingPipeline, scaler: torch.amp.GradScaler) -> Any:
    """As much of nerfstudio's trainer as a step needs."""
    trainer: Any = BlendingTrainer.__new__(BlendingTrainer)
    trainer.pipeline, trainer.config = pipeline, deepcopy(blending_nerf_cpu.config)
    trainer.optimizers, trainer.grad_scaler = trainer.setup_optimizers(), scaler
    trainer.device, trainer.mixed_precision, trainer.gradient_accumulation_steps = "cpu", False, defaultdict(lambda: 1)
    return trainer


def test_a_gpu_that_is_full_in_the_optimizer_leaves_no_gradient_scaled(capture: Path, tmp_path: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.work.find_region()
    pipeline.config.run_dir = tmp_path
    pipeline.work.prepare()
    scaler = pipeline._grad_scaler = torch.amp.GradScaler("cpu")
    trainer = trainer_of(pipeline, scaler)
    adam = trainer.optimizers.optimizers["edit_field"]
    step = adam.step

    def full(*_: Any, **__: Any) -> None:
        adam.step = step
        raise torch.OutOfMemoryError("CUDA out of memory")

    adam.step = full
    trainer.train_iteration(0)
    assert "Press Start to go on" in pipeline.session.status.message and not adam.state
    assert read_losses(tmp_path) == [] and pipeline.work.settling.watch.seen == 0, "a step that nobody took"
    pipeline.session.start()
    grant(pipeline)
    trainer.train_iteration(1)
    squares = [float(state["exp_avg_sq"].max()) for state in adam.state.values()]
    assert squares and 0.0 < max(squares) < 1.0, "65536 times as large, they would hold the edit still"
    pipeline.work.count()
    assert [line["step"] for line in read_losses(tmp_path)] == [0]
    assert pipeline.work.settling.watch.seen == pipeline.work.done == 1


def test_a_step_that_fails_stops_the_edit_and_loses_nothing(capture: Path, tmp_path: Path) -> None:
    pipeline = open_pipeline(capture)
    pipeline.work.find_region()
    pipeline.config.run_dir = tmp_path
    pipeline.work.prepare()
    trainer = trainer_of(pipeline, torch.amp.GradScaler("cpu", enabled=False))
    before = {name: value.clone() for name, value in pipeline.model.edit.field.named_parameters()}
    (tmp_path / "losses.jsonl").unlink(missing_ok=True)
    (tmp_path / "losses.jsonl").symlink_to("/dev/full")
    trainer.train_iteration(0)
    told = pipeline.session.status.message
    assert "stands after 0 steps" in told and "No space left on device" in told and "Start" in told
    assert pipeline.idle and all(
        torch.equal(before[name], value) and (value.grad is None or not value.grad.any())
        for name, value in pipeline.model.edit.field.named_parameters()
    )
    (tmp_path / "losses.jsonl").unlink()
    pipeline.session.start()
    grant(pipeline)
    trainer.train_iteration(0)
    assert not torch.equal(before["shape_head.bias"], pipeline.model.edit.field.shape_head.bias), "it goes on"

    pipeline.session.waits = False
    (tmp_path / "losses.jsonl").unlink()
    (tmp_path / "losses.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        trainer.train_iteration(1)


def test_where_there_is_nothing_to_train_a_gradient_scaler_is_not_asked(done: BlendingPipeline) -> None:
    trainer: Any = BlendingTrainer.__new__(BlendingTrainer)
    trainer.pipeline, trainer.grad_scaler = done, torch.amp.GradScaler("cpu")
    assert done.idle
    loss, _, _ = trainer.train_iteration(0)
    assert float(loss) == 0.0 and not loss.requires_grad
    trainer.grad_scaler.scale(torch.zeros(1))
    with pytest.raises(AssertionError, match="No inf checks"):  # what nerfstudio's own step would come to
        trainer.grad_scaler.update()


@pytest.mark.parametrize("start", [True, False])
def test_what_a_user_starts_in_vain_ends_no_run(
    start: bool, done: BlendingPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run ends with its edit (--viewer.quit-on-train-completion True), in which it can be paused and started."""

    def nothing_there() -> None:
        raise NothingFound("nothing reaches the threshold of 0.5")

    session, trainer = done.session, SimpleNamespace(training_state="training", stop_training=False, step=13)
    trainer.optimizers, trainer.save_config = SimpleNamespace(optimizers={}), lambda: None
    trainer.save_checkpoint = lambda step: True
    done.trainer, session.waits, session.steered, session.running = trainer, False, True, True
    done.progress[1] = 10
    done.work.settling.restart()
    done.work.restart(10)
    done.model.edit_ready.fill_(False)
    monkeypatch.setattr(done.work, "find_region", nothing_there)
    with pytest.raises(NothingFound):
        done.stages.before_step(12)  # what the command line asked for
    session.set_texts("a rde ball", "a blue ball", new_region=True, start=start)
    done.stages.before_step(13)
    assert "nothing reaches" in session.status.message and done.stage == "done" and not done.work.is_done
    done.stages.after_step(13)
    assert trainer.training_state == "paused" and not trainer.stop_training, "for another word"


def test_of_a_base_alone_no_edit_is_said_to_be_done(capture: Path) -> None:
    pipeline, said = open_pipeline(capture), []
    pipeline.config.edit_steps = 0
    pipeline.session.refresh()
    assert "no edit is to follow" in describe(pipeline.session.status)
    pipeline.trainer = SimpleNamespace(training_state="training", step=3, save_checkpoint=lambda step: True)
    pipeline.team = cast(Any, SimpleNamespace(leads=True, size=1, say=said.append))
    pipeline.stages.after_step(3)
    assert pipeline.trainer.training_state == "paused" and [line for line in said if "No edit is to follow" in line]
