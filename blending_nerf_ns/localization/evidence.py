"""What the pixels of a view say about space, kept compactly.

Evidence is kept per sample that a pixel shows and per ray, so that several grids can be filled from it without
rendering again.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError

SMALLEST_WEIGHT = 1e-3
"""Samples with a smaller rendering weight are not kept: they are not visible."""
ENDED = 0.5
"""A ray ends in the interval where its accumulated weight passes this."""

ToGrid = Callable[[Float[Tensor, "*points 3"]], Float[Tensor, "*points 3"]]
"""Scene to grid coordinates."""


class Evidence(NamedTuple):
    """What some pixels say, on the device they were rendered on."""

    points: Float[Tensor, "samples 3"]
    """Visible samples, in grid coordinates."""
    weights: Float[Tensor, " samples"]
    """Their rendering weights."""
    probabilities: Float[Tensor, " samples"]
    """What the localiser says of the pixel that shows them, in [0, 1]."""
    origins: Float[Tensor, "rays 3"]
    """Scene coordinates."""
    directions: Float[Tensor, "rays 3"]
    ends: Float[Tensor, " rays"]
    """Distance up to which each ray is free: the near edge of the interval it ends in, or the last edge."""


def gather_evidence(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    edges: Float[Tensor, "rays samples+1"],
    weights: Float[Tensor, "rays samples"],
    probability: Float[Tensor, " rays"],
    to_grid: ToGrid,
) -> Evidence:
    """What the pixels of a view, or of a chunk of it, say about space.

    Args:
        origins: of the pixels' rays, in scene coordinates.
        directions: unit vectors.
        edges: of the base's intervals, ascending distances.
        weights: the base's rendering weights on them.
        probability: what the localiser says of each pixel, in [0, 1].
        to_grid: scene to grid coordinates.

    Raises:
        BlendingNerfError: a probability is not a number in [0, 1].
    """
    if not bool(((probability >= 0) & (probability <= 1)).all()):  # false for NaN, too
        numbers = probability.nan_to_num(0.0)
        raise BlendingNerfError(
            f"a localiser's map must hold probabilities in [0, 1]; this one reaches from {float(numbers.min()):.3g} to "
            f"{float(numbers.max()):.3g} and has {int(probability.isnan().sum())} NaN"
        )
    ray, sample = torch.nonzero(weights > SMALLEST_WEIGHT, as_tuple=True)
    middle = 0.5 * (edges[ray, sample] + edges[ray, sample + 1])
    ended = torch.cumsum(weights, dim=-1) > ENDED
    last = torch.where(ended.any(dim=-1), ended.float().argmax(dim=-1), edges.shape[-1] - 1)
    return Evidence(
        points=to_grid(origins[ray] + middle[:, None] * directions[ray]),
        weights=weights[ray, sample],
        probabilities=probability.to(weights)[ray],
        origins=origins,
        directions=directions,
        ends=edges.gather(-1, last[:, None]).squeeze(-1),
    )


def join_evidence(parts: Sequence[Evidence]) -> Evidence:
    """One body of evidence from several chunks or views."""
    if not parts:
        raise BlendingNerfError("there is no evidence to fuse: choose at least one view")
    return Evidence(*(torch.cat(values) for values in zip(*parts)))
