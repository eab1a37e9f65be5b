"""Where a training step's time goes: `--pipeline.profile`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from rich.table import Table

from blending_nerf_ns.runs.atomic import replacing

FILE = "profile.json"
OTHER = "other"
PARTS = {
    "view": "the original picture of a view, rendered or kept",
    "edit field": "forward, of all chunks",
    "compositing": "forward: splitting, folding, pixels",
    "CLIP": "crops, features, losses",
    "backward": "through all of these",
    "smoothness": "of neighbouring points and a solid's colours, forward and backward",
    OTHER: "optimiser, nerfstudio's loop, records",
}
"""What a step consists of."""

Timed = Callable[[str], AbstractContextManager[None]]
"""Given a part's name, what its code runs in."""

_NOTHING = nullcontext()


def untimed(part: str) -> AbstractContextManager[None]:
    """No profile: costs nothing."""
    return _NOTHING


class Profile:
    """Adds up what the parts of many steps take. A part within a part counts for itself alone.

    Args:
        device: waited for where a part begins and ends; on a GPU a profiled step is therefore slower than another.
        clock: seconds.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: Dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.steps = 0
        self._device, self._clock = device, clock
        self._open: List[str] = []
        self._since = 0.0

    def begin_step(self) -> None:
        """What is in no other part counts as `OTHER`."""
        self._open = []
        self._begin(OTHER)

    def end_step(self) -> None:
        """The step is done; nothing where none was begun."""
        if self._open:
            self._end()
            self.steps += 1

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        self._begin(part)
        try:
            yield
        finally:
            self._end()

    def _begin(self, part: str) -> None:
        self._book()
        self._open.append(part)

    def _end(self) -> None:
        self._book()
        self._open.pop()

    def _book(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = self._clock()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def as_dict(self) -> Dict[str, Any]:
        """Milliseconds of a step and of each of its parts."""
        each = {part: 1000.0 * seconds / max(1, self.steps) for part, seconds in self.seconds.items()}
        return {"steps": self.steps, "step_ms": sum(each.values()), "parts_ms": each}

    def table(self) -> Table:
        """The same for a person."""
        found = self.as_dict()
        table = Table(title=f"A step of the edit (mean of {self.steps})", title_justify="left")
        for name in ("part", "ms", "share", ""):
            table.add_column(name, justify="right" if name in ("ms", "share") else "left")
        for part, taken in {**found["parts_ms"], "all": found["step_ms"]}.items():
            share = taken / max(found["step_ms"], 1e-9)
            table.add_row(part, f"{taken:.1f}", f"{share:.0%}", PARTS.get(part, ""))
        return table

    def report(self, folder: Optional[Path]) -> None:
        """Print it, and write `profile.json` beside config.yml, where there is one."""
        CONSOLE.print(self.table())
        if folder is not None and folder.is_dir():
            with replacing(folder / FILE) as partial:
                partial.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
