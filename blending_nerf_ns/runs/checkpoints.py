"""Checkpoints that are written whole or not at all, and loaded whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from torch import nn

from blending_nerf_ns.bases.checkpoint import is_whole, steps_in
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.atomic import replacing

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import Trainer

EXTRA = "_extra_state"
SHOWN_KEYS = 8


def write_whole(state: Any, path: Path) -> None:
    """Write a checkpoint into a run's model folder, whole or not at all.

    Unfinished it lies in the run's own folder: nerfstudio reads a step off the name of every file among the checkpoints, and would
    look for one that is not there.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path, _unfinished(path)) as partial:
        try:
            torch.save(state, partial)
        except RuntimeError as error:  # torch's of a full disk, which says nothing of a disk
            raise OSError(errno.ENOSPC, f"{path} cannot be written; is the disk full? ({error})") from error


def _unfinished(path: Path) -> Path:
    """Where a checkpoint lies until it is whole: beside the folder where it will be, or in it where that is on another disk."""
    models, name = path.parent, f"{path.name}.partial"
    if not models.exists() or models.stat().st_dev == models.parent.stat().st_dev:
        return models.parent / name
    return models / f"step-000000000.{name}"  # as nerfstudio reads it, of no step that could be the newest


def write_training(trainer: Trainer, step: int) -> None:
    """A checkpoint of a training run, whole or not at all; the others go where only the latest is wanted."""
    path = trainer.checkpoint_dir / f"step-{step:09d}.ckpt"
    state = {
        "step": step,
        "pipeline": trainer.pipeline.state_dict(),
        "optimizers": {name: value.state_dict() for name, value in trainer.optimizers.optimizers.items()},
        "schedulers": {name: value.state_dict() for name, value in trainer.optimizers.schedulers.items()},
        "scalers": trainer.grad_scaler.state_dict(),
    }
    write_whole(state, path)
    if trainer.config.save_only_latest_checkpoint:
        for other in trainer.checkpoint_dir.glob("*.ckpt"):
            if other != path:
                other.unlink()


class ResumedScaler(torch.amp.GradScaler):
    """Scales gradients, in a run that may go on from one that scaled none: torch refuses what that one wrote."""

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Go on with that state; where there is none, from the beginning."""
        if state_dict:
            super().load_state_dict(state_dict)


def newest_whole_step(folder: Path) -> int:
    """The highest step whose checkpoint in a run's model folder is whole; says so where a newer one is not.

    Raises:
        BlendingNerfError: there is none.
    """
    paths = steps_in(folder)
    for step in sorted(paths, reverse=True):
        if is_whole(paths[step]):
            return step
        said = f"{paths[step]} is truncated; falling back to the checkpoint before it."
        CONSOLE.print(said, style="bold yellow", markup=False)
    raise BlendingNerfError(
        f"{folder} holds no whole checkpoint (step-*.ckpt): did its training end before it saved one?"
    )


def load_whole(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Load everything or say what does not fit: nerfstudio would load what fits and be silent.

    Raises:
        BlendingNerfError: names that are missing, unexpected, or of another shape; the module is then as it was.
    """
    own = module.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = sorted(
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if not key.endswith(EXTRA) and own[key].shape != state[key].shape
    )
    if missing or unexpected or wrong:
        raise BlendingNerfError(
            f"the checkpoint does not fit this configuration: missing {missing[:SHOWN_KEYS]}, unexpected "
            f"{unexpected[:SHOWN_KEYS]}, of another size {wrong[:SHOWN_KEYS]}; resume with the flags of the run that wrote it"
        )
    nn.Module.load_state_dict(module, dict(state), strict=True)
