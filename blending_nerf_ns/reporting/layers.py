"""Which layers of a run are seen, by what words, and other ways to show them for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import List, Union

from blending_nerf_ns.baselines.finetuned_model import FinetunedModel
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.layer import OPERATIONS, STRONGEST, LayerInfo
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.templates import said_source
from blending_nerf_ns.model import BlendingModel


def shown_layers(model: BlendingModel) -> List[Edit]:
    """The layers that are seen, the lowest first.

    Raises:
        BlendingNerfError: there is no edit in the run yet, or none is switched on.
    """
    made = [edit for edit in model.layers.all() if edit is not model.edit or model.edit_is_made]
    if not made:
        raise BlendingNerfError(
            "there is no edit in this run yet: its base may be trained, but no step of an edit is. Go on with ns-train "
            "blending-nerf --load-dir RUN/nerfstudio_models --pipeline.target-text ..."
        )
    shown = [edit for edit in made if not edit.info.shown.all_off]
    if not shown:
        names = ", ".join(repr(edit.info.name) for edit in made)
        raise BlendingNerfError(
            f"none of the run's layers ({names}) is shown, so there is no change to measure; switch one on: "
            "blending-nerf look RUN --show NAME, or --reset"
        )
    return shown


@contextmanager
def shown_as(model: BlendingModel, change: Callable[[LayerInfo], LayerInfo]) -> Iterator[None]:
    """Inside, every layer is shown as `change` says; afterwards as before."""
    before = [(edit, edit.info) for edit in model.layers.all()]
    try:
        for edit, info in before:
            edit.info = change(info)
        yield
    finally:
        for edit, info in before:
            edit.info = info


@contextmanager
def unedited(model: Union[BlendingModel, FinetunedModel]) -> Iterator[None]:
    """Inside, all pictures are of the scene as it was."""
    with shown_as(model, at_strength(0.0)) if isinstance(model, BlendingModel) else model.showing_original():
        yield


def only(layer: LayerInfo) -> Callable[[LayerInfo], LayerInfo]:
    """For `shown_as`: this layer as it is, all others off."""
    return lambda info: info if info.id == layer.id else replace(info, visible=False)


def at_strength(strength: float, operations: Sequence[str] = OPERATIONS) -> Callable[[LayerInfo], LayerInfo]:
    """For `shown_as`: these operations at so many times the blend ratios that they have, the others off; what is off stays off."""
    factors = [strength if name in operations else 0.0 for name in OPERATIONS]

    def scaled(info: LayerInfo) -> LayerInfo:
        ratios = [min(STRONGEST, factor * ratio) for factor, ratio in zip(factors, info.strengths, strict=True)]
        return info.with_strengths(**dict(zip(OPERATIONS, ratios, strict=True)))

    return scaled


def joined_texts(layers: Sequence[LayerInfo], source: str = "", target: str = "") -> tuple[str, str]:
    """Source and target text of several layers together: their own, joined by "and", unless they are given.

    What one layer made and one above it edited on is neither in the original nor in the picture, and in none of both texts.

    Args:
        layers: the lowest first.
        source, target: instead of their own.

    Example:
        >>> ball, cube = (LayerInfo(source_text=f"a red {it}", target_text=f"a blue {it}") for it in ("ball", "cube"))
        >>> joined_texts([ball, cube])
        ('a red ball and a red cube', 'a blue ball and a blue cube')
        >>> joined_texts([ball, LayerInfo(source_text="a blue ball", target_text="a blue ball with a hat")])
        ('a red ball', 'a blue ball with a hat')
    """
    before, after = [info.source_text for info in layers], [info.target_text for info in layers]
    there = [text for place, text in enumerate(before) if not _among(text, after[:place])]
    left = [text for place, text in enumerate(after) if not _among(text, before[place + 1 :])]
    if _joined(there) == _joined(left):  # back to where it was: the way there and back
        there, left = before, after
    return said_source(source or _joined(there)), target or _joined(left)


def original_texts(layers: Sequence[LayerInfo]) -> dict[str, str]:
    """What each layer edits as it was called in the original: the source text, by the layer's id.

    Of a layer that edits on what another one made it is that one's.

    Args:
        layers: all of a run, the lowest first, those that are off as well.

    Example:
        >>> ball = LayerInfo(id="1", source_text="a red ball", target_text="a blue ball")
        >>> hat = LayerInfo(id="2", source_text="a blue ball", target_text="a blue ball with a hat")
        >>> original_texts([ball, hat])
        {'1': 'a red ball', '2': 'a red ball'}
    """
    texts: list[str] = []
    for place, info in enumerate(layers):
        makers = [below for below in range(place) if _among(info.source_text, [layers[below].target_text])]
        texts.append(texts[makers[-1]] if makers else info.source_text)
    return {info.id: text for info, text in zip(layers, texts, strict=True)}


def _joined(texts: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(text for text in texts if text.strip()))


def _among(text: str, others: Sequence[str]) -> bool:
    """Whether a text is one of others, in whatever case; none is no text."""
    wanted = text.strip().casefold()
    return bool(wanted) and wanted in (other.strip().casefold() for other in others)
