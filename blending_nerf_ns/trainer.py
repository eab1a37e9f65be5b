"""nerfstudio's trainer, with an end that is the pipeline's and checkpoints that are written whole."""

import os
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Type, cast

import torch
import yaml
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.pipeline import BlendingPipeline, BlendingPipelineConfig

allow_nerfstudio_checkpoints()


@dataclass
class BlendingTrainerConfig(TrainerConfig):
    """nerfstudio's trainer configuration, which also tells the pipeline where its run lives."""

    _target: Type = field(default_factory=lambda: BlendingTrainer)
    """Target class to instantiate."""

    def get_checkpoint_dir(self) -> Path:
        """nerfstudio calls this before it builds the pipeline, in training and in every ns-* command."""
        cast(BlendingPipelineConfig, self.pipeline).run_dir = self.get_base_dir()
        return super().get_checkpoint_dir()


class BlendingTrainer(Trainer):
    """Runs the stages of a `BlendingPipeline`, whole or resumed.

    Args:
        config: the run's configuration.
    """

    config: BlendingTrainerConfig

    def setup(self, test_mode="val") -> None:
        """Adopt what a resumed run was, build everything, and save the configuration again: now it is complete."""
        resumed = self.config.load_dir or (self.config.load_checkpoint and self.config.load_checkpoint.parent)
        if resumed:
            adopt_resumed_run(self.config, Path(resumed).parent / "config.yml")
        super().setup(test_mode)
        self.config.save_config()

    def train(self) -> None:
        """Train until the stages are done: nerfstudio would run `max_num_iterations` MORE steps after a resume."""
        pipeline = cast(BlendingPipeline, self.pipeline)
        self.config.max_num_iterations = min(self.config.max_num_iterations, pipeline.steps_left)
        self.step = max(self._start_step - 1, 0)
        super().train()

    def save_checkpoint(self, step: int) -> None:
        """Write beside the final name and rename: a run that is killed leaves no half file for the next to load."""
        self.checkpoint_dir.mkdir(parents=True, exist_ok=True)
        path = self.checkpoint_dir / f"step-{step:09d}.ckpt"
        partial = path.with_suffix(".partial")
        state = {
            "step": step,
            "pipeline": self.pipeline.state_dict(),
            "optimizers": {name: value.state_dict() for name, value in self.optimizers.optimizers.items()},
            "schedulers": {name: value.state_dict() for name, value in self.optimizers.schedulers.items()},
            "scalers": self.grad_scaler.state_dict(),
        }
        torch.save(state, partial)
        os.replace(partial, path)
        if self.config.save_only_latest_checkpoint:
            for other in self.checkpoint_dir.glob("*.ckpt"):
                if other != path:
                    other.unlink()


def adopt_resumed_run(config: TrainerConfig, saved: Path) -> None:
    """On a resume, take from the run that is resumed whatever was not given anew.

    Args:
        config: this run's configuration, changed in place: its pipeline's fields that stand at the method's default.
        saved: the resumed run's config.yml. It is YAML with Python tags, so name only runs that you trust.

    Raises:
        BlendingNerfError: there is no such file, or it is no run of ours.
    """
    if not saved.exists():
        raise BlendingNerfError(f"cannot resume: {saved} does not exist; --load-dir wants RUN/nerfstudio_models")
    other = yaml.load(saved.read_text(), Loader=yaml.Loader).pipeline
    if not isinstance(other, BlendingPipelineConfig):
        raise BlendingNerfError(
            f"cannot resume: {saved} is a run of {type(other).__name__}, not of blending-nerf; "
            "to edit a finished nerfacto run use --pipeline.base-run"
        )
    from nerfstudio.configs.method_configs import all_methods

    default = all_methods.get(config.method_name, config).pipeline
    taken = take_where_default(config.pipeline, other, default)
    pipeline = cast(BlendingPipelineConfig, config.pipeline)
    pipeline.model.base, pipeline.model.base_num_images = other.model.base, other.model.base_num_images
    pipeline.base_run = None
    CONSOLE.print(f"Resuming {saved.parent}: from it come its base and {', '.join(taken) or 'nothing else'}.")


def take_where_default(config: Any, saved: Any, default: Any, prefix: str = "") -> list[str]:
    """Copy fields of a saved dataclass into `config` where that one still stands at its default; returns their names."""
    taken: list[str] = []
    for item in fields(config):
        name = item.name
        if name.startswith("_") or not (hasattr(saved, name) and hasattr(default, name)):
            continue
        ours, theirs, usual = getattr(config, name), getattr(saved, name), getattr(default, name)
        if is_dataclass(ours) and type(ours) is type(theirs) and type(ours) is type(usual):
            taken += take_where_default(ours, theirs, usual, f"{prefix}{name}.")
        elif ours == usual and ours != theirs:
            setattr(config, name, theirs)
            taken.append(f"{prefix}{name}={theirs}")
    return taken
