"""A finished nerfstudio run of nerfacto as a base: read without starting anything, checked, rebuilt as it was.

nerfstudio's `eval_setup` would start the run's datamanager and look for its files from the folder in which it was
trained. Here everything comes from the run's own folder, wherever that lies now: config.yml, the newest checkpoint
(scene box and number of images are in its weights), dataparser_transforms.json.
"""

import copy
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import yaml
from jaxtyping import Float
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.nerfacto import NerfactoModel
from torch import Tensor

from blending_nerf_ns.bases.checkpoint import newest_checkpoint, read_checkpoint, trained_implementation
from blending_nerf_ns.bases.nerfacto import NerfactoBase, NerfactoBaseConfig
from blending_nerf_ns.bases.placement import FILE, Placement, placement_of, read_placement
from blending_nerf_ns.bases.weights import fingerprint, load_base_state
from blending_nerf_ns.errors import BlendingNerfError

LAST_FIELD = "vis"
"""Of a trainer's configuration, whose fields nerfstudio writes in the order of the alphabet."""


@dataclass(frozen=True)
class BaseRun:
    """What a finished nerfacto run holds of its scene; nothing here refers to the run's files any more."""

    config_path: Path
    """The config.yml that it was read from."""
    model_config: NerfactoBaseConfig
    """The run's model options; `implementation` is what the checkpoint was really trained with."""
    state: dict[str, Tensor]
    """The model's weights by name, on the CPU (see `weights.base_weights`)."""
    aabb: Float[Tensor, "2 3"]
    """Scene box of the run, in scene coordinates."""
    num_images: int
    """Training images of the run: rows of its appearance embedding and camera optimiser."""
    dataparser_config: DataParserConfig
    """How the run read its capture; `data` is the path it was given, perhaps relative to a folder of then."""
    transform: Float[Tensor, "3 4"]
    """Dataparser transform of the run, applied before the scale."""
    scale: float
    """Dataparser scale of the run."""
    step: int
    """Training step of the checkpoint."""
    fingerprint: str
    """See `weights.fingerprint`."""


def read_base_run(config_yml: Path) -> BaseRun:
    """Read a finished run of nerfstudio's nerfacto, or the base of a run of ours.

    Only checkpoints are safe to read from strangers (`weights_only` stays on): nerfstudio's config.yml is YAML that can
    construct any Python object, so name only runs that you trust.

    Args:
        config_yml: the run's config.yml, or the folder that holds it. The run may have been moved.

    Raises:
        BlendingNerfError: no such file, a broken one, a method other than nerfacto, a tinycudann base where tinycudann
            is missing.
    """
    path = _config_path(Path(config_yml))
    config, model_config = read_run_config(path)
    checkpoint = newest_checkpoint(path.parent / config.relative_model_dir)
    state, step = read_checkpoint(checkpoint)
    transform, scale = read_placement(path.parent / FILE)
    return BaseRun(
        config_path=path,
        model_config=_model_config(model_config, trained_implementation(state, checkpoint)),
        state=state,
        aabb=state["field.aabb"].clone(),
        num_images=_num_images(state),
        dataparser_config=_dataparser_config(config.pipeline.datamanager),
        transform=transform,
        scale=scale,
        step=step,
        fingerprint=fingerprint(state),
    )


def build_base(config: NerfactoBaseConfig, aabb: Float[Tensor, "2 3"], num_images: int) -> NerfactoBase:
    """An untrained base for a scene box in scene coordinates and a number of training images."""
    return config.setup(scene_box=SceneBox(aabb=aabb.clone()), num_train_data=num_images)


def load_base(run: BaseRun) -> NerfactoBase:
    """The run's model with its weights, frozen, on the CPU: it renders what nerfstudio renders from that run."""
    base = build_base(copy.deepcopy(run.model_config), run.aabb, run.num_images)
    load_base_state(base, run.state)
    return base.freeze()


def check_same_capture(run: BaseRun, outputs: DataparserOutputs) -> None:
    """Refuse data whose scene coordinates are not the base's (`placement.py`).

    Raises:
        BlendingNerfError: with both transforms and both scales.
    """
    theirs, ours = Placement(run.transform, run.scale), placement_of(outputs)
    if ours.is_like(theirs):
        return
    raise BlendingNerfError(
        f"The base run {run.config_path} was trained on another capture, or on other frames or dataparser options of "
        f"this one. The base: {theirs}. This data: {ours}. "
        f"Use the data of the base ({run.dataparser_config.data}) with its options, or train a base on this data."
    )


def _config_path(path: Path) -> Path:
    path = path.expanduser()
    path = path / "config.yml" if path.is_dir() else path
    if not path.is_file():
        raise BlendingNerfError(
            f"No base run at {path}. Give the config.yml that `ns-train nerfacto` wrote, or the folder that holds it."
        )
    return path


def read_run_config(path: Path) -> tuple[Any, Any]:
    """The trainer configuration of a run, and the model configuration of its nerfacto.

    Args:
        path: its config.yml: YAML that can run code, from people whom you trust.

    Raises:
        BlendingNerfError: it is none, or of a method other than nerfacto and ours.
    """
    try:
        config = read_config(path)
    except BlendingNerfError as error:
        raise BlendingNerfError(f"{error}. A base must be a run of nerfacto; its file must be whole.") from error
    method, model_config = config.method_name, getattr(config.pipeline, "model", None)
    model_config = getattr(model_config, "base", model_config)  # a run of ours keeps its nerfacto under `base`
    target = getattr(model_config, "_target", None)
    if target not in (NerfactoModel, NerfactoBase):
        raise BlendingNerfError(
            f"{path} is a run of method '{method}' (model {getattr(target, '__name__', target)}), but a base must be a "
            "run of nerfacto. Train one with `ns-train nerfacto --data ...`, or leave the base run out: it is then "
            "trained first."
        )
    return config, model_config


def read_config(path: Path) -> Any:
    """The trainer configuration of a run of any method.

    Args:
        path: its config.yml: YAML that can run code, from people whom you trust.

    Raises:
        BlendingNerfError: it is none, or of a method that is not installed.
    """
    text = path.read_bytes().decode("utf8", errors="replace")  # it may be any file
    try:
        config = yaml.load(text, Loader=yaml.Loader)  # runs constructors: nerfstudio has no other format
        if not isinstance(config, TrainerConfig):
            raise TypeError(f"it holds a {type(config).__name__}")
        check_whole(config)
        return config
    except Exception as error:  # constructors of plugins that are not installed fail in any way
        named = re.search(r"^method_name:\s*(\S+)", text, re.MULTILINE)
        method = f" of method '{named[1]}'" if named else ""
        raise BlendingNerfError(
            f"{path} does not read as the configuration of a nerfstudio run{method}: {error}"
        ) from error


def check_whole(config: Any) -> None:
    """A part of a config.yml may be YAML as well, of which what is missing would be taken at its default.

    Raises:
        ValueError: its last field is not there.
    """
    if LAST_FIELD not in getattr(config, "__dict__", {}):
        raise ValueError(f"it does not end with {LAST_FIELD!r}, as every one does")


def _model_config(config: Any, implementation: Literal["tcnn", "torch"]) -> NerfactoBaseConfig:
    """The same options for our class; an option that an older run does not have keeps its default.

    nerfacto knows nothing of `fast_hash_grids`: its runs keep nerfstudio's arithmetic, and render as they did.
    """
    names = [item.name for item in fields(NerfactoBaseConfig) if item.name != "_target"]
    options = {name: copy.deepcopy(getattr(config, name)) for name in names if hasattr(config, name)}
    return NerfactoBaseConfig(**{"fast_hash_grids": False, **options, "implementation": implementation})


def _dataparser_config(datamanager: Any) -> DataParserConfig:
    config = copy.deepcopy(datamanager.dataparser)
    if datamanager.data is not None:  # as nerfstudio's datamanagers do when they start
        config.data = Path(datamanager.data)
    return config


def _num_images(state: dict[str, Tensor]) -> int:
    for key in ("field.embedding_appearance.embedding.weight", "camera_optimizer.pose_adjustment"):
        if key in state:
            return len(state[key])
    return 1  # nothing depends on it
