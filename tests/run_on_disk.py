"""A run's folder with nothing but a checkpoint, and the commands that read it, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from blending_nerf_ns.cli import main
from blending_nerf_ns.model import BlendingModel

LOWER, UPPER = "a blue ball", "a yellow donut"


def write_run(folder: Path, model: BlendingModel, step: int = 17) -> Path:
    """A run's folder with nothing but a checkpoint: what the commands read."""
    models = folder / "nerfstudio_models"
    models.mkdir(parents=True, exist_ok=True)
    state = {f"_model.{name}": value for name, value in model.state_dict().items()}
    state["progress"] = torch.tensor([12, 6])
    optimizers = {"edit_field": {"state": {0: {"exp_avg": torch.arange(3.0)}}, "param_groups": [{"lr": 0.01}]}}
    content = {"step": step, "pipeline": state, "optimizers": optimizers, "schedulers": {}, "scalers": {}}
    torch.save(content, models / f"step-{step:09d}.ckpt")
    return folder


def content_of(folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a run."""
    return torch.load(max((folder / "nerfstudio_models").glob("*.ckpt")), weights_only=True)


def commanded(*arguments: object) -> None:
    """`blending-nerf ARGUMENTS`, in this process."""
    main([str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """What the command says instead of doing it."""
    with pytest.raises(SystemExit) as stopped:
        commanded(*arguments)
    return str(stopped.value)


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command prints, on one line."""
    capsys.readouterr()
    commanded(*arguments)
    return " ".join(capsys.readouterr().out.split())
