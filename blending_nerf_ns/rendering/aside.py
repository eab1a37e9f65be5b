"""A GPU's second queue: a host that needs a value waits for that value, not for the picture that is being made meanwhile (ours)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Optional, TypeVar

import torch
from torch import Tensor

from blending_nerf_ns.rendering.uninterrupted import uninterrupted

Found = TypeVar("Found")


class Aside:
    """Work beside what is queued after this: it starts when all that was queued before is done.

    On a GPU the host runs ahead and only a question about values, such as how many of them are positive, makes it wait: for
    everything that was queued before the question. Asked in a queue of its own, it waits for its own work alone, and the GPU
    always has some. On a CPU everything is done at once, in the order of the calls.

    Args:
        device: of the work.

    Example:
        >>> aside = Aside(device)           # the rays are there
        >>> render = base.render(rays)      # queued; takes a while
        >>> hits = aside.run(lambda: torch.nonzero(rays.meet(region)), lambda hits: [hits])  # here as soon as it is found
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start: Optional[torch.cuda.Event] = None
        if device.type == "cuda":
            self._start = torch.cuda.Event()
            self._start.record(torch.cuda.current_stream(device))

    def run(self, find: Callable[[], Found], tensors: Callable[[Found], Iterable[Tensor]]) -> Found:
        """Do some work now, and let what is queued from here on have it.

        Args:
            find: the work; it may read what was there when this object was made.
            tensors: of its result, all of them.
        """
        if self._start is None:
            return find()
        with uninterrupted():  # or this thread might stay in the second queue
            queue, side = torch.cuda.current_stream(self._device), _second_queue(self._device)
            side.wait_event(self._start)
            with torch.cuda.stream(side):
                found = find()
            queue.wait_stream(side)
            for tensor in tensors(found):
                # its memory is not given away in the second queue while the first still reads it
                tensor.record_stream(queue)
        return found


@cache
def _second_queue(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device, priority=-1)  # before what the host does not wait for
