"""The weights that make a base what it is: which they are, their fingerprint, and loading them whole or not at all."""

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from blending_nerf_ns.errors import BlendingNerfError

SHOWN_KEYS = 6
"""Keys that an error lists before it says how many more there are."""


def base_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a nerfacto state dict that a picture depends on: not LPIPS, not the empty device marker."""
    return {
        key: value for key, value in state.items() if not key.startswith("lpips.") and key != "device_indicator_param"
    }


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """16 hex digits (sha256) of a base's weights: names, types, shapes and bytes; the same on every device.

    The same for a trained model's `state_dict()` and for its checkpoint as `read_base_run` reads it.
    """
    digest = hashlib.sha256()
    for key, value in sorted(base_weights(state).items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def load_base_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a base's weights into a model that has exactly these, or change nothing.

    nerfstudio's own loading falls back to `strict=False` without a word, and renders noise.

    Raises:
        BlendingNerfError: names that are missing, unexpected, or of another shape.
    """
    own, given = base_weights(model.state_dict()), base_weights(state)
    reshaped = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}"
        for key in sorted(own.keys() & given.keys())
        if own[key].shape != given[key].shape
    ]
    problems = {
        "missing": sorted(own.keys() - given.keys()),
        "unexpected": sorted(given.keys() - own.keys()),
        "of another shape": reshaped,
    }
    if any(problems.values()):
        listed = "; ".join(f"{name}: {_shortened(keys)}" for name, keys in problems.items() if keys)
        raise BlendingNerfError(
            f"The base's weights do not fit its model ({listed}). Its config.yml and its checkpoint are of different "
            "runs, or another nerfstudio version than 1.1.5 wrote them."
        )
    model.load_state_dict(given, strict=False)  # not strict: what base_weights leaves out is not there


def _shortened(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more
