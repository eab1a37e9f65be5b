"""Files that are there whole or not at all, whatever is killed in the middle."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Optional


def take_over(old: Path, new: Path) -> None:
    """Copy a file, if there is one, to where there is none yet."""
    if old.exists() and not new.exists():
        with replacing(new) as partial:
            partial.write_bytes(old.read_bytes())


@contextmanager
def replacing(path: Path, unfinished: Optional[Path] = None) -> Iterator[Path]:
    """A name beside a file to write to; at the end it takes the file's place, unless there was an error.

    Args:
        path: the file; its folder is made.
        unfinished: the other name, on the same disk; beside the file, with ".partial", if none is given.

    Example:
        >>> with replacing(Path("look.json")) as partial:
        ...     partial.write_text("{}")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = unfinished or path.with_name(f"{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()  # on a full disk it would keep that full
        raise


def writable(folder: Path) -> None:
    """Make a folder, and a file in it that is gone again: what cannot be written is said before it is worked out.

    Raises:
        OSError: of the disk, with its name.
    """
    if folder.exists() and not folder.is_dir():
        error = NotADirectoryError(f"{folder} is a file; name a folder to write to")
        error.errno = errno.ENOTDIR  # with two arguments its message would begin with the number
        raise error
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass
