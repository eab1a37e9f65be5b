"""The edit in work: how far it is, by which words, what guides it, and when it is done."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Dict, Optional, Tuple

import torch
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.loss_record import record_step, rewind
from blending_nerf_ns.training.preparing import Preparation
from blending_nerf_ns.training.profiling import Profile
from blending_nerf_ns.training.progress import StageClock
from blending_nerf_ns.training.settling import Settling
from blending_nerf_ns.training.standing import Standing, words_of
from blending_nerf_ns.training.team import Team

if TYPE_CHECKING:
    from blending_nerf_ns.model import BlendingModel
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig

SETTLED = (
    "The edit had settled, and is done after {} of {} steps: `--pipeline.guidance.stop-when-settled False` takes all {} that it may "
    "have now."
)


class EditInWork:
    """Prepares, trains and restarts the uppermost layer of a model.

    Args:
        config: whose words, region and guidance count at the time of a call.
        model: with a base that is frozen by the time that anything is prepared.
        photos: the training images.
        team: the processes that train the edit together.
        clock: is told how long region and start took.
        progress: steps of the base's and of the edit's stage, which travel with the checkpoints; of these, the second is counted on here.
    """

    def __init__(
        self,
        config: BlendingPipelineConfig,
        model: BlendingModel,
        photos: InputDataset,
        team: Team,
        clock: StageClock,
        progress: Tensor,
    ) -> None:
        self._config, self._model, self._team, self._clock, self._progress = config, model, team, clock, progress
        self._preparation = Preparation(config, model, photos, team, model.device)
        self._gain, self._recorded = 0.0, False
        self.training: Optional[EditTraining] = None
        """What takes its steps; None until it is prepared."""
        self.settling = Settling(config.guidance)
        """Says when it is done; a module of the pipeline, for its checkpoints."""
        self.standing = Standing(config)
        """Says whether it may train; likewise."""
        self.is_another_round = False
        """Whether a resume was given other words for an edit that was done: its optimiser begins anew, too."""
        self.profile: Optional[Profile] = None
        """Where the time of its steps is noted, if it is."""

    # -- how far it is ------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """Steps that are behind."""
        return int(self._progress[1])

    @property
    def end(self) -> int:
        """Steps after which it is done: all of its stage, or fewer where it has settled."""
        return self.settling.end(self._config.edit_steps)

    @property
    def is_done(self) -> bool:
        """Whether all of its steps are behind."""
        return self.done >= self.end

    @property
    def share(self) -> float:
        """How much of its schedule is behind, in [0, 1]."""
        return self.settling.share(self.done, self._config.edit_steps)

    # -- its words ----------------------------------------------------------------------------------------------

    @property
    def texts(self) -> Tuple[str, str]:
        """What is there now, and what it should become."""
        return self._config.source_text, self._config.target_text

    def take_texts(self, source: str, target: str) -> None:
        """Guide towards other words from the next step on; an edit that is done stays what it is until it is started again."""
        if self.training is not None:
            self.training.set_texts(source, target)
        self._config.source_text, self._config.target_text = source, target
        if not self.is_done:
            self.describe()
            self.settling.restart()
            if self.training is not None:
                self._settle_where_nothing_is_left()

    def describe(self) -> None:
        """It is made by the words that are asked for now."""
        self._model.describe(*self.standing.words)

    def take_resumed(self, waits: bool) -> bool:
        """A resume may have been given other words: an edit that was done by the old ones is not done by these.

        Args:
            waits: whether somebody may press Start.

        Returns:
            Whether it is trained on, by other words or for other operations than before.
        """
        if self.standing.goes_on(words_of(self._model.edit.info), waits):
            if not self.is_done:
                self.describe()
            elif self.done < self._config.edit_steps and self.settling.settled_of not in (0, self._config.edit_steps):
                self._team.say(SETTLED.format(self.done, self.settling.settled_of, self._config.edit_steps))
            return False
        self.describe()
        if not bool(self._model.edit_ready):
            return False
        if self.is_done:
            self._progress[1] = 0
            self.is_another_round = True
            self._clock.forget("edit")
            self._team.say("The edit was done, by other words: it is trained another round, in the region that it has.")
        self.settling.restart()
        return True

    # -- its training -------------------------------------------------------------------------------------------

    def find_region(self) -> None:
        """Find its region and spread its field over it."""
        self._clock.times["region_seconds"] = self._preparation.find_region()

    def prepare(self) -> None:
        """Find the region unless there is one, and get the guidance ready."""
        self._preparation.load_guide()
        if not bool(self._model.edit_ready):
            if self._team.leads:
                self.find_region()
            self._preparation.follow_leader()
        started = time.perf_counter()
        training = self._preparation.training(self.done)
        self._clock.times["start_seconds"] = time.perf_counter() - started
        training.timed = self.profile or training.timed
        self.training = training
        self._settle_where_nothing_is_left()

    def step(self, scale: float) -> Tuple[Dict[str, Tensor], Dict[str, float]]:
        """Render, guide, and back-propagate once; it is counted when the optimiser has stepped.

        Args:
            scale: of a gradient scaler; 1 without one.

        Returns:
            losses, means of all processes; and what the progress bar shows.
        """
        assert self.training is not None, "it is prepared first"
        self._recorded = False
        with torch.autocast(self._model.device.type, enabled=False):  # gradients of half the network would not add up
            losses, metrics = self.training.step(self.done, self.share, scale)
        moved = losses.pop("nothing")
        gain = torch.tensor(metrics["similarity"] - metrics["similarity_before"], device=self._model.device)
        losses = self._team.mean({**losses, "gain": gain})
        self._gain = float(losses.pop("gain"))
        if self._team.leads:
            record_step(self._config.run_dir, self._model.edit.info.id, self.done, {**losses, **metrics})
            self._recorded = True
        return {**losses, "nothing": moved}, metrics

    def count(self) -> None:
        """One step more is behind."""
        steps = self._config.edit_steps
        if self.settling.follow(self.done + 1, steps, self._gain):
            self._team.say(f"The similarity has settled: the edit ends after {self.end} of {steps} steps.")
        self._progress[1] += 1

    def take_back(self) -> None:
        """The step that is on failed before it could be counted: it is recorded when it is made again."""
        if self._recorded:
            with suppress(OSError):  # of a disk that is full by now
                rewind(self._config.run_dir, self._model.edit.info.id, self.done)

    def restart(self, at: int = 0) -> None:
        """It stands at this step of its stage, and is prepared again before the next."""
        self._progress[1] = at
        self.training = None
        self.settling.restart()

    def _settle_where_nothing_is_left(self) -> None:
        if self._model.nothing_to_learn and self.settling.settle(self.done, self._config.edit_steps):
            self._team.say(f"All is removed, which is all that this edit may do: it ends after {self.end} steps.")
