"""What a judge says of an edit where `ns-eval` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Tuple, Union

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.directions import clip_direction_similarity
from blending_nerf_ns.evaluation.inputs import differ
from blending_nerf_ns.evaluation.text import manipulative_precision
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.reporting.judge import JudgeConfig, kinship, squared
from blending_nerf_ns.reporting.layers import joined_texts, shown_layers

if TYPE_CHECKING:
    from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipelineConfig
    from blending_nerf_ns.guidance.clip import ClipGuide
    from blending_nerf_ns.model import BlendingModel
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig

    Judged = Union[BlendingPipelineConfig, FinetunePipelineConfig]


class EditScore:
    """What a judge says of one view, for `ns-eval`, which means over views: so do these figures.

    Args:
        clip: the judge.
        source, target: texts of the edit.
    """

    def __init__(self, clip: ClipGuide, source: str, target: str) -> None:
        self._clip = clip
        self._source, self._target = (clip.encode_prompt(text) for text in (source, target))
        self._differ = differ(self._source, self._target)
        if not self._differ:
            told = f"{source!r} and {target!r} are one to the judge {clip.name}: no direction similarity."
            CONSOLE.print(told, style="yellow", markup=False)

    @torch.no_grad()
    def __call__(
        self, original: Float[Tensor, "height width 3"], edited: Float[Tensor, "height width 3"]
    ) -> Dict[str, float]:
        """Direction similarity, where the judge tells the texts apart, and manipulative precision of one view."""
        pair = torch.stack([original, edited])
        images = squared(pair).permute(0, 3, 1, 2).to(self._clip.device)
        before, after = self._clip.encode_images(images).split(1)
        figures = {"edit_manipulative_precision": manipulative_precision(pair[:1], pair[1:], after, self._target)}
        if self._differ:
            direction = clip_direction_similarity(before, after, self._source, self._target)
            figures["edit_direction_similarity"] = direction
        return figures


def score_by(config: Judged, texts: Tuple[str, str], device: torch.device) -> Optional[EditScore]:
    """The score by the judge that a pipeline names; where it is too close to what guided, that is said.

    None where it cannot be loaded, and that is said, too: the photos' figures need no judge.

    Args:
        config: of the pipeline.
        texts: source and target.
        device: where the judge goes.
    """
    judge = JudgeConfig(config.judge_model, config.judge_pretrained)
    try:
        clip = load_clip(judge.model, judge.pretrained, str(device))
    except BlendingNerfError as error:
        CONSOLE.print(f"No figures of a judge: {error}", style="yellow", markup=False)
        return None
    for warning in kinship(judge, JudgeConfig(config.guidance.model, config.guidance.pretrained)):
        CONSOLE.print(warning, style="yellow", markup=False)
    return EditScore(clip, *texts)


def score_of(model: BlendingModel, config: BlendingPipelineConfig, trains: bool) -> Optional[EditScore]:
    """The score of the layers that a model shows, together.

    Args:
        model: with its layers.
        config: of its pipeline, which names a judge.
        trains: an edit may be made yet; else it is said where there is none.

    Returns:
        None where there is nothing to score.
    """
    try:
        shown = shown_layers(model)
    except BlendingNerfError as nothing:
        if not trains:
            CONSOLE.print(f"No figures of a judge: {nothing}", style="yellow", markup=False)
        return None
    return score_by(config, joined_texts([edit.info for edit in shown]), model.device)
