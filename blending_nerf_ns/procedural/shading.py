"""Colours of traced pictures, for a whole batch at once and with new looks each time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from blending_nerf_ns.procedural.trace import FIRST_PART, GROUND
from blending_nerf_ns.procedural.words import FINISHES

SNOWY, WOODEN, STRIPED, SPOTTED = (FINISHES.index(name) for name in ("snowy", "wooden", "striped", "spotted"))


@dataclass
class Look:
    """Appearance of a batch of B pictures with at most P surfaces (2 + parts) each and T texels of texture in all."""

    palette: Float[Tensor, "B P 3"]
    """Colour of each surface label; entries 0 and 1 are unused (textures)."""
    finish: Int[Tensor, "B P"]
    """Index into words.FINISHES for each surface label."""
    gloss: Float[Tensor, "B P"]
    """Strength of the highlight, 0 to about 1."""
    sharpness: Float[Tensor, "B P"]
    """Exponent of the highlight, 4 (soft) to 80 (small)."""
    tinted: Float[Tensor, "B P"]
    """1 if highlights take the surface's colour, as metals do; 0 if they are white."""
    light: Float[Tensor, "B 3"]
    light_colour: Float[Tensor, "B 3"]
    ambient: Float[Tensor, "B 3"]
    shadow: Float[Tensor, "B"]
    camera: Float[Tensor, "B 3"]
    texels: UInt8[Tensor, "T 3"]
    """All textures, flattened one after the other."""
    start: Int[Tensor, "B 2"]
    """Where the (surroundings, ground) texture begins in `texels`."""
    extent: Int[Tensor, "B 2 2"]
    """Height and width of those textures."""
    repeats: Float[Tensor, "B 2"]
    offset: Float[Tensor, "B 2 2"]
    gain: Float[Tensor, "B 2 3"]
    bias: Float[Tensor, "B 2 3"]


def _texture(look: Look, surface: Tensor, position: Tensor) -> Tensor:
    """Colours of ground (by position) and surroundings (by direction) for every pixel, [B, N, 3]."""
    ground = surface == GROUND
    x, y, z = position.unbind(-1)
    # angles for the surroundings, in units of half a turn
    u = torch.where(ground, x, torch.atan2(y, x) / torch.pi)
    v = torch.where(ground, y, -z * 0.5)
    which = ground.long()

    def pick(per_texture: Tensor) -> Tensor:
        return torch.where(ground, per_texture[:, 1:2], per_texture[:, 0:1])

    u = u * pick(look.repeats) + pick(look.offset[..., 0])
    v = v * pick(look.repeats) + pick(look.offset[..., 1])
    height, width = pick(look.extent[..., 0]), pick(look.extent[..., 1])
    row = ((v - v.floor()) * height).long().minimum(height - 1)
    column = ((u - u.floor()) * width).long().minimum(width - 1)
    colour = look.texels[(pick(look.start) + row * width + column).view(-1)].view(*surface.shape, 3).float().div_(255)
    batch = torch.arange(len(surface))[:, None]
    return (colour * look.gain[batch, which] + look.bias[batch, which]).clamp_(0, 1)


def _patterns(albedo: Tensor, finish: Tensor, position: Tensor, normal: Tensor) -> None:
    """Draw snow, wood, stripes and spots into the albedo [N, 3] of the pixels given (in place)."""
    x, y, z = position.unbind(-1)
    dark = torch.ones_like(x)
    dark = torch.where(finish == STRIPED, torch.where(torch.sin(22 * z + 6 * x) > 0.2, 0.45, 1.0), dark)
    spots = torch.sin(17 * x) * torch.sin(17 * y) + torch.sin(17 * z) * 0.7
    dark = torch.where(finish == SPOTTED, torch.where(spots > 0.75, 0.4, 1.0), dark)
    rings = torch.sin(30 * ((x * x + y * y).sqrt() + 0.25 * z) + 3 * torch.sin(4 * z))
    dark = torch.where(finish == WOODEN, 0.85 + 0.2 * rings, dark)
    albedo.mul_(dark[:, None])
    # it lies on what is nearly level and in patches on slopes, or it would hide the colour that the caption names
    snow = ((normal[:, 2] - 0.5 + 0.3 * torch.sin(25 * x) * torch.sin(25 * y)) * 8).clamp(0, 1)
    snow = torch.where(finish == SNOWY, snow, torch.zeros_like(snow))[:, None]
    albedo.lerp_(torch.full_like(albedo, 0.95), snow)


def shade(
    surface: Int[Tensor, "B N"],
    position: Float[Tensor, "B N 3"],
    normal: Float[Tensor, "B N 3"],
    shadow: Bool[Tensor, "B N"],
    look: Look,
) -> Float[Tensor, "B N 3"]:
    """Lambert light with ambient from above, cast shadows, Blinn-Phong highlights and procedural finishes.

    Args: see trace.Geometry, with the pixels of each picture flattened to N.

    Returns:
        RGB in [0, 1].
    """
    surface = surface.long()
    batch = torch.arange(len(surface))[:, None]
    albedo = _texture(look, surface, position)
    on_part = surface >= FIRST_PART
    albedo = torch.where(on_part[..., None], look.palette[batch, surface], albedo)
    finish = look.finish[batch, surface]
    special = ((finish >= SNOWY) & on_part).view(-1).nonzero()[:, 0]
    if len(special):
        flat = albedo.view(-1, 3)
        patch = flat[special]
        _patterns(patch, finish.view(-1)[special], position.view(-1, 3)[special], normal.view(-1, 3)[special])
        flat[special] = patch

    facing = (normal * look.light[:, None]).sum(-1).clamp_min_(0)
    lit = 1 - shadow * look.shadow[:, None]
    ambient = look.ambient[:, None] * (0.8 + 0.2 * normal[..., 2:])
    shaded = albedo * (ambient + look.light_colour[:, None] * (facing * lit)[..., None])

    shiny = (on_part & (facing > 0) & (look.gloss[batch, surface] > 0)).view(-1).nonzero()[:, 0]
    if len(shiny):
        b, s = shiny // surface.shape[1], surface.view(-1)[shiny]
        view = look.camera[b] - position.view(-1, 3)[shiny]
        half = view / view.norm(dim=-1, keepdim=True) + look.light[b]
        half = half / half.norm(dim=-1, keepdim=True)
        shine = (normal.view(-1, 3)[shiny] * half).sum(-1).clamp_min_(0) ** look.sharpness[b, s]
        shine = shine * look.gloss[b, s] * lit.view(-1)[shiny]
        tint = torch.ones_like(view).lerp_(albedo.view(-1, 3)[shiny], look.tinted[b, s][:, None])
        shaded.view(-1, 3)[shiny] += shine[:, None] * tint * look.light_colour[b] * 1.4
    beyond = (surface == 0)[..., None]
    return torch.where(beyond, albedo, shaded).clamp_(0, 1)
