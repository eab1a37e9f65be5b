"""Light and shade, which a surface keeps when its colour changes (ours).

That shading outlives a change of reflectance is the premise of intrinsic images (Barrow and Tenenbaum, 1978). The original's
luminance stands for its shading here: grain and print of a surface count as light and dark too, and stay.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue (ITU-R BT.709)."""
DARKEST = 0.1
"""Added to a luminance before it is compared: what is darker has shades that nobody sees, and a photo's noise."""


def luminance(rgb: Float[Tensor, "*pixels 3"]) -> Float[Tensor, "*pixels"]:
    """How bright colours are.

    Args:
        rgb: in [0, 1].

    Returns:
        values in [0, 1].
    """
    red, green, blue = rgb.unbind(dim=-1)  # numbers and no tensor of them, which a GPU would be waited for
    return LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue


def mean_light(rgb: Float[Tensor, "*pixels 3"], weight: Float[Tensor, "*pixels"]) -> Float[Tensor, ""]:
    """Luminance of a surface as a whole: the geometric mean, beside which half as bright and twice as bright weigh the same.

    Args:
        rgb: in [0, 1].
        weight: of each pixel, >= 0.

    Returns:
        Scalar in [0, 1]; 0 where no pixel weighs anything.

    Example:
        >>> mean_light(torch.tensor([[0.1, 0.1, 0.1], [0.7, 0.7, 0.7]]), torch.ones(2))
        tensor(0.3000)
    """
    logs = (luminance(rgb) + DARKEST).log()
    mean = (weight * logs).sum() / weight.sum().clamp_min(1e-9)
    return torch.where(weight.sum() > 0, mean.exp() - DARKEST, torch.zeros_like(mean)).clamp_min(0.0)


def shading(rgb: Float[Tensor, "*pixels 3"], light: float | Float[Tensor, ""]) -> Float[Tensor, "*pixels"]:
    """How bright colours are beside the surface that they are of: 1 is as bright as its mean.

    Args:
        rgb: in [0, 1].
        light: `mean_light` of the surface.

    Example:
        >>> shading(torch.tensor([[0.1, 0.1, 0.1], [0.7, 0.7, 0.7]]), 0.3)
        tensor([0.5000, 2.0000])
    """
    return (luminance(rgb) + DARKEST) / (light + DARKEST)


def shaded(color: Float[Tensor, "*pixels 3"], shade: Float[Tensor, "*pixels"]) -> Float[Tensor, "*pixels 3"]:
    """A colour in light and shade; what would be brighter than white is cut off, channel by channel.

    Example:
        >>> shaded(torch.tensor([0.0, 0.6, 0.2]), torch.tensor(2.0))
        tensor([0.0000, 1.0000, 0.4000])
    """
    return (shade[..., None] * color).clamp_max(1.0)
