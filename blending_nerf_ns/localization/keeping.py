"""Regions that were found once, kept on disk: the next edit of the same thing in the same base begins at once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, List, Optional

from filelock import FileLock
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance import embedded
from blending_nerf_ns.localization.build import FoundRegion, warn_global
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import load_region, read_metadata, save_region
from blending_nerf_ns.localization.masks import mask_files
from blending_nerf_ns.runs.atomic import replacing

SEARCH = 12
"""Raise it where the search itself is changed: what an earlier version kept is then not taken any more."""
FOUND = "found"
"""Of a kept file's metadata: how its region was found."""
VIEW = ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "camera_type", "distortion_params")


@dataclass(frozen=True)
class Search:
    """All that a region depends on, beside its own options."""

    text: str
    """The source text."""
    guide: str
    """open_clip model that decides between parts, a name or a local path."""
    pretrained: Optional[str]
    """Its pretrained tag, or a local path."""
    resolution: int
    """Voxels along each side of the grid."""
    scene: str
    """How it renders: its options, as text."""
    weights: Mapping[str, Tensor]
    """Of the scene, with all edits that the region lies on."""
    cameras: Cameras
    """Training cameras."""
    images: Sequence[Path]
    """Their photos; only the names count."""

    def key(self, config: RegionConfig) -> str:
        """A few letters that are others where anything else is looked for. Of models on a hub only the names are known."""
        options = {name: value for name, value in asdict(config).items() if name != "kept"}
        views = {name: getattr(self.cameras, name) for name in VIEW if getattr(self.cameras, name) is not None}
        masks = mask_files(config.masks) if config.masks is not None and config.reads("masks") else []
        models = [_files(name) for name in (config.localizer, self.guide, self.pretrained) if name]
        said = [SEARCH, options, self.text, self.guide, self.pretrained, self.resolution, self.scene, models]
        said += [fingerprint(self.weights), fingerprint(views), [image.name for image in self.images], _stamps(masks)]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def keep_region(config: RegionConfig, search: Search, find: Callable[[], FoundRegion]) -> FoundRegion:
    """A region from `config.kept`, if the same was looked for before; else it is found, and kept there.

    Processes that look for the same wait for the first of them.

    Args:
        config: of the region; nothing is kept where it names no folder, nor solids and files, which take no time.
        search: what else the region depends on.
        find: finds it.

    Returns:
        The region (on the CPU where it was kept), with the seconds that finding it had taken.
    """
    if config.kept is None or not any(config.reads(source) for source in ("text", "masks")):
        return find()
    path = config.kept / f"{search.key(config)}.safetensors"
    config.kept.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.is_file():
            CONSOLE.print(f"The region was found before and is taken from {path}.", markup=False)
            try:
                found = FoundRegion(load_region(path), **json.loads(read_metadata(path)[FOUND]))
            except (BlendingNerfError, KeyError, TypeError, ValueError) as error:
                CONSOLE.print(f"It cannot be read, and is looked for again: {error}", style="yellow", markup=False)
            else:
                warn_global(found.covered)
                return found
        started = time.perf_counter()
        found = find()
        said = {"highest": found.highest, "covered": found.covered, "seconds": found.seconds}
        said["seconds_before"] = time.perf_counter() - started
        with replacing(path) as partial:
            save_region(found.region, partial, {FOUND: json.dumps(said)})
        return found


def _files(name: str) -> List[Any]:
    """What tells a model on this disk from another of its name."""
    place = Path(embedded.__file__).parent if name == "embedded" else Path(name).expanduser()
    files = [place] if place.is_file() else place.rglob("*") if place.is_dir() else []
    return _stamps(file for file in files if file.is_file() and file.suffix != ".pyc")


def _stamps(files: Iterable[Path]) -> List[Any]:
    return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
