"""Sentences around a prompt: "a photo of a red ball" is read better than "a red ball", a mean of several best."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from blending_nerf_ns.errors import BlendingNerfError

NO_SOURCE = "an object"
"""Stands for a source text that is empty."""

PHOTO: Tuple[str, ...] = (
    "{}",
    "a photo of {}.",
    "a close-up photo of {}.",
    "a cropped photo of {}.",
    "a bright photo of {}.",
    "a rendering of {}.",
    "a 3D render of {}.",
)
"""For CLIP models trained on the web: renders are sharp or blurred, near or far, so none of these is wrong."""

EMBEDDED: Tuple[str, ...] = ("{}", "a photo of {}", "a render of {}", "a close up photo of {}")
"""For the embedded models: only words and phrases of their training captions."""

LOCALIZER: Tuple[str, ...] = ("{}", "a photo of {}")
"""For CLIPSeg, whose prompts were short; each template costs one pass of its small decoder."""


def said_source(text: str) -> str:
    """A source text, or what stands for it where nothing is said.

    Example:
        >>> said_source("a chair"), said_source(" ")
        ('a chair', 'an object')
    """
    return text if text.strip() else NO_SOURCE


def fill_templates(text: str, templates: Sequence[str]) -> List[str]:
    """The prompt put into each template.

    Args:
        text: a prompt with its article, such as "a red ball".
        templates: sentences with one "{}".

    Raises:
        BlendingNerfError: the prompt is empty, there is no template, or one has no "{}".

    Example:
        >>> fill_templates(" a red  ball ", ("{}", "a photo of {}."))
        ['a red ball', 'a photo of a red ball.']
    """
    prompt = " ".join(text.split())
    if not prompt:
        raise BlendingNerfError(f"the prompt {text!r} is empty; describe the object, for example 'a red ball'")
    if not templates:
        raise BlendingNerfError("no prompt template given; use ('{}',) for the prompt as it is")
    for template in templates:
        if "{}" not in template:
            raise BlendingNerfError(f"the prompt template {template!r} has no '{{}}' where the prompt goes")
    return [template.replace("{}", prompt) for template in templates]
