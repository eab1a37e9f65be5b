"""What the commands are told of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import List, Tuple

from blending_nerf_ns.comparing.cases import REGION_PLACES, Cell, SceneCase, Workplace

HELD_OUT = ("--views", "test")
"""What is looked from, unless `evaluate_flags` say otherwise."""

BASE_ALONE = ("--pipeline.edit-steps", "0")
"""What makes ns-train end with the base, whatever else is said of steps."""


def base_flags(scene: SceneCase, place: Workplace) -> Tuple[Sequence[str], ...]:
    """What ns-train is told of a scene's base, by who says it."""
    return scene.train_flags, place.train_flags, place.base_flags


def edit_flags(cell: Cell) -> List[str]:
    """What ns-train is told of an edit."""
    edit, seed = cell.edit, str(cell.seed)
    flags = ["--pipeline.source-text", edit.source_text, "--pipeline.target-text", edit.target_text]
    flags += ["--pipeline.seed", seed, "--machine.seed", seed]
    if cell.method.has_region:
        flags += ["--pipeline.operations", *edit.operations]
        for name, value in edit.region.items():
            flags += [f"--pipeline.region.{name}", *([value] if name in REGION_PLACES else value.split())]
    return flags


def how_to_evaluate(cell: Cell, place: Workplace) -> List[str]:
    """Flags of `blending-nerf evaluate`, the capture's place left open."""
    subject = ["--subject", cell.edit.subject] if cell.edit.subject else []
    masks = ["--masks", *cell.scene.masks, "--mask-room", cell.edit.room]
    return [*HELD_OUT, "--sweep-views", "0", *subject, *masks, *place.evaluate_flags]


def join_flags(*parts: Sequence[str]) -> List[str]:
    """ns-train's flags one after the other: what is of a dataparser comes last, for behind its name ns-train reads none of its own.

    Args:
        parts: each its own flags, then maybe a dataparser's name and flags.

    Example:
        >>> join_flags(["nerfstudio-data", "--downscale-factor", "2"], ["--pipeline.seed", "1"])
        ['--pipeline.seed', '1', 'nerfstudio-data', '--downscale-factor', '2']
    """
    from nerfstudio.configs.dataparser_configs import all_dataparsers

    own: List[str] = []
    of_dataparser: List[str] = []
    for part in parts:
        at = next((i for i, word in enumerate(part) if word in all_dataparsers and not _is_value(part, i)), len(part))
        own += part[:at]
        again = at < len(part) and of_dataparser[:1] == [part[at]]  # named once, with the flags of both
        of_dataparser += part[at + 1 if again else at :]
    return own + of_dataparser


def _is_value(words: Sequence[str], at: int) -> bool:
    """Of the flag before it, such as `--experiment-name colmap`."""
    return at > 0 and words[at - 1].startswith("--") and "=" not in words[at - 1]
