"""What goes on in a run, for whoever looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from blending_nerf_ns.model import AMOUNTS

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline


@dataclass
class Status:
    """What goes on, in numbers and one sentence."""

    stage: str = "starting"
    """starting, base, region, edit, paused, done, alone (a base that no edit is to follow), or viewing (no trainer)."""
    step: int = 0
    steps: int = 0
    seconds_left: Optional[float] = None
    similarity: Optional[float] = None
    """Of the pictures to the target text now..."""
    similarity_start: Optional[float] = None
    """...and of the originals."""
    added: float = 0.0
    removed: float = 0.0
    changed: float = 0.0
    message: str = ""
    """The last thing that went wrong or was done."""

    def refresh(self, pipeline: BlendingPipeline) -> None:
        """Bring the status up to date. From any thread: this only reads."""
        stage, work = pipeline.stage, pipeline.work
        done = int(pipeline.progress[0 if stage == "base" else 1])
        self.steps = pipeline.config.base_steps if stage == "base" else work.end
        self.step, self.seconds_left = done, pipeline.clock.seconds_left
        shown = work.training.shown if work.training is not None else {}
        self.similarity, self.similarity_start = shown.get("similarity"), shown.get("similarity_before")
        self.added, self.removed, self.changed = (shown.get(name, 0.0) for name in AMOUNTS)
        if pipeline.test_mode != "val":
            self.stage = "viewing"
        elif pipeline.session.errands.searches:
            self.stage = "region"
        elif stage == "done" and pipeline.config.edit_steps == 0:
            self.stage = "alone"
        elif stage == "done":
            self.stage = "done" if done >= self.steps else "paused"
        elif stage == "edit" and pipeline.trainer is not None and pipeline.trainer.training_state == "paused":
            self.stage = "paused"
        else:
            self.stage = "region" if stage == "edit" and work.training is None else stage
