"""A look: which layers are on, in which order and how strongly. `look.json` beside config.yml, so that every ns-* command
shows what the viewer showed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.edits.layer import LayerInfo, looking_as
from blending_nerf_ns.edits.layers import Layers
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.atomic import replacing, take_over

FILE = "look.json"
FORMAT = "blending-nerf look 1"


@dataclass(frozen=True)
class Look:
    """How a run is shown."""

    layers: Tuple[LayerInfo, ...]
    """The lowest first; of each the id, the name (and the target text, which tells whether its user gave it), strengths and whether it
    is on."""
    fade: bool = False
    """Whether a camera path's `render_time`, from 0 to 1, scales all strengths, frame by frame."""

    def to_dict(self) -> Dict[str, Any]:
        """Plain values for JSON."""
        names = ("id", "name", "target_text", "visible", "strengths")
        layers = [{name: layer.to_dict()[name] for name in names} for layer in self.layers]
        return {"format": FORMAT, "fade": self.fade, "layers": layers}


def look_of(layers: Layers, fade: bool = False) -> Look:
    """How the layers are shown now."""
    return Look(tuple(edit.info for edit in layers.all()), fade)


def shown_by(look: Optional[Look], layers: Sequence[LayerInfo]) -> List[LayerInfo]:
    """Layers as a look shows them. What it does not know of keeps its strengths, and lies right above what it was made on.

    Args:
        look: without one everything stays as it is.
        layers: the lowest first, as the result is.
    """
    known, wanted = {info.id: info for info in layers}, {info.id: info for info in look.layers} if look else {}
    order = [id for id in wanted if id in known]
    for number, info in enumerate(layers):
        if info.id not in wanted:
            order.insert(order.index(layers[number - 1].id) + 1 if number else 0, info.id)
    return [looking_as(known[id], wanted[id]) if id in wanted else known[id] for id in order]


def apply_look(look: Look, layers: Layers) -> None:
    """Show the layers so (see `shown_by`); says which ones the look names in vain."""
    gone = [info.name or info.id for info in look.layers if info.id not in layers.order]
    if gone:
        said = f"The look names layers that this run has not: {', '.join(gone)}."
        CONSOLE.print(said, style="yellow", markup=False)
    shown = shown_by(look, [edit.info for edit in layers.all()])
    layers.arrange([info.id for info in shown])
    for info in shown:
        layers[info.id].info = info


def write_look(look: Look, folder: Path) -> Path:
    """Write `look.json` into a run's folder, at once or not at all."""
    path = folder / FILE
    with replacing(path) as partial:
        partial.write_text(json.dumps(look.to_dict(), indent=2) + "\n")
    return path


def rewrite_look(look: Look, folder: Path) -> None:
    """Write a run's look anew where nothing new is said by it: it stays as old as it was."""
    said = look_stamp(folder)
    path = write_look(look, folder)
    if said is not None:
        os.utime(path, ns=(said, said))


def look_said_after(checkpoint: Path, folder: Path) -> bool:
    """Whether a run's look is younger than a checkpoint of its: else the checkpoint knows of it, and of what was moved since."""
    look = folder / FILE
    return look.exists() and look.stat().st_mtime >= checkpoint.stat().st_mtime


@contextmanager
def still_said_after(checkpoint: Path, folder: Path) -> Iterator[None]:
    """A look that was said after a checkpoint counts so still where that one is written again, with nothing in it that was moved."""
    counts = look_said_after(checkpoint, folder)
    yield
    if counts:
        os.utime(folder / FILE)


def look_stamp(folder: Path) -> Optional[int]:
    """Which look a run's folder holds, by when it was written, in nanoseconds; None: none."""
    try:
        return (folder / FILE).stat().st_mtime_ns
    except FileNotFoundError:  # none, or reset just now
        return None


def keep_said_after(folder: Path, known: Optional[int], moved: int) -> None:
    """Let a look that others have written count as said after the checkpoint that a run has just saved, which knows nothing of it.

    Args:
        folder: the run's.
        known: the look that the run itself has read or written (`look_stamp`).
        moved: when layers were last moved, switched or renamed in the run, in nanoseconds: what is said before that does not count.
    """
    said = look_stamp(folder)
    if said is not None and said != known and said > moved:
        with suppress(OSError):  # of another user's file, perhaps: the checkpoint is written all the same
            os.utime(folder / FILE)


def inherit_look(old: Path, new: Path) -> None:
    """Take over the look of a run that is resumed in another folder, where the new one has none."""
    take_over(old / FILE, new / FILE)


def inherit_fade(old: Path, new: Path, layers: Layers) -> bool:
    """Of an older look only whether it fades: a checkpoint knows the rest, as it was moved since.

    Args:
        old: the run that is resumed.
        new: this run, which gets a look of its own, where it has none.
        layers: as they are shown now.

    Returns:
        Whether it fades.
    """
    look = read_look(old)
    if look is None or not look.fade:
        return False
    if not (new / FILE).exists():
        write_look(look_of(layers, fade=True), new)
    return True


def read_look(folder: Optional[Path]) -> Optional[Look]:
    """The look in a run's folder; None where there is none.

    Raises:
        BlendingNerfError: a file that is no look.
    """
    path = folder / FILE if folder is not None else None
    if path is None or not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        return Look(tuple(LayerInfo.from_dict(layer) for layer in values["layers"]), bool(values.get("fade", False)))
    except (ValueError, KeyError, TypeError, BlendingNerfError) as error:
        raise BlendingNerfError(f"{path} is no look: {error}; delete it, or write it again from the viewer") from error
