"""What is asked of a run: which base, which words, which region, how hard."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional, Tuple, Type

import tyro
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from typing_extensions import Annotated

from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.model import BlendingModelConfig


def _pipeline() -> Type:
    from blending_nerf_ns.pipeline import BlendingPipeline  # which wants to know this module first

    return BlendingPipeline


@dataclass
class BlendingPipelineConfig(VanillaPipelineConfig):
    """Which base, which words, which region, how hard."""

    _target: Type = field(default_factory=_pipeline)
    """Target class to instantiate."""
    model: BlendingModelConfig = field(default_factory=BlendingModelConfig)
    """The base and the editable field."""
    base_run: Optional[Path] = None
    """config.yml of a finished run of nerfacto, or of this method, whose base is edited. Without it a base is trained first. A config.yml is YAML that
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
    edits: Tuple[Path, ...] = ()
    """Finished edits (`*.edit.safetensors`) of this base that come first, the lowest first: this one is made on top."""
    edits_of_any_base: bool = False
    """Take edits of another base than this too; their regions may lie elsewhere."""
    region: RegionConfig = field(default_factory=RegionConfig)
    """Where the edit may act."""
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    """What pulls it towards the target text."""
    judge_model: str = ""
    """open_clip model ("ViT-L-14"), or "embedded-judge" for the small one of this package, by which ns-eval also scores the edit;
    empty: none, and ns-eval needs no weights. It should not be the one that guides."""
    judge_pretrained: Optional[str] = None
    """Its pretrained tag or a local path of weights."""
    base_final_rate: float = 0.1
    """The base's learning rates fall by this factor over its stage."""
    edit_final_rate: float = 0.1
    """The edit's learning rate falls by this factor over its stage."""
    profile: bool = False
    """Say where a step's time goes, at the end of the edit and in profile.json."""
    seed: int = 0
    """Seed of the edit's views, crops and backgrounds."""
    run_dir: Annotated[Optional[Path], tyro.conf.Suppress] = None
    """The run's folder; set by the trainer's configuration."""
    resumed: Annotated[bool, tyro.conf.Suppress] = False
    """Whether a checkpoint is about to be loaded; set by the trainer."""
    resumed_look: Annotated[Optional[Path], tyro.conf.Suppress] = None
    """The folder of the run that is resumed, where its look was said after its checkpoint; set by the trainer."""
    interactive: Annotated[bool, tyro.conf.Suppress] = False
    """Whether a viewer is there to start an edit, and the run waits for it; set by the trainer."""
    steered: Annotated[bool, tyro.conf.Suppress] = False
    """Whether a viewer is there to pause an edit, also where the run ends with it; set by the trainer."""
