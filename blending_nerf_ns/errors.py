"""The errors and warnings that are meant for the person who runs a command."""

from __future__ import annotations

import errno
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Optional

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
"""It is full, read-only, or somebody else's; or a file stands where a folder should."""


class BlendingNerfError(ValueError):
    """Something the user gave cannot be used; the message says what, with its value, and what to do."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """What the user can put right ends a command with one line and status 1, and not with a traceback."""
    try:
        yield
    except (BlendingNerfError, OSError) as error:
        said = line_of(error)
        # of several processes of a run the first hands the error on
        if said is None or multiprocessing.parent_process() is not None:
            raise
        sys.exit(said)


def end_in_one_line() -> None:
    """The same where a command is nerfstudio's, and ends with whatever is raised in it; where somebody catches that nothing changes."""
    usual = sys.excepthook
    if getattr(usual, "__module__", None) == __name__:
        return

    def say(kind: Any, error: BaseException, trace: Any) -> None:
        said = line_of(error) if isinstance(error, (BlendingNerfError, OSError)) else None
        if said is None:
            usual(kind, error, trace)
        else:
            print(said, file=sys.stderr)

    sys.excepthook = say


def line_of(error: BlendingNerfError | OSError) -> Optional[str]:
    """What a command says of an error as it ends; None of one that the user cannot put right."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"blending-nerf: there is no {error.filename}; if it is the capture's, see that --data is whole and where it was"
    if isinstance(error, OSError) and error.errno not in OF_THE_DISK:
        return None
    return f"blending-nerf: {error}"


@contextmanager
def naming_flags_as(ours: str, theirs: str) -> Iterator[None]:
    """An error that names flags of ns-train names those of the command that is run.

    Args:
        ours: how this command's flags begin, "--region.".
        theirs: how ns-train's do, "--pipeline.region.".
    """
    try:
        yield
    except BlendingNerfError as error:
        if theirs not in str(error):
            raise
        raise type(error)(str(error).replace(theirs, ours)) from error


def plainly(show: Callable[..., None]) -> Callable[..., None]:
    """Python's `warnings.showwarning`, which says what is meant for a person in one line, and without a place in the code.

    Args:
        show: what shows the others.
    """

    def showwarning(message: Any, category: Any, *place: Any, **more: Any) -> None:
        if isinstance(category, type) and issubclass(category, GuidanceWarning):
            print(f"blending-nerf: {message}", file=sys.stderr)
        else:
            show(message, category, *place, **more)

    return showwarning


def shortened(text: str, most: int = 60) -> str:
    """A text as a message or a table has room for it: its beginning, of so many characters at most.

    Example:
        >>> shortened("a blue ball", 6)
        'a blue...'
    """
    return text if len(text) <= most else f"{text[:most]}..."


class NothingFound(BlendingNerfError):
    """No surface reaches the region's threshold; the message has the highest probability that was met."""


class GuidanceWarning(UserWarning):
    """A prompt that the guide will not read as it was meant."""
