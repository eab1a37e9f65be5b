"""nerfstudio's trainer, with an end that is the pipeline's and checkpoints that are written whole."""

import copy
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, FrozenSet, List, Optional, Type, cast

import torch
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import TRAIN_INTERATION_OUTPUT
from nerfstudio.utils.decorators import check_main_thread
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.runs.adopting import without_effect
from blending_nerf_ns.runs.checkpoints import write_training
from blending_nerf_ns.runs.config_file import RunConfig
from blending_nerf_ns.runs.holding import held_open
from blending_nerf_ns.runs.look import inherit_fade, inherit_look, keep_said_after, look_said_after, look_stamp
from blending_nerf_ns.runs.trainer import RunTrainer
from blending_nerf_ns.training.stages import begin_optimizers_anew
from blending_nerf_ns.training.team import TeamOptimizers
from blending_nerf_ns.viewer.ending import end_pictures

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer

ENDLESS = 10**12
"""Steps that nobody waits for."""


@dataclass
class BlendingTrainerConfig(RunConfig):
    """nerfstudio's trainer configuration, see `RunConfig`."""

    _target: Type = field(default_factory=lambda: BlendingTrainer)
    """Target class to instantiate."""


class BlendingTrainer(RunTrainer):
    """Runs the stages of a `BlendingPipeline`, whole or resumed.

    Args:
        config: the run's configuration.
    """

    config: BlendingTrainerConfig

    def _before_building(self, other: Any, checkpoint: Optional[Path]) -> None:
        # the viewer takes it for its pictures; ours may save, which takes it again, while the loop has it for a step
        self.train_lock = cast(Lock, RLock())
        self.asked_iterations = self.config.max_num_iterations
        pipeline_config = cast(BlendingPipelineConfig, self.config.pipeline)
        alone = self.world_size == 1  # a viewer is shown by one of several processes: the others would not hear of it
        pipeline_config.steered = self.config.is_viewer_enabled() and alone
        pipeline_config.interactive = pipeline_config.steered and not self.config.viewer.quit_on_train_completion
        if checkpoint is not None:
            # its look counts where it was said later: this run then has it, too
            later = look_said_after(checkpoint, checkpoint.parent.parent)
            pipeline_config.resumed_look = checkpoint.parent.parent if later else None

    def _inherit_from(self, resumed: Path) -> None:
        """With the look where that counts; of one that the checkpoints are younger than, whether it fades: all they do not know."""
        super()._inherit_from(resumed)
        here, pipeline = self.config.get_base_dir(), cast(BlendingPipeline, self.pipeline)
        if pipeline.config.resumed_look is not None:
            inherit_look(resumed, here)
        elif inherit_fade(resumed, here, pipeline.model.layers):
            pipeline.session.layers.fade = True

    def _without_effect(self, given: FrozenSet[str]) -> List[str]:
        pipeline = cast(BlendingPipeline, self.pipeline)
        config, model, resumed = pipeline.config, pipeline.model, pipeline.config.resumed
        frozen, ready = (bool(flag) and resumed for flag in (model.base_frozen, model.edit_ready))
        return without_effect(given, config.region, resumed, frozen, ready, config.base_run is not None)

    def _load_checkpoint(self) -> None:
        """nerfstudio's; a viewer that is up already shows nothing that is half loaded."""
        pipeline = cast(BlendingPipeline, self.pipeline)
        with self.train_lock:
            super()._load_checkpoint()
            if pipeline.work.is_another_round:
                begin_optimizers_anew(self.optimizers.optimizers)

    def setup_optimizers(self) -> Optimizers:
        """nerfstudio's, of all processes together."""
        pipeline = cast(BlendingPipeline, self.pipeline)
        return TeamOptimizers(pipeline.team, self.config.optimizers.copy(), pipeline.get_param_groups())

    @in_one_line()
    def train(self) -> None:
        """Train until the stages are done: nerfstudio would run `max_num_iterations` MORE steps after a resume.

        With a viewer the run goes on for as long as its user wants, and sleeps where there is nothing to train. Where it is to end
        with its edit, it sleeps while that is paused.
        """
        pipeline = cast(BlendingPipeline, self.pipeline)
        if pipeline.session.waits:
            self.config.max_num_iterations = ENDLESS
            self.training_state = "paused" if pipeline.stage == "done" or self.config.start_paused else "training"
            if self.asked_iterations < pipeline.steps_left:
                CONSOLE.print(
                    f"[yellow]--max-num-iterations {self.asked_iterations} changes nothing: with a viewer a run goes on until it is "
                    "ended. Give --viewer.quit-on-train-completion True, too."
                )
        elif pipeline.session.steered and pipeline.stage != "done" and self.asked_iterations >= pipeline.steps_left:
            self.config.max_num_iterations = ENDLESS  # to the edit's end, however often it is paused or started again
        else:
            self.config.max_num_iterations = min(self.config.max_num_iterations, pipeline.steps_left)
        self.step = max(self._start_step - 1, 0)
        run_dir = self.config.get_base_dir()
        pipeline.session.layers.look_known = look_stamp(run_dir)
        with held_open(run_dir):
            self._train_until_ended()

    def _train_until_ended(self) -> None:
        """nerfstudio's loop; what Ctrl-C ends is saved."""
        pipeline = cast(BlendingPipeline, self.pipeline)
        try:
            super().train()
        except KeyboardInterrupt:
            if pipeline.session.steered:  # what was moved while it slept would be lost
                self._end_pictures()
                pipeline.model.wishes.grant()
            pipeline.stages.end()
            if pipeline.session.steered or (pipeline.team.size == 1 and pipeline.stages.last_step is not None):
                pipeline.save()
            raise
        finally:
            self._end_pictures()

    def _end_pictures(self) -> None:
        if self.config.is_viewer_enabled() and self.viewer_state is not None:
            cast(BlendingPipeline, self.pipeline).editor.control.end()
            end_pictures(cast("Viewer", self.viewer_state))

    def train_iteration(self, step: int) -> TRAIN_INTERATION_OUTPUT:
        """nerfstudio's; where there is nothing to train nothing moves, and a GPU's gradient scaler is not asked what it has seen."""
        pipeline, nothing = cast(BlendingPipeline, self.pipeline), torch.zeros(())
        if not pipeline.idle:
            try:
                return super().train_iteration(step)
            except (OSError, torch.OutOfMemoryError) as error:
                if pipeline.stage == "base" or not pipeline.session.waits:
                    raise
                self.optimizers.zero_grad_all()  # of half a step
                with suppress(
                    AssertionError
                ):  # it had unscaled nothing; else it would take the next gradients for unscaled ones
                    self.grad_scaler.update()
                pipeline.session.errands.stop_for(error)
        return nothing, {"nothing": nothing}, {}

    def _after_train(self) -> None:
        """nerfstudio's loop, told to stop, has counted a step that it did not take: its checkpoint has the name of the last."""
        taken = cast(BlendingPipeline, self.pipeline).stages.last_step
        self.step = self.step if taken is None else taken
        super()._after_train()

    @check_main_thread
    def save_config(self) -> None:
        """Write config.yml again: prompts were changed in the viewer, and a resume goes on with these."""
        config = copy.copy(self.config)
        config.max_num_iterations = self.asked_iterations
        config.save_config()

    @check_main_thread
    def save_checkpoint(self, step: int) -> bool:
        """Everything that a resume needs, written whole or not at all, with what was moved in a panel; a picture that grants a wish
        meanwhile waits.

        Returns:
            Whether it was written. Where a user waits, a full disk is said and ends nothing: there may be room again later.
        """
        session = cast(BlendingPipeline, self.pipeline).session
        try:
            with self.train_lock:
                if session.steered:
                    self.save_config()
                write_training(self, step)
                keep_said_after(self.config.get_base_dir(), session.layers.look_known, session.layers.moved_at)
        except OSError as error:
            if not session.waits:
                raise
            session.say(f"Not saved: {error}")
            return False
        return True
