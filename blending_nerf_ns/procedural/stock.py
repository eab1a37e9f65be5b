"""A stock of traced pictures on disk, shaded anew each time they are drawn.

Tracing costs milliseconds per picture and does not depend on appearance, so it is done once; colours, finishes,
textures, light and crops are drawn fresh for every batch: an endless data set at little more than the cost of shading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, NamedTuple, Tuple

import numpy as np
import torch
from numpy import ndarray

from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.sampling import random_camera, random_scene
from blending_nerf_ns.procedural.scene import Scene
from blending_nerf_ns.procedural.trace import FIRST_PART, camera_rays, scene_parts, trace

MAX_THINGS, MAX_PARTS = 4, 80

_PIXELS: Dict[str, Tuple[type, Tuple[int, ...]]] = {
    "surface": (np.uint8, ()),
    "position": (np.float16, (3,)),
    "normal": (np.int8, (3,)),
    "shadow": (np.bool_, ()),
}
_SCENES: Dict[str, Tuple[type, Tuple[int, ...]]] = {
    "shape": (np.int8, (MAX_THINGS,)),  # -2 where there is no object
    "on": (np.int8, (MAX_THINGS,)),
    "owner": (np.int8, (MAX_PARTS,)),  # by surface label; -1 for surroundings and ground
    "role": (np.int8, (MAX_PARTS,)),
    "light": (np.float32, (3,)),
    "camera": (np.float32, (3,)),
}


@dataclass(frozen=True)
class Stock:
    """N traced pictures of S x S rays and what is in them."""

    arrays: Dict[str, ndarray]

    def __len__(self) -> int:
        return len(self.arrays["shape"])

    @property
    def size(self) -> int:
        """Width and height of the pictures."""
        return self.arrays["surface"].shape[1]

    def rows(self, index: ndarray) -> Dict[str, torch.Tensor]:
        """The given pictures as tensors, pixels flattened: surface [B, N], position [B, N, 3], ..."""
        picked = {name: torch.from_numpy(np.ascontiguousarray(array[index])) for name, array in self.arrays.items()}
        for name in _PIXELS:
            picked[name] = picked[name].flatten(1, 2)
        picked["position"] = picked["position"].float()
        picked["normal"] = picked["normal"].float() / 127
        return picked


class Shot(NamedTuple):
    """A scene and the camera that looks at it."""

    scene: Scene
    pose: ndarray
    """Camera to world, [4, 4]."""
    focal: float
    """In units of the picture's width."""


def random_shot(seed: int, index: int) -> Shot:
    """Picture `index` of the stock that trainings draw from."""
    rng = np.random.default_rng((seed, index))
    scene = random_scene(rng)
    return Shot(scene, *random_camera(scene, rng))


def make_stock(
    folder: Path,
    count: int,
    size: int,
    seed: int,
    part: Tuple[int, int] = (0, 1),
    progress=None,
    shot: Callable[[int, int], Shot] = random_shot,
) -> None:
    """Trace `count` scenes into memory-mapped arrays under `folder`.

    Args:
        folder: where the .npy files go.
        count: pictures.
        size: width and height in pixels.
        seed: scene i depends on (seed, i) alone.
        part: (k, n) traces only every n-th scene from the k-th on, so that n processes can share the work, if the arrays are
            there: what is there of this count and size is filled, anything else is replaced.
        progress: called with an iterable, to show a bar.
        shot: picture `index` of a seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layout = {
        **{name: (kind, (count, size, size, *tail)) for name, (kind, tail) in _PIXELS.items()},
        **{name: (kind, (count, *tail)) for name, (kind, tail) in _SCENES.items()},
    }
    out = {}
    for name, (kind, shape) in layout.items():
        path = folder / f"{name}.npy"
        try:
            kept = np.lib.format.open_memmap(path, "r+")
            fits = kept.shape == shape and kept.dtype == np.dtype(kind)
        except (FileNotFoundError, ValueError):
            fits = False
        out[name] = kept if fits else np.lib.format.open_memmap(path, "w+", kind, shape)
    for i in (progress or iter)(range(part[0], count, part[1])):
        scene, pose, focal = shot(seed, i)
        origin, directions = camera_rays(pose, size * focal, size * focal, size / 2, size / 2, size, size)
        seen = trace(scene, origin, directions)
        out["surface"][i] = seen.surface.numpy()
        out["position"][i] = seen.position.numpy().clip(-6e4, 6e4)
        out["normal"][i] = np.round(seen.normal.numpy() * 127)
        out["shadow"][i] = seen.shadow.numpy()
        out["light"][i], out["camera"][i] = scene.light.direction, origin.numpy()
        out["shape"][i], out["on"][i], out["owner"][i], out["role"][i] = -2, -1, -1, 0
        for k, thing in enumerate(scene.things):
            out["shape"][i, k] = words.SHAPE_NAMES.index(thing.shape)
            out["on"][i, k] = thing.on_top_of
        parts, owners = scene_parts(scene)
        labels = slice(FIRST_PART, FIRST_PART + len(parts))
        out["owner"][i, labels], out["role"][i, labels] = owners, [p.role for p in parts]


def load_stock(folder: Path) -> Stock:
    """Open a stock that make_stock wrote, without reading it into memory."""
    names = [*_PIXELS, *_SCENES]
    missing = [name for name in names if not (folder / f"{name}.npy").exists()]
    if missing:
        raise FileNotFoundError(f"no stock of pictures in {folder}: {', '.join(missing)}.npy missing; run make_stock")
    return Stock({name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})
