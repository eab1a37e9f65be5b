"""What blending-nerf is compared with: a base fine-tuned whole, and blending-nerf with one mechanism taken out.

Ablations that are only values (no region, no budgets, ...) are flags of blending-nerf: `comparing.methods` lists them.
"""

import copy
from dataclasses import fields
from typing import cast

from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipelineConfig
from blending_nerf_ns.baselines.finetune_trainer import FinetuneTrainerConfig
from blending_nerf_ns.baselines.finetuned_model import FinetunedModelConfig
from blending_nerf_ns.baselines.finetuning import FinetuneGuidanceConfig
from blending_nerf_ns.baselines.resampled import ResampledModelConfig
from blending_nerf_ns.baselines.unfrozen import UnfrozenModelConfig
from blending_nerf_ns.model import BlendingModelConfig
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig

from .blending_nerf import blending_nerf, blending_nerf_cpu

FINETUNE_RATE = 1e-3
"""Of the fine-tuned copy: a tenth of what its training began with, as it ended."""


def _shared(source, target: type, own: tuple[str, ...] = ()) -> dict:
    """The values of one configuration that another has too, but for its own; each its own copy."""
    names = {item.name for item in fields(target)} - {"_target", *own}
    return {name: copy.deepcopy(value) for name, value in vars(source).items() if name in names}


def _finetuned(ours: MethodSpecification, name: str, description: str) -> MethodSpecification:
    """The same base, guide, views, crops and steps as a method of ours."""
    trainer = copy.deepcopy(ours.config)
    pipeline = cast(BlendingPipelineConfig, trainer.pipeline)
    rate = {"optimizer": AdamOptimizerConfig(lr=FINETUNE_RATE, eps=1e-15), "scheduler": None}
    base = {group: value for group, value in trainer.optimizers.items() if group != "edit_field"}
    changed = {
        "method_name": name,
        "optimizers": {**base, "finetuned_proposals": copy.deepcopy(rate), "finetuned_fields": copy.deepcopy(rate)},
        "pipeline": FinetunePipelineConfig(
            **{
                **_shared(pipeline, FinetunePipelineConfig),
                "model": FinetunedModelConfig(**_shared(pipeline.model, FinetunedModelConfig)),
                # its own default: on a CPU a view in one chunk, which is not rendered twice
                "guidance": FinetuneGuidanceConfig(
                    **_shared(pipeline.guidance, FinetuneGuidanceConfig, ("rays_per_chunk",))
                ),
            }
        ),
    }
    config = FinetuneTrainerConfig(**{**_shared(trainer, FinetuneTrainerConfig), **changed})
    return MethodSpecification(config=config, description=description)


def _with_model(ours: MethodSpecification, name: str, model: type[BlendingModelConfig], description: str, **optimizers):
    """A method of ours with another model of the same options."""
    trainer = copy.deepcopy(ours.config)
    trainer.method_name = name
    trainer.pipeline.model = model(**_shared(trainer.pipeline.model, model))
    trainer.optimizers |= optimizers
    return MethodSpecification(config=trainer, description=description)


clip_nerf_finetune = _finetuned(
    blending_nerf,
    "clip-nerf-finetune",
    "Baseline: a nerfacto fine-tuned whole by CLIP losses, no second field and no region; for a large GPU.",
)
clip_nerf_finetune_cpu = _finetuned(
    blending_nerf_cpu,
    "clip-nerf-finetune-cpu",
    "Baseline: a nerfacto fine-tuned whole by CLIP losses; on two CPU cores, with the embedded guidance.",
)
blending_nerf_unfrozen_cpu = _with_model(
    blending_nerf_cpu,
    "blending-nerf-unfrozen-cpu",
    UnfrozenModelConfig,
    "Ablation: Blending-NeRF whose base is not frozen; on two CPU cores.",
    moving_fields={"optimizer": AdamOptimizerConfig(lr=FINETUNE_RATE, eps=1e-15), "scheduler": None},
)
blending_nerf_resampled_cpu = _with_model(
    blending_nerf_cpu,
    "blending-nerf-resampled-cpu",
    ResampledModelConfig,
    "Ablation: Blending-NeRF that samples its base again instead of splitting intervals; on two CPU cores.",
)
