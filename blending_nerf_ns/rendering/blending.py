"""The blending of an original and an editable field on one interval of a ray.

This is the project's reading of Blending-NeRF (arXiv 2308.11974, section 4.2 and its overview figure); the paper
publishes no code, and the formulas are ours where it is silent.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST_DENSITY = 1e-6
"""Below this density an interval is empty: its shares are not worth a division that could overflow a gradient."""


class Strengths(NamedTuple):
    """How much of each operation is shown, >= 0: 0 is off, 1 is as trained."""

    add: float = 1.0
    remove: float = 1.0
    change: float = 1.0

    @property
    def all_off(self) -> bool:
        """Whether the picture is the original whatever the edit is."""
        return self.add == 0.0 and self.remove == 0.0 and self.change == 0.0

    def scaled(self, factor: float) -> "Strengths":
        """All of them times a factor >= 0."""
        return Strengths(*(factor * value for value in self))


AS_TRAINED = Strengths()
"""Every operation as it was trained."""


class EditSamples(NamedTuple):
    """The editable field on some intervals."""

    density: Float[Tensor, "*samples"]
    """Its own density, >= 0."""
    rgb: Float[Tensor, "*samples 3"]
    """Its own colour in [0, 1]."""
    density_ratio: Float[Tensor, "*samples"]
    """Blend ratio of density in [0, 1]: the share of the original that it takes away."""
    color_ratio: Float[Tensor, "*samples"]
    """Blend ratio of colour in [0, 1]: the share of the original's colour that it replaces."""
    region: Float[Tensor, "*samples"]
    """Region weight m in [0, 1], exactly 0 where nothing may change."""


class BlendedSamples(NamedTuple):
    """What blending makes of the original, interval by interval."""

    density: Float[Tensor, "*samples"]
    """Blended density: `kept + added`."""
    rgb: Float[Tensor, "*samples 3"]
    """Blended colour."""
    added: Float[Tensor, "*samples"]
    """Density that was added."""
    kept: Float[Tensor, "*samples"]
    """Density of the original that is left."""
    removed: Float[Tensor, "*samples"]
    """Share of the original density that was removed, in [0, 1]."""
    changed: Float[Tensor, "*samples"]
    """Share of the original colour that was replaced, in [0, 1]."""

    @property
    def added_share(self) -> Float[Tensor, "*samples"]:
        """Share of the blended density that was added, in [0, 1]; 0 in empty space."""
        return self.added / self.density.clamp_min(SMALLEST_DENSITY)

    @property
    def kept_share(self) -> Float[Tensor, "*samples"]:
        """Share of the blended density that is the original's, in [0, 1]; 0 in empty space."""
        return self.kept / self.density.clamp_min(SMALLEST_DENSITY)

    @property
    def edit_density(self) -> Float[Tensor, "*samples"]:
        """Density of the edit alone: what was added, and what was kept but recoloured."""
        return self.added + self.changed * self.kept


def blend(
    density: Float[Tensor, "*samples"],
    rgb: Float[Tensor, "*samples 3"],
    edit: EditSamples,
    strengths: Strengths = AS_TRAINED,
    painted: Optional[Float[Tensor, "*samples 3"]] = None,
) -> BlendedSamples:
    """Blend an edit into the original, per sample.

    With all strengths 0, or where `edit.region` is 0, the original comes back bit for bit. The result is again a
    density and a colour, so edits stack: give the output of one as the original of the next.

    Args:
        density: the original's density, >= 0.
        rgb: the original's colour in [0, 1].
        edit: the editable field on the same intervals.
        strengths: how much of each operation is shown.
        painted: colour in [0, 1] that recoloured density takes; the edit's own, which what is added has, if not given.

    Returns:
        the blended samples, in the original's dtype (float16 is computed in float32).

    Example:
        >>> red, blue = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
        >>> one, zero = torch.ones(1), torch.zeros(1)
        >>> edit = EditSamples(zero, blue, density_ratio=zero, color_ratio=0.5 * one, region=one)
        >>> blend(2 * one, red, edit).rgb
        tensor([[0.5000, 0.0000, 0.5000]])
    """
    dtype = density.dtype
    density, rgb = _at_least_float32(density), _at_least_float32(rgb)
    edit = EditSamples(*(_at_least_float32(value) for value in edit))
    painted = edit.rgb if painted is None else _at_least_float32(painted)

    added = strengths.add * edit.region * edit.density
    removed = (strengths.remove * edit.region * edit.density_ratio).clamp(0.0, 1.0)
    changed = (strengths.change * edit.region * edit.color_ratio).clamp(0.0, 1.0)
    kept = (1.0 - removed) * density
    blended = kept + added

    recolored = rgb + changed[..., None] * (painted - rgb)
    added_share = added / blended.clamp_min(SMALLEST_DENSITY)
    color = recolored + added_share[..., None] * (edit.rgb - recolored)
    return BlendedSamples(*(value.to(dtype) for value in (blended, color, added, kept, removed, changed)))


def _at_least_float32(value: Tensor) -> Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
