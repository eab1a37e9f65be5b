"""Deferred back-propagation: memory that does not grow with the guidance picture (design section 4)."""

from __future__ import annotations

from typing import Callable, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Result = TypeVar("Result")


def deferred_backward(
    render: Callable[[slice], Float[Tensor, "chunk channels"]],
    num_rays: int,
    loss_of: Callable[[Float[Tensor, "rays channels"]], tuple[Tensor, Result]],
    chunk: int,
    scale: float = 1.0,
) -> Result:
    """Back-propagate a loss of all pixels through a renderer that holds only one chunk's graph at a time.

    The picture is rendered without gradient, the loss gives dL/dpixel, and each chunk is rendered again with that
    gradient put in. Where everything fits in one chunk there is nothing to defer, and it is rendered once.

    Args:
        render: pixels of a slice of the rays, differentiable; the same slice must give the same pixels twice.
        num_rays: rays in all.
        loss_of: the loss of all pixels (a scalar) and whatever else the caller wants to know.
        chunk: rays whose graph is held at a time.
        scale: factor on the gradients (that of a gradient scaler).

    Returns:
        the second result of `loss_of`. Gradients are accumulated in the parameters that `render` used.

    Source: ARF (arXiv 2206.06360), section 4.3.
    """
    if num_rays <= chunk:
        loss, result = loss_of(render(slice(0, num_rays)))
        (loss * scale).backward()
        return result

    slices = [slice(start, min(start + chunk, num_rays)) for start in range(0, num_rays, chunk)]
    with torch.no_grad():
        pixels = torch.cat([render(part) for part in slices])
    pixels.requires_grad_(True)
    loss, result = loss_of(pixels)
    (gradient,) = torch.autograd.grad(loss * scale, pixels)
    for part in slices:
        torch.autograd.backward(render(part), gradient[part])
    return result
