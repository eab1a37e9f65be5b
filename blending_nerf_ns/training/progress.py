"""A progress bar per stage, and the time that each took."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Optional

from tqdm import tqdm


class StageBar:
    """The progress bar of one stage, which may begin in its middle after a resume.

    Args:
        name: what is going on.
        total: steps of the whole stage.
        done: steps that an earlier run did.
        shown: whether this is the process that shows it.
    """

    def __init__(self, name: str, total: int, done: int, shown: bool = True) -> None:
        self.bar = tqdm(total=total, initial=done, desc=name, dynamic_ncols=True, mininterval=1.0, disable=not shown)
        self.started = time.perf_counter()

    def step(self, total: Optional[int] = None, **shown: Any) -> None:
        """One step further, of a stage that may end at another step now; numbers are shown beside the bar."""
        self.bar.total = self.bar.total if total is None else total
        self.bar.set_postfix({key: f"{float(value):.3f}" for key, value in shown.items()}, refresh=False)
        self.bar.update(1)

    @property
    def seconds_left(self) -> Optional[float]:
        """Until the stage is done, at its present pace; None before there is one."""
        rate = self.bar.format_dict["rate"]
        return None if not rate or self.bar.total is None else (self.bar.total - self.bar.n) / rate

    @property
    def seconds(self) -> float:
        """That the stage took in this process."""
        return time.perf_counter() - self.started

    def close(self) -> None:
        """End the bar."""
        self.bar.close()


class StageClock:
    """The bar of the stage that is on, if one is, and the seconds of those that were.

    Args:
        leads: whether this is the process that shows bars and writes times.
        resumed: folder of the run, where it goes on in its own: what it took before counts.
    """

    def __init__(self, leads: bool = True, resumed: Optional[Path] = None) -> None:
        self.times: Dict[str, float] = _read_stage_times(resumed)
        """What `stages.json` holds, by name."""
        self._leads = leads
        self._bar: Optional[StageBar] = None
        self.on = ""
        """Which stage is on, "base" or "edit"; empty where none is."""

    @property
    def seconds_left(self) -> Optional[float]:
        """Of the stage that is on; None where none is, or before it has a pace."""
        return None if self._bar is None else self._bar.seconds_left

    def begin(self, name: str, title: str, total: int, done: int) -> None:
        """A stage of so many steps is on, with some of them behind; nothing where one is on already.

        Args:
            name: "base" or "edit".
            title: stands beside its bar.
            total: steps of the whole stage.
            done: steps that are behind.
        """
        if self._bar is None:
            self._bar, self.on = StageBar(title, total, done, self._leads), name

    def step(self, total: Optional[int] = None, **shown: Any) -> None:
        """See `StageBar.step`."""
        assert self._bar is not None, "no stage was begun"
        self._bar.step(total, **shown)

    def end(self, folder: Optional[Path]) -> None:
        """Book the stage that is on, if one is, and write all times to a run's folder."""
        if self.on:
            self.times[f"{self.on}_seconds"] = self.seconds_of(self.on)
        self.drop()
        if self._leads:
            write_stage_times(folder, self.times)

    def drop(self) -> None:
        """Forget the stage that is on."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self.on = None, ""

    def seconds_of(self, name: str) -> float:
        """What a stage took until now, in all of its parts."""
        return self.times.get(f"{name}_seconds", 0.0) + (self._bar.seconds if self._bar and self.on == name else 0.0)

    def forget(self, name: str) -> None:
        """A stage begins anew: what it took before was for nothing."""
        for unit in ("seconds", "steps"):
            self.times.pop(f"{name}_{unit}", None)


def write_stage_times(folder: Optional[Path], times: Dict[str, float]) -> None:
    """Write `stages.json` beside config.yml, where there is one, and something to write or to take back."""
    if folder is not None and folder.is_dir() and (times or (folder / "stages.json").exists()):
        with suppress(OSError):  # of a full disk what matters more will tell: the checkpoint, which is written next
            (folder / "stages.json").write_text(json.dumps(times, indent=2) + "\n")


def _read_stage_times(folder: Optional[Path]) -> Dict[str, float]:
    try:
        said = {} if folder is None else json.loads((folder / "stages.json").read_text())
        return {str(name): float(value) for name, value in said.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # there is none, or it is not whole
        return {}
