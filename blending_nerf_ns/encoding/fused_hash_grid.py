"""The hash grid in one GPU kernel each way, written in Triton, which ships with torch on Linux.

`hash_grid.corners` and `interpolate` are the reference: the same rows, the same weights, the same sums to rounding. Between
its points and its features nothing lies in memory, where the plain path writes some eighty tensors. Needs a CUDA device, or
TRITON_INTERPRET=1 in the environment, by which the tests run it on a CPU.
"""

# a kernel is Python for Triton only:
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from typing import Any, Dict, Tuple, cast

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

POINTS = 256
"""Points of a program; each program takes one level."""
ROUNDED: Dict[str, bool] = {"enable_fp_fusion": False}
"""Products are rounded before they are added up, as torch's: a place within a cell is then the plain path's to the last bit."""
PRIME_Y, PRIME_Z = tl.constexpr(2654435761 - (1 << 32)), tl.constexpr(805459861)
"""nerfstudio's, as signed 32-bit numbers: products may wrap, since only their low bits are used."""


@triton.jit
def _place(points, scalings, level, n, inside):
    """Grid coordinates of a program's points: cell, and place within the cell, of each axis."""
    scale = tl.load(scalings + level)
    x = tl.load(points + 3 * n, mask=inside, other=0.0) * scale
    y = tl.load(points + 3 * n + 1, mask=inside, other=0.0) * scale
    z = tl.load(points + 3 * n + 2, mask=inside, other=0.0) * scale
    low_x, low_y, low_z = tl.floor(x), tl.floor(y), tl.floor(z)
    return low_x.to(tl.int32), low_y.to(tl.int32), low_z.to(tl.int32), x - low_x, y - low_y, z - low_z, scale


@triton.jit
def _row(x, y, z, corner: tl.constexpr, level, table_size):
    """Row of the table of one of the eight corners of a cell."""
    hashed = (x + (corner >> 2)) ^ ((y + ((corner >> 1) & 1)) * PRIME_Y) ^ ((z + (corner & 1)) * PRIME_Z)
    return (hashed & (table_size - 1)).to(tl.int64) + level * table_size


@triton.jit
def _share(above, far: tl.constexpr):
    """Linear weight of the far or of the near side."""
    return above if far else 1 - above


@triton.jit
def _forward(
    points, table, scalings, features, count, levels, table_size, width: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    level, n = tl.program_id(1), tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside, f = n < count, tl.arange(0, padded)
    mask = inside[:, None] & (f < width)[None, :]
    x, y, z, above_x, above_y, above_z, _ = _place(points, scalings, level, n, inside)
    total = tl.zeros([block, padded], dtype=tl.float32)
    for corner in tl.static_range(8):
        weight = _share(above_x, corner >> 2) * _share(above_y, (corner >> 1) & 1) * _share(above_z, corner & 1)
        row = _row(x, y, z, corner, level, table_size)
        total += weight[:, None] * tl.load(table + row[:, None] * width + f[None, :], mask=mask, other=0.0)
    tl.store(features + (n[:, None] * levels + level) * width + f[None, :], total, mask=mask)


@triton.jit
def _backward(
    points, table, scalings, gradient, of_table, of_points, count, levels, table_size, width: tl.constexpr,
    padded: tl.constexpr, block: tl.constexpr, learns: tl.constexpr, moves: tl.constexpr,
):  # fmt: skip
    level, n = tl.program_id(1), tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside, f = n < count, tl.arange(0, padded)
    mask = inside[:, None] & (f < width)[None, :]
    x, y, z, above_x, above_y, above_z, scale = _place(points, scalings, level, n, inside)
    out = tl.load(gradient + (n[:, None] * levels + level) * width + f[None, :], mask=mask, other=0.0)
    along_x = tl.zeros([block], dtype=tl.float32)
    along_y = tl.zeros([block], dtype=tl.float32)
    along_z = tl.zeros([block], dtype=tl.float32)
    for corner in tl.static_range(8):
        share_x = _share(above_x, corner >> 2)
        share_y = _share(above_y, (corner >> 1) & 1)
        share_z = _share(above_z, corner & 1)
        where = _row(x, y, z, corner, level, table_size)[:, None] * width + f[None, :]
        if learns:
            tl.atomic_add(of_table + where, (share_x * share_y * share_z)[:, None] * out, mask=mask, sem="relaxed")
        if moves:
            meets = tl.sum(tl.load(table + where, mask=mask, other=0.0) * out, axis=1)
            along_x += meets * share_y * share_z * (1 if corner >> 2 else -1)
            along_y += meets * share_x * share_z * (1 if (corner >> 1) & 1 else -1)
            along_z += meets * share_x * share_y * (1 if corner & 1 else -1)
    if moves:
        tl.atomic_add(of_points + 3 * n, along_x * scale, mask=inside, sem="relaxed")
        tl.atomic_add(of_points + 3 * n + 1, along_y * scale, mask=inside, sem="relaxed")
        tl.atomic_add(of_points + 3 * n + 2, along_z * scale, mask=inside, sem="relaxed")


class _FusedGrid(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, table: Float[Tensor, "T F"], points: Float[Tensor, "N 3"], scalings: Float[Tensor, "L"]
    ) -> Float[Tensor, "N L*F"]:
        table, points = table.contiguous(), points.contiguous()
        levels, width = len(scalings), table.shape[1]
        features = points.new_empty(len(points), levels * width)
        sizes = (len(points), levels, len(table) // levels, width, triton.next_power_of_2(width), POINTS)
        if len(points):
            grid = (triton.cdiv(len(points), POINTS), levels)
            with torch.cuda.device_of(points):  # Triton launches on the present device, wherever the tensors are
                _forward[grid](points, table, scalings, features, *sizes, **ROUNDED)
        ctx.save_for_backward(table, points, scalings)
        ctx.sizes = sizes
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "N L*F"]) -> Tuple[Any, ...]:  # type: ignore[override]
        table, points, scalings = ctx.saved_tensors
        learns, moves, _ = ctx.needs_input_grad
        of_table = torch.zeros_like(table) if learns else None
        of_points = torch.zeros_like(points) if moves else None
        if len(points) and (learns or moves):
            # what is not asked for is not written: any tensor will do in its place
            written = (table if of_table is None else of_table, points if of_points is None else of_points)
            grid = (triton.cdiv(len(points), POINTS), len(scalings))
            needed = (points, table, scalings, gradient.float().contiguous(), *written)
            with torch.cuda.device_of(points):
                _backward[grid](*needed, *ctx.sizes, learns, moves, **ROUNDED)
        return of_table, of_points, None


def fused_grid(
    table: Float[Tensor, "T F"], points: Float[Tensor, "N 3"], scalings: Float[Tensor, "L"]
) -> Float[Tensor, "N L*F"]:
    """Features of N points on all levels, differentiable once in table and points: `interpolate(table, corners(points))`.

    Args:
        table: all levels' rows, one level after the other, float32; a power of two of them per level.
        points: in units of the grid, usually [0, 1], float32.
        scalings: cells per unit on each level.
    """
    return cast(Tensor, _FusedGrid.apply(table, points, scalings))


def try_out(device: torch.device) -> None:
    """Compile both kernels and run them once; raises whatever keeps Triton from it: no C compiler, a GPU too old."""
    with torch.enable_grad():
        table, points = (torch.zeros(8, 1 + 2 * i, device=device, requires_grad=True) for i in (0, 1))
        fused_grid(table, points, torch.ones(1, device=device)).sum().backward()
