"""A run's way from step to step: what is done before and after each, when a stage ends, and what is saved by then."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, List, Optional

import torch
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation

from blending_nerf_ns.bases.checkpoint import steps_in
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.training.schedule import exponential, set_rate

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline

OF_THE_EDIT = frozenset({"edit_field", "moving_fields"})
"""Groups of parameters that learn in the edit's steps; the others do in the base's."""
SAVE_EVERY = 100
"""Edit steps between checkpoints, beside those of `steps_per_save`: no more are lost when a run is killed."""
DONE = (
    "Nothing is left to train, and all is saved. The viewer stays open: edit on there, or end the run with Ctrl-C "
    "(--viewer.quit-on-train-completion True ends it by itself)."
)
ALONE = (
    "The base is trained, and all is saved. No edit is to follow (--pipeline.edit-steps 0): load edits in the viewer, or end the run "
    "with Ctrl-C."
)
WAITS = (
    "The edit waits, and all is saved: write in the viewer what is there and what it should become, and press Start."
)


def begin_optimizers_anew(optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
    """Those of the edit forget the steps that they took: these led elsewhere."""
    for name in OF_THE_EDIT & optimizers.keys():
        optimizers[name].state.clear()


def callbacks_around(
    own: List[TrainingCallback], before: Callable[[int], None], after: Callable[[int], None], end: Callable[[], None]
) -> List[TrainingCallback]:
    """What nerfstudio's loop calls, in order.

    Args:
        own: callbacks of datamanager and model.
        before, after: of each step, with its number.
        end: of the training.
    """
    return [
        TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], before),
        *own,
        TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], after),
        TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], lambda step: end()),
    ]


class Stages:
    """Takes a pipeline from the base's steps to the edit's, and to its end or its user.

    Args:
        pipeline: whose stages they are.
    """

    def __init__(self, pipeline: BlendingPipeline) -> None:
        self._pipeline = pipeline
        self.last_step: Optional[int] = None
        """The trainer's count of the last step that was taken."""
        self._rests = ""

    def before_step(self, step: int) -> None:
        """Rates, bars, and whatever a step needs that comes first; what a user asked for is done here."""
        pipeline = self._pipeline
        if pipeline.stage == "base":
            self._before_base_step()
            return
        pipeline.model.wishes.grant()
        pipeline.session.errands.run()
        if pipeline.stage == "edit":
            self._before_edit_step(step)

    def _before_base_step(self) -> None:
        pipeline, config = self._pipeline, self._pipeline.config
        done, optimizers = int(pipeline.progress[0]), pipeline.trainer.optimizers.optimizers
        pipeline.clock.begin("base", "Base", config.base_steps, done)
        factor = exponential(done, config.base_steps, config.base_final_rate)
        for name in optimizers.keys() - OF_THE_EDIT:
            set_rate(optimizers[name], factor)

    def _before_edit_step(self, step: int) -> None:
        pipeline, work, optimizers = self._pipeline, self._pipeline.work, self._pipeline.trainer.optimizers.optimizers
        if work.training is None:
            with self._telling_of_the_base():
                if not pipeline.session.errands.attempt(work.prepare, asked=pipeline.session.was_asked):
                    return
            pipeline.trainer.save_checkpoint(max(step - 1, 0))
        pipeline.clock.begin("edit", "Edit", work.end, work.done)
        for name in OF_THE_EDIT & optimizers.keys():
            set_rate(optimizers[name], exponential(work.share, 1, pipeline.config.edit_final_rate))
        if pipeline.profile is not None:
            pipeline.profile.begin_step()

    def after_step(self, step: int) -> None:
        """Count it; where it was a stage's last, end that. Where nothing is left to train, the run ends or waits for its user."""
        pipeline, session = self._pipeline, self._pipeline.session
        self.last_step = step
        if pipeline.stage == "base":
            self._after_base_step()
        elif pipeline.stage == "edit" and pipeline.work.training is not None:
            self._after_edit_step(pipeline.work.training.shown["similarity"])
        if pipeline.stage != "done":
            return
        if session.waits or (session.steered and not pipeline.work.is_done):
            self._rest()
        else:
            pipeline.trainer.stop_training = True  # nerfstudio's loop would go on to the last step

    def _after_base_step(self) -> None:
        pipeline = self._pipeline
        pipeline.progress[0] += 1
        pipeline.clock.step()
        if int(pipeline.progress[0]) < pipeline.config.base_steps:
            return
        self.end()
        pipeline.model.freeze_base()
        try:
            with self._telling_of_the_base():
                pipeline.take_edits()
        finally:
            pipeline.save()  # hours of work: what comes next may fail for a word

    def _after_edit_step(self, similarity: float) -> None:
        pipeline, work = self._pipeline, self._pipeline.work
        work.count()
        self._rests = ""
        pipeline.clock.step(work.end, similarity=similarity)
        if pipeline.profile is not None:
            pipeline.profile.end_step()
        if work.is_done:
            self.end()
        elif work.done % SAVE_EVERY == 0:
            pipeline.save()

    @contextmanager
    def _telling_of_the_base(self) -> Iterator[None]:
        """An error that ends the run says that what was trained for minutes is not lost."""
        try:
            yield
        except BlendingNerfError as error:
            pipeline, run = self._pipeline, self._pipeline.config.run_dir
            if pipeline.config.base_run is not None or run is None:
                raise
            # a run that was resumed has not saved yet
            if not (steps_in(run / "nerfstudio_models") or pipeline.save()):
                raise
            kept = f"The base is trained and kept: --pipeline.base-run {shlex.quote(str(run / 'config.yml'))} goes on from it"
            raise type(error)(f"{error}. {kept}") from error

    def _rest(self) -> None:
        """Wait for the user: the loop sleeps until the session wakes it. What there is, is saved."""
        pipeline = self._pipeline
        self.end()
        saved = pipeline.save()
        why = ALONE if pipeline.config.edit_steps == 0 else DONE if pipeline.work.is_done else WAITS
        if saved and why != self._rests:  # it also wakes for a moment to save what was moved
            pipeline.team.say(why)
        self._rests = why if saved else ""
        pipeline.trainer.training_state = "paused"

    def end(self) -> None:
        """The stage that is on, if one is, ends or pauses here; what all took is written."""
        pipeline = self._pipeline
        if edits := pipeline.clock.on == "edit":
            pipeline.clock.times["edit_steps"] = pipeline.work.done
        pipeline.clock.end(pipeline.config.run_dir)
        if edits and pipeline.team.leads and pipeline.profile is not None and pipeline.profile.steps:
            pipeline.profile.report(pipeline.config.run_dir)
