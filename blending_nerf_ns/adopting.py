"""What a run takes over from another: from the one that it edits its base, from the one that it resumes everything."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.bases.loading import BaseRun
from blending_nerf_ns.errors import BlendingNerfError

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipelineConfig


def adopt_base(config: BlendingPipelineConfig, run: BaseRun) -> None:
    """Take the base's architecture, data and data parser, so that it renders what its own run renders."""
    config.model.base = run.model_config
    config.model.base_num_images = run.num_images
    data = config.datamanager.data or config.datamanager.dataparser.data  # type: ignore[attr-defined]
    config.datamanager.dataparser = run.dataparser_config  # type: ignore[attr-defined]
    if data is not None and str(data) not in (".", ""):
        config.datamanager.dataparser.data = Path(data)  # type: ignore[attr-defined]


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
    from blending_nerf_ns.pipeline import BlendingPipelineConfig

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
