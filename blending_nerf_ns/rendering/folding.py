"""Edits stack: each takes what the ones beneath it left as its original ("fold").

Blending maps a density and a colour to a density and a colour, so it can be repeated. What is carried along beside them says
how much of the result is still the scene's own: the pixel's accumulated opacities are those of the whole stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from jaxtyping import Float, Int
from torch import Tensor

from blending_nerf_ns.rendering.blending import SMALLEST_DENSITY, BlendedSamples, EditSamples, Strengths, blend
from blending_nerf_ns.rendering.compositing import BlendedPixels, composite_blend, render_weights
from blending_nerf_ns.rendering.intervals import merge_intervals, take, take_nearest
from blending_nerf_ns.rendering.shading import shaded, shading


class Folded(NamedTuple):
    """A scene with some edits, on sub-intervals that respect the edges of all of them."""

    edges: Float[Tensor, "rays samples+1"]
    """Ascending distances along the rays."""
    original: Float[Tensor, "rays samples"]
    """Density of the scene itself, whatever the edits do."""
    blended: BlendedSamples
    """Density and colour after all edits; added, kept, removed and changed by all of them together."""
    edit_rgb: Float[Tensor, "rays samples 3"]
    """Colour of what the edits added or recoloured."""
    added_rgb: Float[Tensor, "rays samples 3"]
    """Colour of what the edits added, as it is now."""
    background: Float[Tensor, "rays 3"]
    """Colour behind the rays; no edit moves it."""
    untouched: bool = False
    """Whether there is no edit yet: the first has nothing to shine through and need not carry it along."""


def unedited(
    edges: Float[Tensor, "rays samples+1"],
    density: Float[Tensor, "rays samples"],
    rgb: Float[Tensor, "rays samples 3"],
    background: Float[Tensor, "rays 3"],
) -> Folded:
    """A scene before its first edit."""
    nothing = torch.zeros_like(density)
    blended = BlendedSamples(density, rgb, added=nothing, kept=density, removed=nothing, changed=nothing)
    return Folded(edges, density, blended, rgb, rgb, background, untouched=True)


class Layer(NamedTuple):
    """An edit on rays, to be put on a scene."""

    edges: Float[Tensor, "rays n+1"]
    """Of its own intervals. A ray that misses it has intervals of region weight 0."""
    samples: EditSamples
    """The editable field on them."""
    strengths: Strengths
    """How much of each of its operations is shown."""
    light: Optional[Float[Tensor, ""]] = None
    """Luminance beside which what it recolours keeps its light and shade (see `shading`); None: it takes the edit's colour flat."""


def fold(
    below: Folded,
    edges: Float[Tensor, "rays n+1"],
    edit: EditSamples,
    strengths: Strengths,
    light: Optional[Float[Tensor, ""]] = None,
) -> Folded:
    """Put one more edit on top.

    Args:
        below: the scene with the edits beneath it.
        edges: of the edit's own intervals, on the same rays. A ray that misses it has intervals of region weight 0.
        edit: the editable field on them.
        strengths: how much of each of its operations is shown.
        light: see `Layer`.

    Example:
        >>> scene = unedited(torch.tensor([[0.0, 1.0]]), torch.ones(1, 1), torch.zeros(1, 1, 3), torch.zeros(1, 3))
        >>> half, one = torch.full((1, 1), 0.5), torch.ones(1, 1)
        >>> edit = EditSamples(0 * one, torch.ones(1, 1, 3), density_ratio=0 * one, color_ratio=half, region=one)
        >>> once = fold(scene, torch.tensor([[0.0, 1.0]]), edit, Strengths())
        >>> twice = fold(once, torch.tensor([[0.0, 1.0]]), edit, Strengths())
        >>> twice.blended.changed.max()
        tensor(0.7500)
    """
    return fold_together(below, [Layer(edges, edit, strengths, light)])


def fold_together(below: Folded, layers: Sequence[Layer]) -> Folded:
    """Put several edits on top, the first lowest: `fold` by `fold`, with all of their edges merged once.

    Args:
        below: the scene with the edits beneath them.
        layers: on the same rays.
    """
    if not layers:
        return below
    merged = merge_intervals([below.edges, *(layer.edges for layer in layers)])
    folded = _cut(below, merged.edges, merged.parents[0])
    for layer, parent in zip(layers, merged.parents[1:], strict=True):
        folded = _blend_on(folded, _parts(layer.samples, parent), layer.strengths, layer.light)
    return folded


def _parts(samples: EditSamples, parent: Int[Tensor, "rays m"]) -> EditSamples:
    """An edit's samples on parts of its intervals; of region weight 0 outside of them."""
    inside = take(samples.region, parent)
    return EditSamples(*(take_nearest(value, parent) for value in samples[:-1]), region=inside)


def _cut(below: Folded, edges: Float[Tensor, "rays m+1"], parent: Int[Tensor, "rays m"]) -> Folded:
    """A scene on parts of its intervals; it looks the same."""
    original = take(below.original, parent)
    if below.untouched:
        rgb = take_nearest(below.blended.rgb, parent)
        return unedited(edges, original, rgb, below.background)
    blended = BlendedSamples(
        *((take_nearest if name == "rgb" else take)(value, parent) for name, value in below.blended._asdict().items())
    )
    edit_rgb, added_rgb = (take_nearest(colour, parent) for colour in (below.edit_rgb, below.added_rgb))
    return Folded(edges, original, blended, edit_rgb, added_rgb, below.background)


def _blend_on(
    below: Folded, own: EditSamples, strengths: Strengths, light: Optional[Float[Tensor, ""]] = None
) -> Folded:
    """Put an edit on top whose samples lie on the scene's own intervals."""
    old, own_rgb = below.blended, own.rgb
    painted = None if light is None else shaded(own.rgb, shading(old.rgb, light))
    alone = blend(old.density, old.rgb, own, strengths, painted)
    if painted is not None:  # of what is the edit's, the part that is the scene's surface
        share = alone.changed * alone.kept / alone.edit_density.clamp_min(SMALLEST_DENSITY)
        own_rgb = own_rgb + share[..., None] * (painted - own_rgb)
    if below.untouched:
        return below._replace(blended=alone, edit_rgb=own_rgb, added_rgb=own.rgb, untouched=False)
    stays = 1.0 - alone.removed
    together = BlendedSamples(
        density=alone.density,
        rgb=alone.rgb,
        added=stays * old.added + alone.added,
        kept=stays * old.kept,
        removed=old.removed + alone.removed - old.removed * alone.removed,
        changed=old.changed + alone.changed - old.changed * alone.changed,
    )
    # of what is not the scene's own, the part that this edit made; the rest was made by those beneath and shines through
    edit_rgb = _mixed(below.edit_rgb, own_rgb, stays * alone.changed * old.density + alone.added, together.edit_density)
    recoloured = own.rgb if painted is None else painted
    added_before = below.added_rgb + alone.changed[..., None] * (recoloured - below.added_rgb)
    added_rgb = _mixed(added_before, own.rgb, alone.added, together.added)
    return below._replace(blended=together, edit_rgb=edit_rgb, added_rgb=added_rgb)


def _mixed(
    before: Float[Tensor, "rays samples 3"],
    now: Float[Tensor, "rays samples 3"],
    part: Float[Tensor, "rays samples"],
    whole: Float[Tensor, "rays samples"],
) -> Float[Tensor, "rays samples 3"]:
    """The colour of a density of which a part has another colour now; that of the part where there is no density."""
    share = (part / whole.clamp_min(SMALLEST_DENSITY)).clamp(0.0, 1.0)
    share = torch.where(whole > SMALLEST_DENSITY, share, torch.ones_like(share))
    return before + share[..., None] * (now - before)  # lerp takes twice as long on a CPU


def pixels_of(folded: Folded) -> BlendedPixels:
    """What rays see of a stack."""
    return composite_blend(folded.blended, folded.edit_rgb, folded.edges, folded.background)


def accumulated_removal(
    density: Float[Tensor, "rays samples"],
    removed: Float[Tensor, "rays samples"],
    edges: Float[Tensor, "rays samples+1"],
) -> Float[Tensor, " rays"]:
    """E_remove: the weights of what was there times the share removed, summed along the ray, in [0, 1].

    Args:
        density: before the removal.
        removed: share of it that is gone.
        edges: of the intervals.
    """
    return (render_weights(density, edges[..., 1:] - edges[..., :-1]) * removed).sum(dim=-1)


def keep_no_more(folded: Folded, edges: Float[Tensor, "rays n+1"], share: Float[Tensor, "rays n"]) -> Folded:
    """Cut what is left of the scene's intervals down to a share of each: an interval has the density of its middle, and no part
    of it keeps more than edits leave there (ours).

    Samples behind a removal lie close together there and far apart in front, where one interval may reach from before a region
    into what is removed. The part before it, and in the region's soft edge, would stay as a shell that the scene never had.

    Args:
        folded: the scene with edits.
        edges: of the scene's own intervals, ascending.
        share: of their density that edits leave in their middles, in [0, 1].

    Example:
        >>> scene = unedited(torch.tensor([[0.0, 1.0]]), torch.full((1, 1), 4.0), torch.ones(1, 1, 3), torch.zeros(1, 3))
        >>> keep_no_more(scene, scene.edges, torch.tensor([[0.25]])).blended.density
        tensor([[1.]])
    """
    old = folded.blended
    middles = (0.5 * (folded.edges[..., 1:] + folded.edges[..., :-1])).contiguous()
    parent = (torch.searchsorted(edges.contiguous(), middles, right=True) - 1).clamp(0, share.shape[-1] - 1)
    most = share.gather(-1, parent) * folded.original
    stays = (most / old.kept.clamp_min(SMALLEST_DENSITY)).clamp_max(1.0)
    density = stays * old.kept + old.added
    # of the colour, that of what was kept goes, and that of what was added stays
    light = (stays * old.density)[..., None] * old.rgb + ((1.0 - stays) * old.added)[..., None] * folded.added_rgb
    rgb = light / density.clamp_min(SMALLEST_DENSITY)[..., None]
    rgb = torch.where((density > SMALLEST_DENSITY)[..., None], rgb, old.rgb)
    return folded._replace(blended=old._replace(density=density, rgb=rgb, kept=stays * old.kept))
