"""What is warned of while a user waits, the user hears too."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from blending_nerf_ns.errors import GuidanceWarning


@contextmanager
def overhearing(say: Callable[[str], None]) -> Iterator[None]:
    """Inside, what the guidance warns of, such as words that it does not know, is said, and before the error that it may explain. Under
    the training's lock only: Python hands all threads' warnings on here.

    Args:
        say: tells the user.
    """
    heard: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", GuidanceWarning)
            yield
    finally:
        for warning in heard:
            if issubclass(warning.category, GuidanceWarning):
                say(str(warning.message))
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
