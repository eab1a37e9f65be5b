"""What a session has the training loop do: a picture can be interrupted, and a loop cannot, so what takes long is done there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

import torch

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.steering.hearing import overhearing

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline
    from blending_nerf_ns.steering.session import Session


class Errands:
    """Hands the loop what takes long, wakes it for that, and says to the user what came of it.

    Args:
        session: of the user who waits.
        pipeline: whose loop it is.
    """

    def __init__(self, session: Session, pipeline: BlendingPipeline) -> None:
        self._session, self._pipeline = session, pipeline
        self._errand: Optional[Callable[[], None]] = None
        self.searches = False
        """Whether a region is being looked for that was asked for alone."""

    def hand_over(self, errand: Callable[[], None]) -> None:
        """Have the training loop do something; call it where a wish is being granted. The last one counts."""
        self._errand, self.searches = errand, True
        self.wake()

    def wake(self) -> None:
        """Let a loop go on that sleeps because there was nothing to train."""
        trainer = self._pipeline.trainer
        if trainer is not None and trainer.training_state == "paused":
            trainer.training_state = "training"

    def run(self) -> None:
        """Do what was sent, if anything. In the training loop only."""
        errand, self._errand = self._errand, None
        if errand is None:
            return
        try:
            self.attempt(errand, asked=self._session.steered)
        finally:
            self.searches = False

    def attempt(self, do: Callable[[], None], asked: bool = False) -> bool:
        """Do something that a user may have asked wrongly. Where nobody waits the error ends the run; else it is said.

        Args:
            do: it.
            asked: whether somebody waits for this, whatever becomes of the run later.

        Returns:
            Whether it was done.
        """
        session = self._session
        session.status.message = ""  # of what was tried before
        try:
            with overhearing(session.say):
                do()
        except (BlendingNerfError, OSError, torch.OutOfMemoryError) as error:
            if not (session.waits or asked):
                raise
            session.running = False
            # a warning before it may explain it
            session.say(" ".join(filter(None, (session.status.message, str(error)))))
            return False
        return True

    def stop_for(self, error: Exception) -> None:
        """The edit stands where a step of it failed, until its user starts it again."""
        work = self._pipeline.work
        self._session.running = False
        work.take_back()
        self._session.say(f"The edit stands after {work.done} steps: {error}. Press Start to go on.")
