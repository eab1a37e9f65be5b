"""Where to look from: cameras near the training cameras, aimed and zoomed at the region. Pure geometry.

Poses are nerfstudio's: camera-to-world [3, 4], OpenGL axes (x right, y up, the camera looks along -z).
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError

WIDEST_VIEW = 0.5
"""Shortest focal length, in picture sides: 90 degrees."""
TOO_CLOSE = 1.5
"""Where that view shows the whole sphere (it fills 0.9 of it), in radii from the centre; nearer cameras are a last resort."""


class RegionViews(NamedTuple):
    """B square cameras."""

    camera_to_world: Float[Tensor, "B 3 4"]
    focal: Float[Tensor, "B"]
    """In pixels; the principal point is the middle of the picture."""
    indices: Int[Tensor, "B"]
    """The training camera that each was made from."""


def look_at(
    position: Float[Tensor, "B 3"], direction: Float[Tensor, "B 3"], up: Float[Tensor, "3"]
) -> Float[Tensor, "B 3 4"]:
    """Camera poses that look along given directions, upright where that has a meaning.

    Args:
        position: camera centres.
        direction: viewing directions, not 0.
        up: the scene's up.
    """
    forward = functional.normalize(direction, dim=-1)
    upward = functional.normalize(up, dim=0).expand_as(forward)
    # looking straight up or down, any other axis will do as up: the one furthest from the view
    other = functional.one_hot(forward.abs().argmin(-1), 3).to(forward)
    upright = ((forward * upward).sum(-1, keepdim=True).abs() < 0.999).to(forward)
    right = functional.normalize(torch.linalg.cross(forward, upright * upward + (1 - upright) * other), dim=-1)
    tilt = (torch.linalg.cross(right, forward) * upward).sum(-1, keepdim=True)
    right = torch.where(tilt < 0, -right, right)  # the other axis may leave it slightly upside down
    return torch.stack([right, torch.linalg.cross(right, forward), -forward, position], dim=-1)


def _ball(count: int, generator: Optional[Generator]) -> Float[Tensor, "B 3"]:
    """Points drawn uniformly in the unit ball."""
    direction = functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return direction * torch.rand(count, 1, generator=generator) ** (1 / 3)


def region_views(
    poses: Float[Tensor, "N 3 4"],
    center: Float[Tensor, "3"],
    radius: float,
    up: Float[Tensor, "3"],
    count: int,
    size: int,
    generator: Optional[Generator] = None,
    fill: Tuple[float, float] = (0.45, 0.9),
    position_jitter: float = 0.05,
    aim_jitter: float = 0.7,
    closer: float = 0.25,
) -> RegionViews:
    """Random square views of a region from places where the base was trained.

    Args:
        poses: training cameras in scene coordinates.
        center: middle of the region's bounding sphere.
        radius: of that sphere, > 0.
        up: the scene's up, (0, 0, 1) in nerfstudio.
        count: number of views B.
        size: side of the pictures in pixels.
        generator: a CPU generator.
        fill: smallest and largest share of the picture's side that the sphere's diameter takes, in (0, 1]. From nearby,
            where that would take a view wider than 90 degrees, the sphere takes more.
        position_jitter: how far a camera may move, as a share of its distance to the centre.
        aim_jitter: 0 keeps the sphere in the middle; 1 lets it move up to the picture's border.
        closer: chance of a view from nearer by: 0.7 to 1 of the distance, never inside `TOO_CLOSE` radii.

    Returns:
        The views, on the device of `poses`. A camera inside the sphere gets a view of 90 degrees.

    Raises:
        BlendingNerfError: the radius, the fill or the cameras make no view.
    """
    if not radius > 0:
        raise BlendingNerfError(f"the region's radius is {radius}; an empty region has no views")
    if not 0 < fill[0] <= fill[1] <= 1:
        raise BlendingNerfError(f"fill must be two growing shares in (0, 1], got {fill}")
    if len(poses) == 0:
        raise BlendingNerfError("there is no training camera to look from")
    device = poses.device
    poses, center, up = poses.detach().float().cpu(), center.detach().float().cpu(), up.detach().float().cpu()
    distance = (poses[:, :, 3] - center).norm(dim=-1)
    usable = distance > TOO_CLOSE * radius
    chance = (usable | ~usable.any()).float()
    chosen = torch.multinomial(chance, count, replacement=True, generator=generator)

    offset = poses[chosen, :, 3] - center
    offset = offset + position_jitter * distance[chosen, None] * _ball(count, generator)
    nearer = torch.rand(count, 1, generator=generator) < closer
    moved = offset * torch.where(nearer, 0.7 + 0.3 * torch.rand(count, 1, generator=generator), torch.ones(count, 1))
    far = moved.norm(dim=-1, keepdim=True) > TOO_CLOSE * radius
    offset = torch.where(far, moved, poses[chosen, :, 3] - center)
    position = center + offset

    # straight ahead, a sphere's outline has radius focal * r / sqrt(d² - r²)
    reach = offset.norm(dim=-1)
    outline = radius / (reach.square() - radius**2).clamp_min(1e-12).sqrt()
    share = fill[0] + (fill[1] - fill[0]) * torch.rand(count, generator=generator)
    focal = torch.where(reach > radius, share / (2 * outline), torch.full_like(share, WIDEST_VIEW))
    focal = focal.clamp_min(WIDEST_VIEW)
    share = (2 * focal * outline).clamp(max=1.0)  # what the sphere takes after that limit

    # a camera in the centre has no direction to it and keeps its own
    towards = torch.where(reach[:, None] > 1e-6 * radius, -offset, -poses[chosen, :, 2])
    straight = look_at(position, towards, up)
    shift = (1 - share)[:, None] / 2 * aim_jitter * _ball(count, generator)[:, :2] / focal[:, None]
    aim = -straight[:, :, 2] + (straight[:, :, :2] * shift[:, None, :]).sum(-1)
    return RegionViews(look_at(position, aim, up).to(device), (focal * size).to(device), chosen.to(device))


def spread_views(poses: Float[Tensor, "N 3 4"], count: int) -> Int[Tensor, "M"]:
    """Cameras that cover a capture evenly: farthest-point choice by place and viewing direction.

    Args:
        poses: the cameras to choose from.
        count: how many; M is the smaller of this and N.

    Returns:
        Indices, the camera farthest from the mean first; every beginning of the list is spread as well.
    """
    place = poses[:, :, 3].detach().double()
    place = place - place.mean(0, keepdim=True)
    spread = place.square().sum(-1).mean().sqrt()
    place = place / spread if spread > 1e-9 else place * 0.0  # all from one point: only directions tell them apart
    features = torch.cat([place, -functional.normalize(poses[:, :, 2].detach().double(), dim=-1)], dim=-1)
    if len(features) == 0 or count <= 0:
        return torch.zeros(0, dtype=torch.long, device=poses.device)
    chosen = [int((features - features.mean(0)).norm(dim=-1).argmax())]
    gap = (features - features[chosen[0]]).norm(dim=-1)
    while len(chosen) < min(count, len(features)):
        gap[chosen[-1]] = -1.0
        chosen.append(int(gap.argmax()))
        gap = torch.minimum(gap, (features - features[chosen[-1]]).norm(dim=-1))
    return torch.tensor(chosen, device=poses.device)
