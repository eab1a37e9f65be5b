"""What a picture of an edit tells beside its colours, and what nerfstudio's metrics make of it."""

from __future__ import annotations

import pytest
import torch
from tiny_run import rays_towards_middle, ring, tiny_model

from blending_nerf_ns.model import BlendingModel

OFF, ON = -20.0, 20.0
OPAQUE = 12.0


def model_of(operation: str, add: float, remove: float, change: float) -> BlendingModel:
    """Before a base that is hardly there, an edit that is the same everywhere in its box."""
    model = tiny_model(operations=(operation,))
    with torch.no_grad():
        model.edit.field.shape_head.weight.zero_()
        model.edit.field.shape_head.bias.copy_(torch.tensor([add, remove, change]))
    model.base.field.average_init_density = 1e-4
    return model


@torch.no_grad()
def test_what_is_added_has_a_depth_and_hides_what_is_behind() -> None:
    model, rays = model_of("add", OPAQUE, OFF, OFF), rays_towards_middle(200, spread=0.1)
    outputs, alone = model(rays), model.base(rays_towards_middle(200, spread=0.1))
    solid = outputs["added"][:, 0] > 0.95
    assert int(solid.sum()) > 50 and float(alone["accumulation"].max()) < 0.5
    assert float(outputs["accumulation"][solid].min()) > 0.95
    met = model.intersect(model.base.bound(rays_towards_middle(200, spread=0.1)))
    near, far = torch.zeros(2, 200)
    near[met.rays], far[met.rays] = met.edges[:, 0], met.edges[:, -1]
    depth = outputs["depth"][solid, 0]
    assert bool((depth >= near[solid] - 1e-3).all()) and bool((depth <= far[solid]).all()), "where its front is"
    assert float((depth - near[solid]).mean()) < 0.3 * float((far - near)[solid].mean())
    assert not torch.allclose(depth, alone["depth"][solid, 0], atol=0.05), "the base's is another"
    assert torch.allclose(outputs["edit"][solid], outputs["rgb"][solid], atol=0.06), "nothing else is seen there"


@torch.no_grad()
def test_what_is_beneath_an_edit_has_the_depth_of_what_was_added_there() -> None:
    model, rays = model_of("add", OPAQUE, OFF, OFF), rays_towards_middle(200, spread=0.1)
    outputs = model(rays)
    model.layers.freeze_copy()
    beneath = model.beneath.render(rays_towards_middle(200, spread=0.1)).outputs
    for name in ("rgb", "depth", "accumulation"):
        assert torch.allclose(beneath[name], outputs[name], atol=1e-5), name
    assert not torch.allclose(beneath["depth"], model.base(rays_towards_middle(200, spread=0.1))["depth"], atol=0.05)


@torch.no_grad()
def test_what_is_taken_away_leaves_less_and_the_edit_alone_is_nothing() -> None:
    model, rays = model_of("remove", OFF, ON, OFF), rays_towards_middle(200, spread=0.1)
    model.base.field.average_init_density = 1.0
    outputs, alone = model(rays), model.base(rays_towards_middle(200, spread=0.1))
    gone = outputs["removed"][:, 0] > 0.1
    assert int(gone.sum()) > 20
    assert bool((outputs["accumulation"][gone] < alone["accumulation"][gone]).all())
    assert float(outputs["edit"].abs().max()) < 1e-6 < float(outputs["rgb"].max())


@torch.no_grad()
def test_of_half_a_removal_half_of_the_density_is_kept() -> None:
    edit = model_of("remove", OFF, ON, OFF).edit
    inside, outside = torch.tensor([[[0.1, 0.0, 0.0]]]), torch.tensor([[[0.9, 0.0, 0.0]]])
    for strength, kept in ((0.0, 1.0), (0.25, 0.75), (1.0, 0.0), (2.0, 0.0)):
        share = edit.kept_at(lambda points: points, strength)
        assert float(share(inside)) == pytest.approx(kept, abs=1e-5) and float(share(outside)) == 1.0


@torch.no_grad()
def test_the_original_is_on_the_left_and_the_edited_picture_on_the_right() -> None:
    model = model_of("add", OPAQUE, OFF, OFF)
    model.compare_at = 0.5
    outputs = model.get_outputs_for_camera(ring(4, 24)[0:1])
    left, right = slice(0, 12), slice(13, 24)
    assert torch.equal(outputs["compare"][:, left], outputs["original"][:, left])
    assert torch.equal(outputs["compare"][:, right], outputs["rgb"][:, right])
    for side in (left, right):
        assert not torch.allclose(outputs["original"][:, side], outputs["rgb"][:, side], atol=0.01), (
            "both show the edit"
        )


def test_nerfstudios_metrics_are_of_the_original_and_ours_of_the_edit() -> None:
    """The original is brighter than its photo by 0.1 everywhere, which are 20 decibels, and the edit painted it black: 4.4."""
    model = tiny_model()
    photo, original, black = (torch.full((16, 16, 3), value) for value in (0.5, 0.6, 0.0))
    one = torch.ones(16, 16, 1)
    outputs = {"rgb": black, "original": original, "accumulation": one, "region_overlay": photo}
    outputs |= {name: share * one for name, share in (("added", 0.1), ("removed", 0.2), ("changed", 0.3))}
    batch = {"image": photo}
    assert float(model.get_loss_dict(outputs, batch)["rgb_loss"]) == pytest.approx(0.01, rel=1e-3)
    assert float(model.get_metrics_dict(outputs, batch)["psnr"]) == pytest.approx(20.0, abs=1e-2)
    seen = []
    model.score = lambda original, edited: seen.append((original, edited)) or {"edit_direction": 0.5}
    metrics, images = model.get_image_metrics_and_images(outputs, batch)
    assert metrics["psnr"] == pytest.approx(20.0, abs=1e-2)
    assert metrics["edit_psnr"] == pytest.approx(4.437, abs=1e-2)
    assert metrics["ssim"] > 0.9 > 0.1 > metrics["edit_ssim"]
    assert [metrics[f"edit_{name}"] for name in ("added", "removed", "changed")] == pytest.approx([0.1, 0.2, 0.3])
    assert metrics["edit_direction"] == 0.5 and torch.equal(seen[0][0], original) and torch.equal(seen[0][1], black)
    assert torch.equal(images["img"], torch.cat([photo, original, black], dim=1))
