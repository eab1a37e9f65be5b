"""`blending-nerf edits`: the layers of a run, and edits as files. Quick: no NeRF is built and no picture made."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typing_extensions import Annotated

from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.edit import build_edit
from blending_nerf_ns.edits.file import FORMAT, check_name, load_edit, read_edit_header, save_edit
from blending_nerf_ns.edits.layer import LayerInfo, unpack
from blending_nerf_ns.edits.layers import new_id
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.holding import held_alone
from blending_nerf_ns.runs.layers import (
    RunLayers,
    drop_layer,
    layers_table,
    moved_hint,
    open_run,
    put_layer,
    run_folder,
    strengths_text,
)
from blending_nerf_ns.runs.look import Look, rewrite_look

Run = Annotated[Path, tyro.conf.Positional]


def list_layers(run: Run) -> None:
    """List a run's layers, the lowest first: what each is, whether it is on and how strongly.

    Args:
        run: config.yml of a run of blending-nerf, or its folder. Nothing in it is executed.
    """
    _say_layers(open_run(run))


def show_file(file: Annotated[Path, tyro.conf.Positional]) -> None:
    """Say what an edit file holds; its base is not needed.

    Args:
        file: NAME.edit.safetensors.
    """
    header = read_edit_header(file)
    try:
        info, resolution = LayerInfo.from_dict(header.description["info"]), int(header.description["resolution"])
    except (KeyError, TypeError, ValueError) as error:
        raise BlendingNerfError(f"{file} does not say what edit it is: {error!r}") from error
    table = Table("", "", title=escape(str(file)), title_justify="left", show_header=False)
    for name, value in (
        ("format", FORMAT),
        ("layer", info.name),
        ("from", info.source_text),
        ("to", info.target_text),
        ("strengths", strengths_text(info)),
        ("voxels a side", str(resolution)),
        ("made on the base", header.base),
        ("size", f"{file.stat().st_size / 1e6:.2f} MB"),
    ):
        table.add_row(name, escape(value))
    Console().print(table)


def save_layer(run: Run, name: Annotated[str, tyro.conf.Positional], output: Path) -> None:
    """Write one layer of a run as a file, with the strengths that its look gives it.

    Args:
        run: config.yml of a run of blending-nerf, or its folder.
        name: the layer's name or id.
        output: NAME.edit.safetensors.
    """
    check_name(output)
    found = open_run(run)
    info, base = found.find(name), found.base
    if info.id == found.in_work and found.work_is_empty:
        raise BlendingNerfError(f"{name!r} is in work and still empty: there is nothing to save; train it first")
    tensors = found.tensors(info.id)
    edit = build_edit(unpack(tensors["_extra_state"]))
    edit.load_state_dict(of_any_age(tensors))
    edit.info = replace(info, visible=True)
    replaced = " in place of what was there" if output.exists() else ""
    save_edit(edit, base, output)
    Console().print(
        f"{escape(_called(info))} is in {escape(str(output))}{replaced} ({output.stat().st_size / 1e6:.2f} MB)",
        soft_wrap=True,
    )


def apply_file(
    run: Run, file: Annotated[Path, tyro.conf.Positional], any_base: tyro.conf.FlagCreatePairsOff[bool] = False
) -> None:
    """Put an edit file on a run: into its newest checkpoint, directly under the edit in work.

    Not while the run is open, also where its viewer only waits: its next save would be without the layer. That viewer loads it.

    Args:
        run: config.yml of a run of blending-nerf, or its folder.
        file: NAME.edit.safetensors.
        any_base: also where it was made on another base than the run's; its region may lie elsewhere.
    """
    with held_alone(run_folder(run)):
        said = _apply(run, file, any_base)
    _report(run, said)


def _apply(run: Path, file: Path, any_base: bool) -> str:
    found = open_run(run)
    edit = load_edit(file, found.base, any_base)
    taken, own = {info.id for info in found.trained}, edit.info.id
    id = edit.info.id if edit.info.id.isalnum() and edit.info.id not in taken else new_id()
    edit.info = replace(edit.info, id=id)
    put_layer(found, edit, [info.id for info in found.trained].index(found.in_work))
    # a look that knows it says already how it is shown
    if found.look is not None and all(info.id != id for info in found.look.layers):
        shown = list(found.shown)
        shown.insert([info.id for info in shown].index(found.in_work), edit.info)
        rewrite_look(Look(tuple(shown), found.fades), found.folder)
    twice = f" It was already: what is on acts twice, until {shlex.join(['blending-nerf', 'edits', 'remove', str(run), id])}."
    return f"{_called(edit.info)} is on it now.{twice if own in taken else ''}"


def remove_layer(run: Run, name: Annotated[str, tyro.conf.Positional]) -> None:
    """Take a frozen layer out of a run's newest checkpoint and look. `blending-nerf edits save` keeps it before.

    Not while the run is open: its viewer deletes it.

    Args:
        run: config.yml of a run of blending-nerf, or its folder.
        name: the layer's name or id.
    """
    with held_alone(run_folder(run)):
        said = _remove(run, name)
    _report(run, said)


def _remove(run: Path, name: str) -> str:
    found = open_run(run)
    info = found.find(name)
    if info.id == found.in_work:
        hide = shlex.join(["blending-nerf", "look", str(run), "--hide", name])
        raise BlendingNerfError(f"{name!r} is in work and cannot be removed; hide it: {hide}")
    drop_layer(found, info.id)
    if found.look is not None:
        rewrite_look(Look(tuple(other for other in found.shown if other.id != info.id), found.fades), found.folder)
    return f"{_called(info)} is gone."


COMMANDS = {
    "list": list_layers,
    "show": show_file,
    "save": save_layer,
    "apply": apply_file,
    "remove": remove_layer,
}


def _called(info: LayerInfo) -> str:
    return f"layer {info.name!r} ({info.id})"


def _report(run: Path, done: str) -> None:
    found = open_run(run)
    Console().print(escape(done), soft_wrap=True)  # it may hold a command, to be copied
    _say_layers(found)


def _say_layers(found: RunLayers) -> None:
    console = Console()
    console.print(layers_table(found, found.shown, found.fades))
    if hint := moved_hint(found.folder):
        console.print(hint, style="yellow", markup=False)
