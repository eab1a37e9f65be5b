"""What passes for an edit where only colours are looked at: an object in the colours of what lies behind it, or a scene flooded with one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from blending_nerf_ns.rendering.shading import luminance

LIGHTEST, DARKEST = 1.6, 0.5
"""Bounds of the light and shade that a camouflaged object keeps, over its mean."""


def camouflaged(
    picture: Float[Tensor, "B 3 S S"],
    behind: Float[Tensor, "B 3 S S"],
    mask: Bool[Tensor, "B S S"],
    contrast: Float[Tensor, "B"],
) -> Float[Tensor, "B 3 S S"]:
    """An object painted in the colours of what lies behind it, blurred, in its own light and shade (ours).

    Fine-tuning a NeRF towards a text that says "gone" was seen to end there: the object stands as it stood, in the colours of its
    surroundings.

    Args:
        picture: with the object, in [0, 1].
        behind: the same without it.
        mask: the object's pixels.
        contrast: how much of its light and shade is left, in [0, 1].

    Example:
        >>> picture, behind = torch.full((1, 3, 8, 8), 0.2), torch.full((1, 3, 8, 8), 0.7)
        >>> mask = torch.zeros(1, 8, 8, dtype=torch.bool)
        >>> mask[:, 2:6, 2:6] = True
        >>> [round(float(value), 2) for value in camouflaged(picture, behind, mask, torch.ones(1))[0, 0, 3, :3]]
        [0.2, 0.2, 0.7]
    """
    inside = mask[:, None].float()
    light = _luminance(picture)
    mean = (light * inside).sum((-1, -2), keepdim=True) / inside.sum((-1, -2), keepdim=True).clamp_min(1)
    shade = (light / mean.clamp_min(1e-3)).clamp(DARKEST, LIGHTEST)
    painted = _blurred(behind) * (1 + contrast[:, None, None, None] * (shade - 1))
    return torch.where(mask[:, None], painted.clamp(0, 1), picture)


def flooded(
    picture: Float[Tensor, "B 3 S S"],
    objects: Bool[Tensor, "B S S"],
    rgb: Float[Tensor, "B 3"],
    strength: Float[Tensor, "B"],
) -> Float[Tensor, "B 3 S S"]:
    """Everything but the objects tinted with a colour, as a NeRF without a region takes on the colour that a text names (ours).

    Args:
        picture: in [0, 1].
        objects: the objects' pixels, which stay.
        rgb: the colour, in [0, 1].
        strength: how much of it, in [0, 1]; 0 leaves the picture as it is.
    """
    tint = rgb[:, :, None, None] * (0.4 + 0.8 * _luminance(picture))
    mixed = picture.lerp(tint.clamp(0, 1), strength[:, None, None, None])
    return torch.where(objects[:, None], picture, mixed)


def nearest_name(rgb: Float[Tensor, "B 3"], named: Float[Tensor, "names samples 3"]) -> Int[Tensor, "B"]:
    """Index of the word whose samples hold the colour that is nearest to each of these.

    Example:
        >>> nearest_name(torch.tensor([[0.9, 0.2, 0.1]]), torch.tensor([[[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]])).tolist()
        [1]
    """
    return torch.cdist(rgb, named.flatten(0, 1)).argmin(1) // named.shape[1]


def _luminance(picture: Tensor) -> Float[Tensor, "B 1 S S"]:
    return luminance(picture.movedim(1, -1))[:, None]


def _blurred(picture: Tensor) -> Tensor:
    """Means of windows of an eighth of the side."""
    half = max(1, picture.shape[-1] // 16)
    return F.avg_pool2d(F.pad(picture, (half,) * 4, mode="replicate"), 2 * half + 1, stride=1)
