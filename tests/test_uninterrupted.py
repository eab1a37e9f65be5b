"""What is done whole, though nerfstudio's viewer stops a picture at whatever line is next when its camera moves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
import torch

from blending_nerf_ns.encoding import kernels as module
from blending_nerf_ns.rendering import aside as aside_module
from blending_nerf_ns.rendering.aside import Aside


class Moved(Exception):
    """As nerfstudio's IOChangeException."""


@contextmanager
def camera_moves(when: Callable[[], bool]) -> Iterator[None]:
    """Inside, this thread is stopped at the first line for which that holds."""
    before = sys.gettrace()

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and when():
            raise Moved
        return tracer

    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


def test_a_kernel_is_not_given_up_because_a_camera_moved_while_it_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling = []

    def try_out(device: torch.device) -> None:
        compiling.append(device)
        compiling.append(device)

    found = SimpleNamespace(try_out=try_out)
    monkeypatch.setattr(module, "import_module", lambda name: found)
    with pytest.raises(Moved), camera_moves(lambda: bool(compiling)):
        module.kernels("of_a_test", torch.device("cuda"))
    assert len(compiling) == 2, "it was compiled whole, and the picture is stopped behind it"
    assert module.kernels("of_a_test", torch.device("cuda")) is found


def test_a_picture_that_is_stopped_leaves_its_thread_in_the_queue_that_it_was_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a GPU, whose streams are stood in for here."""
    queues, found = ["first"], []

    class Stream:
        """No generator: what is left of one is closed, and torch's own is none."""

        def __init__(self, queue: Any) -> None:
            pass

        def __enter__(self) -> None:
            queues.append("second")

        def __exit__(self, *error: object) -> None:
            queues.pop()

    queue: Any = SimpleNamespace(wait_event=lambda event: None, wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: queue)
    monkeypatch.setattr(aside_module, "_second_queue", lambda device: queue)
    work: Any = Aside(torch.device("cpu"))
    work._start = object()
    with pytest.raises(Moved), camera_moves(lambda: bool(found)):
        work.run(lambda: found.append(queues[-1]), lambda _: [])
    assert found == ["second"] and queues == ["first"]
