"""Two promises, measured on a run: rays that miss the region are the base's, and zero strength changes nothing.

Both need the model itself: pictures on disk are 8 bit, and the same ray in another chunk differs by float rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.utils.eval_utils import eval_setup
from torch import Tensor

from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.rendering.blending import Strengths

VIEWS = 4
"""Held-out views that are compared: every ray counts, so a few views are tens of thousands of cases."""


def measure_exactness(config: Path) -> dict[str, float]:
    """Compare a run's model with its own base on some held-out views, chunk by chunk.

    Args:
        config: the run's config.yml.

    Returns:
        `max_abs_diff_missed_rays`: largest difference of `rgb` to the base alone, over rays that miss the region;
        `missed_rays_share`: share of such rays;
        `identity_max_abs_diff`: largest difference of the blended picture to the base's pixels with all strengths 0,
        over rays that meet the region, with intervals split and samples blended;
        `exactness_views`: how many views were compared.
    """
    _, pipeline, _, _ = eval_setup(config, test_mode="inference")
    model = cast(BlendingModel, pipeline.model)
    cameras = pipeline.datamanager.eval_dataset.cameras.to(model.device)  # type: ignore[union-attr]
    missed_difference, identity_difference = torch.zeros(()), torch.zeros(())
    missed, total = 0, 0
    chosen = range(0, len(cameras), max(1, len(cameras) // VIEWS))
    for index in chosen:
        rays = cameras.generate_rays(camera_indices=index, keep_shape=True)
        chunk = model.config.eval_num_rays_per_chunk
        for start in range(0, len(rays), chunk):
            stop = min(start + chunk, len(rays))
            hits, outside, inside = compare_chunk(model, rays.get_row_major_sliced_ray_bundle(start, stop))
            missed_difference = torch.maximum(missed_difference, outside.cpu())
            identity_difference = torch.maximum(identity_difference, inside.cpu())
            missed, total = missed + (stop - start) - hits, total + stop - start
    return {
        "max_abs_diff_missed_rays": float(missed_difference),
        "missed_rays_share": missed / total,
        "identity_max_abs_diff": float(identity_difference),
        "exactness_views": len(chosen),
    }


@torch.no_grad()
def compare_chunk(model: BlendingModel, rays: RayBundle) -> tuple[int, Tensor, Tensor]:
    """One chunk of rays: how many meet the region, and the largest difference outside and (at zero strength) inside."""
    blended, alone = model(rays)["rgb"], model.base(rays)["rgb"]
    render = model.base.render(rays)
    intervals = model.intersect(rays)
    meets = torch.zeros(len(alone), dtype=torch.bool, device=alone.device)
    meets[intervals.rays] = True
    outside = largest(blended[~meets] - alone[~meets])
    if not meets.any():
        return 0, outside, alone.new_zeros(())
    hit = intervals.rays
    samples = render.samples.among(hit)
    proposal = render.proposal.among(hit)
    pixels, _ = model.blend(rays[hit], samples, proposal, intervals, Strengths(0.0, 0.0, 0.0))
    return len(hit), outside, largest(pixels.rgb.clamp(0.0, 1.0) - alone[hit])


def largest(difference: Tensor) -> Tensor:
    """Largest absolute value, 0 of nothing."""
    return difference.abs().max() if difference.numel() else difference.new_zeros(())
