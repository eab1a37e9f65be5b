"""Losses between CLIP features. Pure functions; every feature is an L2-normalised vector.

Global and directional loss follow the overview figure of Blending-NeRF (arXiv 2308.11974) and StyleGAN-NADA; the
budgets, solidity and shading are ours.
"""

from __future__ import annotations

from typing import Union

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.rendering.shading import DARKEST, luminance

SMALLEST_STEP = 0.02
"""Softness of a direction: image changes shorter than this (features have length 1) have no direction to speak of."""


def global_loss(images: Float[Tensor, "B D"], text: Float[Tensor, "D"]) -> Float[Tensor, ""]:
    """How far images are from saying a text: mean of 1 - cosine.

    Returns:
        Scalar in [0, 2], for vectors of length 1.
    """
    return (1.0 - images @ text).mean()


def soft_direction(step: Float[Tensor, "*batch D"], softness: float = SMALLEST_STEP) -> Float[Tensor, "*batch D"]:
    """A difference of features scaled to length 1, or less if it is not much longer than `softness`.

    The true direction of a vanishing difference has an infinite gradient; this one is smooth at 0, where its gradient
    is the identity divided by `softness`.
    """
    return step / (step.square().sum(-1, keepdim=True) + softness**2).sqrt()


def directional_loss(
    original: Float[Tensor, "B D"],
    edited: Float[Tensor, "B D"],
    source: Float[Tensor, "D"],
    target: Float[Tensor, "D"],
    softness: float = SMALLEST_STEP,
) -> Float[Tensor, ""]:
    """Whether images changed the way the text did: mean of 1 - cos(edited - original, target - source).

    An image that has not changed costs 1, with a finite gradient towards the target. If both texts are the same there
    is no direction: the loss is 1 and without gradient.

    Args:
        original, edited: features of the same views before and after.
        source, target: features of the two prompts.
        softness: see `soft_direction`.

    Returns:
        Scalar in [0, 2].
    """
    text_direction = functional.normalize(target - source, dim=-1)
    return (1.0 - soft_direction(edited - original, softness) @ text_direction).mean()


def solidity_loss(opacity: Float[Tensor, "*batch"]) -> Float[Tensor, ""]:
    """How far from empty or solid pixels are: mean of 4 a (1 - a).

    What grows towards a text by CLIP alone becomes fog, which says the text a little everywhere. Half-transparent pixels
    cost; empty and opaque ones do not. (Ours; opacity priors of this kind are usual since Neural Volumes, arXiv 1906.07751.)

    Args:
        opacity: accumulated, in [0, 1].

    Returns:
        Scalar in [0, 1].
    """
    return (4.0 * opacity * (1.0 - opacity)).mean()


def shading_loss(
    original: Float[Tensor, "*pixels 3"], edited: Float[Tensor, "*pixels 3"], weight: Float[Tensor, "*pixels"]
) -> Float[Tensor, ""]:
    """How much the play of light and shade differs, whatever the colours: mean difference of log luminances, each around its mean.

    A guide that hardly sees shading trades it away: a ball came out flat as a disc, or in dark patches where none were. A surface
    that is recoloured has its form still, and with it the bright and dark sides. (Ours; that shading outlives a change of
    reflectance is intrinsic images' premise, Barrow and Tenenbaum 1978.)

    Another hue of the same luminances costs nothing, and half of them all next to nothing (it is the dark ones that `DARKEST`
    evens out); one colour everywhere costs what the luminances differ by.

    Args:
        original, edited: colours of the same pixels before and after, in [0, 1].
        weight: of each pixel, in [0, 1].

    Returns:
        Scalar >= 0; 0 where no pixel weighs anything.
    """
    total = weight.sum().clamp_min(1e-6)

    def relative(colors: Tensor) -> Tensor:
        light = (luminance(colors) + DARKEST).log()
        return light - (weight * light).sum() / total

    return (weight * (relative(edited) - relative(original)).abs()).sum() / total


def budget_loss(mean_opacity: Float[Tensor, "*batch"], budget: Union[float, Tensor]) -> Float[Tensor, ""]:
    """What an operation uses beyond its budget: hinge max(0, mean opacity - budget), averaged.

    A hinge and not a constant pull to zero, which was seen to erase colour edits.

    Args:
        mean_opacity: mean of E_add, E_remove or E_change inside the region's silhouette, in [0, 1], per view.
        budget: share that is free, in [0, 1].

    Returns:
        Scalar in [0, 1].
    """
    return functional.relu(mean_opacity - budget).mean()
