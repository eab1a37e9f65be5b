"""nerfstudio's trainer, set up whole, resumed, or refused without a trace: for ours and for the baseline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, FrozenSet, List, Literal, Optional, cast

from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.bases.placement import check_still_its_capture
from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.runs.adopting import adopt_resumed_run, flags_given, rates_kept
from blending_nerf_ns.runs.checkpoints import ResumedScaler
from blending_nerf_ns.runs.config_file import RunConfig, check_capture, check_training_device, leaving_nothing
from blending_nerf_ns.training.loss_record import inherit

allow_nerfstudio_checkpoints()


class RunTrainer(Trainer):
    """Begins a run, or goes on from another.

    Args:
        config: the run's configuration.
    """

    config: RunConfig

    @in_one_line()
    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        """Adopt what a resumed run was, build everything, and save the configuration again: now it is complete."""
        with leaving_nothing(self.base_dir):
            check_training_device(self.config)
            check_capture(self.config)
            self._set_up(test_mode)

    def _set_up(self, test_mode: Literal["test", "val", "inference"]) -> None:
        given, resumed, other = flags_given(sys.argv[1:]), self.config.resumes, None
        cast(Any, self.config.pipeline).resumed = resumed is not None
        if resumed is not None:
            other = adopt_resumed_run(self.config, resumed.parent / "config.yml", given)
        self._before_building(other, self.config.find_checkpoint())
        self.grad_scaler = ResumedScaler(enabled=self.use_grad_scaler)
        super().setup(test_mode)
        if resumed is not None:
            check_still_its_capture(resumed.parent, cast(Any, self.pipeline.datamanager).train_dataparser_outputs)
            if self.local_rank == 0:  # what is refused until here leaves nothing
                self._inherit_from(resumed.parent)
        self.config.load_step = None  # taken; in config.yml every ns-* command would look for it among this run's own
        if self.local_rank == 0:
            self.config.save_config()
            for line in self._without_effect(given) + (rates_kept(sys.argv[1:]) if resumed is not None else []):
                CONSOLE.print(line, style="yellow", markup=False)

    def _before_building(self, other: Any, checkpoint: Optional[Path]) -> None:
        """Tell the pipeline's configuration what it is to know.

        Args:
            other: the configuration of the pipeline of the run that is resumed; None where none is.
            checkpoint: the file that this run goes on from.
        """

    def _inherit_from(self, resumed: Path) -> None:
        """Take along what lies beside the checkpoints of the run that is resumed, from its folder."""
        inherit(resumed, self.config.get_base_dir())

    def _without_effect(self, given: FrozenSet[str]) -> List[str]:
        """What to tell a user of flags that change nothing.

        Args:
            given: fields that the command line names (see `flags_given`).
        """
        return []
