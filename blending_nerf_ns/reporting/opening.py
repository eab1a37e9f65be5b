"""A finished run, opened with its capture: from wherever its folder lies now, and from any working directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple, Union, cast

from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.eval_utils import eval_setup
from torch import Tensor

from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipeline, FinetunePipelineConfig
from blending_nerf_ns.baselines.finetuned_model import FinetunedModel
from blending_nerf_ns.bases.loading import read_config
from blending_nerf_ns.bases.placement import check_still_its_capture
from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.templates import said_source
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.reporting.judge import JudgeConfig
from blending_nerf_ns.reporting.layers import joined_texts, shown_layers
from blending_nerf_ns.runs.checkpoints import newest_whole_step
from blending_nerf_ns.runs.layers import run_folder

ReportedModel = Union[BlendingModel, FinetunedModel]
"""Models that a report can be made of."""


@dataclass(frozen=True)
class FinishedRun:
    """What there is to measure."""

    folder: Path
    method: str
    """Name of its method configuration."""
    step: int
    """Training step of the checkpoint."""
    pipeline: Union[BlendingPipeline, FinetunePipeline]
    capture: Path
    """Folder of the capture."""

    @property
    def model(self) -> ReportedModel:
        """In eval mode, shown as the run's look says."""
        return self.pipeline.model

    @property
    def blended(self) -> BlendingModel:
        """The same, of a run whose edits are blended into a base.

        Raises:
            BlendingNerfError: it is one of the baseline, which has nothing to blend.
        """
        if not isinstance(self.model, BlendingModel):
            raise BlendingNerfError(
                f"{self.folder} is a run of {self.method}, whose edit has no strength and no region"
            )
        return self.model

    @property
    def layers(self) -> List[Edit]:
        """The layers that are seen, the lowest first; none where the method has no layers.

        Raises:
            BlendingNerfError: there is no edit yet, or none is switched on.
        """
        if isinstance(self.model, BlendingModel):
            return shown_layers(self.model)
        if int(self.pipeline.progress[1]) == 0:
            raise BlendingNerfError(f"no step of fine-tuning is done in {self.folder}; go on with --load-dir")
        return []

    def texts(self, source: str, target: str) -> Tuple[str, str]:
        """Source and target text: those given, else the run's own."""
        if isinstance(self.model, BlendingModel):
            return joined_texts([edit.info for edit in self.layers], source, target)
        config = self.pipeline.config
        return said_source(source or config.source_text), target or config.target_text

    @property
    def guide(self) -> JudgeConfig:
        """The model that guided."""
        guidance = self.pipeline.config.guidance
        return JudgeConfig(guidance.model, guidance.pretrained)

    def photos(self, kind: str) -> tuple[Cameras, list[Path]]:
        """Cameras (on the CPU) and files of the photos that trained ("train") or were held out ("test")."""
        manager = self.pipeline.datamanager
        dataset = cast(Any, manager.train_dataset if kind == "train" else manager.eval_dataset)
        return dataset.cameras.to("cpu"), list(dataset.image_filenames)

    @property
    def placement(self) -> tuple[Float[Tensor, "3 4"], float]:
        """Transform and scale from the capture's coordinates to the run's."""
        outputs = cast(Any, self.pipeline.datamanager).train_dataparser_outputs
        return outputs.dataparser_transform, float(outputs.dataparser_scale)


def open_finished(run: Path, data: Optional[Path]) -> FinishedRun:
    """Build a run's model and load its newest whole checkpoint.

    Args:
        run: its config.yml or folder. The config.yml is YAML that can run code: name only runs that you trust.
        data: the capture, if it is not where the run found it.

    Raises:
        BlendingNerfError: no run of ours, no checkpoint, no capture, or another one than the run's.
    """
    folder = run_folder(run).resolve()
    if not (folder / "config.yml").is_file():
        raise BlendingNerfError(f"there is no {folder / 'config.yml'}: the run's folder is not whole")
    config = read_config(folder / "config.yml")  # before nerfstudio reads it, which would end in a traceback
    if not isinstance(config.pipeline, (BlendingPipelineConfig, FinetunePipelineConfig)):
        raise BlendingNerfError(
            f"{folder} is a run of {config.method_name}, not of blending-nerf or clip-nerf-finetune"
        )
    found: list[Path] = []

    def place(config: TrainerConfig) -> TrainerConfig:
        manager = cast(Any, config.pipeline.datamanager)
        capture = Path(data or manager.data or manager.dataparser.data)
        if not capture.exists():
            raise BlendingNerfError(f"the run's capture {capture} is not there any more; say where it is with --data")
        found.append(capture if capture.is_dir() else capture.parent)
        manager.data = capture
        # nerfstudio would put the folder together as it was when it was made, seen from where it was trained
        config.get_base_dir = lambda: folder
        config.load_step = newest_whole_step(folder / config.relative_model_dir)
        return config

    allow_nerfstudio_checkpoints()
    config, pipeline, _, step = eval_setup(folder / "config.yml", test_mode="test", update_config_callback=place)
    check_still_its_capture(folder, cast(Any, pipeline.datamanager).train_dataparser_outputs)
    pipeline.eval()
    return FinishedRun(folder, str(config.method_name), step, cast(Any, pipeline), found[0])
