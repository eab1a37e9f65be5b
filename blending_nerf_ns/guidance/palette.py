"""Which plain colour would bring a region nearest to the target? Asked before training, so that colour starts there (ours).

A guide's gradient is local: from a red object towards "blue" it was seen to end in green, where a sigmoid saturates. A
handful of colours tried outright costs a few forward passes and starts the edit in the right valley.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

import torch
from jaxtyping import Float
from torch import Tensor

from blending_nerf_ns.guidance.losses import directional_loss, global_loss
from blending_nerf_ns.rendering.shading import shaded

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

HUES = 12
TONES = ((0.9, 0.85), (0.9, 0.45), (0.45, 0.9))
"""Saturation and value of each hue: vivid, dark, pale."""
GRAYS = (0.05, 0.35, 0.65, 0.95)
FEW = 4
"""One picture in so many is tried in all colours..."""
FINALISTS = 10
"""...and all pictures in those that did best there."""
AS_GOOD = 0.2
"""Share of what the best colour gains over the original by which a brighter one of its hue may be worse. Who says "yellow" does not
mean mustard, which a guide may like a little better. What is dark by its name is told by far more: brown from orange by 0.7."""
STRENGTH = 0.85
"""Share of the original colour that a trial replaces: some shading stays."""


Painter = Callable[[Float[Tensor, "3"]], Float[Tensor, "crops 3 size size"]]
"""What crops look like in a colour, with channels in [0, 1]."""


def palette() -> Float[Tensor, "colors 3"]:
    """Colours to try: twelve hues, vivid, dark and pale, and four grays; in [0, 1]."""
    colors = [colorsys.hsv_to_rgb(hue / HUES, s, v) for s, v in TONES for hue in range(HUES)]
    return torch.tensor([*colors, *[(gray, gray, gray) for gray in GRAYS]])


def painted_over(
    crops: Float[Tensor, "crops 3 size size"],
    coverage: Float[Tensor, "crops 1 size size"],
    shade: Optional[Float[Tensor, "crops size size"]] = None,
) -> Painter:
    """A region's surface in other colours.

    Args:
        crops: of pictures in [0, 1].
        coverage: share of each pixel that the region makes up, in [0, 1].
        shade: how bright each pixel of the region stays beside the others (see `shading`); the same everywhere if not given.
    """

    def paint(color: Float[Tensor, "3"]) -> Float[Tensor, "crops 3 size size"]:
        plain = color.view(1, 3, 1, 1) if shade is None else shaded(color, shade).permute(0, 3, 1, 2)
        return crops + STRENGTH * coverage * (plain - crops)

    return paint


def painted_between(
    dark: Float[Tensor, "crops 3 size size"], bright: Float[Tensor, "crops 3 size size"], grays: tuple[float, float]
) -> Painter:
    """What is in a plain colour already, in light and shade, in other colours.

    Args:
        dark, bright: crops of pictures where it is gray.
        grays: the one that it has in each, in [0, 1].
    """
    low, high = grays
    light = (bright - dark) / (high - low)
    behind = dark - low * light
    return lambda color: behind + light * color.view(1, 3, 1, 1)


def best_color(
    guide: ClipGuide,
    paint: Painter,
    before: Float[Tensor, "crops dim"],
    colors: Float[Tensor, "colors 3"],
    source: Float[Tensor, " dim"],
    target: Float[Tensor, " dim"],
) -> tuple[Float[Tensor, "3"], Float[Tensor, ""]]:
    """The colour that is best, or a brighter one of its hue that is as good (`AS_GOOD`), and the lowest loss.

    See `score_colors`, which takes twice the time for all of them.
    """
    first = score_colors(guide, lambda color: paint(color)[::FEW], before[::FEW], colors, source, target)
    finalists = colors[first.topk(min(FINALISTS, len(colors)), largest=False).indices.to(colors.device)]
    losses = score_colors(guide, paint, before, finalists, source, target)
    unchanged = global_loss(before, target) + directional_loss(before, before, source, target)
    return finalists[brightest_of_hue(finalists, losses, AS_GOOD * float(unchanged - losses.min()))], losses.min()


def brightest_of_hue(colors: Float[Tensor, "colors 3"], losses: Float[Tensor, " colors"], as_good: float) -> int:
    """Index of the brightest colour of the best one's hue and saturation, among those that are hardly worse; of a gray, itself.

    Args:
        colors: in [0, 1].
        losses: of each.
        as_good: difference of losses that does not count; of a negative one, none does.
    """
    losses = losses.to(colors.device)
    best, values = int(losses.argmin()), colors.amax(dim=-1)
    tints = colors / values[:, None].clamp_min(1e-6)
    if bool((tints[best] == 1.0).all()):
        return best
    alike = ((tints - tints[best]).abs().amax(dim=-1) < 1e-3) & (losses <= losses[best] + max(0.0, as_good))
    return int(values.masked_fill(~alike, -1.0).argmax())


@torch.no_grad()
def score_colors(
    guide: ClipGuide,
    paint: Painter,
    before: Float[Tensor, "crops dim"],
    colors: Float[Tensor, "colors 3"],
    source: Float[Tensor, " dim"],
    target: Float[Tensor, " dim"],
) -> Float[Tensor, " colors"]:
    """Guidance loss of crops in each colour: global plus directional, lower is better.

    Args:
        guide: the frozen CLIP.
        paint: what the crops look like in a colour.
        before: features of the original's crops.
        colors: in [0, 1].
        source: feature of the source text.
        target: feature of the target text.
    """
    losses = []
    for color in colors.to(before):
        after = guide.encode_images(paint(color))
        losses.append(global_loss(after, target) + directional_loss(before, after, source, target))
    return torch.stack(losses)
