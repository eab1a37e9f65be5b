"""Which plain colour would bring a region nearest to the target? Asked before training, so that colour starts there (ours).

A guide's gradient is local: from a red object towards "blue" it was seen to end in green, where a sigmoid saturates. A
handful of colours tried outright costs a few forward passes and starts the edit in the right valley.
"""

from __future__ import annotations

import colorsys
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
STRENGTH = 0.85
"""Share of the original colour that a trial replaces: some shading stays."""


def palette() -> Float[Tensor, "colors 3"]:
    """Colours to try: twelve hues, vivid, dark and pale, and four grays; in [0, 1]."""
    colors = [colorsys.hsv_to_rgb(hue / HUES, s, v) for s, v in TONES for hue in range(HUES)]
    return torch.tensor([*colors, *[(gray, gray, gray) for gray in GRAYS]])


def best_color(
    guide: ClipGuide,
    crops: Float[Tensor, "crops 3 size size"],
    coverage: Float[Tensor, "crops 1 size size"],
    colors: Float[Tensor, "colors 3"],
    source: Float[Tensor, " dim"],
    target: Float[Tensor, " dim"],
    before: Optional[Float[Tensor, "crops dim"]] = None,
    shade: Optional[Float[Tensor, "crops size size"]] = None,
) -> tuple[Float[Tensor, "3"], Float[Tensor, ""]]:
    """The colour with the lowest loss and that loss; see `score_colors`, which takes twice the time for all of them."""
    few = [None if one is None else one[::FEW] for one in (before, shade)]
    first = score_colors(guide, crops[::FEW], coverage[::FEW], colors, source, target, *few)
    finalists = colors[first.topk(min(FINALISTS, len(colors)), largest=False).indices.to(colors.device)]
    losses = score_colors(guide, crops, coverage, finalists, source, target, before, shade)
    return finalists[int(losses.argmin())], losses.min()


@torch.no_grad()
def score_colors(
    guide: ClipGuide,
    crops: Float[Tensor, "crops 3 size size"],
    coverage: Float[Tensor, "crops 1 size size"],
    colors: Float[Tensor, "colors 3"],
    source: Float[Tensor, " dim"],
    target: Float[Tensor, " dim"],
    before: Optional[Float[Tensor, "crops dim"]] = None,
    shade: Optional[Float[Tensor, "crops size size"]] = None,
) -> Float[Tensor, " colors"]:
    """Guidance loss of painting the region with each colour: global plus directional, lower is better.

    Args:
        guide: the frozen CLIP.
        crops: of pictures in [0, 1].
        coverage: share of each pixel that the region makes up, in [0, 1].
        colors: in [0, 1].
        source: feature of the source text.
        target: feature of the target text.
        before: features of the originals, where the crops are edited already.
        shade: how bright each pixel of the region stays beside the others (see `shading`); the same everywhere if not given.
    """
    before = guide.encode_images(crops) if before is None else before
    losses = []
    for color in colors.to(crops):
        paint = color.view(1, 3, 1, 1)
        paint = paint if shade is None else shaded(color, shade).permute(0, 3, 1, 2)
        painted = crops + STRENGTH * coverage * (paint - crops)
        after = guide.encode_images(painted)
        losses.append(global_loss(after, target) + directional_loss(before, after, source, target))
    return torch.stack(losses)
