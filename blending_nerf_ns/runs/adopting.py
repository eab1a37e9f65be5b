"""What a run takes over from another: from the one that it edits its base, from the one that it resumes everything."""

from __future__ import annotations

import copy
import shlex
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Optional, Sequence, Union, cast, get_type_hints

import tyro
import yaml
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.bases.loading import BaseRun, check_whole
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.runs.config_file import check_capture_of

if TYPE_CHECKING:
    from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipelineConfig
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig

    Edited = Union[BlendingPipelineConfig, FinetunePipelineConfig]

FLAG = "--pipeline."
OF_THE_BASE = ("base_steps", "base_final_rate")
"""Of the stage in which a base is trained."""


def adopt_base(config: Edited, run: BaseRun) -> None:
    """Take the base's architecture, data and data parser, so that it renders what its own run renders.

    Raises:
        BlendingNerfError: the capture is not where the base's run found it, and no other place is named.
    """
    config.model.base = run.model_config
    config.model.base_num_images = run.num_images
    manager = cast(Any, config.datamanager)
    asked, data = manager.dataparser, capture_named(manager)
    manager.dataparser = copy.deepcopy(run.dataparser_config)
    if data is not None:
        manager.dataparser.data = data
    check_capture_of(manager)
    for line in replaced_options(asked, run.dataparser_config):
        CONSOLE.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)


def capture_named(manager: Any) -> Optional[Path]:
    """The capture that a command line names, by `--data` or by its dataparser's own; None where it names none.

    Args:
        manager: the configuration of the pipeline's datamanager.
    """
    if manager.data is not None:
        return Path(manager.data)
    usual, own = type(manager.dataparser)().data, manager.dataparser.data
    return None if own == usual or str(own) in (".", "") else Path(own)


def replaced_options(asked: DataParserConfig, read: DataParserConfig) -> List[str]:
    """What to tell a user who asked for another way to read the photos than the base's own run.

    Args:
        asked: the data parser as it is configured.
        read: that of the base's run, which counts.

    Example:
        >>> from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
        >>> replaced_options(NerfstudioDataParserConfig(downscale_factor=4), NerfstudioDataParserConfig())
        ['--downscale-factor 4 changes nothing: photos are read as the run of --pipeline.base-run read them (None).']
    """
    usual, told = type(asked)(), []
    for item in fields(asked):
        mine, theirs = getattr(asked, item.name), getattr(read, item.name, None)
        if item.name not in ("_target", "data") and mine not in (getattr(usual, item.name), theirs):
            flag = f"--{item.name.replace('_', '-')} {mine}"
            told.append(
                f"{flag} changes nothing: photos are read as the run of --pipeline.base-run read them ({theirs})."
            )
    return told


def flags_given(arguments: Sequence[str]) -> FrozenSet[str]:
    """Fields of the pipeline's configuration that a command line names, whatever value it gives them.

    Example:
        >>> sorted(flags_given(["--pipeline.target-text", "a --b", "--pipeline.region.no-margin-over-surfaces", "--vis=viewer"]))
        ['region.margin_over_surfaces', 'target_text']
    """
    names = [word[len(FLAG) :].split("=")[0].replace("-", "_") for word in arguments if word.startswith(FLAG)]
    split = [name.rpartition(".") for name in names]
    return frozenset(f"{group}{dot}{name.removeprefix('no_')}" for group, dot, name in split)


def without_effect(
    given: FrozenSet[str],
    region: RegionConfig,
    resumed: bool,
    has_layers: bool,
    has_region: bool,
    has_base: bool = False,
) -> List[str]:
    """What to tell a user of flags that change nothing.

    Args:
        given: fields that the command line names (`flags_given`).
        region: as it is configured.
        resumed: whether the run goes on from another.
        has_layers, has_region: whether it then has that one's layers, for its base is done, and the region of its edit.
        has_base: whether it edits the base of another run.

    Example:
        >>> without_effect(frozenset({"edits"}), RegionConfig(), True, True, False)
        ['--pipeline.edits: the run that is resumed has its layers; load more in the viewer or by `blending-nerf edits apply`.']
    """
    told, cut = {}, [f"region.{field}" for field in RegionShape._fields]
    for name in sorted(given):
        if resumed and (name == "base_run" or name.startswith("model.base.")):
            told[name] = "the run that is resumed has its base; to edit another begin a new run."
        elif has_base and (name in OF_THE_BASE or name.startswith("model.base.")):
            told[name] = "the base is that of --pipeline.base-run, as it was trained."
        elif resumed and has_layers and name in OF_THE_BASE:
            told[name] = "the base of the run that is resumed is trained."
        elif has_region and name == "model.edit_field.seed_reach":
            told[name] = (
                "the edit that is resumed has its own; this counts where it starts again (Reset, in the viewer)."
            )
        elif resumed and name.startswith("model.strength_"):
            told[name] = "the run that is resumed is shown as it was; for another strength use `blending-nerf look`."
        elif has_layers and name == "edits":
            told[name] = (
                "the run that is resumed has its layers; load more in the viewer or by `blending-nerf edits apply`."
            )
        elif has_region and name.startswith("region."):
            told[name] = "the run that is resumed has its region; this counts where it is found again."
        elif region.source.strip() == "file" and name in cut:
            told[name] = (
                "a region from a file is cut as the file says; find it anew with this, by `blending-nerf region`."
            )
        elif region.source.strip() == "file" and name == "model.region_resolution":
            told[name] = "a region from a file has its own; find it anew by `blending-nerf region --resolution`."
        elif name.startswith("region.") and (why := region.unread(name.removeprefix("region."))):
            told[name] = why
    return [f"--pipeline.{name.replace('_', '-')}: {why}" for name, why in told.items()]


def rates_kept(arguments: Sequence[str]) -> List[str]:
    """What to tell a user who resumes a run and names rates of its optimizers: nerfstudio loads those with their state.

    Args:
        arguments: the command line. `max-norm` and schedulers are no part of that state.

    Example:
        >>> rates_kept(["--optimizers.edit-field.optimizer.lr=1e-3", "--optimizers.fields.optimizer.max-norm", "1"])
        ['--optimizers.edit-field.optimizer.lr: the run that is resumed has its own; for another begin a new run on its base.']
    """
    named = [word.split("=")[0] for word in arguments if word.startswith("--optimizers.")]
    kept = [flag for flag in named if ".optimizer." in flag and not flag.replace("_", "-").endswith(".max-norm")]
    return [f"{flag}: the run that is resumed has its own; for another begin a new run on its base." for flag in kept]


def adopt_resumed_run(config: TrainerConfig, saved: Path, given: FrozenSet[str] = frozenset()) -> Any:
    """On a resume, take from the run that is resumed whatever was not given anew.

    Args:
        config: this run's configuration, changed in place: its pipeline's fields that stand at the method's default.
        saved: the resumed run's config.yml. It is YAML with Python tags, so name only runs that you trust.
        given: fields that the command line names (`flags_given`): they stay, even at their default. With a target text among them an
            edit is trained, also where the run was one of a base alone.

    Returns:
        The configuration of the resumed run's pipeline.

    Raises:
        BlendingNerfError: there is no such file, or it is no run of ours; or its capture has moved, and no place is named.
    """
    if not saved.exists():
        raise BlendingNerfError(f"cannot resume: {saved} does not exist; --load-dir wants RUN/nerfstudio_models")
    other = _pipeline_of(saved)
    if not isinstance(other, type(config.pipeline)):
        raise BlendingNerfError(
            f"cannot resume: {saved} is a run of {type(other).__name__}, not of {config.method_name}; "
            "to edit a finished nerfacto run use --pipeline.base-run"
        )
    from nerfstudio.configs.method_configs import all_methods

    default = all_methods.get(config.method_name, config).pipeline
    pipeline = cast("Edited", config.pipeline)
    if getattr(other, "edit_steps", None) == 0 and "target_text" in given:
        given |= {"edit_steps"}  # only a base was wanted then; now an edit is
    manager = cast(Any, pipeline.datamanager)
    manager.data = capture_named(manager)  # or that of the run that is resumed would be taken
    taken = take_where_default(config.pipeline, other, default, given)
    ours, theirs = cast(Any, pipeline.model), cast(Any, other).model
    ours.base, ours.base_num_images = theirs.base, theirs.base_num_images
    pipeline.base_run = None
    check_capture_of(pipeline.datamanager)
    # not highlighted and not wrapped: a line that can be searched and copied
    CONSOLE.print(f"Resuming {saved.parent}: {describe(taken)}", highlight=False, markup=False, soft_wrap=True)
    return other


def _pipeline_of(saved: Path) -> Any:
    damaged = f"cannot resume: {saved} is no configuration, or not all of one"
    try:
        run = yaml.load(saved.read_text("utf8"), Loader=yaml.Loader)
    except Exception as error:  # of a file that ends too early, constructors fail in any way
        raise BlendingNerfError(f"{damaged}: {error}") from error
    try:
        check_whole(run)
    except ValueError as error:
        raise BlendingNerfError(f"{damaged}: {error}") from error
    return getattr(run, "pipeline", None)


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


def take_where_default(
    config: Any, saved: Any, default: Any, given: FrozenSet[str] = frozenset(), prefix: str = ""
) -> Dict[str, Any]:
    """Copy fields of a saved dataclass into `config` where that one still stands at its default and was not given.

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
            taken |= take_where_default(ours, theirs, usual, given, f"{prefix}{name}.")
        elif ours == usual and ours != theirs and f"{prefix}{name}" not in given:
            setattr(config, name, theirs)
            taken[f"{prefix}{name}"] = theirs
    return taken
