"""The layers of a run as its newest checkpoint and its look have them: read and written without building a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import yaml
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from blending_nerf_ns.bases.checkpoint import read_content
from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.edits.activations import is_no_edit
from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.layer import OPERATIONS, LayerInfo, find_layer, pack, unpack
from blending_nerf_ns.errors import BlendingNerfError, shortened
from blending_nerf_ns.runs.checkpoints import newest_whole_step, write_whole
from blending_nerf_ns.runs.look import Look, read_look, shown_by, still_said_after

MODELS = "nerfstudio_models"
BASE, EDIT, FROZEN, EXTRA = "_model.base.", "_model.edit.", "_model.layers.frozen.", "_extra_state"
LAYERS = "_model.layers._extra_state"
OUTPUTS = "output_dir"
"""Field of config.yml that names the folder of all runs,"""
PLACES = ("experiment_name", "method_name", "timestamp")
"""and those that name a run's folders in it."""
INSIDE = 0.5
"""A voxel of this weight and more is in the region."""


@dataclass(frozen=True)
class RunLayers:
    """What a run's newest checkpoint and its look say of its layers."""

    folder: Path
    """The run's folder."""
    checkpoint: Path
    """Its newest whole checkpoint."""
    content: Mapping[str, Any]
    """All that is in it (`read_content`)."""
    trained: Tuple[LayerInfo, ...]
    """The layers as the checkpoint has them, the lowest first."""
    in_work: str
    """Id of the one that trains."""
    look: Optional[Look]
    """How they are shown, if that was said."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The pipeline's state dict."""
        return self.content["pipeline"]

    @property
    def shown(self) -> Tuple[LayerInfo, ...]:
        """The layers as every ns-* command shows them, the lowest first."""
        return tuple(shown_by(self.look, self.trained))

    @property
    def fades(self) -> bool:
        """Whether the times of a camera path scale all strengths."""
        return self.look is not None and self.look.fade

    @property
    def work_is_empty(self) -> bool:
        """Whether the edit in work has no region yet, or has not begun."""
        edit, ready = of_any_age(self.tensors(self.in_work)), bool(self.state["_model.edit_ready"])
        return not ready or is_no_edit(edit["field.shape_head.bias"], edit["field.seed"])

    @property
    def base(self) -> str:
        """Fingerprint of the base.

        Raises:
            BlendingNerfError: it still trains, so that it has none.
        """
        if not bool(self.state["_model.base_frozen"]):
            raise BlendingNerfError(f"The base in {self.checkpoint} is not trained to its end. Resume that run first.")
        return fingerprint(_under(self.state, BASE))

    def find(self, name: str) -> LayerInfo:
        """A layer as it is shown, by its name or id; raises BlendingNerfError where there is none, or several."""
        return find_layer(self.shown, name)

    def tensors(self, id: str) -> Dict[str, Tensor]:
        """The state dict of one layer's `Edit`."""
        return _under(self.state, _prefix(id, self.in_work))

    def voxels(self, id: str) -> int:
        """Size of a layer's region."""
        return int((self.tensors(id)["region.weight"] > INSIDE).sum())


def open_run(run: Path, with_look: bool = True) -> RunLayers:
    """Read a run's layers. Its config.yml is not read: nothing of the run is executed.

    Args:
        run: its config.yml or folder.
        with_look: whether its look counts; one that is damaged is an error then.

    Raises:
        BlendingNerfError: no run, none of blending-nerf, or no whole checkpoint.
    """
    folder = run_folder(run)
    checkpoint = folder / MODELS / f"step-{newest_whole_step(folder / MODELS):09d}.ckpt"
    content = read_content(checkpoint)
    trained, in_work = _read_layers(content["pipeline"], checkpoint)
    return RunLayers(folder, checkpoint, content, trained, in_work, read_look(folder) if with_look else None)


def run_folder(run: Path) -> Path:
    """The folder of a run that is named by its config.yml or folder.

    Raises:
        BlendingNerfError: there is no run.
    """
    folder = run.expanduser()
    folder = folder.parent if folder.name in ("config.yml", MODELS) or folder.is_file() else folder
    if not (folder / MODELS).is_dir():
        if (folder / "config.yml").is_file():
            raise BlendingNerfError(
                f"{run} has no checkpoint: nothing was trained in it, or it ended before the first was saved"
            )
        raise BlendingNerfError(
            f"{run} is no run: there is no {folder / MODELS}. Give the config.yml that ns-train wrote, or its folder"
        )
    return folder


def put_layer(run: RunLayers, edit: Edit, place: int) -> None:
    """Rewrite the checkpoint with one frozen layer more.

    Args:
        run: as it is.
        edit: the layer, with an id that no other has.
        place: how many of the checkpoint's layers lie under it.
    """
    order = [info.id for info in run.trained]
    order.insert(place, edit.info.id)
    own = {f"{FROZEN}{edit.info.id}.{name}": value.cpu() for name, value in edit.state_dict().items()}
    _rewrite(run, {**run.state, **own}, order)


def drop_layer(run: RunLayers, id: str) -> None:
    """Rewrite the checkpoint without a frozen layer."""
    start = _prefix(id, run.in_work)
    state = {name: value for name, value in run.state.items() if not name.startswith(start)}
    _rewrite(run, state, [info.id for info in run.trained if info.id != id])


def layers_table(run: RunLayers, layers: Sequence[LayerInfo], fades: bool) -> Table:
    """A table for people.

    Args:
        run: that holds the layers.
        layers: as they are shown, the lowest first.
        fades: whether camera paths fade them in.
    """
    note = ", faded in by camera paths" if fades else ""
    title = f"layers of {escape(str(run.folder))}, the lowest first{note}"
    table = Table("layer", "id", "", "from", "to", "strengths", title=title, title_justify="left")
    table.add_column("voxels", justify="right")
    for info in layers:
        in_work = info.id == run.in_work
        kind = [("in work, empty" if run.work_is_empty else "in work")] if in_work else []
        table.add_row(
            *map(escape, (shortened(info.name), info.id, ", ".join([*kind, "on" if info.visible else "off"]))),
            *map(escape, (shortened(info.source_text), shortened(info.target_text), strengths_text(info))),
            str(run.voxels(info.id)),
        )
    return table


def moved_hint(folder: Path) -> Optional[str]:
    """A line for a run that lies elsewhere than its config.yml says, where the ns-* commands look for it; None where it does not.

    Args:
        folder: the run's. Its config.yml is read as plain YAML, and nothing in it is executed.
    """
    path = folder / "config.yml"
    if not path.is_file():
        return None
    try:
        whole = yaml.compose(path.read_text("utf8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    fields = whole.value if isinstance(whole, yaml.MappingNode) else []  # nodes, of which none is made into anything
    nodes = {key.value: value for key, value in fields}
    names = [node.value if isinstance(node := nodes.get(name), yaml.ScalarNode) else "" for name in PLACES]
    if not all(names):
        return None
    parts = nodes.get(OUTPUTS)  # a pathlib.Path is written as the list of its parts
    within = [str(part.value) for part in parts.value] if isinstance(parts, yaml.SequenceNode) else []
    wanted = Path(*within, *names)
    if wanted.resolve() == folder.resolve():
        return None
    tail = tuple(part for part in wanted.parts if part not in ("..", "."))
    if not wanted.is_absolute() and tail in (
        folder.resolve().parts[-len(tail) :],
        folder.absolute().parts[-len(tail) :],
    ):
        return None
    return (
        f"This run was moved or copied: its config.yml says {wanted}, and it lies in {folder.resolve()}. The ns-* commands look for "
        "it where config.yml says, and see nothing of this."
    )


def strengths_text(info: LayerInfo) -> str:
    """The operations that an edit uses, with their strengths: "add 1, change 0.5"."""
    used = zip(OPERATIONS, info.strengths, strict=True)
    return ", ".join(f"{name} {strength:g}" for name, strength in used if name in info.operations)


def _read_layers(state: Mapping[str, Tensor], checkpoint: Path) -> Tuple[Tuple[LayerInfo, ...], str]:
    """All layers, the lowest first, and the id of the one in work."""
    if LAYERS not in state:
        raise BlendingNerfError(
            f"{checkpoint} holds no list of layers: it is not of a run of blending-nerf, or an older version wrote it"
        )
    try:
        in_work = LayerInfo.from_dict(unpack(state[EDIT + EXTRA])["info"]).id
        order = [str(id) for id in unpack(state[LAYERS])["order"]]
        said = [(id, unpack(state[_prefix(id, in_work) + EXTRA])["info"]) for id in order]
        if in_work not in order:
            raise ValueError(f"the edit in work, {in_work!r}, has no place among {order}")
        return tuple(replace(LayerInfo.from_dict(info), id=id) for id, info in said), in_work
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BlendingNerfError(f"the layers in {checkpoint} cannot be read: {error!r}") from error


def _rewrite(run: RunLayers, state: Mapping[str, Tensor], order: Sequence[str]) -> None:
    layers = pack({"order": list(order)})
    with still_said_after(run.checkpoint, run.folder):
        write_whole({**run.content, "pipeline": {**state, LAYERS: layers}}, run.checkpoint)


def _prefix(id: str, in_work: str) -> str:
    return EDIT if id == in_work else f"{FROZEN}{id}."


def _under(state: Mapping[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
