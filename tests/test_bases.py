"""The frozen base: its samples are what its picture was made from, and training leaves no trace in them."""

import dataclasses
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.model_components.renderers import background_color_override_context
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from tiny_nerfacto import TINY, TINY_PROPOSALS, rays, shake
from torch import Tensor

from blending_nerf_ns.bases.base import BaseSamples, Proposal
from blending_nerf_ns.bases.loading import build_base
from blending_nerf_ns.bases.nerfacto import MAX_DENSITY, NerfactoBase, NerfactoBaseConfig
from blending_nerf_ns.bases.weights import base_weights, fingerprint, load_base_state
from blending_nerf_ns.compat import without_lpips
from blending_nerf_ns.errors import BlendingNerfError

AABB = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
CAMERAS = 5
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "normals": {"predict_normals": True},
    "uncontracted": {"disable_scene_contraction": True, "far_plane": 6.0},
    "unblended background": {"background_color": "random"},
    "white background": {"background_color": "white"},
    "uniform sampler": {"proposal_initial_sampler": "uniform", "far_plane": 6.0},
    "one proposal net": {"use_same_proposal_network": True},
    "one level": {"num_proposal_iterations": 1, "num_proposal_samples_per_ray": (16,)},
    "zero appearance": {"use_average_appearance_embedding": False},
    "no appearance": {"use_appearance_embedding": False},
    "scaled gradients": {"use_gradient_scaling": True},
}


def options(**changes: Any) -> dict[str, Any]:
    return {**TINY, "proposal_net_args_list": [dict(item) for item in TINY_PROPOSALS], **changes}


def make_base(**changes: Any) -> NerfactoBase:
    torch.manual_seed(0)
    base = build_base(NerfactoBaseConfig(**options(**changes)), AABB, CAMERAS)
    shake(base)
    return base


def composite(samples: BaseSamples) -> Tensor:
    """Volume rendering, written out: the sum of weight times colour, and the background where nothing is."""
    depth = samples.density * samples.edges.diff(dim=-1)
    before = torch.cat([torch.zeros_like(depth[:, :1]), depth.cumsum(-1)[:, :-1]], dim=-1)
    weights = torch.exp(-before) * (1 - torch.exp(-depth))
    rgb = (weights[..., None] * samples.rgb).sum(-2) + (1 - weights.sum(-1, keepdim=True)) * samples.background
    return rgb.clamp(0.0, 1.0)


def nerfstudios_own(base: NerfactoBase, **changes: Any) -> NerfactoModel:
    """nerfstudio's own model with the same weights."""
    with without_lpips():
        stock = NerfactoModel(
            NerfactoModelConfig(**options(**changes)), scene_box=SceneBox(aabb=AABB), num_train_data=CAMERAS
        )
    stock.load_state_dict(base.state_dict())
    return stock.eval()


def copy_of(bundle: RayBundle) -> RayBundle:
    """nerfstudio's collider writes near and far into the bundle that it is given."""
    return dataclasses.replace(bundle)


# -- rendering ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_are_bit_identical_to_nerfstudios_own_model(variant: str) -> None:
    base = make_base(**VARIANTS[variant], fast_hash_grids=False).freeze()
    stock, bundle = nerfstudios_own(base, **VARIANTS[variant]), rays(64, CAMERAS)
    theirs, own, render = stock(copy_of(bundle)), base(copy_of(bundle)), base.render(copy_of(bundle))
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], value) for name, value in theirs.items())
    assert set(render.outputs) == {"rgb", "depth", "accumulation"}, "what no picture of an edit has is not made"
    for name, value in render.outputs.items():
        assert torch.equal(value, theirs[name]), name
        assert not value.requires_grad


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_fast_base_renders_the_same_to_rounding(variant: str) -> None:
    base = make_base(**VARIANTS[variant]).freeze()
    bundle = rays(64, CAMERAS)
    theirs, own = nerfstudios_own(base, **VARIANTS[variant])(copy_of(bundle)), base(copy_of(bundle))
    render = base.render(copy_of(bundle))
    for name, value in render.outputs.items():
        assert torch.equal(value, own[name]), name
    away = (own["rgb"] - theirs["rgb"]).abs()
    assert away.mean() < 1e-5 and away.max() < 1e-3, "random fields are steep, and samplers amplify rounding"
    assert any(not torch.equal(own[name], theirs[name]) for name in own), "or it is not the fast one"


@pytest.mark.parametrize("variant", ["default", "normals"])
def test_the_fast_base_learns_the_same(variant: str) -> None:
    """Gradients of the weights, and of the cameras' poses where these are learned."""
    camera = {"camera_optimizer": CameraOptimizerConfig(mode="SO3xR3")}
    gradients = []
    for fast in (True, False):
        base = make_base(**VARIANTS[variant], **camera, fast_hash_grids=fast).train()
        torch.manual_seed(1)
        bundle = rays(64, CAMERAS)
        base.camera_optimizer.apply_to_raybundle(bundle)
        base(bundle)["rgb"].square().sum().backward()
        gradients.append({name: p.grad for name, p in base.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and "camera_optimizer.pose_adjustment" in gradients[0]
    for name, value in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], value, rtol=1e-2, atol=1e-3 * float(value.abs().max()), msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_samples_composite_to_the_picture(variant: str) -> None:
    render = make_base(**VARIANTS[variant]).freeze().render(rays(64, CAMERAS))
    accumulation = render.outputs["accumulation"]
    assert accumulation.min() < 0.9 and accumulation.max() > 0.2, "the test needs rays that show scene and background"
    torch.testing.assert_close(composite(render.samples), render.outputs["rgb"], rtol=0, atol=1e-6)
    assert (render.samples.edges.diff(dim=-1) >= 0).all()
    assert not any(part.requires_grad for part in render.samples)


def test_the_background_is_the_renderers_own() -> None:
    bundle, orange = rays(16, CAMERAS), torch.tensor([1.0, 0.5, 0.0])
    last = make_base().freeze().render(bundle).samples
    assert torch.equal(last.background, last.rgb[:, -1])
    for name, colour in {"random": 0.0, "black": 0.0, "white": 1.0}.items():
        named = make_base(background_color=name).freeze().render(bundle).samples
        assert torch.equal(named.background, torch.full((16, 3), colour)), name
    with background_color_override_context(orange):
        overridden = make_base().freeze().render(bundle)
    assert torch.equal(overridden.samples.background, orange.expand(16, 3))
    torch.testing.assert_close(composite(overridden.samples), overridden.outputs["rgb"], rtol=0, atol=1e-6)


def test_an_infinite_density_is_handed_out_finite_and_opaque() -> None:
    base = make_base().freeze()
    with torch.no_grad():
        base.field.mlp_base.model[1].layers[-1].bias[0] = 200.0  # type: ignore[index]  # exp(200) overflows
    render = base.render(rays(8, CAMERAS))
    assert render.samples.density.isfinite().all() and render.samples.density.max() == MAX_DENSITY
    torch.testing.assert_close(composite(render.samples), render.outputs["rgb"], rtol=0, atol=1e-6)


def test_a_picture_does_not_take_the_proposals_turn_to_train() -> None:
    """Fails without our line as long as nerfstudio's sampler counts pictures; it can go when this passes without it."""
    base = make_base().eval()
    sampler = base.proposal_sampler
    sampler.step_cb(5000)
    sampler._steps_since_update = 100  # far beyond every schedule: the next training step trains the proposals
    base.render(rays(8))
    assert sampler._steps_since_update == 100
    base.train()
    base(rays(8))
    assert sampler._steps_since_update == 0, "a training step does take it"


def test_a_base_in_training_mode_does_not_render() -> None:
    with pytest.raises(RuntimeError, match=r"call freeze\(\)"):
        make_base().train().render(rays(4, CAMERAS))


# -- second samples ----------------------------------------------------------------------------------------------


def everything(positions: Tensor) -> Tensor:
    return torch.ones_like(positions[..., 0])


@pytest.mark.parametrize("variant", ["default", "uniform sampler", "one proposal net", "one level", "uncontracted"])
def test_resampling_with_everything_kept_gives_the_same_samples(variant: str) -> None:
    base, bundle = make_base(**VARIANTS[variant]).freeze(), rays(32, CAMERAS)
    render = base.render(bundle)
    for before, after in zip(render.samples, base.resample(bundle, render.proposal, everything)):
        assert torch.equal(before, after)


def test_a_part_of_the_rays_can_be_resampled() -> None:
    base, bundle = make_base().freeze(), rays(32, CAMERAS)
    render = base.render(bundle)
    part = torch.arange(32) % 3 == 0
    again = base.resample(bundle[part], render.proposal.among(part), everything)
    for before, after in zip(render.samples, again):
        torch.testing.assert_close(before[part], after, rtol=1e-4, atol=1e-5)


def test_samples_move_behind_what_is_removed() -> None:
    """Walls at t in [4, 5] and [12, 13]: the samples are on the first, and on the second once the first is removed."""
    base = make_base(proposal_initial_sampler="uniform", far_plane=16.0, num_nerf_samples_per_ray=100).freeze()
    bundle = RayBundle(
        origins=torch.zeros(1, 3),
        directions=torch.tensor([[1.0, 0.0, 0.0]]),
        pixel_area=torch.ones(1, 1),
        camera_indices=torch.zeros(1, 1, dtype=torch.long),
    )
    density = torch.zeros(1, 16)
    density[0, [4, 12]] = 1000.0
    background = torch.tensor([[0.1, 0.2, 0.3]])
    proposal = Proposal(torch.linspace(0, 1, 17)[None], density, background)

    def share_within(samples: BaseSamples, start: float) -> float:
        middles = (samples.edges[:, 1:] + samples.edges[:, :-1]) / 2
        return ((middles >= start) & (middles <= start + 1)).float().mean().item()

    first = base.resample(bundle, proposal, everything)
    behind = base.resample(bundle, proposal, lambda positions: (positions[..., 0] > 8).float())
    # the wall weighs 1, the sampler adds 0.01 to each of the 16 intervals: (1 + 0.01) / 1.16 = 0.87
    assert share_within(first, 4.0) == pytest.approx(0.87, abs=0.02) and share_within(first, 12.0) < 0.02
    assert share_within(behind, 12.0) == pytest.approx(0.87, abs=0.02) and share_within(behind, 4.0) < 0.02
    assert torch.equal(behind.background, background)


# -- coordinates -------------------------------------------------------------------------------------------------

CONTRACTED, UNCONTRACTED = make_base(), make_base(disable_scene_contraction=True)
coordinate = st.floats(-100, 100, width=32)


@given(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=8))
def test_grid_coordinates_stay_in_the_grid_box(points: list[tuple[float, float, float]]) -> None:
    scene = torch.tensor(points)
    grid = CONTRACTED.to_grid(scene)
    lower, upper = CONTRACTED.grid_box
    assert ((grid >= lower) & (grid <= upper)).all()
    inside = scene.abs().amax(dim=-1) < 1
    assert torch.equal(grid[inside], scene[inside])
    assert torch.equal(UNCONTRACTED.to_grid(scene), scene)


def test_the_grid_box_is_the_contracted_cube_or_the_scene_box() -> None:
    assert CONTRACTED.contracted and not UNCONTRACTED.contracted
    assert [corner.tolist() for corner in CONTRACTED.grid_box] == [[-2.0] * 3, [2.0] * 3]
    assert [corner.tolist() for corner in UNCONTRACTED.grid_box] == [[-1.0] * 3, [1.0] * 3]
    # by hand: the largest coordinate, 4, becomes 2 - 1/4 = 1.75; the others keep their ratio to it
    torch.testing.assert_close(CONTRACTED.to_grid(torch.tensor([4.0, 2.0, 0.0])), torch.tensor([1.75, 0.875, 0.0]))


# -- training, and its end ---------------------------------------------------------------------------------------


def trained_base(steps: int) -> tuple[NerfactoBase, list, list[float]]:
    """A base trained on random colours through nerfstudio's own methods; its callbacks, its losses."""
    torch.manual_seed(0)
    base = build_base(NerfactoBaseConfig(**options()), AABB, CAMERAS).train()
    groups = base.get_param_groups()
    assert set(groups) == {"proposal_networks", "fields", "camera_opt"}
    callbacks = base.get_training_callbacks(TrainingCallbackAttributes(None, None, None, None))
    optimizer = torch.optim.Adam([parameter for group in groups.values() for parameter in group], lr=1e-2, eps=1e-15)
    bundle, losses = rays(64, CAMERAS), []
    batch = {"image": 0.5 + 0.5 * bundle.directions}
    for step in range(steps):
        run_callbacks(callbacks, step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        outputs = base(copy_of(bundle))
        loss_dict = base.get_loss_dict(outputs, batch, base.get_metrics_dict(outputs, batch))
        optimizer.zero_grad()
        torch.stack(list(loss_dict.values())).sum().backward()
        optimizer.step()
        losses.append(loss_dict["rgb_loss"].item())
        run_callbacks(callbacks, step, TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
    return base, callbacks, losses


def run_callbacks(callbacks: list, step: int, location: TrainingCallbackLocation) -> None:
    for callback in callbacks:
        callback.run_callback_at_location(step, location)


def test_it_trains_by_nerfstudios_methods() -> None:
    losses = trained_base(steps=60)[2]
    assert losses[-1] < 0.3 * losses[0]


def test_a_frozen_base_renders_what_its_checkpoint_renders() -> None:
    base, callbacks, _ = trained_base(steps=5)
    assert base.proposal_sampler._anneal < 1.0, "annealing has not ended: the case that matters"
    base.freeze()
    loaded = build_base(NerfactoBaseConfig(**options()), AABB, CAMERAS)
    load_base_state(loaded, base.state_dict())
    loaded.eval()
    bundle = rays(64, CAMERAS, seed=1)
    for ours, theirs in zip(base.render(bundle).samples, loaded.render(bundle).samples):
        assert torch.equal(ours, theirs)


def test_nothing_in_training_moves_a_frozen_base() -> None:
    base, callbacks, _ = trained_base(steps=5)
    bundle = rays(16, CAMERAS)
    before = base.freeze().render(bundle)
    run_callbacks(callbacks, 6, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)  # would set the annealing
    torch.nn.ModuleList([base]).train()  # as nerfstudio's pipeline does every step
    assert not base.training and not base.field.training
    assert not any(parameter.requires_grad for parameter in base.parameters())
    assert torch.equal(base.render(bundle).outputs["rgb"], before.outputs["rgb"])


def test_what_was_accumulated_and_not_taken_moves_no_frozen_base() -> None:
    """nerfstudio's --gradient-accumulation-steps: a stage may end between two of them."""
    base, _, _ = trained_base(steps=2)
    optimizer = torch.optim.Adam([p for group in base.get_param_groups().values() for p in group], lr=1e-2)
    for parameter in base.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = fingerprint(base.freeze().state_dict())
    optimizer.step()
    assert fingerprint(base.state_dict()) == before


def test_metrics_and_images_are_nerfactos_without_lpips() -> None:
    base = make_base().freeze()
    image = torch.rand(16, 16, 3)
    outputs = base.get_outputs_for_camera_ray_bundle(rays(256, CAMERAS).reshape((16, 16)))
    metrics, images = base.get_image_metrics_and_images(outputs, {"image": image})
    assert set(metrics) == {"psnr", "ssim"} and all(torch.tensor(list(metrics.values())).isfinite())
    assert set(images) == {"img", "accumulation", "depth", "prop_depth_0", "prop_depth_1"}
    assert not any("lpips" in key for key in base.state_dict())


# -- weights -----------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_of_all_weights_and_of_nothing_else() -> None:
    base = make_base()
    state = base.state_dict()
    print_of = fingerprint(state)
    assert len(print_of) == 16
    assert fingerprint(dict(reversed(list(state.items())))) == print_of
    assert fingerprint(base_weights(state)) == print_of
    assert fingerprint({**state, "lpips.net.weight": torch.zeros(3)}) == print_of
    changed = {key: value.clone() for key, value in state.items()}
    changed["field.aabb"][0, 0] += 1e-3
    assert fingerprint(changed) != print_of


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded() -> None:
    base, other = make_base(), make_base(hidden_dim=8)
    state = {**other.state_dict(), "field.extra": torch.zeros(1)}
    del state["field.aabb"]
    before = fingerprint(base.state_dict())
    with pytest.raises(BlendingNerfError) as caught:
        load_base_state(base, state)
    message = str(caught.value)
    assert "missing: field.aabb;" in message and "unexpected: field.extra;" in message
    assert "field.mlp_base.model.1.layers.0.weight (8, 8) instead of (16, 8)" in message
    assert fingerprint(base.state_dict()) == before


def test_the_large_configurations_base_is_nerfstudios_nerfacto() -> None:
    """Its class has other defaults than its method: a density of 1 to begin with leaves fog before the cameras."""
    from nerfstudio.configs.method_configs import method_configs

    from blending_nerf_ns.method_configs import blending_nerf  # pyright: ignore[reportMissingImports]

    theirs = vars(cast(Any, method_configs["nerfacto"]).pipeline.model)
    of_sizes = [
        getattr(blending_nerf, name).config.pipeline.model.base
        for name in ("blending_nerf", "blending_nerf_small", "blending_nerf_cpu")
    ]
    ours_alone = {"_target", "eval_num_rays_per_chunk"}  # twice as many rays at a time: fewer would wait for the host
    large = {name: value for name, value in vars(of_sizes[0]).items() if name in theirs and name not in ours_alone}
    assert large == {name: value for name, value in theirs.items() if name not in ours_alone}
    assert {base.average_init_density for base in of_sizes} == {theirs["average_init_density"]}
