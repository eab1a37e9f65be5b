"""From what an editable field's network says to density, a share removed and a share recoloured; and what "no edit" is to it."""

from __future__ import annotations

import math
from typing import Optional

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from blending_nerf_ns.edits.soft_solid import SoftSolid

NO_EDIT_DENSITY = -6.0
NO_EDIT_DENSITY_RATIO = -4.0
NO_EDIT_COLOR_RATIO = -2.0
"""Biases before the activations: training starts at the original, and a colour moves first."""
NO_EDIT = (NO_EDIT_DENSITY, NO_EDIT_DENSITY_RATIO, NO_EDIT_COLOR_RATIO)
NO_EDIT_FOG = math.log1p(math.exp(NO_EDIT_DENSITY))
"""Softplus of that density's bias, which is taken off: the room of an addition stood in fog of the addition's colour, two in a
hundred of what passed through it."""
FAINTEST = 1e-6
"""What is left of it, so that a hundred-thousandth of the light is lost across the region's box. Not 0: where the original is empty,
or taken away, all that is there is the edit's then, and a picture's gradient is that of the edit's colour."""
STRETCH = 1.1
"""A removed share is a sigmoid times this, and 1 at most: the upper half of a hard concrete (Louizos et al., ICLR 2018, arXiv
1712.01312, section 2.2). What is dense is gone only where it is gone altogether: of a ball that a sigmoid had taken away, a
little of the density came back in training, here and there, and stood there as specks; at three times the strength none was left."""
ALL_REMOVED = 7.0
"""Bias from which all is removed, far in the flat part, where no gradient brings a share of it back."""


def density_of(
    raw: Float[Tensor, " points"], fog: Float[Tensor, ""], start: Optional[SoftSolid] = None
) -> Float[Tensor, " points"]:
    """Density added, in units of the field's scale, at least `FAINTEST`.

    Args:
        raw: before the activation.
        fog: what is taken off, see `NO_EDIT_FOG`.
        start: the solid that it started from, if any: lifts it inside, and takes its room away far outside.
    """
    added = F.softplus(raw if start is None else raw + start.lift) - fog
    return _at_least(added if start is None else added * start.room, FAINTEST)


def share_removed(raw: Float[Tensor, " points"], stretch: Float[Tensor, ""]) -> Float[Tensor, " points"]:
    """Share of the original density that is removed, in [0, 1].

    Args:
        raw: before the activation.
        stretch: see `STRETCH`.
    """
    return (stretch * torch.sigmoid(raw)).clamp_max(1.0)


def is_no_edit(biases: Float[Tensor, "3"], seed: Float[Tensor, "7"]) -> bool:
    """Whether a field is as `EditField` is made.

    Args:
        biases: of its `shape_head`.
        seed: its buffer of that name.
    """
    return not bool((seed[3:6] > 0.0).all()) and torch.equal(biases, biases.new_tensor(NO_EDIT))


def _at_least(values: Float[Tensor, "*any"], least: float) -> Float[Tensor, "*any"]:
    """None less than this, with the gradient of all of them: what is not there yet can still grow (a straight-through estimator,
    Bengio et al. 2013, arXiv 1308.3432)."""
    return values + (values.clamp_min(least) - values).detach()
