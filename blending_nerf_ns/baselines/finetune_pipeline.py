"""nerfstudio's pipeline of the fine-tuned baseline: a base where none is given, then its copy towards the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Literal, Mapping, Optional, Tuple, Type, cast

import torch
import tyro
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from typing_extensions import Annotated

from blending_nerf_ns.baselines.finetuned_model import FinetunedModel, FinetunedModelConfig
from blending_nerf_ns.baselines.finetuning import FinetuneGuidanceConfig, FinetuneTraining
from blending_nerf_ns.bases.loading import read_base_run
from blending_nerf_ns.errors import BlendingNerfError, end_in_one_line
from blending_nerf_ns.runs.adopting import adopt_base
from blending_nerf_ns.runs.checkpoints import load_whole
from blending_nerf_ns.runs.config_file import check_capture_of
from blending_nerf_ns.training.checking import check_finetuning, fetch_guide
from blending_nerf_ns.training.loss_record import record_step, rewind
from blending_nerf_ns.training.progress import StageClock
from blending_nerf_ns.training.schedule import exponential, set_rate
from blending_nerf_ns.training.stages import callbacks_around

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

LAYER = "finetuned"
"""Stands for a layer's id in the record of losses."""
FINETUNED = ("finetuned_fields", "finetuned_proposals")
"""Parameter groups of the copy."""


@dataclass
class FinetunePipelineConfig(VanillaPipelineConfig):
    """Which base, which words, how hard; named as in `BlendingPipelineConfig` where it is the same."""

    _target: Type = field(default_factory=lambda: FinetunePipeline)
    """Target class to instantiate."""
    model: FinetunedModelConfig = field(default_factory=FinetunedModelConfig)
    """The base and its copy."""
    base_run: Optional[Path] = None
    """config.yml of a finished nerfacto run to start from. Without it the base is trained first. A config.yml is YAML that can
    run code: name only runs that you trust."""
    base_steps: int = 1500
    """Steps of the base's training, where it is trained here."""
    edit_steps: int = 600
    """Steps of fine-tuning."""
    source_text: str = ""
    """What is there now: "a wooden chair"."""
    target_text: str = ""
    """What it should become: "a blue chair"."""
    guidance: FinetuneGuidanceConfig = field(default_factory=FinetuneGuidanceConfig)
    """What pulls it towards the target text."""
    judge_model: str = ""
    """open_clip model, or "embedded-judge", by which ns-eval also scores the edit; empty: none."""
    judge_pretrained: Optional[str] = None
    """Its pretrained tag or a local path of weights."""
    base_final_rate: float = 0.1
    """The base's learning rates fall by this factor over its stage."""
    edit_final_rate: float = 0.1
    """The copy's learning rates fall by this factor over its stage."""
    seed: int = 0
    """Seed of the views and crops."""
    run_dir: Annotated[Optional[Path], tyro.conf.Suppress] = None
    """The run's folder; set by the trainer's configuration."""
    resumed: Annotated[bool, tyro.conf.Suppress] = False
    """Whether a checkpoint is about to be loaded; set by the trainer."""
    resumed_texts: Annotated[Optional[Tuple[str, str]], tyro.conf.Suppress] = None
    """Source and target text of the run that is resumed; set by the trainer."""


class FinetunePipeline(VanillaPipeline):
    """Trains a base where none is given, then fine-tunes a copy of it.

    Args:
        config: see `FinetunePipelineConfig`.
        device: where to run.
        test_mode: "val" trains; "test" and "inference" only render, and need no base run and no guidance.
    """

    config: FinetunePipelineConfig
    model: FinetunedModel
    progress: Tensor

    def __init__(
        self,
        config: FinetunePipelineConfig,
        device: str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        trains = test_mode == "val"
        if trains and world_size > 1:
            raise BlendingNerfError(f"the fine-tuned baseline trains in one process, not in {world_size}")
        if trains and config.edit_steps != 0:
            check_finetuning(config)
            if config.base_run is None and not config.resumed:
                # models are drawn before they are read: a seed's base is to stay the same
                with torch.random.fork_rng(devices=[]):
                    fetch_guide(config)
        if not trains:  # it was made long ago, and ns-render, ns-viewer or the like opens it
            end_in_one_line()
            check_capture_of(config.datamanager)
        run = read_base_run(config.base_run) if config.base_run is not None and trains else None
        if run is not None:
            adopt_base(config, run)
        super().__init__(config, device, test_mode, 1, local_rank, grad_scaler)
        self.register_buffer("progress", torch.zeros(2, dtype=torch.long))
        if not trains:
            self.model.show_learned_cameras()
        if run is not None:
            capture = cast(DataparserOutputs, self.datamanager.train_dataparser_outputs)
            CONSOLE.print(self.model.take_base(run, capture), markup=False)
        self.editing: Optional[FinetuneTraining] = None
        self.trainer: Any = None
        self.has_unsaved = False
        """Whether a step was taken since it was saved last."""
        self._grad_scaler = grad_scaler
        self._clock = StageClock(resumed=config.run_dir if config.resumed else None)

    @property
    def stage(self) -> Literal["base", "edit", "done"]:
        """What the next training step works on."""
        if not bool(self.model.base_frozen):
            return "base"
        return "edit" if int(self.progress[1]) < self.config.edit_steps else "done"

    @property
    def steps_left(self) -> int:
        """Training steps until all is done."""
        base = 0 if bool(self.model.base_frozen) else self.config.base_steps - int(self.progress[0])
        return max(0, base) + max(0, self.config.edit_steps - int(self.progress[1]))

    def get_train_loss_dict(self, step: int) -> Tuple[Any, Dict[str, Tensor], Dict[str, Tensor]]:
        """One step of the stage that is on."""
        if self.stage == "base":
            return self.model.train_base(*self.datamanager.next_train(step))
        assert self.editing is not None
        scale = float(self._grad_scaler.get_scale()) if self._grad_scaler is not None else 1.0
        with torch.autocast(self.model.device.type, enabled=False):  # gradients of half the network would not add up
            losses, metrics = self.editing.step(int(self.progress[1]), scale)
        record_step(self.config.run_dir, LAYER, int(self.progress[1]), {**losses, **metrics})
        self._shown = metrics["similarity"]
        return {}, losses, metrics  # type: ignore[return-value]

    def get_average_eval_image_metrics(
        self, step: Optional[int] = None, output_path: Optional[Path] = None, get_std: bool = False
    ) -> Any:
        """nerfstudio's, with what a judge says where one is configured and there is an edit."""
        config = self.config
        if config.judge_model and int(self.progress[1]) > 0:
            from blending_nerf_ns.guidance.templates import said_source
            from blending_nerf_ns.reporting.eval_score import score_by

            texts = said_source(config.source_text), config.target_text
            self.model.score = score_by(config, texts, self.model.device)
        return super().get_average_eval_image_metrics(step, output_path, get_std)

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> List[TrainingCallback]:
        """Prepare each step and book it; the base's own callbacks end when it is frozen."""
        self.trainer = attributes.trainer
        own = super().get_training_callbacks(attributes)
        return callbacks_around(own, self._before_step, self._after_step, self.end_stage)

    def _before_step(self, step: int) -> None:
        config, optimizers, base = self.config, self.trainer.optimizers.optimizers, self.stage == "base"
        if not base and self.editing is None:
            self._prepare()
        done, steps = int(self.progress[0 if base else 1]), config.base_steps if base else config.edit_steps
        self._clock.begin(*(("base", "Base") if base else ("edit", "Fine-tuning")), steps, done)
        factor = exponential(done, steps, config.base_final_rate if base else config.edit_final_rate)
        for name in optimizers:
            if base != (name in FINETUNED):
                set_rate(optimizers[name], factor)

    def _after_step(self, step: int) -> None:
        base, self.has_unsaved = self.stage == "base", True
        self.progress[0 if base else 1] += 1
        if self._clock.on:
            shown: Dict[str, Any] = {} if base else {"similarity": self._shown}
            self._clock.step(**shown)
        if base and int(self.progress[0]) >= self.config.base_steps:
            self.end_stage()
            self.model.freeze_base()

    def end_stage(self) -> None:
        """The stage that is on, if one is, ends here; what all took is written."""
        self._clock.end(self.config.run_dir)

    def _prepare(self) -> None:
        from blending_nerf_ns.guidance.clip import load_clip

        config = self.config
        guide: ClipGuide = load_clip(config.guidance.model, config.guidance.pretrained, str(self.device))
        assert self.datamanager.train_dataset is not None
        cameras = self.datamanager.train_dataset.cameras
        texts = config.source_text, config.target_text
        self.editing = FinetuneTraining(config.guidance, self.model, cameras, guide, *texts, config.seed)
        rewind(config.run_dir, LAYER, int(self.progress[1]))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: Optional[bool] = None):  # type: ignore[override]
        """Take everything that a checkpoint holds, or say what does not fit.

        Raises:
            BlendingNerfError: something does not fit; or its copy was taught other words than are asked for now.
        """
        texts, taught = (self.config.source_text, self.config.target_text), self.config.resumed_texts
        if taught is not None and texts != taught and int(state_dict["progress"][1]) > 0:
            raise BlendingNerfError(
                f"cannot resume with other words: its copy was fine-tuned from {taught[0]!r} to {taught[1]!r} already; "
                f"begin a new run for {texts[0]!r} and {texts[1]!r}"
            )
        load_whole(self, state_dict)
        if bool(self.model.base_frozen):
            self.model.freeze_base()
        elif self.test_mode == "val":
            self.model.check_photos()
