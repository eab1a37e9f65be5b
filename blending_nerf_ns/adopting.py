"""What a run takes over from another: from the one that it edits its base, from the one that it resumes everything."""

from __future__ import annotations

import shlex
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Union, cast, get_type_hints

import tyro
import yaml
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.bases.loading import BaseRun
from blending_nerf_ns.errors import BlendingNerfError

if TYPE_CHECKING:
    from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipelineConfig
    from blending_nerf_ns.pipeline import BlendingPipelineConfig

    Edited = Union[BlendingPipelineConfig, FinetunePipelineConfig]


def adopt_base(config: Edited, run: BaseRun) -> None:
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
    other = yaml.load(saved.read_text(), Loader=yaml.Loader).pipeline
    if not isinstance(other, type(config.pipeline)):
        raise BlendingNerfError(
            f"cannot resume: {saved} is a run of {type(other).__name__}, not of {config.method_name}; "
            "to edit a finished nerfacto run use --pipeline.base-run"
        )
    from nerfstudio.configs.method_configs import all_methods

    default = all_methods.get(config.method_name, config).pipeline
    taken = take_where_default(config.pipeline, other, default)
    pipeline = cast("Edited", config.pipeline)
    model, saved_model = cast(Any, pipeline.model), cast(Any, other).model
    model.base, model.base_num_images = saved_model.base, saved_model.base_num_images
    pipeline.base_run = None
    # not highlighted and not wrapped: a line that can be searched and copied
    CONSOLE.print(f"Resuming {saved.parent}: {describe(taken)}", highlight=False, markup=False, soft_wrap=True)


SILENT = ("model.base.", "datamanager.pixel_sampler.")
"""The base is taken over whole, and nerfstudio sets its sampler's size by itself."""
LATER = ("model.", "datamanager.")
"""Said after what the user thinks of: the words, the operations, the region."""


def describe(taken: Dict[str, Any]) -> str:
    """What a resume took over, in one line and as the flags that would say the same.

    Example:
        >>> describe({"model.edit_samples_per_ray": 32, "target_text": "a blue ball", "operations": ("add", "change")})
        "its base, its layers and, as not given here, --pipeline.target-text 'a blue ball' --pipeline.operations add change \
--pipeline.model.edit-samples-per-ray 32"
        >>> describe({})
        'its base and its layers; everything else is as given here.'
    """
    said = sorted((name for name in taken if not name.startswith(SILENT)), key=lambda name: name.startswith(LATER))
    if not said:
        return "its base and its layers; everything else is as given here."
    return f"its base, its layers and, as not given here, {' '.join(as_flag(name, taken[name]) for name in said)}"


def as_flag(name: str, value: Any) -> str:
    """A field of the pipeline's configuration as ns-train's flag.

    Example:
        >>> as_flag("region.box_size", (0.5, 0.5, 1.0))
        '--pipeline.region.box-size 0.5 0.5 1.0'
    """
    words = [str(item) for item in (value if isinstance(value, (list, tuple)) else [value])]
    return f"--pipeline.{name.replace('_', '-')} {shlex.join(words)}"


def take_where_default(config: Any, saved: Any, default: Any, prefix: str = "") -> Dict[str, Any]:
    """Copy fields of a saved dataclass into `config` where that one still stands at its default.

    Fields that no flag can set (tyro's `Suppress`) belong to their own run and are left alone.

    Returns:
        The values that were taken, by name.
    """
    taken: Dict[str, Any] = {}
    hints = get_type_hints(type(config), include_extras=True)
    for item in fields(config):
        name = item.name
        if name.startswith("_") or not (hasattr(saved, name) and hasattr(default, name)):
            continue
        if tyro.conf.Suppress in getattr(hints[name], "__metadata__", ()):
            continue
        ours, theirs, usual = getattr(config, name), getattr(saved, name), getattr(default, name)
        if is_dataclass(ours) and type(ours) is type(theirs) and type(ours) is type(usual):
            taken |= take_where_default(ours, theirs, usual, f"{prefix}{name}.")
        elif ours == usual and ours != theirs:
            setattr(config, name, theirs)
            taken[f"{prefix}{name}"] = theirs
    return taken
