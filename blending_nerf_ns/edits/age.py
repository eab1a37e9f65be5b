"""Edits that an earlier version wrote, in checkpoints and files: what they lack is what was so then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from blending_nerf_ns.edits.region import to_numbers
from blending_nerf_ns.edits.shape import DEFAULT_SHAPE
from blending_nerf_ns.edits.soft_solid import NO_END, SOFTNESS

FIELD = "shape_head.bias"
"""Every field has had this from the first version on."""
REGION = "settings"
"""Every region this."""


def of_any_age(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state that may have been written before fields and regions had all of their buffers, with those that are missing.

    Args:
        state: of any module that may hold edits, at any depth.
    """
    fields = [name.removesuffix(FIELD) for name in state if name.endswith(FIELD)]
    regions = [name.removesuffix(REGION) for name in state if name == REGION or name.endswith(f".{REGION}")]
    added = {f"{prefix}{name}": value for prefix in fields for name, value in _field_before().items()}
    for prefix in regions:
        if f"{prefix}weight" in state:  # files hold none, for it follows from the rest
            added[f"{prefix}color_weight"] = state[f"{prefix}weight"]
    whole = {f"{prefix}{REGION}": _all_settings(state[f"{prefix}{REGION}"]) for prefix in regions}
    return {**added, **state, **whole}


def _field_before() -> dict[str, Tensor]:
    """Starts were no solids, or soft ones that grew without end, removed shares no more than a sigmoid, there was fog, and colours were
    flat."""
    none, one = torch.tensor(0.0), torch.tensor(1.0)
    solid = {"seed": torch.zeros(7), "seed_reach": torch.tensor(NO_END), "softness": torch.tensor(SOFTNESS)}
    return {**solid, "stretch": one, "fog": none, "light": none}


def _all_settings(stored: Tensor) -> Tensor:
    """Those of later versions are such by default that a region is cut as before."""
    stored = stored.reshape(-1)
    return torch.cat([stored, to_numbers(DEFAULT_SHAPE)[len(stored) :].to(stored)])
