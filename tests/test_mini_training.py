"""What both trainings of the small models share: whose checkpoint is gone on from, and that a team has one model."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from viser_client import free_port

from blending_nerf_ns.errors import BlendingNerfError

EXAMPLES = str(Path(__file__).parent.parent / "examples")


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("mini_guidance.training")


def a_run(training: Any, path: Path, minutes: float, model: nn.Module, **start: object) -> Any:
    return training.Run(path, minutes, {"model": model, "average": training.Average(model)}, start)


def test_a_training_goes_on_from_its_own_checkpoint_and_from_no_other(training: Any, tmp_path: Path) -> None:
    first = a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), weights="fresh", seed=0)
    first.step, first.spent = 7, 300.0
    first.save()
    again = nn.Linear(2, 2)
    run = a_run(training, tmp_path / "judge.pt", 10.0, again, weights="fresh", seed=0)
    assert (run.step, run.done, run.is_over(ship=True)) == (7, 0.5, False)
    assert torch.equal(again.weight, first.parts["model"].weight)
    with pytest.raises(BlendingNerfError, match=r"judge.pt is of another training .*--name"):
        a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), weights="shipped", seed=0)


def test_a_checkpoint_within_a_step_knows_what_it_has_learned(training: Any, tmp_path: Path) -> None:
    run = a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), seed=0)
    learned = []
    for step in run.steps(training.Team()):
        if step == 2:  # as where the gates are set
            run.parts["average"] = training.Average(run.parts["model"])
        run.parts["average"].update(run.parts["model"])
        learned.append(step)
        if step == 5:
            run.save()
            break
    again = a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), seed=0)
    assert learned == [0, 1, 2, 3, 4, 5] and next(again.steps(training.Team())) == 6
    assert again.parts["average"].steps == run.parts["average"].steps == 4


def test_a_training_that_is_over_ships_nothing_anew(training: Any, tmp_path: Path, capsys: Any) -> None:
    first = a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), seed=0)
    first.spent = 600.0
    first.save()
    assert not a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), seed=0).is_over(ship=True), (
        "killed before it shipped"
    )
    assert a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), seed=0).is_over(ship=False)
    before = torch.load(tmp_path / "judge.pt")
    torch.save({key: value for key, value in before.items() if key not in ("shipped", "start")}, tmp_path / "old.pt")
    assert a_run(training, tmp_path / "old.pt", 10.0, nn.Linear(2, 2), seed=0).is_over(ship=True), (
        "of before: long shipped"
    )
    first.save(shipped=True)
    assert a_run(training, tmp_path / "judge.pt", 10.0, nn.Linear(2, 2), seed=0).is_over(ship=True)
    assert "give more --minutes" in capsys.readouterr().out
    assert not a_run(training, tmp_path / "judge.pt", 20.0, nn.Linear(2, 2), seed=0).is_over(ship=True)


def test_textures_are_there_whole_or_not_at_all(training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "trace_once", lambda *_: None)

    def full(file: Any, bank: np.ndarray) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(training.np, "save", full)
        with pytest.raises(OSError, match="No space"):
            training.prepare_scenes(tmp_path, "val", 2, 0, 3)
    assert not list(tmp_path.iterdir())
    training.prepare_scenes(tmp_path, "val", 2, 0, 3)
    assert len(np.load(tmp_path / "textures_val.npy")) == 3


SHARE = """
import atexit, pathlib, sys, torch
sys.path.insert(0, sys.argv[1])
from mini_guidance.training import Team
atexit.register(lambda: pathlib.Path(f"{team.rank}.left").write_text(str(torch.distributed.is_initialized())))
team = Team()
torch.manual_seed(team.rank)
model = torch.nn.BatchNorm1d(3)
torch.nn.init.normal_(model.weight)
team.share_weights(model)
torch.save(model.weight.detach(), f"{team.rank}.pt")
"""


def test_a_team_has_the_first_ones_weights(tmp_path: Path) -> None:
    script = tmp_path / "share.py"
    script.write_text(SHARE)
    where = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    team = [
        subprocess.Popen([sys.executable, script, EXAMPLES], cwd=tmp_path, env={**where, "RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [process.wait(300) for process in team] == [0, 0]
    assert [(tmp_path / f"{rank}.left").read_text() for rank in (0, 1)] == ["False", "False"], (
        "a group that is not left aborts its process at the end, once in some ten times"
    )
    torch.manual_seed(0)
    expected = nn.init.normal_(torch.empty(3))
    assert all(torch.equal(torch.load(tmp_path / f"{rank}.pt"), expected) for rank in (0, 1))
