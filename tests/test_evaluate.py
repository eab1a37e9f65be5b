"""`blending-nerf evaluate` on a tiny run: what it measures, what it leaves out and why, and the page it writes."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from browser import empty_page
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from PIL import Image
from test_examples import example
from tiny_run import BASE_STEPS, EDIT_STEPS, run, run_of, train, write_tiny_capture

from blending_nerf_ns.cli import main
from blending_nerf_ns.demo.capture import demo_capture_scene, find_subject, read_mask
from blending_nerf_ns.edits.file import load_edit, read_edit_header, save_edit
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.directions import clip_direction_similarity
from blending_nerf_ns.evaluation.preservation import psnr
from blending_nerf_ns.evaluation.text import manipulative_precision
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.reporting.catalogue import METRICS
from blending_nerf_ns.reporting.opening import open_finished
from blending_nerf_ns.reporting.page import shown
from blending_nerf_ns.reporting.pictures import render_pictures
from blending_nerf_ns.reporting.subject import (
    demo_masks,
)
from blending_nerf_ns.reporting.views import novel_views, photo_views
from blending_nerf_ns.training.loss_record import read_losses

SMALL = ("--num-views", "4", "--image-size", "32", "--sweep-views", "2", "--shown-views", "2")
TEXT_FIGURES = [name for name, metric in METRICS.items() if metric.group == METRICS["r_precision"].group]
MASK_FIGURES = [name for name, metric in METRICS.items() if metric.group == METRICS["psnr_outside"].group]


def evaluated(*arguments: object) -> None:
    """`blending-nerf evaluate ARGUMENTS`, in this process."""
    main(["evaluate", *map(str, arguments)])


def refused(*arguments: object) -> str:
    """What the command says instead of doing it."""
    with pytest.raises(SystemExit) as stopped:
        evaluated(*arguments)
    return str(stopped.value)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny capture, a run "half" on it, whose edit stopped in its middle, and "whole", which resumed it."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_tiny_capture(folder / "capture")
    box = ("--pipeline.region.box-size", 0.8, 0.8, 0.8)  # a base of some steps is fog: of a smaller one no light comes
    train(folder, "half", "--max-num-iterations", BASE_STEPS + 4, *box)
    train(folder, "whole", "--load-dir", run_of(folder, "half") / "nerfstudio_models")
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """The report of the run, by the demo's masks, as a person makes it from another folder."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    where = ("--data", folder / "capture", "--masks", "demo", "--mask-dilation", "1")
    done = run("blending-nerf", "evaluate", run_of(folder, "whole"), *where, *SMALL, cwd=elsewhere)
    told = " ".join(done.stdout.split())
    assert "CLIP direction similarity" in told and "Guide embedded, judge embedded-judge." in told
    assert "same model" not in told and "same architecture" not in told and "report.html" in told
    return json.loads((run_of(folder, "whole") / "evaluation" / "report.json").read_text())


@pytest.mark.slow
def test_the_report_says_what_was_measured_and_by_what(folder: Path, report: dict[str, Any]) -> None:
    assert (report["guide"]["name"], report["judge"]["name"]) == ("embedded", "embedded-judge")
    assert not report["judge"]["is_the_guide"]
    assert report["source_text"] == "a red ball" and report["target_text"] == "a blue ball"
    assert report["views"]["kind"] == "novel" and len(report["views"]["names"]) == 4
    assert (
        report["masks"]["kind"] == "demo"
        and report["masks"]["dilation"] == 1
        and 0 < report["masks"]["share_of_pixels"] < 0.3
    )
    assert report["prompt_pool"][0] == "a blue ball" and "a red ball" in report["prompt_pool"]
    assert set(report["metrics"]) == set(METRICS) and report["per_layer"] is None
    for name, figure in report["metrics"].items():
        assert (figure["value"] is None) == bool(figure["reason"]), name
    assert report["metrics"]["lpips_outside"]["value"] is None
    assert all(report["metrics"][name]["value"] is not None for name in TEXT_FIGURES)
    unedited = {name: figure["unedited"] for name, figure in report["metrics"].items()}
    assert unedited["clip_direction_similarity"] == 0 and unedited["psnr"] == 99 and unedited["leaked_change"] == 0
    assert unedited["view_change_consistency"] == pytest.approx(1) and unedited["chamfer"] == 0
    assert report["metrics"]["own_region_share_of_change"]["value"] == pytest.approx(1.0, abs=0.2)
    sides = [report["metrics"][f"chamfer_{side}"]["value"] for side in ("inside", "outside")]
    assert None not in sides and max(sides) > 0, "something moved, on one side of the mask or the other"
    assert unedited["chamfer_inside"] == unedited["chamfer_outside"] == 0
    assert [line["step"] for line in report["losses"]] == list(range(EDIT_STEPS))
    assert {"blended", "direction", "budget", "similarity"} <= set(report["losses"][0])


@pytest.mark.slow
def test_the_figures_are_those_of_the_run(folder: Path, report: dict[str, Any]) -> None:
    found = open_finished(run_of(folder, "whole") / "config.yml", folder / "capture")
    views = novel_views(found.photos("train")[0], 4, 32)
    assert views.names == report["views"]["names"]
    pictures = render_pictures(found.model, views.cameras, "", bar=False)
    values = {name: figure["value"] for name, figure in report["metrics"].items()}
    assert values["psnr"] == pytest.approx(psnr(pictures.original, pictures.edited), abs=1e-3)
    clip = load_clip("embedded-judge")
    with torch.no_grad():
        before, after = (clip.encode_images(each.permute(0, 3, 1, 2)) for each in (pictures.original, pictures.edited))
    direction = clip_direction_similarity(before, after, *map(clip.encode_prompt, ("a red ball", "a blue ball")))
    assert values["clip_direction_similarity"] == pytest.approx(direction, abs=2e-3)

    photos = photo_views("test", *found.photos("test"), 12, 96)
    drawn = demo_masks(photos, folder / "capture", ["a red ball"], *found.placement)
    scene = demo_capture_scene()
    truth = [
        read_mask(folder / "capture", scene.things[find_subject(scene, "a red ball")], name) for name in photos.names
    ]
    assert (drawn.numpy() == np.stack(truth)).mean() > 0.998, (
        "drawn from the run's cameras as it was from the capture's"
    )
    with pytest.raises(BlendingNerfError, match="is not the demo's capture"):
        demo_masks(photos, folder, ["a red ball"], *found.placement)


@pytest.mark.slow
def test_the_sweep_of_the_run(report: dict[str, Any]) -> None:
    curves = report["sweep"]["curves"]
    assert set(curves) == {"all", "add", "remove", "change"} and len(report["sweep"]["views"]) == 2
    for curve in curves.values():
        assert (
            [point["strength"] for point in curve] == report["sweep"]["strengths"] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]
        )
        assert curve[0]["clip_direction_similarity"] == 0 and curve[0]["largest_difference"] == 0
        assert curve[0]["close_up_direction_similarity"] == 0 and curve[-1]["close_up_direction_similarity"] is not None
    assert curves["all"][-1]["largest_difference"] > curves["all"][1]["largest_difference"] > 0


@pytest.mark.slow
def test_the_page_stands_alone(folder: Path, report: dict[str, Any]) -> None:
    text = (run_of(folder, "whole") / "evaluation" / "report.html").read_text(encoding="utf8")
    page = Page(text)
    assert page.open == [] and not {tag for tag, _ in page.tags} & {"script", "link", "iframe"}
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), f"<{tag} {name}> leads out of the page"
    assert "url(" not in text and "@import" not in text
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 2 * 7 + 2, "two views in seven columns, sweep and losses"
    assert all(picture["alt"] for picture in pictures)
    words = " ".join(page.text)
    assert "embedded-judge" in words and "same model" not in words and "a red ball → a blue ball" in words
    for figure in report["metrics"].values():
        assert figure["title"] in words and figure["range"] in words and figure["source"] in words
        assert shown(figure["value"]) in words


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 420])
def test_the_page_opens_in_a_browser(folder: Path, report: dict[str, Any], width: int) -> None:
    with empty_page(width, 900) as page:
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto((run_of(folder, "whole") / "evaluation" / "report.html").as_uri())
        assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
        assert page.evaluate("document.images.length") == 2 * 7 + 2 and not wrong
        assert page.evaluate("document.body.scrollWidth") <= width, "wide tables scroll by themselves"
        assert np.asarray(Image.open(io.BytesIO(page.screenshot()))).std() > 5, "it is not blank"


@pytest.mark.slow
def test_without_masks_and_judge_their_figures_are_null_with_the_reason(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    evil = "<script>alert('x')</script> & a \"ball\""
    evaluated(
        run_of(folder, "whole") / "config.yml", "--output", tmp_path, "--views", "test", "--image-size", "16",
        "--judge.model", "hf-hub:nobody/nothing", "--target-text", evil, "--sweep", "1", "--sweep-views", "1",
        "--mask-dilation", "0",
    )  # fmt: skip
    content = json.loads((tmp_path / "report.json").read_text())
    metrics = content["metrics"]
    for name in TEXT_FIGURES:
        assert metrics[name]["value"] is None and "nobody/nothing could not be loaded" in metrics[name]["reason"]
    for name in MASK_FIGURES:
        assert metrics[name]["value"] is None and "no mask was given" in metrics[name]["reason"]
    assert metrics["psnr"]["value"] is not None and metrics["own_region_psnr_outside"]["value"] is not None
    assert not content["judge"]["available"] and not content["judge"]["is_the_guide"]
    assert sorted(content["views"]["names"]) == ["test_000", "test_001", "test_002"] and content["views"]["width"] == 16
    points = content["sweep"]["curves"]["all"]
    assert [point["strength"] for point in points] == [0, 1] and points[1]["clip_direction_similarity"] is None
    assert points[1]["psnr_outside"] is None
    page = Page((tmp_path / "report.html").read_text(encoding="utf8"))
    assert "script" not in {tag for tag, _ in page.tags} and evil in " ".join(page.text)
    assert "Left out: no mask was given" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_layers_are_measured_each_alone_as_well(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    stacked, file = folder / "moved", tmp_path / "blue.edit.safetensors"
    # one that recolours: what starts from a ball in the object's place leaves nothing there to be recoloured
    base = ("--pipeline.base-run", run_of(folder, "whole") / "config.yml")
    train(folder, "recolour", *base, "--pipeline.operations", "change")
    shutil.copytree(run_of(folder, "recolour"), stacked)
    main(["edits", "save", str(stacked), "a blue ball", "--output", str(file)])
    main(["edits", "apply", str(stacked), str(file)])
    evaluated(stacked, "--output", tmp_path, "--num-views", "2", "--image-size", "16", "--sweep-views", "0")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["run"] == str(stacked) and len(content["layers"]) == 2 and content["sweep"] is None
    assert (content["source_text"], content["target_text"]) == ("a red ball", "a blue ball"), "not said twice"
    one, two = (layer["metrics"] for layer in content["per_layer"]["layers"])
    mean = content["per_layer"]["mean"]
    for name in METRICS:
        first, second, both = (metrics[name]["value"] for metrics in (one, two, mean))
        if first is None or second is None:
            assert both is None and mean[name]["reason"], name
        else:
            assert first == pytest.approx(second, rel=0.05, abs=0.05), f"{name}: the same edit, kept at half precision"
            assert both == pytest.approx((first + second) / 2), name
    changed = "own_region_changed_inside"  # not the pictures: on a base of some steps both are gray, and so is the edit
    together, alone = content["metrics"][changed]["value"], one[changed]["value"]
    assert together > 1.1 * alone > 1e-6, f"both together change more: {together} and {alone}"
    words = " ".join(Page((tmp_path / "report.html").read_text(encoding="utf8")).text)
    assert "Each layer alone" in words and "mean" in words and "Strength sweep" not in words

    # the same edit once more, as one of another object: it is measured by the mask of that
    base_of = read_edit_header(file).base
    edit = load_edit(file, base_of)
    edit.info = replace(edit.info, source_text="a red cube", target_text="a blue cube", id="another")
    save_edit(edit, base_of, file)
    main(["edits", "apply", str(stacked), str(file)])
    where = ("--data", "capture", "--image-size", "24", "--mask-dilation", "0")
    evaluated(stacked, "--output", tmp_path, "--masks", "demo", *where, "--num-views", "2", "--sweep-views", "0")
    per_layer = json.loads((tmp_path / "report.json").read_text())["per_layer"]
    ball, cube, same = (layer["metrics"]["changed_outside"]["value"] for layer in per_layer["layers"])
    assert per_layer["own_masks"] and same == pytest.approx(ball, rel=1e-3) and cube != pytest.approx(ball, rel=1e-2)

    # and as one of what the layers below it made, which the scene has not: it is measured where those are
    edit.info = replace(edit.info, source_text="a blue ball", target_text="a green ball", id="above")
    save_edit(edit, base_of, file)
    main(["edits", "apply", str(stacked), str(file)])
    evaluated(stacked, "--output", tmp_path, "--masks", "demo", *where, "--num-views", "2", "--sweep-views", "0")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["masks"]["subjects"] == ["a red ball", "a red cube", "a red ball", "a red ball"]
    values = [layer["metrics"]["changed_outside"]["value"] for layer in content["per_layer"]["layers"]]
    assert values[3] == pytest.approx(ball, rel=1e-3), values


@pytest.mark.slow
def test_what_the_command_cannot_use_is_said_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    whole = run_of(folder, "whole")
    assert "is no run" in refused(folder / "nowhere")
    (tmp_path / "odd" / "nerfstudio_models").mkdir(parents=True)
    whole_config = (whole / "config.yml").read_text()
    for text in ("hello: 1\n", "!!python/object:nowhere.Config {}\n"):
        (tmp_path / "odd" / "config.yml").write_text(text)
        assert "does not read as the configuration of a nerfstudio run" in refused(tmp_path / "odd")
    other = yaml.load(whole_config, Loader=yaml.Loader)
    other.method_name, other.pipeline = "my-nerfacto", VanillaPipelineConfig()
    (tmp_path / "odd" / "config.yml").write_text(yaml.dump(other))
    assert "is a run of my-nerfacto, not of blending-nerf" in refused(tmp_path / "odd")
    assert "capture lost is not there any more; say where it is with --data" in refused(whole, "--data", "lost")
    moved = shutil.copytree(folder / "capture", tmp_path / "moved")
    photos = json.loads((moved / "transforms.json").read_text())
    photos["frames"][0]["transform_matrix"][0][3] += 0.5
    (moved / "transforms.json").write_text(json.dumps(photos))
    assert "was trained on another capture, or on other frames" in refused(whole, "--data", moved)
    polygons = tmp_path / "polygons.json"
    polygons.write_text('{"train_000.png": [[0, 0], [9, 0], [9, 9]]}')
    told = refused(whole, "--views", "test", "--masks", "polygons", polygons)
    assert "0 of the 3 test views are called 'train_000.png'; they are called test_000" in told
    assert "no alpha channel" in refused(whole, "--views", "train", "--masks", "alpha")
    assert "open_clip has no model 'ViT-L14'. Close names: " in refused(whole, "--judge.model", "ViT-L14")
    assert "Not a directory" in refused(whole, "--output", polygons / "below"), "before anything is measured"
    assert "fits none of the demo scene's objects" in refused(whole, "--masks", "demo", "--subject", "a fox")
    with (shown := whole / "look.json").open("w") as file:
        (layer,) = json.loads((whole / "evaluation" / "report.json").read_text())["layers"]
        look = {"format": "blending-nerf look 1", "layers": [{**layer, "visible": False}]}
        json.dump(look, file)
    assert "none of the run's layers ('a blue ball') is shown" in refused(whole)
    shown.unlink()


@pytest.mark.slow
def test_a_run_whose_edit_has_not_begun_has_nothing_to_measure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = folder / "base"
    shutil.copytree(run_of(folder, "whole"), base)
    (checkpoint,) = (base / "nerfstudio_models").glob("*.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    content["pipeline"]["_model.edit_ready"].fill_(False)  # as it is while the base trains
    torch.save(content, checkpoint)
    monkeypatch.chdir(folder)
    assert "there is no edit in this run yet" in refused(base)


@pytest.mark.slow
def test_a_resumed_run_keeps_the_losses_of_each_step_once(folder: Path) -> None:
    before, after = (read_losses(run_of(folder, name)) for name in ("half", "whole"))
    assert [line["step"] for line in before] == [0, 1, 2, 3]
    assert [line["step"] for line in after] == list(range(EDIT_STEPS)) and after[:4] == before
    assert len({line["layer"] for line in after}) == 1


@pytest.mark.slow
def test_ns_eval_scores_the_edit_by_its_judge(folder: Path) -> None:
    judged = run_of(folder, "judged")
    shutil.copytree(run_of(folder, "whole"), judged)
    config = (judged / "config.yml").read_text().replace("timestamp: whole", "timestamp: judged")
    assert "judge_model: embedded-judge" in config

    def judged_by(name: str) -> tuple[dict[str, float], str]:
        (judged / "config.yml").write_text(config.replace("judge_model: embedded-judge", f"judge_model: {name}"))
        done = run("ns-eval", "--load-config", judged / "config.yml", "--output-path", f"{name}.json", cwd=folder)
        return json.loads((folder / f"{name}.json").read_text())["results"], done.stdout

    results, said = judged_by("embedded-judge")
    found = open_finished(judged / "config.yml", folder / "capture")
    pictures = render_pictures(found.model, photo_views("test", *found.photos("test"), 99, 999).cameras, "", bar=False)
    clip = load_clip("embedded-judge")
    source, target = map(clip.encode_prompt, ("a red ball", "a blue ball"))
    with torch.no_grad():
        before, after = (clip.encode_images(each.permute(0, 3, 1, 2)) for each in (pictures.original, pictures.edited))
    direction = clip_direction_similarity(before, after, source, target)
    assert results["edit_direction_similarity"] == pytest.approx(direction, abs=1e-3) and abs(direction) > 1e-2
    views = zip(pictures.original.split(1), pictures.edited.split(1), after.split(1))
    precision = [manipulative_precision(*view, target) for view in views]
    assert results["edit_manipulative_precision"] == pytest.approx(sum(precision) / len(precision), abs=1e-3)
    assert {"edit_psnr", "edit_ssim", "edit_added", "edit_removed", "edit_changed"} <= set(results)
    assert "same model" not in said

    assert "Judge and guide are the same model" in judged_by("embedded")[1]


@pytest.mark.slow
def test_examples_read_a_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two layers: at strength 0 nothing is left of either."""
    monkeypatch.chdir(folder)
    stack = tmp_path / "stack"
    shutil.copytree(run_of(folder, "whole"), stack)
    file = tmp_path / "blue.edit.safetensors"
    main(["edits", "save", str(stack), "a blue ball", "--output", str(file)])
    main(["edits", "apply", str(stack), str(file)])
    sweep = example("03")
    sweep["main"](sweep["Sweep"](stack, tmp_path / "sweep.png", view=0, strengths=(0.0, 1.0)))
    at_zero, at_one = np.split(np.asarray(Image.open(tmp_path / "sweep.png"), dtype=float), 2, axis=1)
    compare = example("08")
    original, edited, words = compare["before_and_after"](stack, 0)
    inside = tuple(slice(2, 2 + size) for size in original.shape[:2])  # of the line around a picture
    assert np.abs(at_zero[inside] - 255.0 * original).max() <= 1.0, "as before any edit"
    assert np.abs(at_one[:, : at_zero.shape[1]] - at_zero).max() > 1.0 and "a blue ball" in words
    measure = example("04")
    with pytest.raises(
        SystemExit, match="blending-nerf: the mask is empty"
    ):  # a base of some steps is fog: no core is seen
        measure["main"](measure["Measurement"](stack, "a blue ball", tmp_path / "sheet.png", views=2))
    fade = example("06")
    fade["main"](fade["Fade"](stack, tmp_path / "fade.json", frames=5, stops=2, size=32))
    assert Image.open(tmp_path / "sheet.png").width > 100
    frames = json.loads((tmp_path / "fade.json").read_text())["camera_path"]
    assert [frame["render_time"] for frame in frames] == [0.0, 0.25, 0.5, 0.75, 1.0]
