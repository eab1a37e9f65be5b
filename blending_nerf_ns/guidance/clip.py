"""CLIP as a guide: texts and images to features of length 1, with gradients to the images.

Models come through open_clip, by name and pretrained tag, from a local path, or from this package ("embedded").
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Callable, List, Optional, Sequence, Union

import torch
from jaxtyping import Float
from torch import LongTensor, Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning, shortened
from blending_nerf_ns.guidance.embedded import EMBEDDED, EMBEDDED_JUDGE
from blending_nerf_ns.guidance.layout import keep_length_first
from blending_nerf_ns.guidance.preprocess import transform_of_open_clip
from blending_nerf_ns.guidance.templates import fill_templates

SAME_MEANING = 1e-3
"""Features of length 1 that are nearer to each other than this give an edit no direction but that of rounding."""

Tokenize = Callable[[List[str], int], LongTensor]
"""From texts and a context length to token ids [B, length]."""


def warn_unknown_words(text: str) -> None:
    """Warns (GuidanceWarning) about the words of a prompt that the embedded models do not know, naming them."""
    from blending_nerf_ns.guidance.embedded import meant_words

    if words := meant_words(text):
        warnings.warn(
            f"The embedded guidance does not know {words} in the prompt {text!r} and reads only "
            "the rest. Use words of its model card, or a real CLIP model.",
            GuidanceWarning,
            stacklevel=4,
        )


class ClipGuide:
    """A frozen CLIP. A plain object and not a Module, so that no checkpoint carries its weights.

    Example:
        >>> guide = load_clip("embedded")
        >>> text = guide.encode_prompt("a red ball", guide.templates)
        >>> loss = global_loss(guide.encode_images(images), text)
    """

    def __init__(
        self,
        model: Any,
        tokenize: Tokenize,
        name: str,
        templates: Sequence[str],
        embedded: bool = False,
        context_length: Optional[int] = None,
    ):
        self.name = name
        """Model and weights, for reports."""
        self.templates = tuple(templates)
        """Prompt templates that suit this model."""
        self.embedded = embedded
        """Whether this is the small model of this package, which knows few words."""
        self.transform = transform_of_open_clip(model)
        """What turns images in [0, 1] into the model's input."""
        self.context_length: int = context_length or int(model.context_length)
        """Longest text in tokens, start and end included."""
        self.mixed_precision = False
        """Whether pictures are read in bfloat16; texts, which are read once, never are. See `precision`."""
        self._model = model.eval().requires_grad_(False)
        keep_length_first(self._model)
        self._tokenize = tokenize

    @property
    def image_size(self) -> int:
        """Side of the square image the model sees, in pixels (the shorter side if it is not square)."""
        return min(self.transform.size)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self._model.parameters()).device

    def to(self, device: Union[str, torch.device]) -> "ClipGuide":
        """Moves the model; returns itself."""
        self._model.to(device)
        return self

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "B D"]:
        """Features of texts, L2-normalised, without gradient.

        Warns (GuidanceWarning) about a text that is longer than the context, whose end the model does not read, and
        about words that the embedded model does not know.
        """
        texts = list(texts)
        self._warn_about_words(texts)
        tokens = self._tokenize(texts, self.context_length)
        self._warn_about_length(texts)
        return functional.normalize(self._model.encode_text(tokens.to(self.device)).float(), dim=-1)

    def encode_prompt(self, text: str, templates: Optional[Sequence[str]] = None) -> Float[Tensor, "D"]:
        """Feature of one prompt: the normalised mean of its features over templates, without those whose end would be cut off where the
        prompt itself is read whole.

        Args:
            text: the prompt with its article, such as "a red ball".
            templates: sentences with a "{}"; those that suit the model if not given.

        Raises:
            BlendingNerfError: the prompt is empty or a template is unusable.
        """
        self._warn_about_words([text])
        filled = fill_templates(text, self.templates if templates is None else templates)
        if not self._cut([text])[0]:
            filled = [one for one, is_cut in zip(filled, self._cut(filled), strict=True) if not is_cut] or [text]
        with warnings.catch_warnings():  # one warning about the prompt instead of one per template
            warnings.simplefilter("ignore", GuidanceWarning)
            features = self.encode_text(filled)
        self._warn_about_length([text])
        return functional.normalize(features.mean(0), dim=-1)

    def encode_images(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Features of images in [0, 1], L2-normalised, differentiable; any size is resized as open_clip does it.

        Raises:
            BlendingNerfError: the tensor is not a batch of RGB images.
        """
        pixels = self.transform(images)
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            features = self._model.encode_image(pixels)
        return functional.normalize(features.float(), dim=-1)

    def _warn_about_words(self, texts: List[str]) -> None:
        for text in texts if self.embedded else ():
            warn_unknown_words(text)

    def _cut(self, texts: List[str]) -> List[bool]:
        """Which texts are longer than the context."""
        tokens, length = self._tokenize(texts, self.context_length), self.context_length
        longer = self._tokenize(texts, 2 * length)  # a text that fits gives the same tokens and padding behind
        return ((longer[:, :length] != tokens).any(1) | (longer[:, length] != longer[:, -1])).tolist()

    def _warn_about_length(self, texts: List[str]) -> None:
        for text, is_cut in zip(texts, self._cut(texts), strict=True):
            if is_cut:
                warnings.warn(
                    f"The text {shortened(text, 80)!r} is longer than the {self.context_length} tokens that {self.name} reads; its end is ignored.",
                    GuidanceWarning,
                    stacklevel=3,
                )


def check_prompts_differ(
    source: str, target: str, source_feature: Float[Tensor, "D"], target_feature: Float[Tensor, "D"]
) -> None:
    """Refuses a pair of prompts that give the edit no direction.

    Raises:
        BlendingNerfError: both prompts have the same feature.
    """
    if (source_feature - target_feature).norm() < SAME_MEANING:
        raise BlendingNerfError(
            f"The source text {source!r} and the target text {target!r} mean the same to the guide, so there is "
            "nothing to edit. Describe in the target what shall be different, in words that the guide knows."
        )


def check_names(model: str, pretrained: Optional[str]) -> None:
    """Refuse what `load_clip` could never load, before work is spent that leads there; nothing is fetched.

    Raises:
        BlendingNerfError: open_clip has no such model, or it has no such weights.
    """
    if model not in (EMBEDDED, EMBEDDED_JUDGE):
        from blending_nerf_ns.guidance import open_clip_names

        open_clip_names.check_names(model, pretrained)


def load_clip(model: str, pretrained: Optional[str] = None, device: Union[str, torch.device] = "cpu") -> ClipGuide:
    """A frozen CLIP from open_clip.

    Args:
        model: an open_clip name ("ViT-B-16", "hf-hub:owner/name"), a local folder with an open_clip_config.json, or
            "embedded", the small model of this package, or "embedded-judge", a second one.
        pretrained: a pretrained tag of that name ("openai"), or a path to weights (.safetensors, or a PyTorch state
            dict, read without executing pickled code). By path OpenAI's weights, and others
            of that activation (docs/configs.md), want the name with "-quickgelu".
            Not used with a folder, an hf-hub name or "embedded".
        device: where the model goes.

    Raises:
        BlendingNerfError: the model is not known, its weights are not found here nor downloadable, or do not fit it.
    """
    if model in (EMBEDDED, EMBEDDED_JUDGE):
        return _load_embedded(model).to(device)
    from blending_nerf_ns.guidance import open_clip_names, open_clip_source
    from blending_nerf_ns.guidance.templates import PHOTO

    network, tokenizer = open_clip_source.load(model, pretrained)

    def tokenize(texts: List[str], length: int) -> LongTensor:
        return tokenizer(texts, context_length=length)

    name = open_clip_names.said(model, pretrained)
    # a text tower of the hub's says how many positions it has, which may be none (mT5), and not how long the texts were
    length = getattr(tokenizer, "context_length", None)
    return ClipGuide(network, tokenize, name, PHOTO, context_length=length).to(device)


def _load_embedded(name: str) -> ClipGuide:
    from blending_nerf_ns.guidance import embedded
    from blending_nerf_ns.guidance.templates import EMBEDDED as TEMPLATES

    mini = embedded.MINI_CLIP_NAME if name == EMBEDDED else embedded.MINI_JUDGE_NAME
    files = [embedded.EMBEDDED_DIR / f"{mini}{kind}" for kind in (".json", ".safetensors")]
    for path in (*files, embedded.mini_clipseg_path()):
        if not path.exists():
            raise BlendingNerfError(f"{path}, a part of the embedded guidance, is missing: install the package again")
    tokenizer = lru_cache(maxsize=None)(embedded.mini_tokenizer)
    model = embedded.load_mini(mini)
    return ClipGuide(model, lambda texts, length: tokenizer(length)(texts), name, TEMPLATES, embedded=True)
