"""What is asked before a base is trained for minutes: whether the edit that follows can be made at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from jaxtyping import Float
from torch import Tensor

from blending_nerf_ns.edits.file import read_edit_header
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.errors import BlendingNerfError

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipelineConfig


def check_edit(config: BlendingPipelineConfig) -> None:
    """Say early, before a base is trained for minutes, what an edit is missing.

    Raises:
        BlendingNerfError: prompts, region, operations or edit files with which no edit can be made. With a viewer the prompts
            may follow.
    """
    if config.edit_steps > 0 and not (config.interactive and not config.target_text.strip()):
        if not config.target_text.strip():
            raise BlendingNerfError('--pipeline.target-text is empty: say what it should become, "a blue chair"')
        if not config.resumed:  # a checkpoint has its region and its layers, wherever their files went
            check_region(config)
    unknown = sorted(set(config.operations) - set(OPERATIONS))
    if unknown or not config.operations:
        raise BlendingNerfError(f"--pipeline.operations {tuple(config.operations)}: choose among {OPERATIONS}")
    for name, least in (("views", 1), ("views_per_step", 1), ("crops", 1), ("lone_crops", 0)):
        if (value := getattr(config.guidance, name)) < least:
            raise BlendingNerfError(f"--pipeline.guidance.{name.replace('_', '-')} {value}: at least {least}")
    if config.resumed:
        return
    for path in config.edits:
        read_edit_header(path)
    if config.edits and config.base_run is None and not config.edits_of_any_base:
        raise BlendingNerfError(
            "--pipeline.edits are of a base that is trained already, and here another would be: name it with --pipeline.base-run, or "
            "say --pipeline.edits-of-any-base True if their regions lie where they should"
        )


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
