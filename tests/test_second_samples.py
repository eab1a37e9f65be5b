"""Second samples behind a removal: what is learned from them is the slope of what is seen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_run import rays_towards_middle, tiny_model

from blending_nerf_ns.bases.base import BaseSamples
from blending_nerf_ns.edits.stack import SECOND_SAMPLES_ABOVE
from blending_nerf_ns.rendering.blending import Strengths


@pytest.mark.parametrize("contracted", [True, False])
def test_the_gradient_of_a_removal_is_the_slope_of_the_picture(
    contracted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rays = tiny_model(contracted, operations=("remove",)), rays_towards_middle(300, spread=0.2)
    render = model.base.render(rays)
    met = model.intersect(rays)
    base = render.samples.among(met.rays)
    proposal = render.proposal.among(met.rays)
    placed: list[Any] = []
    resample = model.base.resample

    def placed_once(*arguments: Any) -> BaseSamples:
        """Where samples lie carries no gradient, so it must not move under the difference either."""
        if not placed:
            placed.append(resample(*arguments))
        return placed[0]

    monkeypatch.setattr(model.base, "resample", placed_once)
    bias = model.edit.field.shape_head.bias

    def seen() -> tuple[torch.Tensor, torch.Tensor]:
        pixels, removed = model.blend(rays[met.rays], base, proposal, met, Strengths())
        return pixels.rgb.double().sum(), removed  # rounding of the whole sum would be as large as the step

    with torch.no_grad():
        bias[1] = 0.3
    total, removed = seen()
    total.backward()
    assert int((removed > 2 * SECOND_SAMPLES_ABOVE).sum()) > 50
    assert bias.grad is not None
    slope, step = float(bias.grad[1]), 1e-2
    with torch.no_grad():
        bias[1] += step
        above, more = seen()
        bias[1] -= 2 * step
        below, less = seen()
    same = (more > SECOND_SAMPLES_ABOVE) == (less > SECOND_SAMPLES_ABOVE)
    assert bool(same.all()), "as many rays are sampled again"
    assert slope == pytest.approx(float(above - below) / (2 * step), rel=1e-2)
