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
AS_GOOD = 0.2
"""Share of what the best colour gains over the original by which a brighter one of its hue may be worse. Who says "yellow" does not
mean mustard, which a guide may like a little better. What is dark by its name is told by far more: brown from orange by 0.7."""
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
    """The colour that is best, or a brighter one of its hue that is as good (`AS_GOOD`), and the lowest loss.

    See `score_colors`, which takes twice the time for all of them.
    """
    before = guide.encode_images(crops) if before is None else before
    few = [None if one is None else one[::FEW] for one in (before, shade)]
    first = score_colors(guide, crops[::FEW], coverage[::FEW], colors, source, target, *few)
    finalists = colors[first.topk(min(FINALISTS, len(colors)), largest=False).indices.to(colors.device)]
    losses = score_colors(guide, crops, coverage, finalists, source, target, before, shade)
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
