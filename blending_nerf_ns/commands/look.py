"""`blending-nerf look`: how a run is shown, without a viewer. All ns-* commands show it so from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Tuple

import tyro
from rich.console import Console
from typing_extensions import Annotated

from blending_nerf_ns.edits.layer import LayerInfo, find_layer
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.layers import layers_table, moved_hint, open_run
from blending_nerf_ns.runs.look import FILE, Look, write_look


def look(
    run: Annotated[Path, tyro.conf.Positional],
    layer: Optional[str] = None,
    add: Optional[float] = None,
    remove: Optional[float] = None,
    change: Optional[float] = None,
    show: Tuple[str, ...] = (),
    hide: Tuple[str, ...] = (),
    order: Tuple[str, ...] = (),
    fade: tyro.conf.DisallowNone[Optional[bool]] = None,
    reset: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Choose which layers of a run are shown, in which order and how strongly; without an option, only say so.

    Writes look.json beside config.yml, which ns-viewer, ns-render, ns-eval and ns-export follow. Layers go by name or id.

    Args:
        run: config.yml of a run of blending-nerf, or its folder. Nothing in it is executed.
        layer: whose strengths are meant; all layers' if none is named.
        add: blend ratio of what was added, from 0 (off) over 1 (as trained) to 10.
        remove: blend ratio of what was removed.
        change: blend ratio of what was recoloured.
        show: layers to switch on.
        hide: layers to switch off.
        order: all layers, the lowest first.
        fade: whether a camera path's `render_time`, from 0 to 1, scales all strengths, frame by frame.
        reset: forget the look that there is: back to what the checkpoint says, then whatever else is asked for.
    """
    found = open_run(run, with_look=not reset)
    strengths = {"add": add, "remove": remove, "change": change}
    stronger = any(value is not None for value in strengths.values())
    if layer is not None and not stronger:
        raise BlendingNerfError(f"say what becomes of {layer!r}: --layer goes with --add, --remove or --change")
    infos: Sequence[LayerInfo] = found.trained if reset else found.shown
    if stronger:
        chosen = find_layer(infos, layer).id if layer is not None else None
        infos = [info.with_strengths(**strengths) if chosen in (None, info.id) else info for info in infos]
        for line in without_effect(infos, chosen, strengths):
            Console().print(line, style="yellow", markup=False)
    infos = arranged(switched(infos, show, hide), order)
    fades = fade if fade is not None else found.fades and not reset
    if stronger or show or hide or order or fade is not None:
        write_look(Look(tuple(infos), fades), found.folder)
    elif reset:
        (found.folder / FILE).unlink(missing_ok=True)
    Console().print(layers_table(found, infos, fades))
    if hint := moved_hint(found.folder):
        Console().print(hint, style="yellow", markup=False)


def without_effect(
    layers: Sequence[LayerInfo], chosen: Optional[str], strengths: Mapping[str, Optional[float]]
) -> List[str]:
    """A line for each blend ratio that no layer meant by it has anything for.

    Args:
        layers: all of them.
        chosen: id of the one that is meant; None: all.
        strengths: what was given, by operation.
    """
    meant = [info for info in layers if chosen in (None, info.id)]
    said = [name for name, value in strengths.items() if value is not None]
    vain = [name for name in said if not any(name in info.operations for info in meant)]
    which = "no layer may" if chosen is None else f"{meant[0].name or meant[0].id!r} may not"
    return [f"--{name} changes nothing: {which} {name}." for name in vain]


def switched(layers: Sequence[LayerInfo], show: Sequence[str], hide: Sequence[str]) -> List[LayerInfo]:
    """Layers with some of them on and some off.

    Raises:
        BlendingNerfError: a name that is no layer's, or one for both.
    """
    on, off = ({find_layer(layers, name).id for name in names} for names in (show, hide))
    if on & off:
        both = ", ".join(repr(info.name or info.id) for info in layers if info.id in on & off)
        raise BlendingNerfError(f"{both} cannot be shown and hidden at once; leave it out of --show or of --hide")
    return [replace(info, visible=(info.visible or info.id in on) and info.id not in off) for info in layers]


def arranged(layers: Sequence[LayerInfo], order: Sequence[str]) -> List[LayerInfo]:
    """Layers in another order.

    Args:
        layers: the lowest first.
        order: their names or ids, the lowest first; empty: as they are.

    Raises:
        BlendingNerfError: not all of them, or one twice.
    """
    wanted = [find_layer(layers, name) for name in order]
    if wanted and sorted(info.id for info in wanted) != sorted(info.id for info in layers):
        known = ", ".join(f"{info.name!r} ({info.id})" for info in layers)
        raise BlendingNerfError(
            f"--order {' '.join(order)} must name each layer once, the lowest first; they are {known}"
        )
    return wanted or list(layers)
