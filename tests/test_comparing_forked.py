"""Commands of the table, forked: real ones, as they end well and as they do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blending_nerf_ns.comparing.forked import run_logged
from blending_nerf_ns.errors import BlendingNerfError


def test_a_forked_command_takes_the_package_that_is_installed_and_not_one_that_lies_here(tmp_path: Path) -> None:
    """A clone, in which somebody compares after `pip install .`, or has pulled since."""
    other = tmp_path / "clone" / "blending_nerf_ns"
    (other / "comparing").mkdir(parents=True)
    for file in ("__init__.py", "comparing/__init__.py", "comparing/forked.py"):
        (other / file).touch()
    (tmp_path / "ask.py").write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from blending_nerf_ns.comparing import forked\n"
        "forked.IMPORTED = 'blending_nerf_ns'  # quickly\n"
        "forked.run_logged(['blending-nerf', 'edits', '--help'], Path(sys.argv[1]), dict(os.environ))\n"
    )
    log = tmp_path / "log.txt"
    done = subprocess.run(
        [sys.executable, str(tmp_path / "ask.py"), str(log)], cwd=other.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "apply" in log.read_text()


COMMAND = """
import os, time
def main():
    try:
        print("it is", os.getpid(), flush=True)
        time.sleep(300)
    except KeyboardInterrupt:
        time.sleep(1.0)
        print("saved", flush=True)
"""
PROGRAM = """
import os, signal, sys
from pathlib import Path
from blending_nerf_ns.comparing import forked
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
forked.IMPORTED = "blending_nerf_ns"  # quickly
forked.run_logged(["long-command"], Path(sys.argv[1]), dict(os.environ))
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, int, Path]]:
    """A program that waits for a command, the command's number, and its log."""
    about = tmp_path / "long_command-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: long-command\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[console_scripts]\nlong-command = long_command:main\n")
    (tmp_path / "long_command.py").write_text(COMMAND)
    (tmp_path / "ask.py").write_text(PROGRAM)
    log, path = tmp_path / "log.txt", os.pathsep.join([str(tmp_path), *sys.path])
    asked = [sys.executable, str(tmp_path / "ask.py"), str(log)]
    program = subprocess.Popen(asked, env={**os.environ, "PYTHONPATH": path}, start_new_session=True)
    try:
        assert waited_for(lambda: log.exists() and "it is " in log.read_text())
        yield program, int(log.read_text().split("it is ")[1].split()[0]), log
    finally:
        program.kill()
        program.wait(20)


def waited_for(is_so: Callable[[], bool]) -> bool:
    for _ in range(3000):  # what is imported for the first time on a busy machine
        if is_so():
            return True
        time.sleep(0.1)
    return False


def is_gone(command: int) -> bool:
    try:
        os.kill(command, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{command}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_ends_with_the_program_that_was_killed(how: signal.Signals, program) -> None:
    """Else it would train on, beside the one that the next program begins for the same run."""
    asking, command, _ = program
    assert not is_gone(command)
    asking.send_signal(how)
    asking.wait(20)
    assert waited_for(lambda: is_gone(command))


def test_a_command_that_is_interrupted_along_with_its_program_saves_first(program) -> None:
    asking, command, log = program
    os.killpg(asking.pid, signal.SIGINT)  # as a terminal does
    assert asking.wait(60) != 0
    assert waited_for(lambda: is_gone(command))
    assert log.read_text().endswith("saved\n")


@pytest.mark.slow
def test_a_forked_command_says_how_it_ended(tmp_path: Path) -> None:
    before = dict(os.environ)
    log, env = tmp_path / "logs" / "run.log", {**before, "COLUMNS": "100"}
    run_logged(["blending-nerf", "--help"], log, env)
    assert log.read_text().startswith("\n$ blending-nerf --help\n") and "evaluate" in log.read_text()
    with pytest.raises(BlendingNerfError, match=r"(?s)blending-nerf ended with status [12].*run\.log:.*is no run"):
        run_logged(["blending-nerf", "evaluate", str(tmp_path / "nowhere")], log, env)
    capture, trained = tmp_path / "nowhere", log.read_text()
    with pytest.raises(BlendingNerfError, match="ns-train ended with status 1"):
        run_logged(
            ["ns-train", "blending-nerf-cpu", "--data", str(capture), "--output-dir", str(tmp_path / "out")], log, env
        )
    said = log.read_text().removeprefix(trained)
    assert f"blending-nerf: --data {capture}: there is no such folder" in said and "Traceback" not in said
    with pytest.raises(BlendingNerfError, match="no-such-command is no command of this environment"):
        run_logged(["no-such-command"], log, env)
    assert dict(os.environ) == before and sys.modules["__main__"].__name__ == "__main__"
