"""The picture with the region on it, so that a person sees where an edit may act before it is trained."""

from __future__ import annotations

from functools import cache
from typing import Tuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

TINT = (1.0, 0.55, 0.0)
OUTLINE = (1.0, 1.0, 1.0)


def region_overlay(
    rgb: Float[Tensor, "height width 3"],
    region: Float[Tensor, "height width 1"],
    silhouette: Float[Tensor, "height width 1"],
) -> Float[Tensor, "height width 3"]:
    """Tint what belongs to the region, and outline everything that an edit may touch, free space included.

    Args:
        rgb: the original picture in [0, 1].
        region: share of what a pixel sees that lies in the region, in [0, 1].
        silhouette: largest region weight along the pixel's ray, in [0, 1].

    Source: ours.
    """
    tinted = rgb + 0.5 * region * (_color(TINT, rgb.device) - rgb)
    inside = (silhouette > 0).to(rgb.dtype).permute(2, 0, 1)[None]
    grown = F.max_pool2d(inside, 3, stride=1, padding=1)
    outline = (grown - inside)[0].permute(1, 2, 0)
    return torch.where(outline > 0, _color(OUTLINE, rgb.device), tinted)


def wipe(
    left: Float[Tensor, "height width 3"], right: Float[Tensor, "height width 3"], position: float
) -> Float[Tensor, "height width 3"]:
    """One picture left of a line, another right of it.

    Args:
        left: RGB in [0, 1].
        right: likewise.
        position: of the line, as a share of the width, in [0, 1]. At 0 or 1 no line is drawn.

    Source: ours.
    """
    width = left.shape[1]
    place = round(min(1.0, max(0.0, position)) * width)
    column = torch.arange(width, device=left.device)[:, None]
    picture = torch.where(column < place, left, right)
    if 0 < place < width:
        picture = torch.where(column == place, _color(OUTLINE, picture.device), picture)
    return picture


@cache
def _color(color: Tuple[float, float, float], device: torch.device) -> Float[Tensor, "3"]:
    """Brought to a GPU once: the copy waits for all that is being done there."""
    return torch.tensor(color, device=device)
