"""A region as a file: what `blending-nerf region` writes and an edit can start from."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.errors import BlendingNerfError

FORMAT = "blending-nerf region 1"


def save_region(region: Region, path: Path) -> None:
    """Write evidence and settings; the weight follows from them."""
    state = {name: value.contiguous().cpu() for name, value in region.state_dict().items() if name != "weight"}
    save_file(state, path, metadata={"format": FORMAT})


def load_region(path: Optional[Path], resolution: Optional[int] = None) -> Region:
    """Read a region, on the CPU.

    Args:
        path: of the file.
        resolution: that the model expects; any if None.

    Raises:
        BlendingNerfError: no such file, not a region, or one of another resolution.
    """
    if path is None or not path.is_file():
        raise BlendingNerfError(f"there is no region file {path}; write one with `blending-nerf region`")
    try:
        state = load_file(path)
        region = Region(state["probability"].shape[0])
        region.load_state_dict({**state, "weight": region.weight})
    except (SafetensorError, KeyError, IndexError, RuntimeError) as error:
        raise BlendingNerfError(f"{path} is no region that `blending-nerf region` wrote: {error}") from error
    if resolution is not None and region.resolution != resolution:
        raise BlendingNerfError(
            f"{path} has {region.resolution} voxels a side, this model {resolution}: give "
            f"--pipeline.model.region-resolution {region.resolution}"
        )
    region.reshape()
    return region
