"""Console commands in processes that are forked from one which has imported what they need.

Importing nerfstudio, open_clip and transformers takes a processor 20 to 40 seconds, and a table starts two commands a run. Forked,
a command starts at once; otherwise it is the same program: its own process, its own output and status.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Dict, Optional

from blending_nerf_ns.errors import BlendingNerfError, line_of

IMPORTED = "blending_nerf_ns.comparing.imported"
"""Imports everything; once, before the first fork."""
SAVING = 30.0
"""Seconds that a command has for what it does when it is interrupted."""
SHOWN_LINES = 12
"""Of a command that failed."""


def run_logged(command: Sequence[str], log: Path, env: Dict[str, str]) -> None:
    """Run a console command of this environment; what it says goes to the end of a file.

    Args:
        command: its name ("ns-train") and what it is told.
        log: the file; its folder is made.
        env: the command's environment. What is read when a process begins (MALLOC_*, OMP_NUM_THREADS) or when a module is
            imported (HF_HOME, NERFSTUDIO_METHOD_CONFIGS) counts as it is for the first command.

    Raises:
        BlendingNerfError: it did not end well; with its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        print(f"\n$ {shlex.join(command)}", file=file)
    process = _forking().Process(target=_become, args=(list(command), log, env), name=command[0])  # type: ignore[attr-defined]
    with _alone(env):
        process.start()
    try:
        process.join()
    except BaseException as stopped:  # whoever stops the table stops its command
        with suppress(KeyboardInterrupt):
            if isinstance(stopped, KeyboardInterrupt):  # the command was told as well, and saves
                process.join(SAVING)
        process.terminate()
        process.join()
        raise
    if process.exitcode != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
        raise BlendingNerfError(f"{command[0]} ended with status {process.exitcode}; the end of {log}:\n{last}")


def _forking() -> BaseContext:
    """How processes begin: forked from one that has imported everything, where that can be."""
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # tinycudann asks for the GPU as it is imported, and no fork can use a GPU that was asked for before
    context.set_forkserver_preload([] if find_spec("tinycudann") or _would_import_another() else [IMPORTED])
    return context


def _would_import_another() -> bool:
    """Whether that process would take the package from the folder that this one was started in, such as a clone, though another is
    installed; from Python 3.11 on it is told not to (PYTHONSAFEPATH)."""
    here = Path(IMPORTED.partition(".")[0]).resolve()
    return sys.version_info < (3, 11) and here.is_dir() and here != Path(__file__).resolve().parents[1]


@contextmanager
def _alone(env: Dict[str, str]) -> Iterator[None]:
    """Inside, a process that begins has that environment, and does not run this program's main module again."""
    main, own = sys.modules["__main__"], dict(os.environ)
    sys.modules["__main__"] = ModuleType("__main__")
    # a console that is made meanwhile writes plain text; and nothing is imported from whatever folder this is
    os.environ.update(env, TERM="dumb", PYTHONSAFEPATH="1")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        os.environ.clear()
        os.environ.update(own)


def _end_with(program: Optional[BaseProcess]) -> None:
    """A program that is killed cannot stop its command, which would train on beside the next one's."""
    if program is not None:
        program.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _become(command: Sequence[str], log: Path, env: Dict[str, str]) -> None:
    """Be a command from here on (in the new process), for as long as the program that wants it lives."""
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    os.environ.clear()
    os.environ.update(env)
    with log.open("a") as file:
        for output in (1, 2):
            os.dup2(file.fileno(), output)
    found = list(entry_points(group="console_scripts", name=command[0]))
    if not found:
        raise BlendingNerfError(f"{command[0]} is no command of this environment: install its package here")
    sys.argv = list(command)
    try:
        sys.exit(found[0].load()())
    except (BlendingNerfError, OSError) as error:  # `in_one_line` takes this process for one of several of a run
        if (said := line_of(error)) is None:
            raise
        sys.exit(said)
