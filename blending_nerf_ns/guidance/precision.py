"""May the guide read pictures in bfloat16? Its loss and its gradient in both precisions say so (ours)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.guidance.losses import global_loss

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide

LOSS_TOLERANCE = 0.01
"""Of the global loss in float32, by which the other may differ."""
GRADIENT_TOLERANCE = 0.05
"""1 - cosine of the two gradients to the pictures."""


class PrecisionErrors(NamedTuple):
    """How far bfloat16 is from float32."""

    loss: float
    """Difference of the losses over the float32 one, >= 0."""
    gradient: float
    """1 - cosine of the gradients to the pictures, in [0, 2]."""

    @property
    def bearable(self) -> bool:
        """Whether an edit may be guided so; NaN is not."""
        return self.loss <= LOSS_TOLERANCE and self.gradient <= GRADIENT_TOLERANCE


@contextmanager
def reading_in(guide: ClipGuide, mixed: bool) -> Iterator[None]:
    """Inside, the guide reads pictures in bfloat16 or in float32; afterwards as before."""
    before = guide.mixed_precision
    guide.mixed_precision = mixed
    try:
        yield
    finally:
        guide.mixed_precision = before


def precision_errors(guide: ClipGuide, images: Float[Tensor, "B 3 H W"], target: Float[Tensor, "D"]) -> PrecisionErrors:
    """What reading pictures in bfloat16 does to the global loss and its gradient; leaves the guide as it was.

    Args:
        guide: any.
        images: in [0, 1], such as it will be shown.
        target: feature of the target text.
    """
    seen = []
    for mixed in (False, True):
        pictures = images.detach().clone().requires_grad_(True)
        with torch.enable_grad(), reading_in(guide, mixed):
            loss = global_loss(guide.encode_images(pictures), target)
            (gradient,) = torch.autograd.grad(loss, pictures)
        seen.append((float(loss.detach()), gradient.flatten().double()))
    (exact, slope), (rough, rough_slope) = seen
    cosine = functional.cosine_similarity(slope, rough_slope, dim=0)
    return PrecisionErrors(abs(rough - exact) / max(abs(exact), 1e-6), float(1.0 - cosine))
