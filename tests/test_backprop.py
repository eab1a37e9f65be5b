"""Deferred back-propagation gives the gradients of the direct one."""

from __future__ import annotations

import pytest
import torch

from blending_nerf_ns.training.backprop import deferred_backward


@pytest.mark.parametrize("chunk", [1, 7, 30, 100])
def test_deferred_and_direct_gradients_agree(chunk: int) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    rays = torch.randn(30, 5)
    calls: list[slice] = []

    def render(part: slice) -> torch.Tensor:
        calls.append(part)
        return network(rays[part])

    def loss_of(pixels: torch.Tensor) -> tuple[torch.Tensor, float]:
        loss = (pixels.mean(dim=0) ** 2).sum() + pixels.std()  # all pixels at once, not a sum over rays
        return loss, float(loss)

    direct = torch.autograd.grad(loss_of(network(rays))[0], list(network.parameters()))
    value = deferred_backward(render, 30, loss_of, chunk, scale=2.0)
    for parameter, gradient in zip(network.parameters(), direct, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 2.0 * gradient, rtol=1e-4, atol=1e-6)
    assert value == pytest.approx(float(loss_of(network(rays))[0]), rel=1e-5)
    assert max(len(range(30)[part]) for part in calls) <= chunk or chunk >= 30
    assert chunk >= 30 or sorted(ray for part in calls for ray in range(30)[part]) == sorted([*range(30), *range(30)])
    assert len(calls) == (1 if chunk >= 30 else 2 * -(-30 // chunk)), "one chunk is rendered once, others twice"


def test_gradients_accumulate() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    for _ in range(2):
        deferred_backward(lambda part: weight * torch.ones(4, 1)[part], 4, lambda x: (x.sum(), None), 2)
    assert weight.grad is not None and float(weight.grad) == 8.0
