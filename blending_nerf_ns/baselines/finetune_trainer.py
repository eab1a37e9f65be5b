"""nerfstudio's trainer for the fine-tuned baseline: it ends where the pipeline does, and resumes as runs of ours do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Type, cast

from nerfstudio.utils.decorators import check_main_thread

from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipeline, FinetunePipelineConfig
from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.runs.checkpoints import write_training
from blending_nerf_ns.runs.config_file import RunConfig
from blending_nerf_ns.runs.trainer import RunTrainer


@dataclass
class FinetuneTrainerConfig(RunConfig):
    """nerfstudio's trainer configuration, see `RunConfig`."""

    _target: Type = field(default_factory=lambda: FinetuneTrainer)
    """Target class to instantiate."""


class FinetuneTrainer(RunTrainer):
    """Runs the stages of a `FinetunePipeline`, whole or resumed.

    Args:
        config: the run's configuration.
    """

    config: FinetuneTrainerConfig

    def _before_building(self, other: Any, checkpoint: Optional[Path]) -> None:
        if other is not None:
            cast(FinetunePipelineConfig, self.config.pipeline).resumed_texts = other.source_text, other.target_text

    @in_one_line()
    def train(self) -> None:
        """Train until the stages are done: nerfstudio would run `max_num_iterations` MORE steps after a resume. What Ctrl-C ends is
        saved."""
        pipeline = cast(FinetunePipeline, self.pipeline)
        self.config.max_num_iterations = min(self.config.max_num_iterations, pipeline.steps_left)
        self.step = max(self._start_step - 1, 0)
        try:
            super().train()
        except KeyboardInterrupt:
            pipeline.end_stage()
            if pipeline.has_unsaved:
                self.save_checkpoint(self.step)
            raise

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Everything that a resume needs, written whole or not at all."""
        write_training(self, step)
        cast(FinetunePipeline, self.pipeline).has_unsaved = False
