"""nerfstudio's commands, run as a person would run them: as programs, with their own output and progress bars."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from blending_nerf_ns.errors import BlendingNerfError

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
"""glibc maps and unmaps large tensors at every step; keeping them took 18-25 % off CPU training."""


def program(name: str) -> str:
    """Path of a command of this environment, activated or not.

    Raises:
        BlendingNerfError: there is no such command beside this Python nor on PATH.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise BlendingNerfError(f"{name} is neither beside {sys.executable} nor on PATH: install this package there")
    return found


def environment(folder: Path) -> dict[str, str]:
    """Environment for ns-* commands: this Python's programs first, and an `ffmpeg`, which ns-render looks for on PATH.

    Args:
        folder: where a link to imageio-ffmpeg's binary is made if no ffmpeg is installed.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if shutil.which("ffmpeg", path=path) is None:
        import imageio_ffmpeg

        folder.mkdir(parents=True, exist_ok=True)
        link, program = folder / "ffmpeg", imageio_ffmpeg.get_ffmpeg_exe()
        if not link.is_symlink() or os.readlink(link) != program:
            new = folder / f"ffmpeg.{os.getpid()}"
            new.symlink_to(program)
            os.replace(new, link)  # another process may be making it
        path = os.pathsep.join([path, str(folder.resolve())])
    return {**KEEP_MEMORY, **os.environ, "PATH": path}


def run(command: Sequence[str], env: dict[str, str]) -> float:
    """Show a command, run it with its output going where ours goes, and time it.

    Returns:
        Seconds that it took.

    Raises:
        BlendingNerfError: it did not end well.
    """
    print(f"\n$ {shlex.join([Path(command[0]).name, *command[1:]])}", flush=True)
    started = time.perf_counter()
    try:
        code = subprocess.run(list(command), env=env, check=False).returncode
    except OSError as error:  # its first line names a Python that is not there
        raise BlendingNerfError(
            f"{command[0]} cannot be run ({error}): was this environment moved? Make it anew"
        ) from error
    if code != 0:
        raise BlendingNerfError(f"{Path(command[0]).name} ended with status {code}; what it said is above")
    return time.perf_counter() - started
