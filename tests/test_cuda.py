"""On a GPU: what is shown and learned there is what a CPU shows and learns, and a step does not wait in its middle.

`python -m pytest -m gpu -rs` runs these alone; without a CUDA device they are skipped.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from nerfstudio.field_components.encodings import HashEncoding
from tiny_run import rays_towards_middle, ring, run, run_of, tiny_model, train, write_tiny_capture

from blending_nerf_ns.demo.capture import CaptureShape, demo_capture_scene, find_subject, write_capture
from blending_nerf_ns.edits import networks
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.edits.file import load_edit, save_edit
from blending_nerf_ns.edits.soft_solid import Seed
from blending_nerf_ns.encoding import hash_grid
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.guidance.palette import brightest_of_hue
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.rendering.aside import Aside
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.profiling import PARTS
from blending_nerf_ns.training.team import Team

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]

TEXTS = ("a red ball", "a blue ball")


def assert_same(found: torch.Tensor, expected: torch.Tensor, name: str = "rgb") -> None:
    """Sums in another order, in float32."""
    torch.testing.assert_close(found.cpu(), expected.cpu(), rtol=1e-3, atol=1e-4, msg=lambda text: f"{name}: {text}")


@pytest.fixture(autouse=True)
def _full_float32() -> Iterator[None]:
    """No TensorFloat-32: it has ten bits."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def guiding(model: BlendingModel, device: str, **changes: object) -> EditTraining:
    config = replace(GuidanceConfig(image_size=24, views=2, crops=3, stop_when_settled=False), **changes)
    guide = load_clip("embedded", device=device)
    return EditTraining(config, model, ring(4, 24).to(device), guide, *TEXTS, 0, Team())


def test_pictures_are_those_of_a_cpu() -> None:
    model, rays = tiny_model(), rays_towards_middle(300)
    with torch.no_grad():
        expected = model.get_outputs(rays)
        found = tiny_model().cuda().get_outputs(rays.to("cuda"))
    for name in ("rgb", "original", "edit", "added", "removed", "changed", "depth", "accumulation"):
        assert_same(found[name], expected[name], name)
    assert float((expected["rgb"] - expected["original"]).abs().max()) > 1e-3, "the edit is seen"


@pytest.mark.parametrize("fused", [True, False], ids=["kernel", "plain"])
def test_hash_grids_are_nerfstudios(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hash_grid.fused_kernel(torch.device("cuda")) is not None, "Triton runs here"
    if not fused:
        monkeypatch.setattr(hash_grid, "fused_kernel", lambda device: None)
    sizes: dict[str, Any] = {
        "num_levels": 5,
        "min_res": 4,
        "max_res": 300,
        "log2_hashmap_size": 9,
        "features_per_level": 2,
    }
    theirs = HashEncoding(**sizes, implementation="torch").cuda()
    ours = hash_grid.FastHashEncoding(**sizes, implementation="torch").cuda()
    torch.nn.init.normal_(theirs.hash_table)
    ours.load_state_dict(theirs.state_dict())
    points, found = torch.rand(3000, 3, device="cuda"), []
    for grid in (theirs, ours):
        there = points.clone().requires_grad_()
        features = grid(there)
        features.square().sum().backward()
        found.append((features, there.grad, grid.hash_table.grad))
    assert_same(found[1][0], found[0][0], "features")
    torch.testing.assert_close(found[1][2], found[0][2], rtol=1e-4, atol=1e-2)  # sums of thousands
    off = (found[1][1] - found[0][1]).abs() > 1e-3 * found[0][1].abs().max()
    assert float(off.float().mean()) < 1e-3, "on the grid itself the derivative jumps, and theirs is another side's"


def test_rays_that_miss_are_the_bases_own() -> None:
    model, rays = tiny_model().cuda(), rays_towards_middle(300).to("cuda")
    with torch.no_grad():
        blended, base = model.get_outputs(rays), model.base(rays)
    missed = blended["region"][:, 0] == 0
    assert 0 < int(missed.sum()) < 300
    assert torch.equal(blended["rgb"][missed], base["rgb"][missed])


def test_a_colour_is_chosen_though_losses_lie_on_the_gpu_and_colours_do_not() -> None:
    colors = torch.tensor([[0.85, 0.85, 0.085], [0.45, 0.45, 0.045]])
    assert brightest_of_hue(colors, torch.tensor([1.01, 1.0], device="cuda"), 0.1) == 0


@pytest.mark.parametrize("operations", [("change",), ("add", "remove", "change")])
def test_a_step_learns_what_it_learns_on_a_cpu(operations: tuple[str, ...]) -> None:
    gradients = {}
    for device in ("cpu", "cuda"):
        model = tiny_model(operations=operations).to(device)
        editing = guiding(model, device)
        editing.step(0, 0.6)
        gradients[device] = torch.cat(
            [p.grad.flatten().cpu() for p in model.edit.field.parameters() if p.grad is not None]
        )
    difference = (gradients["cuda"] - gradients["cpu"]).norm() / gradients["cpu"].norm()
    assert float(gradients["cpu"].norm()) > 0 and float(difference) < 0.01


def test_deferred_gradients_are_the_direct_ones() -> None:
    gradients = []
    for rays in (1 << 30, 40):
        model = tiny_model().cuda()
        guiding(model, "cuda", rays_per_chunk=rays).step(0, 0.6)
        gradients.append(torch.cat([p.grad.flatten() for p in model.edit.field.parameters() if p.grad is not None]))
    direct, deferred = gradients
    assert float((deferred - direct).norm() / direct.norm()) < 1e-4


def places_of_waits(call: Callable[[], object]) -> Counter[str]:
    """Files and lines at which the host waits for the GPU, and how often."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in said if "called a synchronizing" in str(one.message)]
    return Counter(f"{Path(one.filename).name}:{one.lineno}" for one in waits)


@pytest.mark.parametrize("rays", [2048, 40], ids=["one chunk", "deferred"])
def test_a_step_waits_once(rays: int) -> None:
    model = tiny_model(operations=("change",)).cuda()
    editing = guiding(model, "cuda", rays_per_chunk=rays)
    for step in range(4):  # all views are rendered and kept from here on
        editing.step(step, 0.6)
    waits = places_of_waits(lambda: editing.step(4, 0.6))
    assert sum(waits.values()) == 1 and next(iter(waits)).startswith("editing.py"), dict(waits)


@torch.no_grad()
def test_a_picture_waits_only_to_find_what_its_edits_meet() -> None:
    model, rays = tiny_model(operations=("add", "change")).cuda(), rays_towards_middle(300).to("cuda")
    model.layers.freeze_copy()
    model.edit.info = replace(model.edit.info, operations=("add", "change"))
    model.edit.field.start_from_solid(Seed(*torch.tensor([[0.0] * 3, [0.1] * 3], device="cuda")), torch.full((3,), 0.5))
    model.get_outputs(rays)  # what is asked of the weights once is known from here on
    waits = places_of_waits(lambda: model.get_outputs(rays)) - places_of_waits(lambda: model.base.render(rays))
    ours = {"model.py", "intersection.py", "stack.py"}
    assert waits and {place.split(":")[0] for place in waits} <= ours, dict(waits)


def test_networks_in_one_kernel_are_those_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    field = EditField(EditFieldConfig(num_levels=12, features_per_level=2, hidden_dim=64)).cuda().requires_grad_(False)
    for parameter in field.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    field.open_levels.fill_(7.5)
    points, directions = (
        2 * torch.rand(1000, 3, device="cuda") - 1,
        F.normalize(torch.randn(50, 3, device="cuda"), dim=-1),
    )
    rays = torch.randint(50, (1000,), device="cuda")
    assert networks.fused_kernel(points.device) is not None, "Triton runs here"
    with torch.no_grad():
        found = field(points, field.look_along(directions), rays)
        alone = field(points, field.look_along(directions[rays]))
        monkeypatch.setattr(networks, "fused_kernel", lambda device: None)
        expected = field(points, field.look_along(directions), rays)
    for one, other, plain in zip(found, alone, expected, strict=True):
        torch.testing.assert_close(one, plain, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)


def test_a_question_aside_does_not_wait_for_what_is_being_done() -> None:
    numbers = torch.arange(10.0, device="cuda")
    aside = Aside(numbers.device)
    torch.cuda._sleep(1_000_000_000)  # about half a second
    busy_until = torch.cuda.current_stream().record_event()
    found, count = aside.run(lambda: (numbers[numbers > 6.5], int((numbers > 6.5).sum())), lambda found: found[:1])
    assert count == 3 and not busy_until.query()
    assert (2 * found).tolist() == [14.0, 16.0, 18.0] and busy_until.query()


def test_bfloat16_guides_as_float32_does() -> None:
    model = tiny_model(operations=("change",)).cuda()
    editing = guiding(model, "cuda", mixed_precision=True)
    assert editing.choose_precision().startswith("bfloat16")


def test_an_edit_made_here_is_seen_on_a_cpu(tmp_path: Path) -> None:
    model, rays = tiny_model(), rays_towards_middle(200)
    there = tiny_model().cuda()
    save_edit(there.edit, "base", tmp_path / "edit.safetensors")
    model.layers.add(load_edit(tmp_path / "edit.safetensors", "base"))
    model.edit.info = replace(model.edit.info, visible=False)
    with torch.no_grad():
        assert_same(model.get_outputs(rays)["rgb"], there.get_outputs(rays.to("cuda"))["rgb"])


@pytest.mark.slow
def test_a_run_on_the_gpu_is_rendered_on_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_capture(tmp_path / "capture")
    train(tmp_path, "gpu", "--machine.device-type", "cuda", "--mixed-precision", "True", "--pipeline.profile", "True")
    folder = run_of(tmp_path, "gpu")
    assert set(json.loads((folder / "profile.json").read_text())["parts_ms"]) == set(PARTS)
    found = {}
    for place in ("gpu", "cpu"):
        output = tmp_path / f"{place}.json"
        run("ns-eval", "--load-config", folder / "config.yml", "--output-path", output, cwd=tmp_path)
        found[place] = json.loads(output.read_text())["results"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # from here on there is no GPU
    for name in ("psnr", "edit_psnr"):
        assert found["gpu"][name] > 5 and found["cpu"][name] == pytest.approx(found["gpu"][name], abs=0.1), name


@pytest.mark.slow
def test_the_large_configuration_learns_a_base_and_recolours(tmp_path: Path) -> None:
    scene = demo_capture_scene()
    write_capture(tmp_path / "capture", scene, find_subject(scene, "a red ball"), CaptureShape())
    flags = {
        "--vis": "tensorboard",
        "--viewer.quit-on-train-completion": "True",
        "--pipeline.base-steps": "600",
        "--pipeline.edit-steps": "100",
        "--pipeline.guidance.model": "embedded",
        "--pipeline.guidance.pretrained": "None",
        "--pipeline.guidance.image-size": "96",
        "--pipeline.guidance.views": "24",
        "--pipeline.region.localizer": "embedded",
        "--pipeline.region.image-size": "96",
        "--pipeline.region.threshold": "0.4",
        "--pipeline.operations": "change",
    }
    texts = ("--pipeline.source-text", TEXTS[0], "--pipeline.target-text", TEXTS[1])
    where = ("--data", "capture", "--output-dir", "out", "--experiment-name", "demo", "--timestamp", "run")
    run("ns-train", "blending-nerf", *where, *texts, *(word for pair in flags.items() for word in pair), cwd=tmp_path)
    config = tmp_path / "out" / "demo" / "blending-nerf" / "run" / "config.yml"
    run("ns-eval", "--load-config", config, "--output-path", tmp_path / "eval.json", cwd=tmp_path)
    found = json.loads((tmp_path / "eval.json").read_text())["results"]
    assert found["psnr"] > 24 and 15 < found["edit_psnr"] < 60, found
