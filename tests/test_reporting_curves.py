"""The curves of a report: the sweep over strengths, and the losses of the training; measured, kept and drawn."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure as Drawing
from PIL import Image
from tiny_run import ring, tiny_model

from blending_nerf_ns.evaluation.directions import clip_direction_similarity
from blending_nerf_ns.evaluation.preservation import psnr
from blending_nerf_ns.reporting import plots
from blending_nerf_ns.reporting.content import finite
from blending_nerf_ns.reporting.judge import (
    Judge,
    JudgeConfig,
    load_judge,
)
from blending_nerf_ns.reporting.page import _losses
from blending_nerf_ns.reporting.pictures import own_region, render_pictures
from blending_nerf_ns.reporting.plots import by_layer, loss_plot
from blending_nerf_ns.reporting.subject import Masks
from blending_nerf_ns.reporting.sweep import SweepCase, sweep_strengths
from blending_nerf_ns.reporting.workbench import look_close
from blending_nerf_ns.training.loss_record import FILE, inherit, read_losses, record_step, rewind

# -- strengths ------------------------------------------------------------------------------------------------------


def test_a_sweep_by_a_judge_that_cannot_tell_the_texts_apart_has_the_other_figures() -> None:
    model, cameras = tiny_model(), ring(2, size=16)
    judge = load_judge(JudgeConfig("embedded"), JudgeConfig("embedded"), torch.device("cpu"))
    same = judge.read("a wolf")  # read as nothing that it knows, like "a fox"
    (off, on) = sweep_strengths(model, ("change",), (0.0, 1.0), SweepCase(cameras, judge, same, same, None, 0))["all"]
    assert off["clip_direction_similarity"] is on["clip_direction_similarity"] is None
    assert off["close_up_direction_similarity"] is None, "and there are no masks"
    assert on["clip_similarity"] is not None and on["psnr"] < off["psnr"] == 99.0 and on["psnr_outside"] is None


def test_sweep_starts_from_nothing_and_passes_through_what_is_shown() -> None:
    model, cameras = tiny_model(), ring(2, size=16)
    judge = load_judge(JudgeConfig("embedded"), JudgeConfig("embedded"), torch.device("cpu"))
    mask = own_region(model, model.edit, cameras).silhouette > 0
    case = SweepCase(cameras, judge, judge.read("a red ball"), judge.read("a blue ball"), Masks(mask, mask), 0)
    before = model.edit.info
    curves = sweep_strengths(model, ("add", "remove", "change"), (0.0, 1.0, 1.5), case)
    assert model.edit.info == before and set(curves) == {"all", "add", "remove", "change"}
    for curve in curves.values():
        off = curve[0]
        assert (off["strength"], off["clip_direction_similarity"], off["largest_difference"]) == (0.0, 0.0, 0.0)
        assert (off["psnr"], off["psnr_outside"]) == (99.0, 99.0)
        assert off["mean_added"] == off["mean_removed"] == off["mean_changed"] == 0.0
    as_trained = curves["all"][1]
    pictures = render_pictures(model, cameras, "", bar=False)
    assert as_trained["psnr"] == pytest.approx(psnr(pictures.original, pictures.edited)) and as_trained["psnr"] < 90
    before, after = (look_close(judge, each, mask, 0) for each in (pictures.original, pictures.edited))
    assert before is not None and after is not None and case.source is not None and case.target is not None
    close = clip_direction_similarity(before, after, case.source, case.target)
    assert as_trained["close_up_direction_similarity"] == pytest.approx(close, abs=1e-4)
    assert pictures.changed is not None and as_trained["mean_changed"] == pytest.approx(float(pictures.changed.mean()))
    assert curves["add"][1]["mean_added"] > 0 and curves["add"][1]["mean_changed"] == 0.0
    assert curves["remove"][2]["mean_removed"] > curves["remove"][1]["mean_removed"] > 0
    assert as_trained["psnr_outside"] == 99.0, "nothing changes where no ray meets the region"


def test_a_sweep_of_what_diverged_can_be_written() -> None:
    model, cameras = tiny_model(), ring(2, size=16)
    for parameter in model.edit.field.parameters():
        parameter.data.fill_(torch.nan)
    nobody = Judge(JudgeConfig("nobody"), None, "none", ())
    case = SweepCase(cameras, nobody, None, None, None, 0)
    curves = sweep_strengths(model, ("change",), (0.0, 1.0), case)
    assert curves["all"][0]["largest_difference"] == 0.0 and curves["all"][1]["largest_difference"] is None
    json.dumps(curves, allow_nan=False)


# -- losses ---------------------------------------------------------------------------------------------------------


def test_losses_are_kept_step_by_step_and_forgotten_from_a_step_on(tmp_path: Path) -> None:
    for step in range(4):
        record_step(
            tmp_path, "a", step, {"blended": torch.tensor(0.5), "similarity": 0.1 * step, "nothing": torch.zeros(())}
        )
    record_step(tmp_path, "b", 0, {"blended": 1.0})
    with (tmp_path / FILE).open("a") as file:
        file.write('{"layer": "b", "step": 1, "ble')
    assert [line["step"] for line in read_losses(tmp_path)] == [0, 1, 2, 3, 0]
    assert read_losses(tmp_path)[3] == {"layer": "a", "step": 3, "blended": 0.5, "similarity": 0.3}
    rewind(tmp_path, "a", 2)
    record_step(tmp_path, "a", 2, {"blended": 2.0})
    assert [(line["layer"], line["step"]) for line in read_losses(tmp_path)] == [("a", 0), ("a", 1), ("b", 0), ("a", 2)]
    other = tmp_path / "resumed"
    inherit(tmp_path, other)
    assert read_losses(other) == read_losses(tmp_path)
    rewind(other, "a", 0)
    inherit(tmp_path, other)
    assert len(read_losses(other)) == 1, "what is there stays"
    record_step(tmp_path / "nowhere", "a", 0, {})
    record_step(None, "a", 0, {})
    assert read_losses(tmp_path / "nowhere") == [] and not (tmp_path / "nowhere").exists()


def test_losses_that_are_no_numbers_leave_a_gap() -> None:
    steps = [{"layer": "a", "step": i, "blended": math.nan if i == 1 else 0.5, "similarity": 0.1} for i in range(3)]
    told = [finite(step) for step in steps]
    assert json.loads(json.dumps(told, allow_nan=False))[1] == {
        "layer": "a",
        "step": 1,
        "blended": None,
        "similarity": 0.1,
    }
    picture = Image.open(io.BytesIO(loss_plot(told) or b""))
    assert picture.size[0] > 600 and picture.convert("L").getextrema() != (255, 255)
    layers = [{"id": "a", "name": "a blue ball"}]
    page = _losses({"layers": layers, "losses": [*told, *({**step, "layer": "b"} for step in told)]})
    assert page.count("<h3>") == 1 and "<h3>a blue ball, 3 steps</h3>" in page, "not of a layer that is gone"
    assert "<h3>a, 3 steps</h3>" in _losses({"layers": [], "losses": told}), "but of a baseline, which has no layers"
    assert "keeps no losses of what is shown" in _losses({"layers": layers, "losses": []})
    assert loss_plot(told[:1]) is None and list(by_layer([*told, {"layer": "b", "step": 0}])) == ["a", "b"]


def test_a_sweep_draws_what_is_known() -> None:
    """An edit whose texts a judge cannot tell apart has no direction."""
    none = dict.fromkeys(plots.DIRECTIONS)
    known = {**none, "clip_direction_similarity": 0.7}
    points = [{"strength": 0.0, "psnr_outside": 40.0, **none}, {"strength": 1.0, "psnr_outside": 39.0, **known}]
    for curve, drawn in ((points, [(39.0, 0.7)]), (points[:1], [])):
        axes: Any = Drawing().add_subplot()
        plots.draw_sweep(axes, {"all": curve}, "psnr_outside", "clip_direction_similarity")
        (line,) = axes.lines
        assert list(zip(*line.get_data(), strict=True)) == drawn
        assert [text.get_text() for text in axes.texts] == ["1"] * len(drawn)
    assert plots.sweep_plot({"all": points}, "psnr_outside", "PSNR").startswith(b"\x89PNG")


def test_a_sweep_goes_by_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is half of what was trained, where the look says so."""
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "_png", lambda drawing: drawn.append(drawing) or b"")
    points = [{"strength": s, "clip_direction_similarity": s, "psnr_outside": 40.0 - s} for s in (0.0, 1.0)]
    for name in ("clip_direction_similarity", "close_up_direction_similarity"):
        curve = [{**dict.fromkeys(plots.DIRECTIONS), name: point["strength"], **point} for point in points]
        plots.sweep_plot({"all": curve}, "psnr_outside", "PSNR")
    no_judge = [{**point, **dict.fromkeys(plots.DIRECTIONS)} for point in points]
    plots.sweep_plot({"all": no_judge}, "psnr_outside", "PSNR")
    labels = [label for drawing in drawn for axes in drawing.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    assert sum("1: as it is shown" in label for label in labels) == 4 and not any(
        "trained" in label for label in labels
    )
