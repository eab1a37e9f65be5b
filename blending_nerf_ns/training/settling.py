"""When an edit is done: its similarity to the target has settled, and the rest of its schedule is run through quickly.

A guide that sees a random view in each step is noisy, so it is the smoothed gain of similarity that must stand still, for long,
and not before all levels of the hash grid are open. An edit that is cut off there is as rough as its learning rate; therefore the
schedule (learning rate, levels, picture sizes) goes on to its end, only faster, and then the edit stops (ours).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from blending_nerf_ns.edits.layer import pack, unpack

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.config import GuidanceConfig

IMPROVEMENT = 0.02
"""By how much of itself the gain must grow to count as better: a noisy one will always be a little higher at some time."""
FEWEST = 40
"""Steps of patience at least: the mean of fewer says nothing."""
NEVER = -1


class Watch(NamedTuple):
    """What the rule knows of the steps so far."""

    mean: float = 0.0
    """Smoothed gain: how much more similar to the target the edited pictures are than the originals."""
    seen: int = 0
    """Steps since the texts were set."""
    best: float = 0.0
    """The best smoothed gain."""
    since: int = 0
    """Steps since then."""
    settled: int = NEVER
    """Steps of the stage that were done when it settled; `NEVER` as long as it has not."""
    of: int = 0
    """Steps of the whole stage when it settled: a resume may be told others. 0 where a checkpoint is from before this was kept."""


def watch_step(watch: Watch, gain: float, patience: int) -> Watch:
    """What is known after one more step; the gain is smoothed over a quarter of the patience.

    Example:
        >>> watch_step(Watch(mean=1.0, seen=8, best=1.0), gain=2.0, patience=16)  # a quarter of the way: better
        Watch(mean=1.25, seen=9, best=1.25, since=0, settled=-1)
    """
    window = max(1, patience // 4)
    seen = watch.seen + 1
    mean = watch.mean + (gain - watch.mean) / min(seen, window)
    # the mean of the first few is anything: none of them is a best to be measured by
    if seen <= window or mean > watch.best + IMPROVEMENT * abs(watch.best):
        return watch._replace(mean=mean, seen=seen, best=mean, since=0)
    return watch._replace(mean=mean, seen=seen, since=watch.since + 1)


def schedule_share(step: int, steps: int, settled: int, cooldown: int) -> float:
    """How much of a stage's schedule is behind after `step` of its steps, in [0, 1].

    Args:
        step: done.
        steps: of the whole stage.
        settled: steps after which it had settled, or `NEVER`.
        cooldown: steps in which the rest is then run through.

    Example:
        >>> schedule_share(60, 100, NEVER, 10), schedule_share(60, 100, 60, 10), schedule_share(65, 100, 60, 10)
        (0.6, 0.6, 0.8)
    """
    if settled == NEVER or step <= settled:
        return min(1.0, step / max(1, steps))
    begun = settled / max(1, steps)
    return min(1.0, begun + (1.0 - begun) * (step - settled) / max(1, cooldown))


class Settling(nn.Module):
    """Follows the edit in work; what it knows travels with the checkpoints.

    Args:
        config: whether to stop, and how patiently; may change while it follows.
    """

    def __init__(self, config: GuidanceConfig) -> None:
        super().__init__()
        self._config = config
        self.watch = Watch()

    def follow(self, done: int, steps: int, gain: float) -> bool:
        """Take note of a step; every process must be told the same gain.

        Args:
            done: steps of the stage, this one included.
            steps: of the whole stage.
            gain: similarity of the edited pictures less that of the originals.

        Returns:
            Whether it has settled with this step.
        """
        if not self._config.stop_when_settled or self._settled != NEVER:
            return False
        patience = max(FEWEST, round(self._config.settle_patience * steps))
        self.watch = watch_step(self.watch, gain, patience)
        open_from = self._config.coarse_to_fine * steps
        if self.watch.since < patience or done < open_from or done + self._cooldown(steps) >= steps:
            return False
        return self.settle(done, steps)

    def settle(self, done: int, steps: int) -> bool:
        """Take it as settled after so many steps: there is nothing to learn.

        Returns:
            Whether it may stop, and had not settled before.
        """
        if not self._config.stop_when_settled or self.watch.settled != NEVER:
            return False
        self.watch = self.watch._replace(settled=done, of=steps)
        return True

    def share(self, done: int, steps: int) -> float:
        """How much of the schedule is behind, in [0, 1]; see `schedule_share`."""
        steps = self.settled_of or steps
        return schedule_share(done, steps, self._settled, self._cooldown(steps))

    def end(self, steps: int) -> int:
        """The number of steps after which the stage is done."""
        if self._settled == NEVER:
            return steps
        return min(steps, self._settled + self._cooldown(self.settled_of or steps))

    @property
    def settled_of(self) -> int:
        """The steps of the whole stage in which it settled, 0 where it has not: its schedule is run through as it was begun."""
        return self.watch.of if self._settled != NEVER else 0

    @property
    def _settled(self) -> int:
        """A run that had settled may be resumed to take all of its steps."""
        return self.watch.settled if self._config.stop_when_settled else NEVER

    def restart(self) -> None:
        """Forget what was seen: the edit or its texts are others now."""
        self.watch = Watch()

    def _cooldown(self, steps: int) -> int:
        return max(1, round(self._config.settle_cooldown * steps))

    def made_up_for(self, state: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
        """A checkpoint with what this keeps in it, where it was written before there was this."""
        return {prefix + "_extra_state": self.get_extra_state(), **state}

    def get_extra_state(self) -> Tensor:
        """What it knows, as a tensor, for the checkpoint."""
        return pack(self.watch._asdict())

    def set_extra_state(self, state: Any) -> None:
        """The inverse."""
        self.watch = Watch(**unpack(state))
