"""Console commands in processes that are forked from one which has imported what they need.

Importing nerfstudio, open_clip and transformers takes a processor 20 to 40 seconds, and a table starts two commands a run. Forked,
a command starts at once; otherwise it is the same program: its own process, its own output and status.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Dict

from blending_nerf_ns.errors import BlendingNerfError

IMPORTED = (
    "nerfstudio.scripts.train",
    "blending_nerf_ns.reporting.build",
    "blending_nerf_ns.reporting.page",
    "blending_nerf_ns.preparing",
    "blending_nerf_ns.guidance.clip",
    "open_clip",
    "transformers.models.clipseg.modeling_clipseg",
)
"""Imported once, before the first fork. One that cannot be imported is left to the command, which says why."""
OUT, ERR = 1, 2
SHOWN_LINES = 12
"""Of a command that failed."""


def run_logged(command: Sequence[str], log: Path, env: Dict[str, str]) -> None:
    """Run a console command of this environment; what it says goes to the end of a file.

    Args:
        command: its name ("ns-train") and what it is told.
        log: the file; its folder is made.
        env: the command's environment. What is read when a process begins (MALLOC_*, OMP_NUM_THREADS) counts as it is for the
            first command.

    Raises:
        BlendingNerfError: it did not end well; with its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        print(f"\n$ {shlex.join(command)}", file=file)
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(list(IMPORTED))
    process = forking.Process(target=_begin, args=(list(command), log, env), name=command[0])
    with _environment(env):
        process.start()
    process.join()
    if process.exitcode != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
        raise BlendingNerfError(f"{command[0]} ended with status {process.exitcode}; the end of {log}:\n{last}")


@contextmanager
def _environment(env: Dict[str, str]) -> Iterator[None]:
    """Another environment, which a process that begins meanwhile takes over."""
    own = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(own)


def _begin(command: Sequence[str], log: Path, env: Dict[str, str]) -> None:
    """Become a command (in the forked process)."""
    os.environ.clear()
    os.environ.update(env)
    with log.open("a") as file:
        os.dup2(file.fileno(), OUT)
        os.dup2(file.fileno(), ERR)
    found = list(entry_points(group="console_scripts", name=command[0]))
    if not found:
        raise BlendingNerfError(
            f"{command[0]} is no command of this environment: install this package and nerfstudio here"
        )
    sys.argv = list(command)
    sys.exit(found[0].load()())
