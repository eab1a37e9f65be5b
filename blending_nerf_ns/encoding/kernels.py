"""Which of our GPU kernels run here; where one does not, its caller takes the plain path in torch, which is its reference."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from typing import Any, Optional

import torch

from blending_nerf_ns.rendering.uninterrupted import uninterrupted


@cache
def kernels(module: str, device: torch.device) -> Optional[Any]:
    """A module of this folder that is written in Triton, where it can run: on a GPU, with a Triton that compiles there.

    Args:
        module: its name. Its `try_out(device)` compiles what it has, and raises what keeps it from that.
        device: where it is to run.

    Returns:
        the module, or None; said once if it should have run.
    """
    if device.type != "cuda":
        return None
    try:
        with uninterrupted():  # a moved camera says nothing of Triton, and what is found here is kept
            found = import_module(f"{__package__}.{module}")
            found.try_out(device)
    except Exception as error:  # no Triton, no C compiler, a GPU too old: each has its own exception
        warnings.warn(f"{module} takes the slower plain path: Triton does not run here ({error})", stacklevel=2)
        return None
    return found
