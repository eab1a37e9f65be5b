"""The baselines: what is frozen, what learns, and what each one gives up."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, cast

import pytest
import torch
from nerfstudio.data.scene_box import SceneBox
from tiny_run import rays_towards_middle, ring, tiny_model

from blending_nerf_ns.baselines.finetune_pipeline import FinetunePipelineConfig
from blending_nerf_ns.baselines.finetuned_model import FinetunedModel, FinetunedModelConfig
from blending_nerf_ns.baselines.finetuning import FinetuneGuidanceConfig, aim
from blending_nerf_ns.baselines.resampled import ResampledModel, ResampledModelConfig
from blending_nerf_ns.baselines.tracing import sample_between, trace
from blending_nerf_ns.baselines.unfrozen import UnfrozenModel, UnfrozenModelConfig
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.training.backprop import deferred_backward
from blending_nerf_ns.training.view_pool import render_view

BOX = SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3]))


def finetuned() -> FinetunedModel:
    """A tiny random model and its copy, in training mode."""
    config = FinetunedModelConfig(base=tiny_model().config.base, eval_num_rays_per_chunk=64)
    model: FinetunedModel = config.setup(scene_box=BOX, num_train_data=2)
    with torch.no_grad():
        for parameter in model.base.field.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.freeze_base()
    return model.train()


def like_ours(kind: type[BlendingModel], config: type) -> Any:
    """A baseline with the weights of `tiny_model`."""
    ours = tiny_model()
    values = {item.name: getattr(ours.config, item.name) for item in fields(ours.config) if item.name != "_target"}
    model = config(**values).setup(scene_box=BOX, num_train_data=2)
    assert isinstance(model, kind)
    model.edit.region.load_state_dict(ours.edit.region.state_dict())
    model.edit.field.load_state_dict(ours.edit.field.state_dict())
    model.base.load_state_dict(ours.base.state_dict())
    model.freeze_base()
    model.edit_ready.fill_(True)
    return model.eval(), ours


def move(module: torch.nn.Module) -> None:
    """Change its weights a little."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


# -- the fine-tuned base --------------------------------------------------------------------------------------------


def test_the_copy_starts_as_the_base_and_the_base_stays() -> None:
    model, rays = finetuned(), rays_towards_middle(64)
    outputs = model.get_outputs(rays)
    assert torch.equal(outputs["rgb"], outputs["original"])
    move(model.edited)
    moved = model.get_outputs(rays)
    assert torch.equal(moved["original"], outputs["original"])
    assert float((moved["rgb"] - moved["original"]).abs().max()) > 1e-3
    with model.showing_original():
        shown = model.get_outputs(rays)
        assert torch.equal(shown["rgb"], outputs["original"]) and torch.equal(shown["depth"], outputs["depth"])
    assert model.shows_edit
    model.freeze_base()
    assert torch.equal(model.get_outputs(rays)["rgb"], moved["rgb"]), "a checkpoint that is loaded keeps its copy"


def test_as_long_as_the_base_is_trained_the_picture_is_the_base() -> None:
    model = FinetunedModelConfig(base=tiny_model().config.base).setup(scene_box=BOX, num_train_data=2).eval()
    move(model.base)
    rays = rays_towards_middle(64)
    outputs = model.get_outputs(rays)
    assert torch.equal(outputs["rgb"], outputs["original"]), "and not a copy that knows nothing yet"
    unfrozen, _ = like_ours(UnfrozenModel, UnfrozenModelConfig)
    unfrozen.base_frozen.fill_(False)
    move(unfrozen.moving)
    outputs = unfrozen.get_outputs(rays)
    assert not unfrozen.edit.info.shown.all_off
    missed = outputs["silhouette"][:, 0] == 0
    assert bool(missed.any()) and torch.equal(outputs["rgb"][missed], outputs["original"][missed])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "ViT-B-61", "pretrained": "openai"}, "open_clip has no model 'ViT-B-61'"),
        ({"model": "ViT-B-16", "pretrained": "openia"}, "Did you mean 'openai'"),
        ({"judge_model": "ViT-L-41", "judge_pretrained": "openai"}, "the judge that ns-eval is to ask"),
        ({"source_text": "a blue ball"}, "nothing to edit towards"),
        ({"target_text": " "}, "target-text is empty"),
        ({"views_per_step": 0}, r"--pipeline.guidance.views-per-step 0: at least 1"),
        ({"crops": 0}, r"--pipeline.guidance.crops 0: at least 1"),
        ({"edit_steps": -1}, r"--pipeline.edit-steps -1: at least 0"),
    ],
)
def test_the_baseline_is_refused_before_its_base_is_trained(changes: dict[str, Any], message: str) -> None:
    config = FinetunePipelineConfig(source_text="a red ball", target_text="a blue ball")
    for name, value in changes.items():
        setattr(config.guidance if hasattr(config.guidance, name) else config, name, value)
    with pytest.raises(BlendingNerfError, match=message):
        config.setup(device="cpu", test_mode="val")  # it has no data: nothing was read


def test_only_the_copy_learns_and_the_chunks_do_not_matter() -> None:
    model, rays = finetuned(), rays_towards_middle(48)
    gradients = []
    for chunk in (48, 10):
        model.zero_grad()
        deferred_backward(
            lambda part: model.edited_pixels(rays[part]), 48, lambda pixels: ((pixels[:, 0] ** 2).mean(), None), chunk
        )
        gradients.append([p.grad.clone() for p in model.edited.field.parameters() if p.grad is not None])
    assert gradients[0] and all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))
    assert any(float(gradient.abs().max()) > 0 for gradient in gradients[0])
    assert all(p.grad is None for p in model.base.parameters())
    groups = model.get_param_groups()
    assert {"finetuned_fields", "finetuned_proposals"} <= set(groups)
    assert not any(p.requires_grad for name in ("fields", "proposal_networks") for p in groups[name])


def test_the_proposals_follow_the_density() -> None:
    model = finetuned()
    move(model.edited.field)
    trace(model.edited, rays_towards_middle(32)).proposal_loss.backward()
    moved = [p.grad for p in model.edited.proposal_networks.parameters() if p.grad is not None]
    assert moved and any(float(gradient.abs().max()) > 0 for gradient in moved)


def test_views_are_aimed_where_the_cameras_look_or_where_they_are_told_to() -> None:
    cameras = ring(8, size=12, radius=1.5)  # focal length 12, so half a picture is half as wide as its distance
    center, radius = aim(cameras, FinetuneGuidanceConfig())
    assert torch.allclose(center, torch.zeros(3), atol=1e-4) and radius == pytest.approx(0.75, abs=1e-4)
    center, radius = aim(cameras, FinetuneGuidanceConfig(aim_center=(0.1, 0.2, 0.3), aim_radius=0.4))
    assert center.tolist() == pytest.approx([0.1, 0.2, 0.3]) and radius == 0.4


def test_the_baseline_is_given_what_ours_is() -> None:
    from blending_nerf_ns.method_configs import baselines, blending_nerf  # pyright: ignore[reportMissingImports]

    pairs = (
        (blending_nerf.blending_nerf, baselines.clip_nerf_finetune),
        (blending_nerf.blending_nerf_cpu, baselines.clip_nerf_finetune_cpu),
    )
    for ours, other in pairs:
        mine, theirs = cast(Any, ours.config.pipeline), other.config.pipeline
        assert isinstance(theirs, FinetunePipelineConfig)
        assert (theirs.base_steps, theirs.edit_steps) == (mine.base_steps, mine.edit_steps)
        assert theirs.model.base == mine.model.base and theirs.datamanager == mine.datamanager
        # but for where it looks, and how many rays it takes at a time, which changes no gradient
        shared = {item.name for item in fields(theirs.guidance)} - {"aim_center", "aim_radius", "rays_per_chunk"}
        assert all(getattr(theirs.guidance, name) == getattr(mine.guidance, name) for name in shared)
        assert set(other.config.optimizers) ^ set(ours.config.optimizers) == {
            *("edit_field", "finetuned_fields", "finetuned_proposals")
        }


# -- no base freezing -----------------------------------------------------------------------------------------------


def test_an_unfrozen_base_starts_as_ours_and_its_original_stays() -> None:
    model, ours = like_ours(UnfrozenModel, UnfrozenModelConfig)
    rays = rays_towards_middle(64)
    before, expected = model.get_outputs(rays), ours.get_outputs(rays)
    assert all(torch.equal(before[name], expected[name]) for name in expected)
    move(model.moving.field)
    after = model.get_outputs(rays)
    assert torch.equal(after["original"], expected["original"])
    missed = expected["silhouette"][:, 0] == 0
    assert float((after["rgb"] - after["original"])[missed].abs().max()) > 1e-4, "it leaks, which is what it shows"
    model.set_strengths(0.0, 0.0, 0.0)
    assert torch.equal(model.get_outputs(rays)["rgb"], expected["original"])


def test_guidance_compares_an_unfrozen_base_with_what_it_was_however_late_a_view_is_drawn() -> None:
    model, ours = like_ours(UnfrozenModel, UnfrozenModelConfig)
    cameras = ring(2, size=16)
    expected = render_view(ours, cameras, 0)
    move(model.moving.field)
    late = render_view(model, cameras, 0)
    assert torch.equal(late.original, expected.original) and torch.equal(late.coverage, expected.coverage)
    assert not torch.equal(model.moving.render(late.rays).outputs["rgb"], model.base.render(late.rays).outputs["rgb"])


def test_an_unfrozen_base_has_something_to_learn_where_all_is_removed() -> None:
    for model in like_ours(UnfrozenModel, UnfrozenModelConfig):
        model.edit.info = replace(model.edit.info, operations=("remove",))
        model.edit.field.start_from_removal()
        assert model.nothing_to_learn is not isinstance(model, UnfrozenModel)


def test_an_unfrozen_base_learns_from_the_rays_of_the_region() -> None:
    model, _ = like_ours(UnfrozenModel, UnfrozenModelConfig)
    rays = rays_towards_middle(64)
    render = model.beneath.render(rays)
    met = model.intersect(rays)
    hit = rays[met.rays]
    base = type(render.samples)(*(value[met.rays] for value in render.samples))
    proposal = render.proposal.among(met.rays)
    pixels, _ = model.blend(hit, base, proposal, met, model.edit.info.trained)
    pixels.rgb.sum().backward()
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in model.moving.field.parameters())
    assert all(p.grad is None for p in model.base.parameters())
    assert "moving_fields" in model.get_param_groups()


# -- resampling instead of splitting --------------------------------------------------------------------------------


def test_sampling_between_its_own_edges_gives_a_base_its_own_samples() -> None:
    base, rays = tiny_model().base, rays_towards_middle(16)
    own = base.render(rays).samples
    again = sample_between(base, rays, own.edges, own.background)
    assert torch.allclose(again.density, own.density, rtol=1e-4, atol=1e-5)
    assert torch.allclose(again.rgb, own.rgb, atol=1e-5)


def test_resampling_loses_the_identity_that_splitting_keeps() -> None:
    model, ours = like_ours(ResampledModel, ResampledModelConfig)
    rays = rays_towards_middle(96)
    split, resampled = ours.get_outputs(rays), model.get_outputs(rays)
    missed = split["silhouette"][:, 0] == 0
    assert torch.equal(resampled["rgb"][missed], split["rgb"][missed])
    assert 1e-5 < float((resampled["rgb"] - split["rgb"]).abs().max()) < 0.5
    with torch.no_grad():  # an edit that does nothing, though it is on
        for edited in (model, ours):
            edited.edit.region.weight.mul_(1e-9)
            edited.edit.region.color_weight.mul_(1e-9)
    split, resampled = ours.get_outputs(rays), model.get_outputs(rays)
    assert float((split["rgb"] - split["original"]).abs().max()) < 1e-5
    assert float((resampled["rgb"] - resampled["original"]).abs().max()) > 1e-5
