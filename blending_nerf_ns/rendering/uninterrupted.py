"""Work that is done whole: nerfstudio's viewer stops a picture at whatever line is next when its camera moves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, this thread is not stopped; the next line after it is where it is stopped then. The viewer does it by a trace function."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
