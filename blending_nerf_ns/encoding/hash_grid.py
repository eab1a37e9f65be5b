"""The multiresolution hash grid of Instant-NGP (arXiv 2201.05989, section 3) in torch, on a CPU and on a GPU.

nerfstudio's torch version gathers eight tables of corners and blends them in seven steps of large temporaries. Written as
one weighted sum of table rows per point and level, the gathering and the blending are on a CPU a single call of torch's
`embedding_bag`: the same numbers to rounding, in about a fifth of the time (`make bench`). On a GPU all of it is one kernel
(`fused_hash_grid`) where Triton runs; where it does not, rows are at least added up where they lie in the gradient, which
nerfstudio's sorts, and nothing is copied from the host, which would wait.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional, Tuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.field_components.encodings import HashEncoding
from torch import Tensor, nn

from blending_nerf_ns.encoding.kernels import kernels

BLOCK = 16384
"""Points that a CPU takes at a time: what lies between stays in its cache (a fifth less time), and each block takes memory of
the same sizes, which the next one finds free. With half as many, two threads wait for each other."""
GPU_BLOCK = 1 << 19
"""Elsewhere: enough to fill a GPU, at 64 bytes per point and level."""
PRIMES = (1, 2654435761 - (1 << 32), 805459861)
"""nerfstudio's, as signed 32-bit numbers: products may wrap, since only their low bits are used."""


class Corners(NamedTuple):
    """The eight grid points around N points on each of L levels."""

    rows: Int[Tensor, "L N 8"]
    """Rows of the table."""
    weights: Float[Tensor, "L N 8"]
    """Trilinear weights; they sum to 1."""


def corners(points: Float[Tensor, "N 3"], scalings: Float[Tensor, "L"], table_size: int) -> Corners:
    """Where each point's features lie in the table, and how much each of them counts.

    Args:
        points: in units of the grid, usually [0, 1].
        scalings: cells per unit on each level.
        table_size: rows per level, a power of two.

    Example:
        >>> rows, weights = corners(torch.tensor([[0.25, 0.0, 0.0]]), torch.tensor([2.0]), 16)
        >>> weights[0, 0, [0, 4]]  # half way between two grid points along x
        tensor([0.5000, 0.5000])
    """
    scaled = points.T.contiguous()[None] * scalings.view(-1, 1, 1)  # [L, 3, N]
    low = scaled.floor()
    above = scaled - low
    # numbers of Python's, not a tensor of three: that would be copied to a GPU, which the host would wait for
    near = [axis * prime for axis, prime in zip(low.to(torch.int32).unbind(1), PRIMES)]
    far = [axis + prime for axis, prime in zip(near, PRIMES)]
    hashed = [[axis & (table_size - 1) for axis in part] for part in (near, far)]
    shares = [part.unbind(1) for part in (1 - above, above)]
    first = torch.arange(len(scalings), dtype=torch.int32, device=points.device)[:, None] * table_size
    hashed = [(x, y, z | first) for x, y, z in hashed]  # a level's first row has none of the hash's bits: | adds

    shape = (len(scalings), len(points), 8)
    rows, weights = points.new_empty(shape, dtype=torch.int32), points.new_empty(shape)
    differentiable = []  # "out" takes no gradients
    for x in (0, 1):
        for y in (0, 1):
            plane, share = hashed[x][0] ^ hashed[y][1], shares[x][0] * shares[y][1]
            for z in (0, 1):
                place = (..., 4 * x + 2 * y + z)
                torch.bitwise_xor(plane, hashed[z][2], out=rows[place])
                if share.requires_grad:
                    differentiable.append(share * shares[z][2])
                else:
                    torch.mul(share, shares[z][2], out=weights[place])
    return Corners(rows, torch.stack(differentiable, -1) if differentiable else weights)


class _WeightedRows(torch.autograd.Function):
    """`embedding_bag`, whose own gradient sorts the rows and is slower than nerfstudio's whole backward pass."""

    @staticmethod
    def forward(
        ctx: Any, table: Float[Tensor, "T F"], rows: Int[Tensor, "M K"], weights: Float[Tensor, "M K"]
    ) -> Float[Tensor, "M F"]:
        ctx.save_for_backward(table, rows, weights)
        if rows.device.type == "cpu":
            return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)
        # a GPU's embedding_bag takes 32 threads for each row, of which a row of two features feeds two
        found = table[rows[:, 0]] * weights[:, :1]
        for corner in range(1, rows.shape[1]):
            found.addcmul_(table[rows[:, corner]], weights[:, corner, None])
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "M F"]) -> Tuple[Any, ...]:  # type: ignore[override]
        table, rows, weights = ctx.saved_tensors
        of_table = of_weights = None
        if ctx.needs_input_grad[0]:
            flat = rows.flatten().long()
            # one feature after the other: adding up single numbers is twice as fast as adding up short rows
            features = [
                table.new_zeros(len(table)).index_add_(0, flat, (weights * one[:, None]).flatten())
                for one in gradient.T.contiguous()
            ]
            of_table = torch.stack(features, 1)
        if ctx.needs_input_grad[2]:
            of_weights = (table[rows] * gradient[:, None]).sum(-1)
        return of_table, None, of_weights


def interpolate(table: Float[Tensor, "T F"], where: Corners) -> Float[Tensor, "N L*F"]:
    """Features of N points on all levels: weighted sums of table rows, differentiable in table and weights."""
    levels, points, count = where.rows.shape
    out = _WeightedRows.apply(table, where.rows.view(-1, count), where.weights.view(-1, count))
    return out.view(levels, points, table.shape[1]).transpose(0, 1).flatten(1)  # type: ignore[union-attr]


class _Grid(torch.autograd.Function):
    """`interpolate` of the corners of points that need no gradient, block by block."""

    @staticmethod
    def forward(
        ctx: Any, table: Float[Tensor, "T F"], points: Float[Tensor, "N 3"], scalings: Float[Tensor, "L"], keep: bool
    ) -> Float[Tensor, "N L*F"]:
        features, kept = [], []
        ctx.block = BLOCK if points.device.type == "cpu" else GPU_BLOCK
        for block in points.split(ctx.block):
            where = corners(block, scalings, len(table) // len(scalings))
            features.append(interpolate(table, where))
            kept += where if keep else ()
        ctx.save_for_backward(*kept)
        ctx.table_shape = table.shape
        return torch.cat(features)

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "N L*F"]) -> Tuple[Any, ...]:  # type: ignore[override]
        rows, features = ctx.table_shape
        # one feature after the other: adding up single numbers is twice as fast as adding up short rows
        of_table = gradient.new_zeros(features, rows)
        saved = ctx.saved_tensors
        for near, weights, block in zip(saved[::2], saved[1::2], gradient.split(ctx.block), strict=True):
            flat = near.flatten().long()
            for total, one in zip(of_table, block.unflatten(1, (-1, features)).permute(2, 1, 0), strict=True):
                total.index_add_(0, flat, (weights * one[..., None]).flatten())
        return of_table.T, None, None, None


def fused_kernel(device: torch.device) -> Optional[Callable[..., Tensor]]:
    """`fused_grid` where it can run, None elsewhere."""
    found = kernels("fused_hash_grid", device)
    return None if found is None else found.fused_grid


class FastHashEncoding(HashEncoding):
    """nerfstudio's torch hash grid, with the same parameters and features."""

    of_points: bool = True
    """Whether gradients reach the points. nerfacto asks for them always, and uses them for normals and cameras only."""

    def pytorch_fwd(self, in_tensor: Float[Tensor, "*bs 3"]) -> Float[Tensor, "*bs output_dim"]:
        if self.scalings.device != in_tensor.device:  # no buffer: it stays behind when the module moves
            self.scalings = self.scalings.to(in_tensor.device)
        points = in_tensor if self.of_points else in_tensor.detach()
        flat, learns = points.reshape(-1, 3).float(), torch.is_grad_enabled()
        fused = fused_kernel(flat.device)
        if fused is not None:
            found = fused(self.hash_table, flat, self.scalings)
            return found.view(*in_tensor.shape[:-1], self.get_out_dim())
        if learns and flat.requires_grad:
            found = interpolate(self.hash_table, corners(flat, self.scalings, self.hash_table_size))
        else:
            keep = learns and self.hash_table.requires_grad
            found = cast(Tensor, _Grid.apply(self.hash_table, flat, self.scalings, keep))
        return found.view(*in_tensor.shape[:-1], self.get_out_dim())


def use_fast_hash_grids(model: nn.Module, of_points: bool = True) -> None:
    """Let every torch hash grid of a model be a `FastHashEncoding`; parameters and their names stay."""
    for module in model.modules():
        if type(module) is HashEncoding and module.tcnn_encoding is None:
            module.__class__ = FastHashEncoding  # nerfstudio's fields build their encodings themselves
            cast(FastHashEncoding, module).of_points = of_points
