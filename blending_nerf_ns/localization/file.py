"""A region as a file: what `blending-nerf region` writes and an edit can start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Dict, Optional

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from blending_nerf_ns.edits.age import of_any_age
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.errors import BlendingNerfError

FORMAT = "blending-nerf region 1"
OPERATIONS_FOR = "operations"
"""Under this name it says for which operations it was given room."""
FOUND_ON = "base"
"""Under this the fingerprint of the base that it was found on (`bases.weights.fingerprint`)."""
DERIVED = ("weight", "color_weight")
NOTHING: Mapping[str, str] = MappingProxyType({})


def save_region(region: Region, path: Path, metadata: Mapping[str, str] = NOTHING) -> None:
    """Write evidence and settings, and more that is to be known; the weights follow from them."""
    state = {name: value.contiguous().cpu() for name, value in region.state_dict().items() if name not in DERIVED}
    save_file(state, path, metadata={**metadata, "format": FORMAT})


def load_region(path: Optional[Path]) -> Region:
    """Read a region, on the CPU, cut as it was when it was written.

    Raises:
        BlendingNerfError: no such file, or not a region.
    """
    if path is None:
        raise BlendingNerfError(
            "the region's source is file, and none is named: give --pipeline.region.file region.safetensors, which "
            "`blending-nerf region` writes"
        )
    if not path.is_file():
        raise BlendingNerfError(f"there is no region file {path}; write one with `blending-nerf region`")
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise KeyError(f"its format is not {FORMAT!r}")
        state = of_any_age(load_file(path))
        region = Region(state["probability"].shape[0])
        region.load_state_dict({**state, **{name: getattr(region, name) for name in DERIVED}})
        region.reshape()
    except (SafetensorError, KeyError, IndexError, RuntimeError, BlendingNerfError) as error:
        raise BlendingNerfError(f"{path} is no region that `blending-nerf region` wrote: {error}") from error
    return region


def other_operations_hint(path: Path, operations: Sequence[str]) -> Optional[str]:
    """A line for an edit whose region was given room for other operations than its own; None where nothing says so.

    Args:
        path: the region's file.
        operations: what the edit may do.
    """
    meant = read_metadata(path).get(OPERATIONS_FOR, "").split()
    if not meant or set(meant) == set(operations):
        return None
    return (
        f"The region in {path} has the room of an edit that may {', '.join(meant)}, and this one may {', '.join(operations)}: "
        f"found anew by `blending-nerf region --operations {' '.join(operations)}` it has its own."
    )


def other_base_hint(path: Path, base: str) -> Optional[str]:
    """A line for an edit whose region was found on another base; None where it is this one, or nothing says so.

    Args:
        path: the region's file.
        base: fingerprint of the base that is edited.
    """
    if read_metadata(path).get(FOUND_ON, base) == base:
        return None
    return (
        f"The region in {path} was found on another base than this. It has the same coordinates here, which is the same place only if "
        "capture and dataparser are the same: look at the output region_overlay before you train for long."
    )


def read_metadata(path: Path) -> Dict[str, str]:
    """What was written beside a region."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})
