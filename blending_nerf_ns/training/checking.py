"""What is asked before a base is trained for minutes: whether the edit that follows can be made at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from jaxtyping import Float
from torch import Tensor

from blending_nerf_ns.edits.file import load_edit
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.edits.solids import solid_bounds
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.masks import find_masks, read_mask

if TYPE_CHECKING:
    from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipelineConfig
    from blending_nerf_ns.bases.base import Base
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig


def check_edit(config: BlendingPipelineConfig) -> None:
    """Say early, before a base is trained for minutes, what an edit is missing.

    Raises:
        BlendingNerfError: prompts, region, operations or edit files with which no edit can be made. With a viewer the prompts
            may follow.
    """
    if config.edit_steps > 0 and not (config.interactive and not config.target_text.strip()):
        check_texts(config.source_text, config.target_text)
        # a checkpoint has its region and its layers, wherever their files went, and may want no model
        if not config.resumed:
            check_models(config)
            check_region(config)
    unknown = sorted(set(config.operations) - set(OPERATIONS))
    if unknown or not config.operations:
        raise BlendingNerfError(f"--pipeline.operations {tuple(config.operations)}: choose among {OPERATIONS}")
    check_numbers(config)
    if config.resumed:
        return
    for path in config.edits:
        load_edit(path, "", any_base=True)  # whole: tensors that do not fit, or want tinycudann, are told now, too
    if config.edits and config.base_run is None and not config.edits_of_any_base:
        raise BlendingNerfError(
            "--pipeline.edits are of a base that is trained already, and here another would be: name it with --pipeline.base-run, or "
            "say --pipeline.edits-of-any-base True if their regions lie where they should"
        )


SAMPLED = 8
"""Masks that are read beforehand, of many: what is wrong with one is wrong with most."""
LEAST = {"views": 1, "views_per_step": 1, "crops": 1, "lone_crops": 0, "image_size": 8, "rays_per_chunk": 1}
"""Of the guidance's numbers; its weights, budgets and shares are 0 or more."""
WEIGHTS = ("weight_", "budget_", "settle_", "coarse_", "open_", "view_memory")


def check_numbers(config: Union[BlendingPipelineConfig, FinetunePipelineConfig]) -> None:
    """Say which number cannot be, with the least that can.

    Raises:
        BlendingNerfError: with the flag and its value.
    """
    guidance = vars(config.guidance)
    least = {name: LEAST.get(name, 0) for name in guidance if name in LEAST or name.startswith(WEIGHTS)}
    said = {f"guidance.{name}": (guidance[name], wanted) for name, wanted in least.items()}
    trains_base = config.base_run is None and not config.resumed
    if (edit_field := getattr(config.model, "edit_field", None)) is not None:
        said["model.edit_field.seed_reach"] = edit_field.seed_reach, 1
    said |= {"edit_steps": (config.edit_steps, 0), "base_steps": (config.base_steps, 1 if trains_base else 0)}
    for name, (value, wanted) in said.items():
        if value is not None and not value >= wanted:  # not a number is no number
            raise BlendingNerfError(f"--pipeline.{name.replace('_', '-')} {value}: at least {wanted}")


def check_models(config: BlendingPipelineConfig) -> None:
    """Say which model there cannot be, as far as names tell: whether weights can be fetched shows when they are.

    Raises:
        BlendingNerfError: a guide or a judge that open_clip does not know, weights that are neither a file nor a tag, a folder of a
            localiser that is not there.
    """
    from blending_nerf_ns.guidance.embedded import check_says_something
    from blending_nerf_ns.localization.clipseg import check_localizer

    check_clips(config)
    if config.region.reads("text"):
        check_localizer(config.region.localizer)
        if config.region.localizer == "embedded" and config.source_text.strip():
            check_says_something(config.source_text)


def check_clips(config: Union[BlendingPipelineConfig, FinetunePipelineConfig]) -> None:
    """Say which guide or judge there cannot be, as far as names tell.

    Raises:
        BlendingNerfError: one that open_clip does not know, weights that are neither a file nor a tag of it, or a target of which the
            guide would read nothing.
    """
    from blending_nerf_ns.guidance.clip import check_names
    from blending_nerf_ns.guidance.embedded import EMBEDDED, check_says_something

    check_names(config.guidance.model, config.guidance.pretrained)
    if config.guidance.model == EMBEDDED and config.target_text.strip():
        check_says_something(config.target_text)
    if config.judge_model:
        try:
            check_names(config.judge_model, config.judge_pretrained)
        except BlendingNerfError as error:
            judge = "the judge that ns-eval is to ask (--pipeline.judge-model, --pipeline.judge-pretrained)"
            raise BlendingNerfError(f"{judge}: {error}") from error


def check_finetuning(config: FinetunePipelineConfig) -> None:
    """Say early what a fine-tuning is missing, before a base is trained for minutes (see `check_edit`).

    Raises:
        BlendingNerfError: prompts that give no direction, numbers that cannot be, a guide or a judge that there cannot be.
    """
    check_numbers(config)
    check_texts(config.source_text, config.target_text)
    if not config.resumed:
        check_clips(config)


def check_texts(source: str, target: str) -> None:
    """Say which words are missing, or give no direction.

    Raises:
        BlendingNerfError: an empty target, or the source once more.
    """
    if not target.strip():
        raise BlendingNerfError('--pipeline.target-text is empty: say what it should become, "a blue chair"')
    if target.strip().casefold() == source.strip().casefold():
        raise BlendingNerfError(f"source and target text are both {target!r}: there is nothing to edit towards")


def fetch_models(config: BlendingPipelineConfig) -> None:
    """Load guide and localiser once, on the CPU, and let them go: what must be fetched is there then, or it shows now that it cannot
    be, and not after the minutes of a base.

    Raises:
        BlendingNerfError: one that cannot be loaded.
    """
    from blending_nerf_ns.localization.clipseg import load_clipseg

    fetch_guide(config)
    if config.region.reads("text") and config.region.localizer != "embedded":
        load_clipseg(config.region.localizer, "cpu")


def fetch_guide(config: Union[BlendingPipelineConfig, FinetunePipelineConfig]) -> None:
    """Load the guide once, on the CPU, and let it go (see `fetch_models`).

    Raises:
        BlendingNerfError: it cannot be loaded.
    """
    from blending_nerf_ns.guidance.clip import load_clip

    if config.guidance.model != "embedded":
        load_clip(config.guidance.model, config.guidance.pretrained, "cpu")


def check_place(config: BlendingPipelineConfig, images: Sequence[Path], base: Base) -> None:
    """Say before a base is trained for minutes that masks are none of its photos, or a solid is not in its scene.

    Args:
        config: whose region is meant.
        images: the training images.
        base: for the extent of its scene; it need not be trained.

    Raises:
        BlendingNerfError: see `find_masks`, `read_mask` and `solid_bounds`.
    """
    if config.region.reads("masks") and config.region.masks is not None:
        masks = list(find_masks(config.region.masks, images).values())
        for mask in masks[:: -(-len(masks) // SAMPLED)]:
            read_mask(mask)
    for source in ("box", "sphere"):
        if config.region.reads(source):
            solid_bounds(config.region.solid(source), base.grid_box, base.contracted)


def check_region(config: BlendingPipelineConfig) -> None:
    """Say what a region is missing before it is looked for."""
    config.region.check()
    if config.region.reads("text") and not config.source_text.strip():
        raise BlendingNerfError(
            '--pipeline.source-text is empty: say what is to be edited, "a wooden chair", or give a box '
            "with --pipeline.region.source box"
        )


def transparency_hint(photo: Float[Tensor, "height width channels"], background: str) -> Optional[str]:
    """A line for photos with transparent pixels, of which a base with nerfacto's usual background learns nothing but black.

    Args:
        photo: one of them, in [0, 1].
        background: the base's `background_color`.
    """
    if background != "last_sample" or photo.shape[-1] < 4 or bool((photo[..., 3] == 1.0).all()):
        return None
    return (
        "These photos are transparent in parts, and a base with the background `last_sample` may come out black: give "
        "--pipeline.model.base.background-color white (or random)."
    )


def room_hint(grow: Optional[str], operations: Sequence[str]) -> Optional[str]:
    """A line for an edit that may remove where room grows only upwards: of what is removed, haze and skin stay at its sides.

    Args:
        grow: the region's, as the user said it.
        operations: what the edit may do.

    Example:
        >>> room_hint("up", ["add"]) is None, room_hint("up", ["add", "remove"]) is None
        (True, False)
    """
    if grow != "up" or "remove" not in operations:
        return None
    return (
        "The region grows only upwards, so specks may stay at the sides of what is removed: say --pipeline.operations add for "
        "something on top, or leave --pipeline.region.grow out for something in its place."
    )
