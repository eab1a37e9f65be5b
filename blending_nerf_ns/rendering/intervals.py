"""Split intervals instead of resampling them.

A field that is constant on an interval may be cut there without changing what the ray sees:
exp(-s d1) exp(-s d2) = exp(-s (d1 + d2)). So the base is evaluated on its own intervals, the edit on its own, and both
meet on the merged edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import List, NamedTuple, Tuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Merged(NamedTuple):
    """Sub-intervals that respect the edges of several sets of intervals."""

    edges: Float[Tensor, "rays splits+1"]
    """Merged edges, ascending."""
    parents: Tuple[Int[Tensor, "rays splits"], ...]
    """For each set, index of its interval around each sub-interval; -1 outside of all."""


def merge_intervals(sets: Sequence[Float[Tensor, "rays n+1"]]) -> Merged:
    """Merge the edges of any number of sets of intervals, in one sort.

    Args:
        sets: ascending distances along each ray, as many rays in each.

    Example:
        >>> merge_intervals([torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0]])]).parents
        (tensor([[ 0,  0,  0,  0, -1]]), tensor([[-1,  0, -1, -1, -1]]), tensor([[-1, -1, -1,  0,  0]]))
    """
    edges, order = torch.cat(list(sets), dim=-1).sort(dim=-1)
    order = order[..., :-1]
    # how many edges of a kind lie behind says in which interval one is; a search for each takes longer than the sort
    counts = [one.shape[-1] for one in sets]
    passed: List[Tensor] = [(order < first).cumsum(dim=-1) for first in accumulate(counts[:-1])]
    passed.append(torch.arange(1, edges.shape[-1], device=edges.device).expand_as(order))
    own = [passed[0], *(upper - lower for lower, upper in pairwise(passed))]
    return Merged(edges, tuple(_interval(behind, count) for behind, count in zip(own, counts)))


def _interval(passed: Int[Tensor, "rays m"], count: int) -> Int[Tensor, "rays m"]:
    """The interval after as many of its `count` edges; -1 before the first and after the last."""
    return (passed - 1).masked_fill_(passed == count, -1)


def take(values: Float[Tensor, "rays n *channels"], index: Int[Tensor, "rays m"]) -> Float[Tensor, "rays m *channels"]:
    """Each sub-interval's value from its parent; 0 where it has none."""
    chosen = take_nearest(values, index)
    return chosen * (index >= 0).view(*index.shape, *[1] * (chosen.dim() - 2)).to(chosen.dtype)


def take_nearest(
    values: Float[Tensor, "rays n *channels"], index: Int[Tensor, "rays m"]
) -> Float[Tensor, "rays m *channels"]:
    """Like `take`, with the first value instead of 0: a colour must stay a colour where the density is 0."""
    index, (rays, count) = index.clamp_min(0), values.shape[:2]
    if values.dim() == 2:
        return values.gather(1, index)
    # whole rows at once: gathering each channel takes twice as long
    rows = index + torch.arange(0, rays * count, count, device=index.device)[:, None]
    return values.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, index.shape)
