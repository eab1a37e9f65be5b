"""The judge: the CLIP that scores an edit, named apart from the one that guided it. It never stands in for another."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Tuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.embedded import EMBEDDED, EMBEDDED_DIR, EMBEDDED_JUDGE, MINI_JUDGE_NAME
from blending_nerf_ns.guidance.open_clip_names import HUB_PREFIX, hub_repository, named_folder

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

BARS = 0.5
"""Gray of the bars beside a picture that is not square: nearly the mean of what CLIPs are trained on."""
BATCH = 16
"""Pictures that are encoded at a time."""


@dataclass(frozen=True)
class JudgeConfig:
    """A CLIP by name."""

    model: str = EMBEDDED_JUDGE
    """open_clip model name ("ViT-L-14"), a local folder of one, or "embedded-judge" for the small one of this package."""
    pretrained: Optional[str] = None
    """open_clip pretrained tag ("openai") or a local path of weights."""

    @property
    def name(self) -> str:
        """Model and weights, for people: of what lies on a disk its name alone, for it stands in what is passed on."""
        if self.folder is not None:
            return self.folder.resolve().name
        if not self.pretrained or self.has_own_weights:
            return self.model
        file = Path(self.pretrained).expanduser()
        return f"{self.model} ({file.name if file.exists() else self.pretrained})"

    @property
    def has_own_weights(self) -> bool:
        """Whether the model's name says its weights, too."""
        return self.is_embedded or self.model.startswith(HUB_PREFIX) or named_folder(self.model) is not None

    @property
    def is_embedded(self) -> bool:
        """Whether it is one of the two that ship."""
        return self.model in (EMBEDDED, EMBEDDED_JUDGE)

    @property
    def folder(self) -> Optional[Path]:
        """open_clip's own folder that is loaded, where one of the two names one."""
        return None if self.is_embedded else named_folder(self.model, self.pretrained)

    @property
    def weights(self) -> Optional[Path]:
        """The file of its weights, where it has one on this disk: of a tag, the name is all there is to tell."""
        if self.model == EMBEDDED_JUDGE:
            return EMBEDDED_DIR / f"{MINI_JUDGE_NAME}.safetensors"
        path = self.folder or Path(self.pretrained or self.model).expanduser()
        return path if path.exists() else None


@dataclass(frozen=True)
class Judge:
    """A judge that may not be there, and what a reader must know of it."""

    config: JudgeConfig
    clip: Optional[ClipGuide]
    """None where it could not be loaded."""
    missing: Optional[str] = None
    """Why not."""
    warnings: Tuple[str, ...] = ()
    """What makes its scores worth less."""

    @torch.no_grad()
    def look(self, pictures: Float[Tensor, "views height width 3"]) -> Optional[Float[Tensor, "views features"]]:
        """Image features, float32 on the CPU; None without a judge."""
        if self.clip is None:
            return None
        images = squared(pictures).permute(0, 3, 1, 2).float()
        return torch.cat([self.clip.encode_images(part.to(self.clip.device)).cpu() for part in images.split(BATCH)])

    def read(self, text: str) -> Optional[Float[Tensor, "features"]]:
        """Feature of a prompt, in the templates that suit the judge; None without a judge."""
        return None if self.clip is None else self.clip.encode_prompt(text).cpu()


def load_judge(wanted: JudgeConfig, guide: JudgeConfig, device: torch.device) -> Judge:
    """Load the judge, or say why there is none; compare it with the guide.

    Args:
        wanted: the judge.
        guide: the model that guided.
        device: where the judge goes.
    """
    from blending_nerf_ns.guidance.clip import load_clip

    warned = tuple(kinship(wanted, guide))
    try:
        return Judge(wanted, load_clip(wanted.model, wanted.pretrained, device), None, warned)
    except BlendingNerfError as error:
        missing = f"the judge {wanted.name} could not be loaded: {error}"
        return Judge(wanted, None, missing, (*warned, f"{missing}. Figures of texts are left out."))


def kinship(judge: JudgeConfig, guide: JudgeConfig) -> List[str]:
    """What a reader must know where judge and guide are too close; empty where they are not.

    Example:
        >>> kinship(JudgeConfig("ViT-L-14", "openai"), JudgeConfig("ViT-B-16", "openai"))
        []
    """
    if same_model(judge, guide):
        return [
            f"Judge and guide are the same model, {judge.name}: an edit is scored by the model that it was fitted to, and "
            "its scores say little. Name another judge (of `evaluate`: --judge.model; of ns-eval: judge_model in config.yml)."
        ]
    if _model_of(judge) == _model_of(guide):
        return [f"Judge {judge.name} and guide {guide.name} have the same architecture; only their weights may differ."]
    return []


def same_model(judge: JudgeConfig, guide: JudgeConfig) -> bool:
    """Whether both names mean one model, as far as names can tell. Paths are compared as files, tags by the repository that they stand for.

    Example:
        >>> same_model(JudgeConfig("ViT-B/16", "openai"), JudgeConfig("ViT-B-16-quickgelu", "openai"))
        True
    """

    def weights(config: JudgeConfig) -> Optional[str]:
        if not config.pretrained or config.has_own_weights or config.folder is not None:
            return None
        file = Path(config.pretrained).expanduser()
        return str(file.resolve()) if file.exists() else config.pretrained.lower().replace("-", "_")

    if (_model_of(judge), weights(judge)) == (_model_of(guide), weights(guide)):
        return True
    judges, guides = (
        None if one.is_embedded or one.folder is not None else hub_repository(one.model, one.pretrained)
        for one in (judge, guide)
    )
    return judges is not None and judges == guides


def _model_of(config: JudgeConfig) -> str:
    """A model under one name: open_clip takes "ViT-B/16" for "ViT-B-16", an activation is no other weights, and a folder has many
    names."""
    if config.folder is not None:
        return str(config.folder.resolve())
    return config.model if config.has_own_weights else config.model.replace("/", "-").removesuffix("-quickgelu")


def read_texts(judge: Judge, texts: List[str]) -> Tuple[Optional[Float[Tensor, "texts features"]], List[str]]:
    """Features of several prompts (None without a judge), and what the judge says it cannot read of them."""
    if judge.clip is None:
        return None, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = torch.stack([judge.clip.encode_prompt(text).cpu() for text in texts])
    return features, list(dict.fromkeys(str(each.message) for each in caught))


def squared(pictures: Float[Tensor, "views height width 3"]) -> Float[Tensor, "views side side 3"]:
    """Pictures with gray bars that make them square: a CLIP reads the middle square of others, and of a photo in portrait format no more
    than half.

    Args:
        pictures: in [0, 1]; square ones come back as they are.

    Example:
        >>> squared(torch.zeros(1, 2, 4, 3))[0, :, 0, 0]
        tensor([0.5000, 0.0000, 0.0000, 0.5000])
    """
    height, width = pictures.shape[1:3]
    down, across = max(width - height, 0), max(height - width, 0)
    bars = (0, 0, across // 2, across - across // 2, down // 2, down - down // 2)
    return functional.pad(pictures, bars, value=BARS) if down or across else pictures
