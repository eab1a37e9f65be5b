"""nerfstudio's checkpoints, read without running anything that is in them."""

import pickle
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from blending_nerf_ns.bases.weights import base_weights
from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.errors import BlendingNerfError


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint of the highest step in a run's model folder."""
    steps = steps_in(folder)
    if not steps:
        raise BlendingNerfError(
            f"The base run has no checkpoint: no step-*.ckpt in {folder}. Was its training stopped before the first "
            "save (--steps-per-save), or was only a part of its folder copied?"
        )
    return steps[max(steps)]


def steps_in(folder: Path) -> dict[int, Path]:
    """The checkpoints in a run's model folder by their steps; what has another name, such as somebody's copy, is none."""
    named = {path.stem.removeprefix("step-"): path for path in folder.glob("step-*.ckpt")}
    return {int(name): path for name, path in named.items() if name.isdigit()}


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there to its end: torch writes zip files, whose directory comes last."""
    return zipfile.is_zipfile(path)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], int]:
    """The weights of a nerfacto run, or of the base in one of our own runs, and the step."""
    content = read_content(path)
    state = _model_state(content["pipeline"])
    if "base_frozen" in state:
        if not bool(state["base_frozen"]):
            raise BlendingNerfError(f"The base in {path} is not trained to its end. Resume that run first.")
        state = {key.removeprefix("base."): value for key, value in state.items() if key.startswith("base.")}
    state = base_weights(state)
    if "field.aabb" not in state:
        raise BlendingNerfError(f"{path} holds no nerfacto field (no weight 'field.aabb'): not a nerfacto run.")
    return {key: value.clone() for key, value in state.items()}, content["step"]


def read_content(path: Path) -> dict[str, Any]:
    """All that a checkpoint holds: "step", "pipeline" (weights by name), optimisers and the like.

    No pickled code runs; tensors are mapped, not read.

    Raises:
        BlendingNerfError: not a whole checkpoint, or one with more than tensors and numbers.
    """
    allow_nerfstudio_checkpoints()
    if not is_whole(path):
        raise BlendingNerfError(
            f"The checkpoint {path} ({path.stat().st_size} bytes) is truncated or not a checkpoint. Copy it again, or "
            "delete it if an earlier step lies beside it."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        state = {str(key): value for key, value in content["pipeline"].items()}
        return {**content, "pipeline": state, "step": int(content["step"])}
    except pickle.UnpicklingError as error:
        raise BlendingNerfError(
            f"The checkpoint {path} holds more than tensors and numbers, so it was not loaded: {error}"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, TypeError, AttributeError) as error:
        raise BlendingNerfError(f"The checkpoint {path} is not one that nerfstudio wrote whole: {error!r}") from error


def _model_state(pipeline: dict[str, Tensor]) -> dict[str, Tensor]:
    """A pipeline's entries that are its model's, without the prefixes of pipeline and DistributedDataParallel."""
    own = {key.removeprefix("module."): value for key, value in pipeline.items()}
    own = {key.removeprefix("_model."): value for key, value in own.items() if key.startswith("_model.")}
    if own and all(key.startswith("module.") for key in own):
        own = {key.removeprefix("module."): value for key, value in own.items()}
    return own


def trained_implementation(state: dict[str, Tensor], checkpoint: Path) -> Literal["tcnn", "torch"]:
    """What the weights are for; the configuration only says what was asked for, and nerfstudio falls back silently."""
    if not any(key.endswith(".params") for key in state):  # tinycudann keeps each network in one flat parameter
        return "torch"
    from nerfstudio.utils.external import TCNN_EXISTS

    if not TCNN_EXISTS:
        raise BlendingNerfError(
            f"The base {checkpoint} was trained with tinycudann, which does not import here, and its weights have no "
            "other reader. Install tinycudann, or train the base with `--pipeline.model.implementation torch`."
        )
    return "tcnn"
