"""`blending-nerf region`: a command whose defaults are those of a training method (`--like METHOD`), or of the run that is looked at."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Dict, Optional

from blending_nerf_ns.errors import BlendingNerfError

FLAG, PLAIN = "--like", "blending-nerf-cpu"
LOOKING = ("localizer", "views", "close_ups", "image_size", "threshold")
"""Settings of a region that say how it is looked for, and how sure one must be; the others say where it is and how much room it has,
which is the edit's."""


def usual_settings(arguments: Sequence[str]) -> Dict[str, Any]:
    """With what a command line of `blending-nerf region` looks where it does not say: with the settings of the method that `--like`
    names, else with those of the run that it names, if that is one of ours; else nothing, for the command has its own.

    Raises:
        BlendingNerfError: there is no such method, or the run cannot be read.
    """
    method = method_asked_for(arguments)
    if method is not None:
        return {} if method == PLAIN else settings_of(method)
    run = run_asked_for(arguments)
    return {} if run is None else settings_of_run(run)


def method_asked_for(arguments: Sequence[str]) -> Optional[str]:
    """The method whose settings a command line asks for; None where it asks for none.

    Example:
        >>> method_asked_for(["region", "RUN", "--like", "blending-nerf"]), method_asked_for(["region", "--like=blending-nerf"])
        ('blending-nerf', 'blending-nerf')
        >>> method_asked_for(["region", "RUN"]) is None
        True
    """
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == FLAG:
            return value if equals else "".join(arguments[number + 1 : number + 2])
    return None


def run_asked_for(arguments: Sequence[str]) -> Optional[Path]:
    """The configuration of the run that a command line names; None where there is none.

    Example:
        >>> run_asked_for(["region", "nowhere", "--source-text", "a chair"]) is None
        True
    """
    for before, argument in pairwise(arguments):
        if before.startswith("--") and before != "--" and "=" not in before:  # it is what the flag is told
            continue
        path = Path(argument).expanduser()
        path = path / "config.yml" if path.is_dir() else path
        if path.is_file():
            return path
    return None


def looking_as(command: Callable[..., None], settings: Mapping[str, Any]) -> Callable[..., None]:
    """The same command with other defaults, so that what it does not say is still the user's to say.

    Args:
        command: with parameters `region`, `resolution`, `guide` and `guide_pretrained`.
        settings: of a method or of a run.
    """
    signature = inspect.signature(command)
    parameters = [
        parameter.replace(default=settings.get(key, parameter.default))
        for key, parameter in signature.parameters.items()
    ]

    @functools.wraps(command)
    def changed(*given: Any, **named: Any) -> None:
        command(*given, **named)

    changed.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  tyro goes by it
    return changed


def settings_of_run(config_yml: Path) -> Dict[str, Any]:
    """With what a run of ours looked for its region; of another run nothing.

    Raises:
        BlendingNerfError: the file is no run's, or of a method that has no base for us.
    """
    from blending_nerf_ns.bases.loading import read_run_config
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig

    pipeline = read_run_config(config_yml)[0].pipeline
    if not isinstance(pipeline, BlendingPipelineConfig):
        return {}
    usual = settings_of(PLAIN)["region"]
    found = _looked_with(pipeline)
    return {**found, "region": replace(usual, **{name: getattr(found["region"], name) for name in LOOKING})}


def settings_of(name: str) -> Dict[str, Any]:
    """With what a method looks for a region.

    Raises:
        BlendingNerfError: no such method is registered, or it looks for none.
    """
    from nerfstudio.configs.method_configs import all_methods

    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig

    found = {key: getattr(method, "pipeline", None) for key, method in all_methods.items()}
    ours = {key: pipeline for key, pipeline in found.items() if isinstance(pipeline, BlendingPipelineConfig)}
    if name not in ours:
        raise BlendingNerfError(f"--like {name}: a method that looks for a region is one of {', '.join(sorted(ours))}")
    return _looked_with(ours[name])


def _looked_with(pipeline: Any) -> Dict[str, Any]:
    return {
        "region": pipeline.region,
        "resolution": pipeline.model.region_resolution,
        "guide": pipeline.guidance.model,
        "guide_pretrained": pipeline.guidance.pretrained,
    }
