"""In whose frames a place lies."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nerfstudio.cameras.cameras import Cameras, CameraType

from blending_nerf_ns.guidance.frames import share_of_frames


def cameras(kinds: list[CameraType]) -> Cameras:
    """At the origin and looking along -z, the second turned about by half a turn; 40 x 20 pixels, 90 degrees wide."""
    poses = torch.eye(4)[:3].repeat(2, 1, 1)
    poses[1, :, :3] = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    types = torch.tensor([[kind.value] for kind in kinds])
    return Cameras(poses, fx=20.0, fy=20.0, cx=20.0, cy=10.0, width=40, height=20, camera_type=types)


def test_by_hand() -> None:
    points = torch.tensor(
        [
            [0.0, 0.0, -1.0],  # before the first
            [0.0, 0.0, 1.0],  # before the second
            [0.99, 0.0, -1.0],  # at the right edge of the first
            [1.01, 0.0, -1.0],
            [0.0, 0.49, -1.0],  # at its upper edge
            [0.0, 0.51, -1.0],
            [0.0, 0.51, -2.0],
            [1.0, 0.0, 0.0],  # beside both
        ]
    )
    pinhole = cameras([CameraType.PERSPECTIVE] * 2)
    assert share_of_frames(pinhole, points).tolist() == [0.5, 0.5, 0.5, 0.0, 0.5, 0.0, 0.5, 0.0]
    panorama = cameras([CameraType.PERSPECTIVE, CameraType.EQUIRECTANGULAR])
    assert share_of_frames(panorama, points[None]).tolist() == [[1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5]]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_what_a_pixels_ray_meets_lies_in_the_frame(seed: int) -> None:
    torch.manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(3, 3))[0]
    pose = torch.cat([rotation * torch.linalg.det(rotation).sign(), torch.randn(3, 1)], dim=1)
    camera = Cameras(pose[None], fx=31.0, fy=24.0, cx=17.0, cy=13.0, width=40, height=30)
    rays = camera.generate_rays(camera_indices=0)
    points = rays.origins + rays.directions * (0.1 + 3 * torch.rand(30, 40, 1))
    assert bool((share_of_frames(camera, points) == 1).all())
    assert bool((share_of_frames(camera, 2 * rays.origins - points) == 0).all()), "nothing behind it"
