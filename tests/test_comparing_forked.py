"""Commands of the table, forked: real ones, as they end well and as they do not."""

from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.mark.slow
def test_a_forked_command_says_how_it_ended(tmp_path: Path) -> None:
    before = dict(os.environ)
    log, env = tmp_path / "logs" / "run.log", {**before, "COLUMNS": "100"}
    run_logged(["blending-nerf", "--help"], log, env)
    assert log.read_text().startswith("\n$ blending-nerf --help\n") and "evaluate" in log.read_text()
    with pytest.raises(BlendingNerfError, match=r"(?s)blending-nerf ended with status [12].*run\.log:.*is no run"):
        run_logged(["blending-nerf", "evaluate", str(tmp_path / "nowhere")], log, env)
    with pytest.raises(BlendingNerfError, match="no-such-command is no command of this environment"):
        run_logged(["no-such-command"], log, env)
    assert dict(os.environ) == before and sys.modules["__main__"].__name__ == "__main__"
