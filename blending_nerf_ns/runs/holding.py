"""Whether a run is open: what a shell writes into a run that still lives would be gone with that one's next save."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from blending_nerf_ns.errors import BlendingNerfError

try:
    import fcntl
except ImportError:  # Windows, where nothing is held and nothing is refused
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held_open(folder: Path) -> Iterator[None]:
    """Hold a run's folder for as long as this process may save into it, once nobody writes into it any more; others may hold it as well.
    A killed process holds nothing.

    Args:
        folder: the run's.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a file system without locks has none
            _lock(folder, stack, alone=False)
        yield


@contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder while what is in it is read and written anew.

    Args:
        folder: the run's.

    Raises:
        BlendingNerfError: it is held.
    """
    with ExitStack() as stack:
        try:
            _lock(folder, stack, alone=True)
        except BlockingIOError:
            raise BlendingNerfError(
                f"the run in {folder} is open, and its next save would be without this: end it first, or use its viewer"
            ) from None
        except OSError:
            pass  # without locks it is written to all the same
        yield


def _lock(folder: Path, stack: ExitStack, alone: bool) -> None:
    if fcntl is None:
        return
    opened = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, opened)
    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
