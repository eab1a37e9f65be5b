"""Ratios of things that take time, measured in turns: what else the machine does then slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Dict, List, NamedTuple

import torch
from rich.progress import Progress

ROUNDS = 5
"""Fewest rounds that a figure is the median of."""


class Timings(NamedTuple):
    """Seconds of several things, one number of each per round; a round measures all of them one after the other."""

    seconds: Dict[str, List[float]]

    def median(self, name: str) -> float:
        """Median seconds of one of them."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, over: str) -> float:
        """Median over the rounds of one's seconds divided by another's in the same round."""
        return statistics.median(one / two for one, two in zip(self.seconds[name], self.seconds[over]))

    def spread(self, name: str, over: str) -> float:
        """Half the distance between the quartiles of that ratio: how far it is to be trusted."""
        low, _, high = statistics.quantiles([a / b for a, b in zip(self.seconds[name], self.seconds[over])], n=4)
        return 0.5 * (high - low)

    def extra(self, more: str, less: str, over: str) -> float:
        """Median over the rounds of what one takes longer than another, divided by a third."""
        rows = zip(self.seconds[more], self.seconds[less], self.seconds[over])
        return statistics.median((a - b) / c for a, b, c in rows)


def in_turns(what: str, calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> Timings:
    """Call everything once unmeasured, and then all in turns, `rounds` times: A B C A B C ...

    Args:
        what: for the progress bar.
        calls: what to measure.
        rounds: at least 2; a figure to report wants `ROUNDS`.
        device: its queue is waited for, so that no call pays for another's work.
    """
    seconds: Dict[str, List[float]] = {name: [] for name in calls}
    with Progress(transient=True) as progress:
        task = progress.add_task(what, total=(rounds + 1) * len(calls))
        for number in range(rounds + 1):
            for name, call in calls.items():
                taken = _seconds(call, device)
                if number > 0:  # the first is slower: memory is fetched from the system, kernels are chosen
                    seconds[name].append(taken)
                progress.advance(task)
    return Timings(seconds)


def growth(sizes: List[float], seconds: List[float]) -> float:
    """The exponent e of cost = c * size^e that fits best (least squares of the logarithms).

    Example:
        >>> growth([1.0, 2.0, 4.0], [3.0, 12.0, 48.0])
        2.0
    """
    x, y = torch.tensor(sizes).double().log(), torch.tensor(seconds).double().log()
    x, y = x - x.mean(), y - y.mean()
    return round(float((x * y).sum() / x.square().sum()), 6)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    # one thread's seconds of the processor are those of a quiet machine, whatever else it has to do
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    _wait(device)
    start = clock()
    call()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
