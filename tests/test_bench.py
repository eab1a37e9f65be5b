"""The benchmarks run, at a tiny size, and say what they must. No time is asserted: `make bench` measures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from bench.first_change import Look, first_change, hue_between
from bench.frames import SHARES, measure_frames, stock_base
from bench.growth import measure_growth
from bench.guiding import make_guiding
from bench.hashing import measure_hashing
from bench.memory import Step, in_own_process, measure_memory
from bench.naive import naive_frame
from bench.scene import BenchScene, Scale, edit_share, fit_ball, make_scene, method_config
from bench.steps import ALL, SHARE, STEP, measure_steps
from bench.table import Figure, show, write
from bench.timing import Timings, growth, in_turns
from bench.views import measure_views

from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.training import editing as of_edits

ROUNDS = 2
CPU = torch.device("cpu")
TINY = Scale(photos=2, photo_size=16, base_steps=2, rays=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def scene(folder: Path) -> BenchScene:
    """Each test's own: the benchmarks move the edit and put layers under it."""
    return make_scene("blending-nerf-cpu", CPU, folder, TINY, tiny_config())


def tiny_config() -> BlendingPipelineConfig:
    """The method's, with small fields and a coarse region."""
    pipeline = method_config("blending-nerf-cpu").pipeline
    assert isinstance(pipeline, BlendingPipelineConfig)
    model = pipeline.model
    model.region_resolution, model.eval_num_rays_per_chunk, model.base.eval_num_rays_per_chunk = 24, 256, 256
    for grid in (model.base, model.edit_field):
        grid.num_levels, grid.max_res, grid.log2_hashmap_size = 2, 32, 8
    return pipeline


def test_a_figure_is_the_median_of_ratios_within_rounds() -> None:
    times = Timings({"a": [2.0, 30.0, 3.0], "b": [1.0, 10.0, 1.0], "c": [1.0, 20.0, 2.0]})
    assert times.ratio("a", "b") == 3.0, "the second round, ten times as slow as the others, is a round like them"
    assert times.extra("a", "c", "b") == 1.0
    assert growth([2.0, 4.0, 8.0], [5.0, 10.0, 20.0]) == 1.0


def test_things_are_measured_in_turns() -> None:
    order: list[str] = []
    times = in_turns("Test", {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, CPU)
    assert order == ["a", "b"] * 3, "once to warm up"
    assert {name: len(values) for name, values in times.seconds.items()} == {"a": 2, "b": 2}


def test_a_run_keeps_what_another_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    first = [Figure("blended_over_base", 1.07, "0.10", 0.01, "of it"), Figure("blended_over_base", 1.4, "0.50")]
    write(file, [*first, Figure("deferred_relative_error", 1e-6)], "one", {})
    write(file, [Figure("deferred_relative_error", 2e-6)], "two", {})
    found = json.loads(file.read_text())
    assert found["blended_over_base"] == {"0.10": 1.07, "0.50": 1.4} and found["deferred_relative_error"] == 2e-6
    assert found["commands"] == {"blended_over_base": "one", "deferred_relative_error": "two"}
    assert found["notes"] == {"blended_over_base.0.10": "of it"} and found["spread"] == {"blended_over_base.0.10": 0.01}
    assert [figure.verdict for figure in first] == ["≤ 1.08: yes", "≤ 1.35: NO"]
    show(first, "a title")
    assert "a title" in capsys.readouterr().out


def test_a_trained_base_is_kept(scene: BenchScene, folder: Path) -> None:
    again = make_scene("blending-nerf-cpu", CPU, folder, TINY, tiny_config())
    for one, two in zip(scene.model.base.state_dict().values(), again.model.base.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert len(list(folder.glob("base-*.pt"))) == 1
    assert again.training.steps == TINY.base_steps, "what is timed is not the dearer steps that a base begins with"


def test_the_ball_takes_the_share_that_is_wanted(scene: BenchScene) -> None:
    assert fit_ball(scene, 0.10) == pytest.approx(0.10, rel=0.02)
    assert edit_share(scene, 32) == pytest.approx(0.10, rel=0.1)


@torch.no_grad()
def test_the_naive_picture_is_the_same_picture_without_an_edit(scene: BenchScene) -> None:
    """It takes the base at other points, so it is only near its picture; nerfstudio's hash grid gives it to rounding."""
    fit_ball(scene, 0.10)
    camera = scene.camera(12)
    original = scene.model.base.get_outputs_for_camera(camera)["rgb"]
    naive = naive_frame(scene.model, camera.generate_rays(camera_indices=0).flatten()).view_as(original)
    assert float((naive - original).abs().mean()) < 0.1
    stock = stock_base(scene.model.base).get_outputs_for_camera(camera)["rgb"]
    torch.testing.assert_close(stock, original, rtol=0, atol=1e-4)


def test_frames(scene: BenchScene) -> None:
    figures = measure_frames(scene, 16, ROUNDS)
    parts = {key: {figure.part for figure in figures if figure.key == key} for key in (f.key for f in figures)}
    assert parts["blended_over_base"] == parts["naive_over_base"] == {f"{share:.2f}" for share in SHARES}
    assert {"extra_layer_over_base", "behind_removal_over_base", "stock_base_over_base"} <= set(parts)
    # a difference of two times that are noise at this size may have either sign
    check([figure for figure in figures if figure.key != "extra_layer_over_base"])
    assert len(scene.model.layers.all()) == 1, "the layers are gone again"


def test_steps(scene: BenchScene) -> None:
    figures = {figure.name: figure for figure in measure_steps(scene, ROUNDS, 24)}
    assert figures["deferred_relative_error"].value <= 1e-4
    rest = figures.pop("edit_step_parts_over_base_step.backward")
    assert math.isfinite(rest.value), "what is left of the step: a difference"
    assert "edit_step_over_base_step" in figures
    check(list(figures.values()))


def test_a_direct_step_holds_all_rays_also_where_memory_is_short(
    scene: BenchScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_edits, "free_memory", lambda device: 1e3)
    editing, parts = make_guiding(scene, 24, ALL), []
    render = editing._render
    monkeypatch.setattr(editing, "_render", lambda view, part: parts.append(part) or render(view, part))
    editing.step(STEP, SHARE)
    assert len({(part.start, part.stop) for part in parts}) == 1


def test_views(scene: BenchScene) -> None:
    figures = measure_views(scene, ROUNDS, 24)
    assert figures[0].key == "cached_over_uncached"
    check(figures)


def test_hash_grids_and_growth(scene: BenchScene) -> None:
    check(measure_hashing(scene, ROUNDS, 64))
    figures = measure_growth(scene, ROUNDS, samples=(6, 12), layers=(1, 2), sides=(8, 16))
    assert {figure.part for figure in figures} == {"samples", "layers", "pixels"}
    assert all(math.isfinite(figure.value) for figure in figures)


def test_the_first_change_is_a_tenth_of_the_way() -> None:
    assert hue_between(350.0, 20.0) == hue_between(20.0, 350.0) == 30.0 and hue_between(10.0, 190.0) == 180.0
    looks = [Look(float(i), i, hue, None) for i, hue in enumerate((2.0, 352.0, 346.0, 260.0, 242.0))]
    assert first_change(2.0, looks).step == 2, "16 degrees of 120; 10 are not enough"


def test_memory_is_compared_by_size() -> None:
    peaks: list[Step] = []

    def peak(step: Step) -> float:
        peaks.append(step)
        return float(step.size) ** 2 if step.rays_per_chunk == ALL else 100.0

    figures = {figure.name: figure for figure in measure_memory(Step(), (32, 64), (32, 64), peak)}
    assert figures["memory_512_over_128"].value == figures["memory_over_32.64"].value == 1.0
    assert figures["memory_growth_direct"].value == 1.0 and figures["memory_over_32_direct.64"].value == 4.0
    assert len(peaks) == 6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel's peak of memory is Linux's")
def test_a_step_takes_memory(tmp_path: Path) -> None:
    assert in_own_process(Step(folder=tmp_path, size=48, scale=TINY)) > 2**20


def check(figures: list[Figure]) -> None:
    """All are finite ratios above 0."""
    assert figures
    for figure in figures:
        assert math.isfinite(figure.value) and figure.value > 0, figure
