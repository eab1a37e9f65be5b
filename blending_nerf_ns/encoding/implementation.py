"""Which implementation of hash grids and networks: tinycudann's or torch's."""

from __future__ import annotations

from typing import Literal

from nerfstudio.utils.external import TCNN_EXISTS

from blending_nerf_ns.errors import BlendingNerfError


def resolve_implementation(wanted: str, use_cuda: bool) -> Literal["tcnn", "torch"]:
    """tinycudann where it imports and a GPU is at hand; nerfstudio would fall back silently."""
    if wanted == "tcnn" and not TCNN_EXISTS:
        raise BlendingNerfError(
            "implementation 'tcnn' was asked for, but tinycudann does not import here; "
            "install it (see nerfstudio's installation page) or use 'torch'"
        )
    if wanted == "auto":
        return "tcnn" if TCNN_EXISTS and use_cuda else "torch"
    return "tcnn" if wanted == "tcnn" else "torch"
