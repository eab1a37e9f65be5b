"""`blending-nerf evaluate` on a tiny run: what it measures, what it leaves out and why, and the page it writes."""

from __future__ import annotations

import io
import json
import math
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from PIL import Image
from test_layers import two_layers
from tiny_run import BASE_STEPS, EDIT_STEPS, run, run_of, tiny_model, train, write_tiny_capture

from blending_nerf_ns.cli import main
from blending_nerf_ns.demo.capture import demo_capture_scene, find_subject, read_mask
from blending_nerf_ns.edits.layer import LayerInfo
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.directions import clip_direction_similarity
from blending_nerf_ns.evaluation.preservation import psnr
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.loss_record import FILE, inherit, read_losses, record_step, rewind
from blending_nerf_ns.reporting.build import finite
from blending_nerf_ns.reporting.catalogue import METRICS
from blending_nerf_ns.reporting.judge import JudgeConfig, kinship, load_judge
from blending_nerf_ns.reporting.layers import at_strength, joined_texts, only, shown_as, shown_layers
from blending_nerf_ns.reporting.measuring import Figure, mean_figures
from blending_nerf_ns.reporting.opening import open_finished
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.page import shown
from blending_nerf_ns.reporting.pictures import own_region, render_pictures, surface_points
from blending_nerf_ns.reporting.plots import by_layer, loss_plot
from blending_nerf_ns.reporting.subject import (
    alpha_masks,
    check_not_empty,
    demo_masks,
    image_masks,
    parse_masks,
    polygon_masks,
    read_polygons,
    two_sided,
)
from blending_nerf_ns.reporting.sweep import SweepCase, sweep_strengths
from blending_nerf_ns.reporting.views import Views, find_view, novel_views, path_order, photo_views, view_gaps
from blending_nerf_ns.reporting.workbench import every_nth, read_prompts

SMALL = ("--num-views", "4", "--image-size", "32", "--sweep-views", "2", "--shown-views", "2")
TEXT_FIGURES = [name for name, metric in METRICS.items() if metric.group == METRICS["r_precision"].group]
MASK_FIGURES = [name for name, metric in METRICS.items() if metric.group == METRICS["psnr_outside"].group]


def ring(count: int, size: int = 12, radius: float = 1.5) -> Cameras:
    """Cameras on a circle around the origin, looking at it."""
    poses = []
    for angle in torch.arange(count) * 2 * math.pi / count:
        back = torch.stack([angle.cos(), angle.sin(), torch.tensor(0.2)])
        back = back / back.norm()
        right = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), back)
        right = right / right.norm()
        poses.append(torch.stack([right, torch.linalg.cross(back, right), back, radius * back], dim=1))
    lens = {"fx": float(size), "fy": float(size), "cx": size / 2, "cy": size / 2, "width": size, "height": size}
    return Cameras(torch.stack(poses), **lens, camera_type=CameraType.PERSPECTIVE)


def files(count: int) -> list[Path]:
    return [Path(f"images/photo_{i}.png") for i in range(count)]


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


# -- views ----------------------------------------------------------------------------------------------------------


def test_novel_views_lie_between_training_cameras_and_look_at_the_same_thing() -> None:
    training = ring(24)
    views = novel_views(training, 6, longest=8)
    assert views.files is None and len(views.names) == len(views.cameras) == 6 and views.size == (8, 8)
    poses, known = views.cameras.camera_to_worlds, training.camera_to_worlds
    gaps = torch.cdist(poses[:, :, 3], known[:, :, 3])
    assert float(gaps.min()) > 0.05, "none is a training view"
    assert float(poses[:, :, 3].norm(dim=-1).min()) > 1.2, "none cuts through the scene"
    towards = -poses[:, :, 3] / poses[:, :, 3].norm(dim=-1, keepdim=True)
    assert float((-poses[:, :, 2] * towards).sum(-1).min()) > 0.99
    assert torch.allclose(poses[:, :, :3].transpose(1, 2) @ poses[:, :, :3], torch.eye(3).expand(6, 3, 3), atol=1e-5)
    assert float(views.cameras.fx[0]) == pytest.approx(8.0), "the lens shrinks with the picture"


def test_novel_views_are_at_most_as_many_as_cameras_and_never_twice_the_same() -> None:
    views = novel_views(ring(5), 12, longest=64)
    assert len(views.names) == 5 and views.size == (12, 12)
    gaps = torch.cdist(views.cameras.camera_to_worlds[:, :, 3], views.cameras.camera_to_worlds[:, :, 3])
    assert float((gaps + torch.eye(5)).min()) > 0.1
    with pytest.raises(BlendingNerfError, match="1 training camera"):
        novel_views(ring(1), 4, 64)


def test_photo_views_are_spread_and_follow_a_path() -> None:
    views = photo_views("test", ring(9)[torch.tensor([0, 5, 1, 6, 2, 7, 3, 8, 4])], files(9), 9, 64)
    gaps = view_gaps(views.cameras.camera_to_worlds)
    assert torch.allclose(gaps.diagonal(1), gaps.diagonal(1).min().expand(8), rtol=1e-4), "each next to the one before"
    assert views.files is not None and [file.stem for file in views.files] == views.names
    some = photo_views("test", ring(9), files(9), 2, 64)
    assert sorted(some.names) == ["photo_0", "photo_8"]
    named = photo_views("train", ring(9), files(9), 12, 64, only=["images/photo_3.jpg", "photo_5"])
    assert sorted(named.names) == ["photo_3", "photo_5"]
    assert sorted(path_order(ring(4).camera_to_worlds)) == [0, 1, 2, 3]


def test_a_view_that_is_not_there_and_photos_of_several_sizes_are_refused() -> None:
    with pytest.raises(BlendingNerfError, match=r"0 of the 3 test views are called 'other.png'.*photo_0"):
        find_view("other.png", files(3), "test")
    mixed = ring(2)
    mixed.width = torch.tensor([[12], [16]])
    with pytest.raises(BlendingNerfError, match=r"2 sizes, \[\(12, 12\), \(12, 16\)\]; use --views novel"):
        photo_views("test", mixed, files(2), 2, 64)
    with pytest.raises(BlendingNerfError, match="no test views"):
        photo_views("test", ring(2), [], 2, 64)


# -- masks ----------------------------------------------------------------------------------------------------------


def photo_view(path: Path, size: int = 16) -> Views:
    return photo_views("test", ring(1, size), [path], 1, 64)


@pytest.mark.parametrize(
    ("words", "views", "message"),
    [
        (("painted",), "test", "--masks painted is not understood"),
        (("polygons",), "test", "polygons FILE.json"),
        (("demo", "file.json"), "test", "not understood"),
        ((), "test", "not understood"),
        (("alpha",), "novel", "novel views have none: add --views test"),
        (("polygons", "file.json"), "novel", "novel views have none"),
    ],
)
def test_masks_that_are_not_understood(words: tuple[str, ...], views: str, message: str) -> None:
    with pytest.raises(BlendingNerfError, match=message):
        parse_masks(words, views)


def test_alpha_masks(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, 16:, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    (mask,) = alpha_masks(photo_view(tmp_path / "half.png"))
    assert mask.shape == (16, 16) and not mask[:, :8].any() and mask[:, 8:].all()

    Image.fromarray(pixels[..., :3]).save(tmp_path / "opaque.png")
    with pytest.raises(BlendingNerfError, match="no alpha channel"):
        alpha_masks(photo_view(tmp_path / "opaque.png"))
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "full.png")
    with pytest.raises(BlendingNerfError, match="255 everywhere"):
        alpha_masks(photo_view(tmp_path / "full.png"))
    pixels[:, 16:, 3] = 0
    Image.fromarray(pixels[:20]).save(tmp_path / "flat.png")
    with pytest.raises(BlendingNerfError, match="32 x 20, the pictures 16 x 16: not the same proportions"):
        alpha_masks(photo_view(tmp_path / "flat.png"))


def test_polygons_are_drawn_in_pixels_of_the_full_photo(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    view, drawn = photo_view(tmp_path / "photo.png"), tmp_path / "drawn.json"
    drawn.write_text(json.dumps({"photo.png": [[0, 0], [32, 0], [32, 64], [0, 64]]}))
    (mask,) = polygon_masks(view, read_polygons(drawn))
    assert mask[:, :8].all() and not mask[:, 9:].any()
    parts = [[[0, 0], [15, 0], [15, 15], [0, 15]], [[48, 48], [63, 48], [63, 63], [48, 63]]]
    drawn.write_text(json.dumps({"photo": parts}))
    (mask,) = polygon_masks(view, read_polygons(drawn))
    assert mask[:4, :4].all() and mask[12:, 12:].all() and int(mask.sum()) == 32

    with pytest.raises(BlendingNerfError, match=r"corner at \(90, 0\), outside its photo of 64 x 64"):
        polygon_masks(view, {"photo.png": [[(0.0, 0.0), (90.0, 0.0), (3.0, 3.0)]]})
    with pytest.raises(BlendingNerfError, match="photo has no polygon"):
        polygon_masks(view, {"another": [[(0.0, 0.0), (9.0, 0.0), (3.0, 3.0)]]})


@pytest.mark.parametrize(
    "content", ["[]", "{}", "no json", '{"a": [[1, 2], [3, 4]]}', '{"a": [[1], [2], [3]]}', '{"a": 3}']
)
def test_what_are_no_polygons(tmp_path: Path, content: str) -> None:
    (tmp_path / "drawn.json").write_text(content)
    with pytest.raises(BlendingNerfError, match="holds no polygons"):
        read_polygons(tmp_path / "drawn.json")
    with pytest.raises(BlendingNerfError, match="there is no polygon file"):
        read_polygons(tmp_path / "elsewhere.json")


def test_masks_must_have_two_sides() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    with pytest.raises(BlendingNerfError, match="demo masks are empty: none of 32 pixels in 2 views"):
        check_not_empty(masks, "demo")
    with pytest.raises(BlendingNerfError, match="cover all 32 pixels"):
        check_not_empty(~masks, "alpha")
    masks[0, 0, 0] = True
    assert check_not_empty(masks, "demo") is masks
    assert two_sided(masks, 1) and not two_sided(masks[:1], 3) and not two_sided(masks[1:], 0)


# -- judge, texts, layers -------------------------------------------------------------------------------------------


def test_a_judge_that_is_the_guide_is_told() -> None:
    mini, large = JudgeConfig("embedded"), JudgeConfig("ViT-L-14", "openai")
    (warning,) = kinship(mini, JudgeConfig("embedded", "ignored"))
    assert "same model, embedded" in warning and "--judge.model" in warning
    assert kinship(large, mini) == [] and kinship(large, JudgeConfig("ViT-B-16", "openai")) == []
    (warning,) = kinship(large, JudgeConfig("ViT-L-14", "laion2b"))
    assert "same architecture" in warning


def test_a_judge_that_cannot_be_loaded_is_none_with_the_reason_and_nothing_stands_in() -> None:
    judge = load_judge(JudgeConfig("ViT-of-nobody"), JudgeConfig("embedded"), torch.device("cpu"))
    assert judge.clip is None and "ViT-of-nobody could not be loaded" in (judge.missing or "")
    assert judge.look(torch.zeros(1, 8, 8, 3)) is None and judge.read("a red ball") is None
    assert any("left out" in warning for warning in judge.warnings)


def test_texts_of_several_layers() -> None:
    layers = [LayerInfo(source_text="a red ball", target_text="a blue ball"), LayerInfo(target_text="a hat")]
    assert joined_texts(layers) == ("a red ball", "a blue ball and a hat")
    assert joined_texts(layers[1:]) == ("an object", "a hat"), "as it stands in while an edit trains"
    assert joined_texts(layers, "a thing", "another") == ("a thing", "another")
    assert joined_texts([layers[0], layers[0]]) == ("a red ball", "a blue ball")


def test_layers_are_shown_otherwise_for_a_while_only() -> None:
    model = two_layers()
    lower, upper = model.layers.all()
    before = [edit.info for edit in model.layers.all()]

    def show_the_lower_one_and_fail() -> None:
        with shown_as(model, only(lower.info)):
            assert lower.info.visible and not upper.info.visible
            raise RuntimeError

    with pytest.raises(RuntimeError):
        show_the_lower_one_and_fail()
    assert [edit.info for edit in model.layers.all()] == before
    with shown_as(model, at_strength(0.5, ("add",))):
        assert lower.info.strengths == upper.info.strengths == (0.5, 0.0, 0.0)
        assert len(shown_layers(model)) == 2


def test_a_run_without_an_edit_or_with_none_switched_on_is_refused() -> None:
    model = tiny_model()
    assert shown_layers(model) == [model.edit]
    with (
        shown_as(model, at_strength(0.0)),
        pytest.raises(BlendingNerfError, match=r"none of the run's layers .* is shown"),
    ):
        shown_layers(model)
    model.edit_ready.fill_(False)
    with pytest.raises(BlendingNerfError, match="there is no edit in this run yet"):
        shown_layers(model)


def test_prompts_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("# pool\na red ball\n\n a blue ball \n")
    assert read_prompts(path) == ["a red ball", "a blue ball"] and read_prompts(None) == []
    path.write_text("a red ball\n")
    with pytest.raises(BlendingNerfError, match="holds 1 prompts, wanted 2 or more"):
        read_prompts(path)
    with pytest.raises(BlendingNerfError, match="there is no prompts file"):
        read_prompts(tmp_path / "nothing.txt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_views": 1}, "--num-views is 1, wanted 2 or more"),
        ({"image_size": 8}, "--image-size is 8"),
        ({"mask_dilation": -1}, "--mask-dilation is -1"),
        ({"change_threshold": 2.0}, "--change-threshold is 2.0"),
        ({"sweep": (0.0, -1.0)}, "--sweep has -1.0"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BlendingNerfError, match=message):
        ReportOptions(**changes).check()
    assert ReportOptions(sweep=(1.0, 0.5)).strengths == (0.0, 0.5, 1.0)


# -- figures and sweep ----------------------------------------------------------------------------------------------


def test_every_figure_says_its_range_direction_and_source() -> None:
    for name, metric in METRICS.items():
        assert all(metric.description[field] for field in ("title", "formula", "range", "better", "source")), name
    told = METRICS["clip_direction_similarity"].description
    assert told["range"].startswith("[-1, 1]") and told["better"] == "higher." and "StyleGAN-NADA" in told["source"]


def test_mean_figures_have_no_value_where_one_is_missing() -> None:
    means = mean_figures([{"a": Figure(1.0), "b": Figure(1.0)}, {"a": Figure(2.0), "b": Figure(None, "why")}])
    assert means == {"a": Figure(1.5), "b": Figure(None, "why")}


def test_surface_points_lie_where_the_rays_end() -> None:
    model, cameras = tiny_model(), ring(2)
    pictures = render_pictures(model, cameras, "", bar=False)
    pictures = pictures._replace(depth=torch.full_like(pictures.depth, 0.5))
    points = surface_points(cameras, pictures, every_nth(pictures.depth, 10))
    assert len(points) <= 10
    centres = cameras.camera_to_worlds[:, :, 3]
    assert torch.allclose(torch.cdist(points, centres).amin(dim=1), torch.full((len(points),), 0.5), atol=1e-4)


def test_own_region_is_what_the_model_says_it_is() -> None:
    model, cameras = tiny_model(), ring(2, size=8)
    found = own_region(model, model.edit, cameras)
    outputs = model.get_outputs_for_camera(cameras[0:1])
    assert float((found.share[0] - outputs["region"][..., 0]).abs().mean()) < 0.02, "another number of intervals"
    assert 0 < float((found.silhouette > 0).float().mean()) < 1
    pictures = render_pictures(model, cameras, "", bar=False)
    missed = found.silhouette == 0
    assert float((pictures.original - pictures.edited)[missed].abs().max()) <= 1e-5


def test_sweep_starts_from_nothing_and_passes_through_what_is_shown() -> None:
    model, cameras = tiny_model(), ring(2, size=16)
    judge = load_judge(JudgeConfig("embedded"), JudgeConfig("embedded"), torch.device("cpu"))
    mask = own_region(model, model.edit, cameras).silhouette > 0
    case = SweepCase(cameras, judge, judge.read("a red ball"), judge.read("a blue ball"), mask, 0)
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
    assert pictures.changed is not None and as_trained["mean_changed"] == pytest.approx(float(pictures.changed.mean()))
    assert curves["add"][1]["mean_added"] > 0 and curves["add"][1]["mean_changed"] == 0.0
    assert curves["remove"][2]["mean_removed"] > curves["remove"][1]["mean_removed"] > 0
    assert as_trained["psnr_outside"] == 99.0, "nothing changes where no ray meets the region"


def test_image_masks_are_found_by_the_photos_names(tmp_path: Path) -> None:
    views = photo_views("test", ring(2), files(2), 2, 64)
    for i in range(2):
        picture = np.zeros((12, 12), np.uint8)
        picture[: 3 + i] = 255
        Image.fromarray(picture).save(tmp_path / f"photo_{i}.png")
    masks = image_masks(views, tmp_path)
    rows = {name: int(mask.any(dim=1).sum()) for name, mask in zip(views.names, masks, strict=True)}
    assert rows == {"photo_0": 3, "photo_1": 4}
    assert parse_masks(["images", "FOLDER"], "test") == ("images", Path("FOLDER"))
    with pytest.raises(BlendingNerfError, match=r"0 files in .* are called photo_"):
        image_masks(views, tmp_path / "elsewhere")


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
    assert loss_plot(told[:1]) is None and list(by_layer([*told, {"layer": "b", "step": 0}])) == ["a", "b"]


# -- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny capture, a run "half" on it, whose edit stopped in its middle, and "whole", which resumed it."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_tiny_capture(folder / "capture")
    train(folder, "half", "--max-num-iterations", BASE_STEPS + 4)
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
    assert "CLIP direction similarity" in told and "Guide embedded, judge embedded." in told
    assert "Warning: Judge and guide are the same model" in told and "report.html" in told
    return json.loads((run_of(folder, "whole") / "evaluation" / "report.json").read_text())


@pytest.mark.slow
def test_the_report_says_what_was_measured_and_by_what(folder: Path, report: dict[str, Any]) -> None:
    assert report["guide"]["name"] == report["judge"]["name"] == "embedded" and report["judge"]["is_the_guide"]
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
    clip = load_clip("embedded")
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
    assert "Judge and guide are the same model" in words and "a red ball → a blue ball" in words
    for figure in report["metrics"].values():
        assert figure["title"] in words and figure["range"] in words and figure["source"] in words
        assert shown(figure["value"]) in words


@pytest.mark.slow
def test_without_masks_and_judge_their_figures_are_null_with_the_reason(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    evil = "<script>alert('x')</script> & a \"ball\""
    evaluated(
        run_of(folder, "whole") / "config.yml", "--output", tmp_path, "--views", "test", "--image-size", "16",
        "--judge.model", "ViT-of-nobody", "--target-text", evil, "--sweep", "1", "--sweep-views", "1",
        "--mask-dilation", "0",
    )  # fmt: skip
    content = json.loads((tmp_path / "report.json").read_text())
    metrics = content["metrics"]
    for name in TEXT_FIGURES:
        assert metrics[name]["value"] is None and "ViT-of-nobody could not be loaded" in metrics[name]["reason"]
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
    shutil.copytree(run_of(folder, "whole"), stacked)
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
    assert one["psnr"]["value"] > content["metrics"]["psnr"]["value"], "both together change more"
    words = " ".join(Page((tmp_path / "report.html").read_text(encoding="utf8")).text)
    assert "Each layer alone" in words and "mean" in words and "Strength sweep" not in words


@pytest.mark.slow
def test_what_the_command_cannot_use_is_said_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    whole = run_of(folder, "whole")
    assert "is no run" in refused(folder / "nowhere")
    assert "capture lost is not there any more; say where it is with --data" in refused(whole, "--data", "lost")
    polygons = tmp_path / "polygons.json"
    polygons.write_text('{"train_000.png": [[0, 0], [9, 0], [9, 9]]}')
    told = refused(whole, "--views", "test", "--masks", "polygons", polygons)
    assert "0 of the 3 test views are called 'train_000.png'; they are called test_000" in told
    assert "no alpha channel" in refused(whole, "--views", "train", "--masks", "alpha")
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
def test_ns_eval_scores_the_edit_where_a_judge_is_configured(folder: Path) -> None:
    judged = run_of(folder, "judged")
    shutil.copytree(run_of(folder, "whole"), judged)
    config = (judged / "config.yml").read_text().replace("judge_model: ''", "judge_model: embedded")
    assert "judge_model: embedded" in config
    (judged / "config.yml").write_text(config.replace("timestamp: whole", "timestamp: judged"))
    run("ns-eval", "--load-config", judged / "config.yml", "--output-path", "judged.json", cwd=folder)
    results = json.loads((folder / "judged.json").read_text())["results"]
    assert -1 <= results["edit_direction_similarity"] <= 1 and -1 <= results["edit_manipulative_precision"] <= 1
    assert {"edit_psnr", "edit_ssim", "edit_added", "edit_removed", "edit_changed"} <= set(results)
