"""config.yml of our runs: written whole or not at all, and never over the run that is about to be resumed from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, cast

import yaml
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.bases.checkpoint import is_whole
from blending_nerf_ns.bases.devices import check_device
from blending_nerf_ns.errors import BlendingNerfError, in_one_line
from blending_nerf_ns.runs.atomic import replacing
from blending_nerf_ns.runs.checkpoints import newest_whole_step, steps_in


def check_capture(config: TrainerConfig) -> None:
    """Say that there is no such capture before a dataparser asserts it; and that nobody would read a prompt.

    Raises:
        BlendingNerfError: `--data` names nothing, or nerfstudio's `--prompt` is given.
    """
    if config.prompt is not None:
        raise BlendingNerfError(
            f"--prompt {config.prompt!r} is for other methods: say what is there by --pipeline.source-text and what it should become "
            "by --pipeline.target-text"
        )
    if config.data is not None and not Path(config.data).exists():
        raise BlendingNerfError(f"--data {config.data}: there is no such folder")


def check_capture_of(manager: Any) -> None:
    """The same of the capture that a run itself names, which may have moved since.

    Args:
        manager: the configuration of the pipeline's datamanager.

    Raises:
        BlendingNerfError: it is not there.
    """
    capture = manager.data or manager.dataparser.data
    if not Path(capture).exists():
        raise BlendingNerfError(
            f"the run's capture {capture} is not there; say where it is with --data, or, for a command that has no --data, put a "
            f"link to it there: ln -s THE/CAPTURE {capture}"
        )


def check_training_device(config: TrainerConfig) -> None:
    """Say that a run cannot train where it is to, before it fetches models of gigabytes for that.

    Raises:
        BlendingNerfError: there is no such device, or torch cannot use it.
    """
    wanted = (
        "without a GPU train a method whose name ends with -cpu, or say --machine.device-type cpu; a GPU may want a newer driver for "
        "this torch"
    )
    check_device(config.machine.device_type, "--machine.device-type", wanted)


def check_checkpoint(path: Path) -> None:
    """Say that a checkpoint which was asked for by name cannot be loaded, before nerfstudio asserts it.

    Raises:
        BlendingNerfError: it is not there, or not whole.
    """
    if not path.is_file():
        others = ", ".join(sorted(other.name for other in path.parent.glob("*.ckpt"))) or "none"
        raise BlendingNerfError(f"cannot resume: there is no {path}; checkpoints in that folder: {others}")
    if not is_whole(path):
        raise BlendingNerfError(f"cannot resume: {path} is truncated; leave its name out to take the newest whole one")


def check_not_trained_over(config: RunConfig) -> None:
    """Say that a run would be trained anew over one that is there: its layers are in its checkpoints, and nowhere else.

    Raises:
        BlendingNerfError: its folder has checkpoints, and it does not go on from them.
    """
    models, resumed = config.get_base_dir() / config.relative_model_dir, config.resumes
    if steps_in(models) and (resumed is None or resumed.resolve() != models.resolve()):
        raise BlendingNerfError(
            f"{models.parent} is a run already, which would be trained over: go on from it by --load-dir {models}, or give another "
            "--timestamp (--load-config repeats the one that it was trained by, and reads no other flag)"
        )


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """A run that is refused before it has begun leaves no folder beside those that were trained.

    Args:
        folder: the run's; one with more in it than the config.yml that ns-train writes first stays.
    """
    try:
        yield
    except (BlendingNerfError, FileNotFoundError):
        # of the folders above only those that are empty, too; and several processes do this at once
        with suppress(OSError):
            if [item.name for item in folder.iterdir()] == ["config.yml"]:
                (folder / "config.yml").unlink(missing_ok=True)
                for empty in (folder, folder.parent, folder.parent.parent):
                    empty.rmdir()
        raise


@dataclass
class RunConfig(TrainerConfig):
    """nerfstudio's trainer configuration, which also tells the pipeline where its run lives."""

    def get_checkpoint_dir(self) -> Path:
        """nerfstudio calls this before it builds the pipeline, in training and in every ns-* command."""
        cast(Any, self.pipeline).run_dir = self.get_base_dir()
        return super().get_checkpoint_dir()

    def set_experiment_name(self) -> None:
        """nerfstudio's; a resume that names no capture goes on beside the run that it goes on from, and not as "unnamed"."""
        resumed = self.resumes
        if self.experiment_name is None and cast(Any, self.pipeline).datamanager.data is None and resumed is not None:
            run = resumed.parent.resolve()  # EXPERIMENT/METHOD/TIMESTAMP; in it nerfstudio_models, which may be a link
            if len(run.parents) > 1 and (run / "config.yml").is_file():
                self.experiment_name = run.parents[1].name
        super().set_experiment_name()

    @in_one_line()
    def set_timestamp(self) -> None:
        """nerfstudio calls this before all else in ns-train, and nowhere else: the last place to see what config.yml would replace."""
        super().set_timestamp()
        check_not_trained_over(self)

    @property
    def resumes(self) -> Optional[Path]:
        """The folder of checkpoints that this run goes on from."""
        folder = self.load_dir or (self.load_checkpoint and self.load_checkpoint.parent)
        return folder and folder.absolute()  # "." has no parent; and what may be a link keeps its own

    def find_checkpoint(self) -> Optional[Path]:
        """The file that this run goes on from; of a folder the newest whole one, unless a step is named.

        Raises:
            BlendingNerfError: it is not there, or not whole.
        """
        checkpoint = self.load_checkpoint
        if self.load_dir is not None:
            if self.load_step is None:
                self.load_step = newest_whole_step(self.load_dir)
            checkpoint = self.load_dir / f"step-{self.load_step:09d}.ckpt"
        if checkpoint is not None:
            check_checkpoint(checkpoint)
        return checkpoint and checkpoint.absolute()

    def save_config(self) -> None:
        """nerfstudio's, whole or not at all, and not before a resume has read what it goes on from: with the same `--timestamp` it
        goes on in that run's own folder, whose config.yml nerfstudio would replace by the method's defaults first."""
        path = self.get_base_dir() / "config.yml"
        in_place = self.resumes is not None and self.resumes.parent.resolve() == path.parent.resolve()
        if in_place and path.exists() and not cast(Any, self.pipeline).resumed:
            return
        content = yaml.dump(self)
        if path.exists() and path.read_text("utf8") == content:
            return
        CONSOLE.log(f"Saving config to: {path}", markup=False)
        with replacing(path) as partial:
            partial.write_text(content, "utf8")
