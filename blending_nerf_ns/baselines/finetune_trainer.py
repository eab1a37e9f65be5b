"""nerfstudio's trainer for the fine-tuned baseline: it ends where the pipeline does, and resumes as runs of ours do."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Literal, Type, cast

from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipeline, FinetunePipelineConfig
from blending_nerf_ns.bases.placement import check_still_its_capture
from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.runs.adopting import adopt_resumed_run, flags_given, rates_kept
from blending_nerf_ns.runs.checkpoints import ResumedScaler, write_training
from blending_nerf_ns.runs.config_file import RunConfig, check_capture, check_training_device, leaving_nothing
from blending_nerf_ns.training.loss_record import inherit

allow_nerfstudio_checkpoints()


@dataclass
class FinetuneTrainerConfig(RunConfig):
    """nerfstudio's trainer configuration, see `RunConfig`."""

    _target: Type = field(default_factory=lambda: FinetuneTrainer)
    """Target class to instantiate."""


class FinetuneTrainer(Trainer):
    """Runs the stages of a `FinetunePipeline`, whole or resumed.

    Args:
        config: the run's configuration.
    """

    config: FinetuneTrainerConfig

    @in_one_line()
    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Adopt what a resumed run was, build everything, and save the configuration again: now it is complete."""
        with leaving_nothing(self.base_dir):
            check_training_device(self.config)
            check_capture(self.config)
            self._set_up(test_mode)

    def _set_up(self, test_mode: Literal["test", "val", "inference"]) -> None:
        pipeline_config = cast(FinetunePipelineConfig, self.config.pipeline)
        resumed = self.config.resumes
        pipeline_config.resumed = resumed is not None
        if resumed is not None:
            other = adopt_resumed_run(self.config, resumed.parent / "config.yml", flags_given(sys.argv[1:]))
            pipeline_config.resumed_texts = other.source_text, other.target_text
            for line in rates_kept(sys.argv[1:]):
                CONSOLE.print(line, style="yellow", markup=False)
        self.config.find_checkpoint()
        self.grad_scaler = ResumedScaler(enabled=self.use_grad_scaler)
        super().setup(test_mode)
        if resumed is not None:
            data = cast(FinetunePipeline, self.pipeline).datamanager
            outputs = cast(DataparserOutputs, data.train_dataparser_outputs)
            check_still_its_capture(resumed.parent, outputs)
            inherit(resumed.parent, self.config.get_base_dir())
        self.config.load_step = None  # taken; in config.yml every ns-* command would look for it among this run's own
        self.config.save_config()

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
