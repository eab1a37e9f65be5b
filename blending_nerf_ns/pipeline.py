"""nerfstudio's pipeline: stages (base, region, edit), checkpoints, and the panel that the viewer shows."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Mapping, Optional, Tuple, Type, cast

import torch
import tyro
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from typing_extensions import Annotated

from blending_nerf_ns.bases.loading import BaseRun, check_same_capture, read_base_run
from blending_nerf_ns.bases.weights import load_base_state
from blending_nerf_ns.editing import EditTraining, GuidanceConfig
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.build import build_region
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import load_region
from blending_nerf_ns.localization.views import Scene
from blending_nerf_ns.model import OPERATIONS, BlendingModel, BlendingModelConfig
from blending_nerf_ns.progress import StageBar, write_stage_times
from blending_nerf_ns.schedule import exponential, set_rate


@dataclass
class BlendingPipelineConfig(VanillaPipelineConfig):
    """Which base, which words, which region, how hard."""

    _target: Type = field(default_factory=lambda: BlendingPipeline)
    """Target class to instantiate."""
    model: BlendingModelConfig = field(default_factory=BlendingModelConfig)
    """The base and the editable field."""
    base_run: Optional[Path] = None
    """config.yml of a finished nerfacto run to edit. Without it the base is trained first. A config.yml is YAML that
    can run code: name only runs that you trust."""
    base_steps: int = 1500
    """Steps of the base's training, where it is trained here."""
    edit_steps: int = 600
    """Steps of the edit's training."""
    source_text: str = ""
    """What is there now: "a wooden chair"."""
    target_text: str = ""
    """What it should become: "a blue chair"."""
    operations: Tuple[Literal["add", "remove", "change"], ...] = OPERATIONS
    """What the edit may do: add density, remove density, change colour."""
    region: RegionConfig = field(default_factory=RegionConfig)
    """Where the edit may act."""
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    """What pulls it towards the target text."""
    base_final_rate: float = 0.1
    """The base's learning rates fall by this factor over its stage."""
    edit_final_rate: float = 0.1
    """The edit's learning rate falls by this factor over its stage."""
    seed: int = 0
    """Seed of the edit's views, crops and backgrounds."""
    run_dir: Annotated[Optional[Path], tyro.conf.Suppress] = None
    """The run's folder; set by the trainer's configuration."""


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
            check_texts(config)
        if run is not None:
            adopt_base(config, run)
        if test_mode == "val" and config.region.source.strip() == "file":
            config.model.region_resolution = load_region(config.region.file).resolution
        super().__init__(config, device, test_mode, world_size, local_rank, grad_scaler)
        self.register_buffer("progress", torch.zeros(2, dtype=torch.long))
        self.model.operations = tuple(config.operations)
        if test_mode == "val":
            CONSOLE.print(self.model.implementations)
        if run is not None:
            check_same_capture(run, cast(DataparserOutputs, self.datamanager.train_dataparser_outputs))
            load_base_state(self.model.base, run.state)
            self.model.freeze_base()
            CONSOLE.print(f"Base: {run.config_path} (step {run.step}, fingerprint {run.fingerprint}), frozen.")
        self.editing: Optional[EditTraining] = None
        self.wanted_texts: Optional[Tuple[str, str]] = None
        """Prompts from the viewer, which the next step of the edit takes over."""
        self._grad_scaler = grad_scaler
        self._bar: Optional[StageBar] = None
        self._trainer: Any = None
        self._times: Dict[str, float] = {}
        if test_mode != "inference":
            from blending_nerf_ns.viewer.panel import EditPanel

            self.edit_panel = EditPanel(self)

    # -- stages -------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Literal["base", "edit", "done"]:
        """What the next training step works on."""
        if not bool(self.model.base_frozen):
            return "base"
        return "edit" if int(self.progress[1]) < self.config.edit_steps else "done"

    @property
    def steps_left(self) -> int:
        """Training steps until the edit is done."""
        base = 0 if bool(self.model.base_frozen) else self.config.base_steps - int(self.progress[0])
        return max(0, base) + max(0, self.config.edit_steps - int(self.progress[1]))

    def get_train_loss_dict(self, step: int) -> Tuple[Any, Dict[str, Tensor], Dict[str, Tensor]]:
        """One step of the stage that is on."""
        if self.stage == "base":
            ray_bundle, batch = self.datamanager.next_train(step)
            outputs = self.model.base(ray_bundle)
            metrics = self.model.base.get_metrics_dict(outputs, batch)
            return outputs, self.model.base.get_loss_dict(outputs, batch, metrics), metrics
        assert self.editing is not None, "the edit's stage was not prepared"
        if self.wanted_texts is not None:
            self.config.source_text, self.config.target_text = self.wanted_texts
            self.editing.set_texts(*self.wanted_texts)
            self.wanted_texts = None
        self.model.take_wanted_region()
        scale = float(self._grad_scaler.get_scale()) if self._grad_scaler is not None else 1.0
        with torch.autocast(self.model.device.type, enabled=False):  # gradients of half the network would not add up
            losses, metrics = self.editing.step(int(self.progress[1]), self.config.edit_steps, scale)
        return {}, losses, metrics  # type: ignore[return-value]

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        """Prepare each step and book it; the base's own callbacks end when it is frozen."""
        self._trainer = attributes.trainer
        before, after = TrainingCallbackLocation.BEFORE_TRAIN_ITERATION, TrainingCallbackLocation.AFTER_TRAIN_ITERATION
        return [
            TrainingCallback([before], self._before_step),
            *super().get_training_callbacks(attributes),
            TrainingCallback([after], self._after_step),
            TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self._after_training),
        ]

    def _before_step(self, step: int) -> None:
        optimizers = self._trainer.optimizers.optimizers
        base_done, edit_done = (int(value) for value in self.progress)
        if self.stage == "base":
            self._bar = self._bar or StageBar("Base", self.config.base_steps, base_done)
            factor = exponential(base_done, self.config.base_steps, self.config.base_final_rate)
            for name in optimizers:
                if name != "edit_field":
                    set_rate(optimizers[name], factor)
        elif self.stage == "edit":
            if self.editing is None:
                self.prepare_edit()
                self._trainer.save_checkpoint(max(step - 1, 0))
            self._bar = self._bar or StageBar("Edit", self.config.edit_steps, edit_done)
            factor = exponential(edit_done, self.config.edit_steps, self.config.edit_final_rate)
            set_rate(optimizers["edit_field"], factor)

    def _after_step(self, step: int) -> None:
        if self.stage == "base":
            self.progress[0] += 1
            assert self._bar is not None
            self._bar.step()
            if int(self.progress[0]) >= self.config.base_steps:
                self._end_stage("base")
                self.model.freeze_base()
        elif self.stage == "edit":
            self.progress[1] += 1
            assert self._bar is not None and self.editing is not None
            self._bar.step(**self.editing.shown)
            if self.stage == "done":
                self._end_stage("edit")

    def _after_training(self, step: int) -> None:
        if self._bar is not None:
            self._end_stage(self.stage)

    def _end_stage(self, name: str) -> None:
        if self._bar is not None:
            self._times[f"{name}_seconds"] = self._bar.close()
            self._bar = None
        write_stage_times(self.config.run_dir, self._times)

    def prepare_edit(self) -> None:
        """Find the region unless the checkpoint brought it, and get the guidance ready."""
        if not self.config.target_text.strip():
            raise BlendingNerfError('there is nothing to edit towards: give --pipeline.target-text "a blue chair"')
        assert self.datamanager.train_dataset is not None
        cameras = self.datamanager.train_dataset.cameras
        from blending_nerf_ns.guidance.clip import load_clip

        guidance = self.config.guidance
        guide = load_clip(guidance.model, guidance.pretrained, str(self.device))
        if not bool(self.model.edit_ready):
            started = time.perf_counter()
            scene = Scene(self.model.base, cameras.to(self.device), self.model.config.eval_num_rays_per_chunk)
            found = build_region(
                self.config.region,
                scene,
                self.config.source_text,
                self.model.config.region_resolution,
                lambda: guide,
                self.datamanager.train_dataset.image_filenames,
            )
            self.model.edit.region.load_state_dict(found.region.state_dict())
            self.model.edit.fit_field_to_region()
            self.model.edit_ready = torch.ones_like(self.model.edit_ready)
            self._times["region_seconds"] = time.perf_counter() - started
        self.editing = EditTraining(
            guidance,
            self.model,
            cameras,
            guide,
            self.config.source_text,
            self.config.target_text,
            self.config.seed,
        )
        if int(self.progress[1]) == 0 and {"add", "change"} & set(self.config.operations):
            color = self.editing.choose_first_color()
            shown = "none but the original's" if color is None else " ".join(f"{value:.2f}" for value in color.tolist())
            CONSOLE.print(f"Colour that the guide likes best to start from: {shown} (RGB).")

    # -- checkpoints --------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: Optional[bool] = None):  # type: ignore[override]
        """Load everything or say what does not fit: nerfstudio would load what fits and be silent."""
        own = self.state_dict()
        missing, unexpected = sorted(own.keys() - state_dict.keys()), sorted(state_dict.keys() - own.keys())
        wrong = sorted(
            f"{key} {tuple(state_dict[key].shape)} instead of {tuple(own[key].shape)}"
            for key in own.keys() & state_dict.keys()
            if own[key].shape != state_dict[key].shape
        )
        if missing or unexpected or wrong:
            raise BlendingNerfError(
                f"the checkpoint does not fit this configuration: missing {missing[:8]}, unexpected {unexpected[:8]}, "
                f"of another size {wrong[:8]}; resume with the flags of the run that wrote it"
            )
        torch.nn.Module.load_state_dict(self, dict(state_dict), strict=True)
        if bool(self.model.base_frozen):
            self.model.freeze_base()


def check_texts(config: BlendingPipelineConfig) -> None:
    """Say early, before a base is trained for minutes, what an edit is missing."""
    if config.edit_steps > 0 and not config.target_text.strip():
        raise BlendingNerfError('--pipeline.target-text is empty: say what it should become, "a blue chair"')
    if config.edit_steps > 0:
        config.region.check()
    if config.edit_steps > 0 and config.region.reads("text") and not config.source_text.strip():
        raise BlendingNerfError(
            '--pipeline.source-text is empty: say what is to be edited, "a wooden chair", or give a box '
            "with --pipeline.region.source box"
        )
    unknown = sorted(set(config.operations) - set(OPERATIONS))
    if unknown or not config.operations:
        raise BlendingNerfError(f"--pipeline.operations {tuple(config.operations)}: choose among {OPERATIONS}")


def adopt_base(config: BlendingPipelineConfig, run: BaseRun) -> None:
    """Take the base's architecture, data and data parser, so that it renders what its own run renders."""
    config.model.base = run.model_config
    config.model.base_num_images = run.num_images
    data = config.datamanager.data or config.datamanager.dataparser.data  # type: ignore[attr-defined]
    config.datamanager.dataparser = run.dataparser_config  # type: ignore[attr-defined]
    if data is not None and str(data) not in (".", ""):
        config.datamanager.dataparser.data = Path(data)  # type: ignore[attr-defined]
