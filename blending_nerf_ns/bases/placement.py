"""Where a scene lies: nerfstudio computes origin, orientation and scale from all frames of a capture, and a run writes them down.

Another capture, or other frames or options of the same one, gives other coordinates, and what was trained would be seen from wrong
places. (Captures whose dataparser changes nothing, as Blender's, cannot be told apart by this.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError

FILE = "dataparser_transforms.json"
"""In the folder of every run whose training has begun."""
TOLERANCE = 1e-4
"""Two dataparser transforms of one capture differ by rounding only; one frame more moves the origin by far more."""


class Placement(NamedTuple):
    """From a capture's coordinates to a scene's."""

    transform: Float[Tensor, "3 4"]
    """Applied first."""
    scale: float
    """Applied after it."""

    def is_like(self, other: Placement) -> bool:
        """Whether both are the same, but for rounding."""
        same = torch.allclose(self.transform.double(), other.transform.double(), rtol=TOLERANCE, atol=TOLERANCE)
        return same and abs(self.scale - other.scale) <= TOLERANCE * abs(other.scale)

    def __str__(self) -> str:
        """For a message."""
        rows = [[round(float(value), 4) for value in row] for row in self.transform]
        return f"transform {rows}, scale {self.scale:.6g}"


def placement_of(outputs: DataparserOutputs) -> Placement:
    """Where a dataparser puts the scene."""
    return Placement(outputs.dataparser_transform.detach().cpu().float(), float(outputs.dataparser_scale))


def read_placement(path: Path) -> Placement:
    """What a run wrote down.

    Raises:
        BlendingNerfError: no such file, or not of this form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf8"))
        transform = torch.tensor(content["transform"], dtype=torch.float64).reshape(3, 4).float()
        return Placement(transform, float(content["scale"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BlendingNerfError(
            f"{path} cannot be read ({error}). ns-train writes it when training starts; without it nobody can tell "
            "whether the base belongs to this capture."
        ) from error


def check_still_its_capture(run: Path, outputs: DataparserOutputs) -> None:
    """Refuse data whose scene coordinates are not those that a run was trained in; where it wrote none down nobody can tell.

    Args:
        run: its folder.
        outputs: of the data as it is read now.

    Raises:
        BlendingNerfError: with both placements.
    """
    if not (run / FILE).is_file():
        return
    then, now = read_placement(run / FILE), placement_of(outputs)
    if not now.is_like(then):
        raise BlendingNerfError(
            f"{run} was trained on another capture, or on other frames or dataparser options of this one. Then: {then}. "
            f"Now: {now}. Put the capture back as it was, or (ns-train, blending-nerf) name it with --data; for other photos train a new run."
        )
