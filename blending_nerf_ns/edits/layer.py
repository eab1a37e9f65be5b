"""What a user says of an edit: its name, words, operations and strengths. The part of an edit that is not a tensor."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Tuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.blending import AS_TRAINED, Strengths

OPERATIONS = ("add", "remove", "change")
TEXTS = ("id", "name", "source_text", "target_text")
STRONGEST = 10.0
"""No blend ratio beyond this: it multiplies a density."""


@dataclass(frozen=True)
class LayerInfo:
    """One edit as the list of layers shows it."""

    id: str = ""
    """Tells layers of a stack apart; never changes."""
    name: str = ""
    """What the user calls it."""
    source_text: str = ""
    """What was there."""
    target_text: str = ""
    """What it was made into."""
    operations: Tuple[str, ...] = OPERATIONS
    """What the edit may do."""
    strengths: Strengths = AS_TRAINED
    """Blend ratios, each in [0, 10]: 0 is off, 1 as trained."""
    visible: bool = True
    """Whether it is switched on."""

    @property
    def shown(self) -> Strengths:
        """Strengths that the picture has: 0 where the layer is off or does not use an operation."""
        wanted = self.strengths if self.visible else Strengths(0.0, 0.0, 0.0)
        return Strengths(*(s if name in self.operations else 0.0 for name, s in zip(OPERATIONS, wanted, strict=True)))

    @property
    def trained(self) -> Strengths:
        """Strengths while it trains: 1 for its operations, 0 for the others."""
        return Strengths(*(float(name in self.operations) for name in OPERATIONS))

    def with_strengths(self, **changes: float | None) -> LayerInfo:
        """With other blend ratios for add, remove, change; None leaves one as it is.

        Raises:
            BlendingNerfError: not an operation, or not a number in [0, 10].
        """
        given = {name: float(value) for name, value in changes.items() if value is not None}
        for name, value in given.items():
            if name not in OPERATIONS:
                raise BlendingNerfError(f"there is no strength {name!r}; choose among {OPERATIONS}")
            if not (math.isfinite(value) and 0.0 <= value <= STRONGEST):
                raise BlendingNerfError(f"strength {name} is {value}; it must lie in [0, {STRONGEST:g}]")
        return replace(self, strengths=self.strengths._replace(**given))

    @property
    def called(self) -> str:
        """The name that its user gave it; empty where it follows the target text."""
        return "" if self.name == self.target_text else self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "strengths": self.strengths._asdict(), "operations": list(self.operations)}

    @classmethod
    def from_dict(cls, values: Any) -> LayerInfo:
        """Read what `to_dict` wrote; names that are not known yet are left out.

        Raises:
            BlendingNerfError: something else than that.
        """
        try:
            texts: dict[str, Any] = {name: str(values[name]) for name in TEXTS if name in values}
            wanted = Strengths(**{name: float(value) for name, value in values.get("strengths", {}).items()})
            operations = tuple(map(str, values.get("operations", OPERATIONS)))
            info = replace(cls(**texts), operations=operations, visible=bool(values.get("visible", True)))
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise BlendingNerfError(f"this is no description of an edit: {error}") from error
        if not set(info.operations) <= set(OPERATIONS) or not info.operations:
            raise BlendingNerfError(f"an edit has the operations {info.operations}; choose among {OPERATIONS}")
        return info.with_strengths(**wanted._asdict())


def looking_as(info: LayerInfo, other: LayerInfo) -> LayerInfo:
    """An edit as another is shown and called: with its blend ratios and the name that its user gave it.

    Example:
        >>> old = LayerInfo(name="a blue ball", target_text="a blue ball")
        >>> looking_as(old, LayerInfo(name="mine", target_text="a green ball", visible=False))
        LayerInfo(id='', name='mine', source_text='', target_text='a blue ball', operations=('add', 'remove', 'change'), \
strengths=Strengths(add=1.0, remove=1.0, change=1.0), visible=False)
    """
    return replace(info, name=other.called or info.target_text, strengths=other.strengths, visible=other.visible)


def find_layer(layers: Sequence[LayerInfo], name: str) -> LayerInfo:
    """The one of some layers that has this name or id.

    Raises:
        BlendingNerfError: none, or several.
    """
    found = [info for info in layers if name in (info.id, info.name)]
    if len(found) != 1:
        known = ", ".join(f"{info.name!r} ({info.id})" for info in layers)
        if found:
            raise BlendingNerfError(f"{len(found)} layers are called {name!r}: name one by its id; there are {known}")
        raise BlendingNerfError(f"no layer is called {name!r}; there are {known}")
    return found[0]


def pack(values: Any) -> UInt8[Tensor, " bytes"]:
    """JSON as a tensor: a checkpoint that is loaded without pickle holds nothing else."""
    return torch.tensor(list(json.dumps(values, sort_keys=True).encode()), dtype=torch.uint8)


def unpack(packed: UInt8[Tensor, " bytes"]) -> Any:
    """What `pack` packed; raises ValueError where it is not JSON."""
    return json.loads(bytes(packed.cpu().tolist()).decode())
