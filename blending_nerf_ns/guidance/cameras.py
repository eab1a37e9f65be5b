"""Region-centred views as nerfstudio cameras."""

from __future__ import annotations

from typing import Any, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor

from blending_nerf_ns.guidance.views import RegionViews, region_views

UP = (0.0, 0.0, 1.0)
"""nerfstudio's scenes stand on z."""


def square_cameras(views: RegionViews, size: int) -> Cameras:
    """Pinhole cameras for square pictures.

    Args:
        views: made for pictures of this size.
        size: side of the pictures, in pixels.
    """
    return Cameras(
        camera_to_worlds=views.camera_to_world,
        fx=views.focal,
        fy=views.focal,
        cx=size / 2.0,
        cy=size / 2.0,
        width=size,
        height=size,
        camera_type=CameraType.PERSPECTIVE,
    )


def limit_size(cameras: Cameras, longest: int) -> None:
    """Make pictures smaller, in place, where their longer side is too long; never larger. All of one shape have one size then."""
    scale = (longest / torch.maximum(cameras.width, cameras.height)).clamp_max(1.0)
    # rounded down, 6000 * (192 / 6000) is 191 pixels, in float32
    cameras.rescale_output_resolution(scale, scale_rounding_mode="round")


def cameras_around(
    box: Tuple[Float[Tensor, "3"], Float[Tensor, "3"]],
    poses: Float[Tensor, "N 3 4"],
    count: int,
    size: int,
    seed: int = 0,
    **framing: Any,
) -> Cameras:
    """Random views of a box from near the training cameras, see `region_views`; on the CPU.

    Args:
        box: lower and upper corner of what is looked at, in scene coordinates.
        poses: of the training cameras.
        count: number of views.
        size: side of the pictures, in pixels.
        seed: of the views.
        framing: how near and how well aimed they are, as `region_views` takes it.
    """
    lower, upper = box
    views = region_views(
        poses.cpu(),
        center=(0.5 * (lower + upper)).cpu(),
        radius=float((upper - lower).max()) / 2.0,
        up=torch.tensor(UP),
        count=count,
        size=size,
        generator=torch.Generator().manual_seed(seed),
        **framing,
    )
    return square_cameras(views, size)
