"""Where a step's time goes, by a clock that is set by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from blending_nerf_ns.training.profiling import FILE, OTHER, Profile, untimed


def test_a_part_within_a_part_counts_for_itself_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    profile = Profile(torch.device("cpu"), lambda: now[0])
    profile.end_step()  # none was begun
    for _ in range(2):
        profile.begin_step()
        now[0] += 1.0
        with profile("CLIP"):
            now[0] += 2.0
            with profile("backward"):
                now[0] += 4.0
            now[0] += 8.0
        now[0] += 16.0
        profile.end_step()
        now[0] += 1000.0  # between the steps
    assert profile.steps == 2
    assert (profile.seconds[OTHER], profile.seconds["CLIP"], profile.seconds["backward"]) == (34.0, 20.0, 8.0)
    profile.report(tmp_path)
    written = json.loads((tmp_path / FILE).read_text())
    assert written["steps"] == 2 and written["step_ms"] == 31_000.0 and written["parts_ms"]["backward"] == 4000.0
    shown = capsys.readouterr().out
    assert "backward" in shown and "13%" in shown
    profile.report(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_without_a_profile_the_parts_run_in_nothing() -> None:
    assert untimed("CLIP") is untimed("backward")
    with untimed("CLIP"):
        pass
