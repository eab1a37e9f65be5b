"""Regions that were found once, kept on disk: the next edit of the same thing in the same base begins at once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Sequence

from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from blending_nerf_ns.atomic import replacing
from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.localization.build import FoundRegion
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import load_region, read_metadata, save_region
from blending_nerf_ns.localization.masks import mask_files

FOUND = "found"
"""Of a kept file's metadata: how its region was found."""


def keep_region(
    config: RegionConfig,
    told: Sequence[Any],
    state: Mapping[str, Tensor],
    cameras: Cameras,
    find: Callable[[], FoundRegion],
) -> FoundRegion:
    """A region from `config.kept`, if the same was looked for before; else it is found, and kept there.

    Args:
        config: of the region; nothing is kept where it names no folder, nor solids and files, which take no time.
        told: what else it depends on, as plain values: source text, resolution, guide.
        state: the base's weights.
        cameras: training cameras.
        find: finds it.

    Returns:
        The region, on the CPU where it was kept, with the seconds that finding it had taken (`earlier`).
    """
    if config.kept is None or not any(config.reads(source) for source in ("text", "masks")):
        return find()
    started = time.perf_counter()
    path = config.kept / f"{region_key(config, told, state, cameras)}.safetensors"
    if path.is_file():
        CONSOLE.print(f"The region was found before and is taken from {path}.")
        return FoundRegion(load_region(path), **json.loads(read_metadata(path)[FOUND]))
    found = find()
    said = {"highest": found.highest, "covered": found.covered, "seconds": found.seconds}
    said["earlier"] = time.perf_counter() - started
    with replacing(path) as partial:
        save_region(found.region, partial, {FOUND: json.dumps(said)})
    return found


def region_key(config: RegionConfig, told: Sequence[Any], state: Mapping[str, Tensor], cameras: Cameras) -> str:
    """A few letters for everything that a region depends on; of the localiser and the guide only the names are read.

    Args: see `keep_region`.
    """
    values = {name: value for name, value in asdict(config).items() if name != "kept"}
    masks: list[tuple[str, int, int]] = []
    if config.masks is not None and config.reads("masks"):
        masks = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in mask_files(config.masks)]
    views = {name: getattr(cameras, name) for name in ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height")}
    said = json.dumps([values, list(told), masks, fingerprint(state), fingerprint(views)], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
