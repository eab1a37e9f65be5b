"""The drawn base: it shows what the renderer draws, and its samples composite to that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blending_nerf_ns.demo.capture import demo_capture_scene, orbit_pose
from blending_nerf_ns.procedural.base import ProceduralBase, square_photographs
from blending_nerf_ns.procedural.render import render
from blending_nerf_ns.rendering.compositing import render_weights

SIZE, FOCAL = 24, 30.0


def test_the_picture_is_the_renderers_and_the_samples_composite_to_it() -> None:
    scene, pose = demo_capture_scene(), orbit_pose(0.7, 0.6, 4.0)
    cameras = square_photographs(torch.tensor(pose[None, :3], dtype=torch.float32), FOCAL, SIZE)
    rays = cameras.generate_rays(camera_indices=0, keep_shape=False)
    out = ProceduralBase(scene).render(rays.flatten())
    drawn, _ = render(scene, pose, FOCAL, FOCAL, SIZE / 2, SIZE / 2, SIZE, SIZE, supersampling=1)
    assert np.allclose(out.outputs["rgb"].view(SIZE, SIZE, 3).numpy(), drawn, atol=1e-4)
    edges = out.samples.edges
    assert bool((edges.diff(dim=-1) >= 0).all())
    weights = render_weights(out.samples.density, edges.diff(dim=-1))
    assert torch.allclose(weights.sum(-1), torch.ones(SIZE * SIZE), atol=1e-5)
    assert torch.allclose((weights[..., None] * out.samples.rgb).sum(1), out.outputs["rgb"], atol=1e-5)


def test_rays_of_two_cameras_are_refused() -> None:
    poses = torch.tensor(np.stack([orbit_pose(a, 0.6, 4.0)[:3] for a in (0.0, 1.0)]), dtype=torch.float32)
    rays = square_photographs(poses, FOCAL, SIZE).generate_rays(
        camera_indices=torch.tensor([[0], [1]]), keep_shape=False
    )
    with pytest.raises(ValueError, match="rays of one camera"):
        ProceduralBase(demo_capture_scene()).render(rays.flatten())
