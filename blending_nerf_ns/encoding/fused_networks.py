"""The two small networks behind the edit's hash grid in one GPU kernel, for pictures: no gradient goes through it.

`EditField.forward` has the reference, layer by layer: the same sums to rounding. What lies between the layers, 64 numbers for each
point and layer, stays in registers, where the plain path writes and reads it eleven times; and what depends on the direction alone is
worked out once for each ray. Needs a CUDA device, or TRITON_INTERPRET=1 in the environment, by which the tests run it on a CPU.
"""

# a kernel is Python for Triton only:
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

POINTS = 64
"""Points of a program."""
PRECISION = "tf32x3"
"""Of the products, Triton's name: three of a tensor core's for one of float32 (errors of 1.9e-7 where float32's are 1.2e-7, and a
fifth of the plain path's time on an H200; "ieee", without tensor cores, took eight times the plain path's)."""
SMALLEST_DOT = 16
"""Fewest rows and columns that Triton multiplies."""


def fits(features: int, hidden: int) -> bool:
    """Whether the kernel takes networks of these widths; all weights of a layer lie in registers at once."""
    return hidden in (16, 32, 64) and features <= 64


@triton.jit
def _layer(values, weights, columns: tl.constexpr, rows: tl.constexpr, padded: tl.constexpr, precision: tl.constexpr):
    """Products of values [points, padded] with weights that lie in memory as [rows, columns]."""
    k, j = tl.arange(0, padded), tl.arange(0, rows)
    turned = tl.load(weights + j[None, :] * columns + k[:, None], mask=(k < columns)[:, None], other=0.0)
    return tl.dot(values, turned, input_precision=precision)


@triton.jit
def _forward(
    encoded, rays, views, first, first_bias, second, second_bias, shape, shape_bias, color_first, color_last,
    color_last_bias, out, count, width: tl.constexpr, padded: tl.constexpr, hidden: tl.constexpr,
    precision: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside, k, h = n < count, tl.arange(0, padded), tl.arange(0, hidden)
    mask = inside[:, None] & (k < width)[None, :]
    x = tl.load(encoded + n[:, None] * width + k[None, :], mask=mask, other=0.0)
    x = _layer(x, first, width, hidden, padded, precision)
    x = tl.maximum(x + tl.load(first_bias + h)[None, :], 0.0)
    x = _layer(x, second, hidden, hidden, hidden, precision)
    x = tl.maximum(x + tl.load(second_bias + h)[None, :], 0.0)
    ray = tl.load(rays + n, mask=inside, other=0)
    seen = tl.load(views + ray[:, None] * hidden + h[None, :], mask=inside[:, None], other=0.0)
    color = tl.maximum(_layer(x, color_first, hidden, hidden, hidden, precision) + seen, 0.0)
    for i in tl.static_range(3):
        one = tl.sum(x * tl.load(shape + i * hidden + h)[None, :], axis=1) + tl.load(shape_bias + i)
        tl.store(out + 6 * n + i, one, mask=inside)
        two = tl.sum(color * tl.load(color_last + i * hidden + h)[None, :], axis=1) + tl.load(color_last_bias + i)
        tl.store(out + 6 * n + 3 + i, two, mask=inside)


def fused_networks(
    encoded: Float[Tensor, "points features"],
    rays: Int[Tensor, " points"],
    views: Float[Tensor, "rays hidden"],
    weights: Sequence[Tensor],
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
    """What the two heads say of points, before any activation.

    Args:
        encoded: the hash grid's features, float32.
        rays: which ray each point lies on, int64.
        views: what the colour's first layer makes of each ray's direction, its bias included.
        weights: and biases of the layers, as torch's linear layers have them, float32: first and second of the trunk, shape head,
            the colour's first (weights of the trunk's part alone) and last. See `fits`.

    Returns:
        density, its ratio and the colour's; and the colour.
    """
    (points, width), hidden = encoded.shape, len(weights[0])
    out = encoded.new_empty(points, 6)
    if points:
        padded = max(SMALLEST_DOT, triton.next_power_of_2(width))
        layers = (weight.contiguous() for weight in weights)
        with torch.cuda.device_of(encoded):  # Triton launches on the present device, wherever the tensors are
            _forward[(triton.cdiv(points, POINTS),)](
                *(encoded.contiguous(), rays.contiguous(), views.contiguous(), *layers, out, points),
                *(width, padded, hidden, PRECISION, POINTS),
            )
    return out[:, :3], out[:, 3:]


def try_out(device: torch.device) -> None:
    """Compile the kernel and run it once; raises whatever keeps Triton from it: no C compiler, a GPU too old."""
    shapes = ((16, 16), (16,), (16, 16), (16,), (3, 16), (3,), (16, 16), (3, 16), (3,))
    weights = [torch.zeros(shape, device=device) for shape in shapes]
    rays = torch.zeros(1, dtype=torch.long, device=device)
    fused_networks(torch.zeros(1, 16, device=device), rays, torch.zeros(1, 16, device=device), weights)
