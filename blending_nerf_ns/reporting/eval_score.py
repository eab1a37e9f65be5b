"""What a judge says of an edit where `ns-eval` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.directions import clip_direction_similarity
from blending_nerf_ns.evaluation.text import manipulative_precision
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.reporting.judge import JudgeConfig, kinship, squared
from blending_nerf_ns.reporting.layers import joined_texts, shown_layers

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide
    from blending_nerf_ns.model import BlendingModel


class EditScore:
    """What a judge says of one view, for `ns-eval`, which means over views: so do these figures.

    Args:
        clip: the judge.
        source, target: texts of the edit.
    """

    def __init__(self, clip: ClipGuide, source: str, target: str) -> None:
        self._clip = clip
        self._source, self._target = (clip.encode_prompt(text) for text in (source, target))

    @torch.no_grad()
    def __call__(
        self, original: Float[Tensor, "height width 3"], edited: Float[Tensor, "height width 3"]
    ) -> Dict[str, float]:
        """Direction similarity and manipulative precision of one view."""
        pair = torch.stack([original, edited])
        images = squared(pair).permute(0, 3, 1, 2).to(self._clip.device)
        before, after = self._clip.encode_images(images).split(1)
        return {
            "edit_direction_similarity": clip_direction_similarity(before, after, self._source, self._target),
            "edit_manipulative_precision": manipulative_precision(pair[:1], pair[1:], after, self._target),
        }


def score_by(judge: JudgeConfig, guide: JudgeConfig, texts: Tuple[str, str], device: torch.device) -> EditScore:
    """The score by a judge; where it is too close to the guide, that is said.

    Args:
        judge: which CLIP judges.
        guide: the one that guided.
        texts: source and target.
        device: where the judge goes.
    """
    for warning in kinship(judge, guide):
        said = warning.replace("--judge.model and --judge.pretrained", "judge_model and judge_pretrained in config.yml")
        CONSOLE.print(said, style="yellow", markup=False)
    return EditScore(load_clip(judge.model, judge.pretrained, str(device)), *texts)


def score_of(model: BlendingModel, judge: JudgeConfig, guide: JudgeConfig, trains: bool) -> Optional[EditScore]:
    """The score of the layers that a model shows, together.

    Args:
        model: with its layers.
        judge: which CLIP judges.
        guide: the one that guided.
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
    return score_by(judge, guide, joined_texts([edit.info for edit in shown]), model.device)
