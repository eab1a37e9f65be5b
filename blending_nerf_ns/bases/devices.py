"""Whether a device can be used, said before minutes are spent on what needs it."""

from __future__ import annotations

import torch

from blending_nerf_ns.errors import BlendingNerfError


def check_device(device: str, flag: str, instead: str) -> None:
    """Say that a device cannot be used, before torch does so in a traceback.

    Args:
        device: as torch calls it.
        flag: of the command line, that named it.
        instead: what to do.

    Raises:
        BlendingNerfError: with torch's reason: none is there, its driver is older than this torch wants, ...
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter of a torch that was built without CUDA
        reason = str(error).partition("\n")[0]
        raise BlendingNerfError(f"{flag} {device} cannot be used ({reason}); {instead}") from error
