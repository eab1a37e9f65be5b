"""Which places the photos show."""

from __future__ import annotations

from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor


def share_of_frames(cameras: Cameras, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
    """Share of pictures in whose frame a point lies, be it hidden there or not.

    Args:
        cameras: of the pictures. Lens distortion is not looked at; a picture that is not taken by a pinhole camera, such as a
            panorama, counts as showing everything.
        points: in scene coordinates.

    Returns:
        shares in [0, 1].
    """
    flat = points.reshape(-1, 3)
    shown = flat.new_zeros(len(flat))
    for index in range(len(cameras)):
        camera = cameras[index]
        if int(camera.camera_type) != CameraType.PERSPECTIVE.value:
            shown += 1.0
            continue
        pose = camera.camera_to_worlds.to(flat)
        right, up, back = ((flat - pose[:, 3]) @ pose[:, :3]).unbind(-1)  # a camera looks along its -z
        depth = (-back).clamp_min(1e-9)
        column = float(camera.cx) + float(camera.fx) * right / depth
        row = float(camera.cy) - float(camera.fy) * up / depth
        inside = (column >= 0) & (column < float(camera.width)) & (row >= 0) & (row < float(camera.height))
        shown += (inside & (back < 0)).to(shown)
    return (shown / max(len(cameras), 1)).reshape(points.shape[:-1])
