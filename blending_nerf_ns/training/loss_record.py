"""What the edit's training lost, step by step: `losses.jsonl` beside config.yml, one line per step.

nerfstudio keeps losses only where it is asked for tensorboard or the like, and then not of every step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Dict, List, Optional

from blending_nerf_ns.runs.atomic import replacing, take_over

FILE = "losses.jsonl"
NO_LOSS = "nothing"
"""A term without a value: it only gives the trainer something to call backward on."""


def record_step(folder: Optional[Path], layer: str, step: int, values: Mapping[str, Any]) -> None:
    """Append one step.

    Args:
        folder: of the run; without one, or where it is not there, nothing is written.
        layer: id of the layer that trains.
        step: of the edit's stage, from 0.
        values: weighted loss terms, similarity, amounts: scalars, or tensors with one element.
    """
    if folder is None or not folder.is_dir():
        return
    numbers = {name: round(float(value), 6) for name, value in values.items() if name != NO_LOSS}
    line = json.dumps({"layer": layer, "step": step, **numbers}) + "\n"
    with (folder / FILE).open("a") as file:
        file.write(line)  # one write: a line is there whole, or it is the last one and cut


def rewind(folder: Optional[Path], layer: str, step: int) -> None:
    """Forget a layer's steps from `step` on: after a resume or a restart they are made again. Cut lines go as well."""
    if folder is None or not (folder / FILE).exists():
        return
    kept = [line for line in read_losses(folder) if line["layer"] != layer or line["step"] < step]
    _write(folder, kept)


def losses_of(folder: Optional[Path], layer: str) -> List[Dict[str, Any]]:
    """The recorded steps of one layer, to be put back by `replace_losses`; none where there is no folder."""
    return [] if folder is None else [line for line in read_losses(folder) if line["layer"] == layer]


def replace_losses(folder: Optional[Path], layer: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """Let a layer's recorded steps be these, whatever the layer was called then.

    Args:
        folder: of the run; without one, or where it is not there, nothing is written.
        layer: id of the layer as it is now.
        lines: of `losses_of`.
    """
    if folder is None or not folder.is_dir() or not (lines or (folder / FILE).exists()):
        return
    others = [line for line in read_losses(folder) if line["layer"] != layer]
    _write(folder, [*others, *({**line, "layer": layer} for line in lines)])


def inherit(old: Path, new: Path) -> None:
    """Take over the record of a run that is resumed in another folder, where the new one has none."""
    take_over(old / FILE, new / FILE)


def read_losses(folder: Path) -> List[Dict[str, Any]]:
    """The recorded steps in the order in which they were made; empty where there is no record.

    A line that is not whole (the process was killed while it wrote) is passed over.
    """
    path = folder / FILE
    steps: List[Dict[str, Any]] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            values = json.loads(line)
            steps.append({**values, "layer": str(values["layer"]), "step": int(values["step"])})
        except (ValueError, KeyError, TypeError):
            continue
    return steps


def _write(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    with replacing(folder / FILE) as partial:
        partial.write_text("".join(json.dumps(line) + "\n" for line in lines))
