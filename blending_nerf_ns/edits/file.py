"""An edit as a file: `NAME.edit.safetensors`, float16, no pickle. What users keep, share, undo and apply."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.edit import Edit, build_edit
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.atomic import replacing

FORMAT = "blending-nerf edit 1"
SUFFIX = ".edit.safetensors"
DERIVED = ("region.weight", "region.color_weight", "_extra_state")
"""What follows from the rest: weights are cut from the evidence, the description is the file's metadata."""
EXACT = (
    "region.lower",
    "region.upper",
    "region.settings",
    "region.reach",
    "field.lower",
    "field.upper",
    "field.seed",  # and its reach
    "field.softness",
    "field.stretch",
    "field.fog",
    "field.light",
)
"""Kept in full precision: places and constants, not weights."""


class EditFile(NamedTuple):
    """What an edit's file says of it, before its tensors are read."""

    description: Mapping[str, Any]
    """See `Edit.description`."""
    base: str
    """Fingerprint of the base that it was made on."""


def check_name(path: Path) -> None:
    """Say that a file which a person names for an edit is not called like one: another file may have that name.

    Raises:
        BlendingNerfError: with the name.
    """
    if not path.name.endswith(SUFFIX):
        raise BlendingNerfError(f"an edit file's name ends with {SUFFIX}, and {path} does not")


def save_edit(edit: Edit, base: str, path: Path) -> None:
    """Write an edit; a file of that name is replaced at once or, if this is interrupted, not at all.

    Args:
        edit: region, field and description.
        base: fingerprint of its base (`bases.weights.fingerprint`).
        path: the file.
    """
    with replacing(path) as partial:
        partial.write_bytes(edit_bytes(edit, base))


def edit_bytes(edit: Edit, base: str) -> bytes:
    """The file's content: also what a step back is kept as."""
    tensors = {name: _stored(name, value) for name, value in edit.state_dict().items() if not name.endswith(DERIVED)}
    return save(tensors, metadata={"format": FORMAT, "edit": json.dumps(edit.description), "base": base})


def read_edit_header(path: Path) -> EditFile:
    """Description and base's fingerprint.

    Raises:
        BlendingNerfError: no such file, or it is no edit.
    """
    if not path.is_file():
        raise BlendingNerfError(f"there is no edit file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return _header(file.metadata() or {}, path)
    except (SafetensorError, OSError) as error:
        raise BlendingNerfError(f"{path} is no edit file, or not all of one: {error}") from error


def load_edit(path: Path, base: str, any_base: bool = False, use_cuda: bool = False) -> Edit:
    """Read an edit, frozen, switched on, on the CPU.

    Args:
        path: the file.
        base: fingerprint of the base that it is to be put on.
        any_base: put it on another base than its own all the same.
        use_cuda: whether tinycudann may be used.

    Raises:
        BlendingNerfError: no edit, a broken one, or one of another base.
    """
    header = read_edit_header(path)
    if header.base != base and not any_base:
        raise BlendingNerfError(
            f"{path} was made on the base {header.base}, and this one is {base}: its region would lie elsewhere. "
            "Use the base that it was made on, or say that any base will do (--any-base; in ns-train --pipeline.edits-of-any-base)"
        )
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    edit = _with_tensors(build_edit(header.description, use_cuda), tensors, str(path))
    edit.info = replace(edit.info, visible=True)  # it may have been hidden where it was saved
    return edit


def edit_from_bytes(content: bytes) -> Edit:
    """The inverse of `edit_bytes`."""
    from safetensors.torch import load

    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return _with_tensors(build_edit(json.loads(metadata["edit"])), load(content), "the kept edit")


def _header(metadata: Mapping[str, str], path: Path) -> EditFile:
    found = metadata.get("format")
    if found != FORMAT:
        raise BlendingNerfError(
            f"{path} has the format {found!r}, not {FORMAT!r}: another version wrote it, or no edit"
        )
    try:
        return EditFile(json.loads(metadata["edit"]), metadata["base"])
    except (KeyError, ValueError) as error:
        raise BlendingNerfError(f"{path} does not say what edit it is: {error!r}") from error


def _with_tensors(edit: Edit, tensors: Mapping[str, Tensor], what: str) -> Edit:
    own = {name: value for name, value in edit.state_dict().items() if not name.endswith(DERIVED)}
    tensors = of_any_age(tensors)
    wrong = sorted(own.keys() ^ tensors.keys()) or [name for name in own if own[name].shape != tensors[name].shape]
    if wrong:
        raise BlendingNerfError(f"{what} does not hold what it describes: {', '.join(wrong[:6])}")
    if unknown := [name for name in own if name.startswith(EXACT) and not bool(tensors[name].isfinite().all())]:
        raise BlendingNerfError(f"{what} is damaged: there are NaN or infinities in {', '.join(unknown[:6])}")
    edit.load_state_dict({name: tensors[name].to(own[name].dtype) for name in own}, strict=False)
    if bool((edit.region.state > 0).any()):
        try:
            edit.region.reshape()
        except BlendingNerfError as error:
            raise BlendingNerfError(f"{what}: {error}") from error
    return edit


def _stored(name: str, value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    half = value.is_floating_point() and not name.startswith(EXACT)
    return value.to(torch.float16) if half else value
