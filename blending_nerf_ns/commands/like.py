"""`blending-nerf region --like METHOD`: a command whose defaults are a training method's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Dict, Optional

from blending_nerf_ns.errors import BlendingNerfError

FLAG, PLAIN = "--like", "blending-nerf-cpu"


def method_asked_for(arguments: Sequence[str]) -> Optional[str]:
    """The method whose settings a command line asks for; None where it is the one that the command has anyway.

    Example:
        >>> method_asked_for(["region", "RUN", "--like", "blending-nerf"]), method_asked_for(["region", "--like=blending-nerf"])
        ('blending-nerf', 'blending-nerf')
        >>> method_asked_for(["region", "RUN"]) is None
        True
    """
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == FLAG:
            asked = value if equals else "".join(arguments[number + 1 : number + 2])
            return None if asked == PLAIN else asked
    return None


def like_method(command: Callable[..., None], name: str) -> Callable[..., None]:
    """The same command with the defaults of a method, so that what it does not say is still the user's to say.

    Args:
        command: with parameters `region`, `resolution`, `guide` and `guide_pretrained`.
        name: of the method.
    """
    settings = settings_of(name)
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
    pipeline = ours[name]
    return {
        "region": pipeline.region,
        "resolution": pipeline.model.region_resolution,
        "guide": pipeline.guidance.model,
        "guide_pretrained": pipeline.guidance.pretrained,
    }
