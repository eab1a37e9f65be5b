"""Region-centred views as nerfstudio cameras."""

from __future__ import annotations

from nerfstudio.cameras.cameras import Cameras, CameraType

from blending_nerf_ns.guidance.views import RegionViews


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
