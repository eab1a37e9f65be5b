"""Where a ray meets a unit primitive. Everything is in the primitive's own coordinates.

Directions need not be unit vectors: the returned depth t is the same in world and local coordinates, since a point on
the ray is origin + t * direction in both.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import torch
from jaxtyping import Float
from torch import Tensor

MISS = 1e6
"""Depth of a ray that meets nothing."""
NEAR = 1e-4
"""Hits nearer than this are the surface that the ray starts on."""

Hit = Tuple[Float[Tensor, "*rays"], Float[Tensor, "*rays 3"]]


def _select(t: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid & (t > NEAR), t, torch.full_like(t, MISS))


def _point(o: Tensor, d: Tensor, t: Tensor) -> Tensor:
    # a miss would put the point a million units away and upset normals' float range; it is masked later
    return o + d * torch.where(t < MISS, t, torch.zeros_like(t))[..., None]


def ball(o: Float[Tensor, "*rays 3"], d: Float[Tensor, "*rays 3"], tube: float = 0.0) -> Hit:
    """Unit ball. Returns (t, outward normal), t = MISS where the ray misses."""
    a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
    root = (b * b - a * c).clamp_min(0).sqrt()
    inside = b * b >= a * c
    near, far = _select((-b - root) / a, inside), _select((-b + root) / a, inside)
    t = torch.minimum(near, far)
    return t, _point(o, d, t)


def cube(o: Float[Tensor, "*rays 3"], d: Float[Tensor, "*rays 3"], tube: float = 0.0) -> Hit:
    """The cube [-1, 1]^3, by slabs."""
    inverse = 1 / torch.where(d.abs() < 1e-9, torch.full_like(d, 1e-9), d)
    t0, t1 = (-1 - o) * inverse, (1 - o) * inverse
    enter, leave = torch.minimum(t0, t1).amax(-1), torch.maximum(t0, t1).amin(-1)
    t = torch.where(enter > NEAR, enter, leave)
    t = _select(t, enter <= leave)
    p = _point(o, d, t)
    axis = p.abs().argmax(-1, keepdim=True)
    normal = torch.zeros_like(p).scatter_(-1, axis, p.gather(-1, axis).sign())
    return t, normal


def _round(o: Tensor, d: Tensor, base: float, slope: float) -> Hit:
    """Body of revolution with radius base - slope * z for z in [-1, 1], and its flat ends."""
    oz, dz = o[..., 2], d[..., 2]
    r0, dr = base - slope * oz, -slope * dz
    a = d[..., 0] ** 2 + d[..., 1] ** 2 - dr * dr
    b = o[..., 0] * d[..., 0] + o[..., 1] * d[..., 1] - r0 * dr
    c = o[..., 0] ** 2 + o[..., 1] ** 2 - r0 * r0
    a = torch.where(a.abs() < 1e-9, torch.full_like(a, 1e-9), a)
    disc = b * b - a * c
    root = disc.clamp_min(0).sqrt()
    best = torch.full_like(oz, MISS)
    for sign in (-1.0, 1.0):
        t = (-b + sign * root) / a
        z = oz + t * dz
        best = torch.minimum(best, _select(t, (disc >= 0) & (z.abs() <= 1)))
    side = best
    safe = torch.where(dz.abs() < 1e-9, torch.full_like(dz, 1e-9), dz)
    for end in (-1.0, 1.0):
        radius = base - slope * end
        if radius <= 0:
            continue
        t = (end - oz) / safe
        x, y = o[..., 0] + t * d[..., 0], o[..., 1] + t * d[..., 1]
        best = torch.minimum(best, _select(t, x * x + y * y <= radius * radius))
    p = _point(o, d, best)
    radial = p[..., :2].norm(dim=-1, keepdim=True).clamp_min(1e-6)
    wall = torch.cat([p[..., :2] / radial, torch.full_like(radial, slope)], -1)
    flat = torch.cat([torch.zeros_like(p[..., :2]), p[..., 2:].sign()], -1)
    return best, torch.where((best == side)[..., None], wall, flat)


def cylinder(o: Float[Tensor, "*rays 3"], d: Float[Tensor, "*rays 3"], tube: float = 0.0) -> Hit:
    """Cylinder of radius 1 around z, with z in [-1, 1]."""
    return _round(o, d, 1.0, 0.0)


def cone(o: Float[Tensor, "*rays 3"], d: Float[Tensor, "*rays 3"], tube: float = 0.0) -> Hit:
    """Cone with base radius 1 at z = -1 and its apex at z = 1."""
    return _round(o, d, 0.5, 0.5)


def donut(o: Float[Tensor, "*rays 3"], d: Float[Tensor, "*rays 3"], tube: float = 0.3, steps: int = 40) -> Hit:
    """Torus around z with outer radius 1, by sphere tracing (its quartic is not worth solving here)."""
    length = d.norm(dim=-1)
    unit = d / length[..., None]
    # start where the ray enters the bounding ball, with a small margin
    b, c = (o * unit).sum(-1), (o * o).sum(-1) - 1.02
    disc = b * b - c
    root = disc.clamp_min(0).sqrt()
    travelled, leave = (-b - root).clamp_min(2 * NEAR), -b + root
    major = 1 - tube

    def distance(p: Tensor) -> Tensor:
        ring = (p[..., 0] ** 2 + p[..., 1] ** 2).sqrt() - major
        return (ring * ring + p[..., 2] ** 2).sqrt() - tube

    gap = torch.full_like(travelled, MISS)
    for _ in range(steps):
        gap = distance(o + unit * travelled[..., None])
        travelled = (travelled + gap).clamp_max(10.0 + leave.abs())
    t = _select(travelled / length, (disc > 0) & (gap < 5e-3) & (travelled <= leave))
    p = _point(o, d, t)
    ring = p[..., :2].norm(dim=-1, keepdim=True).clamp_min(1e-6)
    normal = torch.cat([p[..., :2] * (1 - major / ring), p[..., 2:]], -1)
    return t, normal


INTERSECT: Dict[str, Callable[..., Hit]] = {
    "ball": ball,
    "cube": cube,
    "cone": cone,
    "cylinder": cylinder,
    "donut": donut,
}
