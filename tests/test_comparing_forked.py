"""Commands of the table, forked: real ones, as they end well and as they do not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from blending_nerf_ns.comparing.forked import run_logged
from blending_nerf_ns.errors import BlendingNerfError


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
