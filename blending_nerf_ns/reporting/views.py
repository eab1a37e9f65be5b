"""From where an edit is judged: between the training cameras, or where photos were taken. Always in the order of a path."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import List, NamedTuple, Optional

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_utils import get_interpolated_poses
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.cameras import limit_size
from blending_nerf_ns.guidance.views import spread_views
from blending_nerf_ns.localization.masks import name_of

FEWEST_ANCHORS = 12
"""With fewer, neighbouring ones lie so far apart that the way between them leads through the scene."""
THIRDS = 4
"""Poses from one anchor to another with both ends; the one after the first is taken, so that no two views are the same."""
SAME_VIEW = 1e-6
"""Poses that are nearer to each other than this (`view_gaps`) are one."""


class Views(NamedTuple):
    """Cameras of one size, in the order of a path through them."""

    kind: str
    """"novel", "test" or "train"."""
    names: List[str]
    """Of the photos without their endings, or "novel_00", ..."""
    cameras: Cameras
    files: Optional[List[Path]]
    """The photos; None where there are none."""
    left_out: int = 0
    """Photos that could not be chosen, for they have another size than most."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return int(self.cameras.height[0]), int(self.cameras.width[0])


def novel_views(training: Cameras, count: int, longest: int) -> Views:
    """Views that no photo shows: each a third of the way from a training camera to the nearest one of a spread choice.

    Args:
        training: the capture's training cameras; the views have the first one's lens, without its distortion.
        count: how many; at most one for each place of a training camera.
        longest: longer side of a picture in pixels, at most.

    Raises:
        BlendingNerfError: fewer than two places that training cameras stand at.
    """
    every = training.camera_to_worlds.cpu()
    again = (view_gaps(every) < SAME_VIEW).tril(-1).any(dim=1)  # the same photo twice, or with another exposure
    every = every[~again]
    if len(every) < 2:
        raise BlendingNerfError(
            f"{len(training)} training camera(s) at {len(every)} place(s): there is nothing between cameras; use --views train"
        )
    anchors = every[spread_views(every, max(count, FEWEST_ANCHORS))]
    gaps = view_gaps(anchors)
    gaps.fill_diagonal_(torch.inf)
    nearest = gaps.argmin(dim=1)[:count]
    pairs = zip(anchors[: len(nearest)].numpy(), anchors[nearest].numpy(), strict=True)
    poses = torch.from_numpy(np.stack([get_interpolated_poses(a, b, THIRDS)[1] for a, b in pairs])).float()
    poses = poses[path_order(poses)]
    lens = training[0]
    cameras = Cameras(
        camera_to_worlds=poses,
        fx=float(lens.fx),
        fy=float(lens.fy),
        cx=float(lens.cx),
        cy=float(lens.cy),
        width=int(lens.width),
        height=int(lens.height),
        camera_type=CameraType.PERSPECTIVE,
    )
    limit_size(cameras, longest)
    return Views("novel", [f"novel_{i:02d}" for i in range(len(poses))], cameras, None)


def photo_views(
    kind: str, cameras: Cameras, files: Sequence[Path], count: int, longest: int, only: Optional[Iterable[str]] = None
) -> Views:
    """The views of photos.

    Args:
        kind: "test" or "train".
        cameras, files: all cameras and photos of that kind.
        count: how many; evenly chosen from all, fewer if there are not as many.
        longest: longer side of a picture in pixels, at most.
        only: names of the photos to choose from; all if not given.

    Of photos of several sizes, such as portrait and landscape, only those of the most frequent one can be chosen.

    Raises:
        BlendingNerfError: a name that no photo has, or no photo.
    """
    pool = list(range(len(files))) if only is None else sorted(find_view(name, files, kind) for name in only)
    if not pool:
        raise BlendingNerfError(f"the capture has no {kind} views; use --views novel")
    every = cameras[torch.tensor(pool)]
    limit_size(every, longest)
    sizes = [(int(h), int(w)) for h, w in zip(every.height, every.width, strict=True)]
    most = max(sizes, key=sizes.count)
    fits = [i for i, size in enumerate(sizes) if size == most]
    picked = [fits[i] for i in spread(len(fits), count)]
    order = path_order(every.camera_to_worlds[torch.tensor(picked)].cpu())
    picked = [picked[i] for i in order]
    chosen = [files[pool[i]] for i in picked]
    return Views(kind, [file.stem for file in chosen], every[torch.tensor(picked)], chosen, len(pool) - len(fits))


def spread(length: int, count: int) -> List[int]:
    """Indices that are spread evenly over a list, its ends included; all of a shorter one.

    Example:
        >>> spread(9, 3)
        [0, 4, 8]
    """
    return [int(i) for i in np.linspace(0, length - 1, min(count, length)).round()]


def find_view(name: str, files: Sequence[Path], kind: str) -> int:
    """Which photo a name means, with or without its ending and folder.

    Raises:
        BlendingNerfError: none, or several.
    """
    found = called(name, files)
    if len(found) != 1:
        known = ", ".join(file.stem for file in files[:6])
        raise BlendingNerfError(
            f"{len(found)} of the {len(files)} {kind} views are called {name!r}; they are called {known}, ..."
        )
    return found[0]


def called(name: str, files: Sequence[Path]) -> List[int]:
    """Indices of the photos that a name means, with or without its ending and folder.

    Example:
        >>> photos = [Path("images/frame.png"), Path("images/frame.1.png")]
        >>> called("frame.1", photos), called("frame.png", photos), called("images/frame.1.png", photos)
        ([1], [0], [1])
    """
    bare = unicodedata.normalize("NFC", Path(name).name)
    whole, short = ([i for i, file in enumerate(files) if name_of(file) == said] for said in (bare, Path(bare).stem))
    return whole or short


def path_order(poses: Float[Tensor, "views 3 4"]) -> List[int]:
    """An order in which each view is followed by the nearest one left, from the most remote one on."""
    gaps = view_gaps(poses)
    order = [int(gaps.sum(dim=1).argmax())]
    while len(order) < len(poses):
        row = gaps[order[-1]].clone()
        row[order] = torch.inf
        order.append(int(row.argmin()))
    return order


def view_gaps(poses: Float[Tensor, "views 3 4"]) -> Float[Tensor, "views views"]:
    """How far views lie apart, by place (over the places' spread) and viewing direction."""
    place = poses[:, :, 3].double()
    place = place - place.mean(0, keepdim=True)
    spread = place.square().sum(-1).mean().sqrt().clamp_min(1e-9)
    features = torch.cat([place / spread, functional.normalize(poses[:, :, 2].double(), dim=-1)], dim=-1)
    return torch.cdist(features, features)
