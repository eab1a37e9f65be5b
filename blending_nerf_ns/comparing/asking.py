"""What the commands are told of a cell."""

from __future__ import annotations

from typing import List

from blending_nerf_ns.comparing.cases import REGION_PLACES, Cell, Workplace

HELD_OUT = ("--views", "test")
"""What is looked from, unless `evaluate_flags` say otherwise."""


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
