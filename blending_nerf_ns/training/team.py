"""Several processes that train one run on torch.distributed: the same weights in all, views of its own in each.

Nothing is wrapped in DistributedDataParallel: an edit back-propagates in several passes, and only what an optimiser steps is
shared. The first process decides what is decided once (region, first colour) and is the only one that writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

import torch
import torch.distributed as dist
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter


class Team(NamedTuple):
    """The processes of a run, seen from one of them."""

    size: int = 1
    rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process is the one that decides and writes."""
        return self.rank == 0

    def say(self, text: str, style: Optional[str] = None) -> None:
        """Print what all processes know, once."""
        if self.leads:
            CONSOLE.print(text, style=style, markup=False)  # a name may have brackets

    def mean(self, values: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """Each value's mean over the processes; all must have the same names."""
        if self.size == 1 or not values:
            return dict(values)
        stacked = torch.stack([value.detach() for value in values.values()])
        dist.all_reduce(stacked)
        return dict(zip(values, stacked / self.size, strict=True))

    def share_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Replace each gradient by its mean over the processes, which must all have gradients of the same parameters."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size == 1 or not gradients:
            return
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(joined)
        parts = (joined / self.size).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def take_from_leader(self, state: Optional[Dict[str, Any]], device: torch.device) -> Dict[str, Any]:
        """The first process's state, in all of them.

        Args:
            state: of the first process; what the others pass does not count.
            device: where this process computes.
        """
        if self.size == 1:
            return state or {}
        held: List[Any] = [None]
        if self.leads and state is not None:
            held = [{name: value.cpu() if isinstance(value, Tensor) else value for name, value in state.items()}]
        dist.broadcast_object_list(held, src=0, device=device if device.type == "cuda" else None)
        return held[0]


def present_team() -> Team:
    """The processes that nerfstudio's launcher, or a test, started together."""
    if not (dist.is_available() and dist.is_initialized()):
        return Team()
    return Team(dist.get_world_size(), dist.get_rank())


class TeamOptimizers(Optimizers):
    """nerfstudio's optimizers, which share the gradients before they step.

    Args:
        team: see `Team`.
        others: as for `Optimizers`.
    """

    def __init__(self, team: Team, *others: Any) -> None:
        super().__init__(*others)
        self.team = team

    def optimizer_scaler_step_some(self, grad_scaler: Any, param_groups: List[str]) -> None:
        self.team.share_gradients(p for group in param_groups for p in self.parameters[group])
        super().optimizer_scaler_step_some(grad_scaler, param_groups)
