"""Deferred back-propagation: memory that does not grow with the guidance picture."""

from __future__ import annotations

from typing import Callable, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from blending_nerf_ns.training.profiling import Timed, untimed

Result = TypeVar("Result")


def deferred_backward(
    render: Callable[[slice], Float[Tensor, "chunk channels"]],
    num_rays: int,
    loss_of: Callable[[Float[Tensor, "rays channels"]], tuple[Tensor, Result]],
    chunk: int,
    scale: float = 1.0,
    timed: Timed = untimed,
) -> Result:
    """Back-propagate a loss of all pixels through a renderer that holds only one chunk's graph at a time.

    The picture is rendered without gradient, the loss gives dL/dpixel, and each chunk is rendered again with that
    gradient put in. Where everything fits in one chunk there is nothing to defer, and it is rendered once.

    Args:
        render: pixels of a slice (with a step) of the rays, differentiable; the same slice must give the same pixels
            twice.
        num_rays: rays in all.
        loss_of: the loss of all pixels (a scalar) and whatever else the caller wants to know.
        chunk: rays whose graph is held at a time.
        scale: factor on the gradients (that of a gradient scaler).
        timed: what the backward passes run in (see `Profile`).

    Returns:
        the second result of `loss_of`. Gradients are accumulated in the parameters that `render` used.

    Source: ARF (arXiv 2206.06360), section 4.3.
    """
    if num_rays <= chunk:
        loss, result = loss_of(render(slice(0, num_rays)))
        with timed("backward"):
            (loss * scale).backward()
        return result

    count = -(-num_rays // chunk)
    slices = [slice(first, num_rays, count) for first in range(count)]  # from everywhere: each costs what the others do
    with torch.no_grad():
        of_first = render(slices[0])
        pixels = of_first.new_empty(num_rays, *of_first.shape[1:])
        for part in slices:
            pixels[part] = of_first if part is slices[0] else render(part)
    pixels.requires_grad_(True)
    loss, result = loss_of(pixels)
    with timed("backward"):
        (gradient,) = torch.autograd.grad(loss * scale, pixels)
    for part in slices:
        chunk_pixels = render(part)
        with timed("backward"):
            torch.autograd.backward(chunk_pixels, gradient[part])
        del chunk_pixels  # or its graph, emptied but not gone, would lie beside the next one's
    return result
