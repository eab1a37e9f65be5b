"""nerfstudio's pipeline: stages (base, region, edit), checkpoints, and the panel that the viewer shows."""

from pathlib import Path
from typing import Any, Dict, List, Literal, Mapping, Optional, Tuple, cast

import torch
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from torch import Tensor

from blending_nerf_ns.bases.loading import read_base_run
from blending_nerf_ns.bases.placement import check_still_its_capture
from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.file import load_edit
from blending_nerf_ns.errors import BlendingNerfError, end_in_one_line
from blending_nerf_ns.localization.file import load_region
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.pipeline_config import (
    BlendingPipelineConfig as BlendingPipelineConfig,  # older config.yml name it here
)
from blending_nerf_ns.runs.adopting import adopt_base
from blending_nerf_ns.runs.checkpoints import load_whole
from blending_nerf_ns.runs.config_file import check_capture_of
from blending_nerf_ns.runs.look import apply_look, read_look
from blending_nerf_ns.steering.session import Session
from blending_nerf_ns.training.checking import check_edit, check_place, fetch_models, transparency_hint
from blending_nerf_ns.training.in_work import EditInWork
from blending_nerf_ns.training.profiling import Profile
from blending_nerf_ns.training.progress import StageClock
from blending_nerf_ns.training.stages import Stages, begin_optimizers_anew, callbacks_around
from blending_nerf_ns.training.team import present_team

VIEWER_MEMORY = 1 << 28
"""Bytes for the base's last pictures where a viewer is: some 200,000 rays of the small config."""


class BlendingPipeline(VanillaPipeline):
    """Trains a base where none is given, finds the region, trains the edit; renders all of it afterwards.

    Args:
        config: see `BlendingPipelineConfig`.
        device: where to run.
        test_mode: "val" trains; "test" and "inference" only render, and need no base run and no guidance.
    """

    config: BlendingPipelineConfig
    model: BlendingModel
    progress: Tensor

    def __init__(
        self, config: BlendingPipelineConfig, device: str, test_mode="val", world_size=1, local_rank=0, grad_scaler=None
    ) -> None:
        run = read_base_run(config.base_run) if config.base_run is not None and test_mode == "val" else None
        if test_mode == "val":
            check_edit(config)
        else:  # it was made long ago, and ns-render, ns-viewer or the like opens it
            end_in_one_line()
            check_capture_of(config.datamanager)
        if run is not None:
            adopt_base(config, run)
        if test_mode == "val" and config.region.source.strip() == "file" and not config.resumed:
            config.model.region_resolution = load_region(config.region.file).resolution
        self.team = present_team()
        edits = test_mode == "val" and not config.resumed and config.edit_steps > 0 and bool(config.target_text.strip())
        if edits and run is None and self.team.leads:
            # models are drawn before they are read: a seed's base is to stay the same
            with torch.random.fork_rng(devices=[]):
                fetch_models(config)
        super().__init__(config, device, test_mode, 1, local_rank, grad_scaler)  # of one: nothing is wrapped in DDP
        self.register_buffer("progress", torch.zeros(2, dtype=torch.long))
        if test_mode != "val":
            self.model.show_learned_cameras()
        photos = cast(InputDataset, self.datamanager.train_dataset)
        self.clock = StageClock(self.team.leads, config.run_dir if config.resumed else None)
        self.work = EditInWork(config, self.model, photos, self.team, self.clock, self.progress)
        self.settling = self.work.settling  # a module: it travels with the checkpoints
        self.standing = self.work.standing  # likewise
        self.work.describe()
        if test_mode == "val":
            self.team.say(self.model.implementations)
            background = config.model.base.background_color
            if run is None and (hint := transparency_hint(photos.get_image_float32(0), background)):
                self.team.say(hint, style="bold yellow")
        if test_mode != "val" and config.run_dir is not None:
            data = cast(DataparserOutputs, self.datamanager.train_dataparser_outputs)
            try:
                check_still_its_capture(config.run_dir, data)
            except BlendingNerfError as error:  # it can still be looked at
                self.team.say(str(error), style="bold yellow")
        if run is not None:
            capture = cast(DataparserOutputs, self.datamanager.train_dataparser_outputs)
            self.team.say(self.model.take_base(run, capture))
            self.take_edits()
        self.profile = Profile(self.model.device) if config.profile and test_mode == "val" else None
        self.work.profile = self.profile
        if self.team.size > 1:  # each process drew weights of its own
            state = self.team.take_from_leader(self.model.state_dict(), self.model.device)
            self.model.layers.make_room(state, "layers.")
            self.model.load_state_dict(state)
        if edits:
            check_place(config, photos.image_filenames, self.model.scene)
        self._grad_scaler: Any = grad_scaler
        self.trainer: Any = None
        """Set when training begins; None where there is none, as in ns-viewer."""
        self.stages = Stages(self)
        self.session = Session(self)
        self.session.waits = config.interactive and test_mode == "val"
        self.session.steered = config.steered and test_mode == "val"
        if test_mode != "inference":
            from blending_nerf_ns.viewer.panel import EditPanel

            # a panel is shown by one of several processes: the others would not hear of what is pressed there
            self.editor = EditPanel(self.session, test_mode == "val" and self.team.size == 1)
            self.model.seen.most_bytes = VIEWER_MEMORY

    # -- stages -------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Literal["base", "edit", "done"]:
        """What the next training step works on."""
        if not bool(self.model.base_frozen):
            return "base"
        return "edit" if not self.work.is_done and self.standing.running else "done"

    @property
    def idle(self) -> bool:
        """Whether there is nothing to train now: the edit is done, stands, or could not be prepared."""
        return self.stage != "base" and (self.stage == "done" or self.work.training is None)

    @property
    def steps_left(self) -> int:
        """Training steps until the edit is done."""
        # a base that is told to end earlier than it is ends with its next step
        base = 0 if bool(self.model.base_frozen) else max(1, self.config.base_steps - int(self.progress[0]))
        return base + max(0, self.work.end - self.work.done)

    def get_train_loss_dict(self, step: int) -> Tuple[Any, Dict[str, Tensor], Dict[str, Tensor]]:
        """One step of the stage that is on; where there is one: not while it is `idle`."""
        if self.stage == "base":
            return self.model.train_base(*self.datamanager.next_train(step))
        scale = float(self._grad_scaler.get_scale()) if self._grad_scaler is not None else 1.0
        losses, metrics = self.work.step(scale)
        return {}, losses, metrics  # type: ignore[return-value]

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        """Prepare each step and book it; the base's own callbacks end when it is frozen."""
        self.trainer = attributes.trainer
        own, stages = super().get_training_callbacks(attributes), self.stages
        return callbacks_around(own, stages.before_step, stages.after_step, stages.end)

    def save(self) -> bool:
        """Write a checkpoint now, where there is a trainer to write one.

        Returns:
            Whether it was written (see `BlendingTrainer.save_checkpoint`).
        """
        # one that does not lead writes nothing
        return self.trainer is not None and self.trainer.save_checkpoint(self.trainer.step) is not False

    def _save_config(self) -> None:
        """Write config.yml again; where there is a user, a full disk is said and ends nothing that they asked for."""
        try:
            self.trainer.save_config()
        except OSError as error:
            if not (self.session.waits or self.session.steered):
                raise
            self.session.say(f"Not saved: {error}")

    def take_edits(self) -> None:
        """What was made on the base before, and is asked for, goes on top."""
        if not self.config.edits:
            return
        base = fingerprint(self.model.base.state_dict())
        for path in self.config.edits:
            edit = load_edit(path, base, self.config.edits_of_any_base, self.model.device.type == "cuda")
            self.model.layers.add(edit)
            self.team.say(f"Layer {edit.info.name!r} from {path}.")

    # -- the edit in work ---------------------------------------------------------------------------------------

    def take_texts(self, source: str, target: str) -> None:
        """Guide towards other words from the next step on, and in what is saved."""
        self.work.take_texts(source, target)
        if self.trainer is not None:
            self._save_config()

    def restart_edit(self, at: int = 0) -> None:
        """The edit's training stands at this step of its stage, with a fresh optimiser."""
        self.work.restart(at)
        if bool(self.model.base_frozen):
            self.clock.drop()
        if at == 0:
            self.clock.forget("edit")
        self.model.version += 1
        if self.trainer is not None:
            begin_optimizers_anew(self.trainer.optimizers.optimizers)

    def get_average_eval_image_metrics(
        self, step: Optional[int] = None, output_path: Optional[Path] = None, get_std: bool = False
    ) -> Any:
        """nerfstudio's, with what a judge says where one is configured."""
        if self.config.judge_model:
            from blending_nerf_ns.reporting.eval_score import score_of

            self.model.score = score_of(self.model, self.config, trains=self.trainer is not None)
        return super().get_average_eval_image_metrics(step, output_path, get_std)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: Optional[bool] = None):  # type: ignore[override]
        """Take everything that a checkpoint holds, layers included, or say what does not fit; then show it as it was left."""
        self.model.layers.make_room(state_dict, "_model.layers.")
        state_dict = self.standing.made_up_for(self.settling.made_up_for(state_dict, "settling."), "standing.")
        load_whole(self, of_any_age(state_dict))
        training = self.test_mode == "val"
        if bool(self.model.base_frozen):
            self.model.freeze_base()
        elif training:
            self.model.check_photos()
        look = read_look(self.config.resumed_look if training else self.config.run_dir)
        if training and self.work.take_resumed(self.session.waits):
            self.session.region.make_room()
        if look is not None:
            apply_look(look, self.model.layers)
            self.session.layers.fade = look.fade
            # of all commands only `ns-render camera-path` gives frames a time of their own; the viewer's is always 0
            self.model.fades = look.fade and self.test_mode == "inference"
