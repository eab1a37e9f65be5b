"""What a report is made of: judge, layers, figures and page, each by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_layers import two_layers
from tiny_run import ring, tiny_model

from blending_nerf_ns.edits.layer import LayerInfo
from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.reporting.catalogue import METRICS
from blending_nerf_ns.reporting.content import layers_content
from blending_nerf_ns.reporting.eval_score import EditScore, score_by
from blending_nerf_ns.reporting.judge import (
    JudgeConfig,
    kinship,
    load_judge,
    read_texts,
    same_model,
    squared,
)
from blending_nerf_ns.reporting.layers import at_strength, joined_texts, only, shown_as, shown_layers
from blending_nerf_ns.reporting.measuring import Figure, mean_figures
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.page import _facts
from blending_nerf_ns.reporting.pictures import own_region, render_pictures, surface_points
from blending_nerf_ns.reporting.workbench import Measured, every_nth, read_prompts, told_apart

# -- judge, texts, layers -------------------------------------------------------------------------------------------


def test_a_judge_that_is_the_guide_is_told() -> None:
    mini, large = JudgeConfig("embedded"), JudgeConfig("ViT-L-14", "openai")
    (warning,) = kinship(mini, JudgeConfig("embedded", "ignored"))
    assert "same model, embedded" in warning and "--judge.model" in warning
    assert kinship(large, mini) == [] and kinship(large, JudgeConfig("ViT-B-16", "openai")) == []
    (warning,) = kinship(large, JudgeConfig("ViT-L-14", "laion2b"))
    assert "same architecture" in warning
    (warning,) = kinship(large, JudgeConfig("ViT-L/14", "openai"))
    assert "same model" in warning, "open_clip takes both for one"
    for one, other in (
        (("ViT-B-16-quickgelu", "openai"), ("ViT-B-16", "openai")),
        (("ViT-B-16", "laion2b-s34b-b88k"), ("ViT-B-16", "LAION2B_s34b_b88k")),
    ):
        assert same_model(JudgeConfig(*one), JudgeConfig(*other)), "and the same weights"
    hub = JudgeConfig("hf-hub:laion/CLIP-ViT-B-16-laion2B-s34B-b88K")
    assert same_model(hub, JudgeConfig("ViT-B-16", "laion2b_s34b_b88k")), "the tag stands for that repository"
    assert not same_model(hub, JudgeConfig("ViT-B-16", "openai")) and not same_model(hub, mini)


def test_a_judge_sees_all_of_a_picture_that_is_not_square() -> None:
    """Of a photo in portrait format a CLIP would read the middle square."""
    judge = load_judge(JudgeConfig(), JudgeConfig("embedded"), torch.device("cpu"))
    before = torch.rand(1, 64, 36, 3, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[:, :12] = torch.tensor([0.1, 0.1, 0.9])  # the sky
    for original, edited in ((before, after), (before.transpose(1, 2), after.transpose(1, 2))):
        one, other = judge.look(original), judge.look(edited)
        assert one is not None and other is not None and float((one - other).norm()) > 0.05
        assert judge.clip is not None
        score = EditScore(judge.clip, "a red ball", "a blue ball")(original[0], edited[0])
        assert score["edit_direction_similarity"] != 0.0
    assert torch.equal(squared(before[:, :36]), before[:, :36])
    odd = squared(torch.zeros(1, 3, 6, 3))
    assert odd.shape == (1, 6, 6, 3) and odd[0, :, 0, 0].tolist() == [0.5, 0.0, 0.0, 0.0, 0.5, 0.5]


def test_a_judge_that_reads_both_texts_alike_has_its_other_figure(capsys: pytest.CaptureFixture[str]) -> None:
    judge = load_judge(JudgeConfig(), JudgeConfig("embedded"), torch.device("cpu"))
    assert judge.clip is not None
    with pytest.warns(GuidanceWarning):
        score = EditScore(judge.clip, "a bear", "a panda")
    assert "'a bear' and 'a panda' are one to the judge embedded-judge" in " ".join(capsys.readouterr().out.split())
    picture = torch.rand(24, 24, 3, generator=torch.Generator().manual_seed(0))
    assert list(score(picture, 1.0 - picture)) == ["edit_manipulative_precision"]


def test_ns_eval_has_its_other_figures_where_a_judge_cannot_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    config = BlendingPipelineConfig(judge_model="ViT-L-41", judge_pretrained="openai")
    assert score_by(config, ("a red ball", "a blue ball"), torch.device("cpu")) is None
    assert "No figures of a judge: open_clip has no model 'ViT-L-41'" in " ".join(capsys.readouterr().out.split())
    config.judge_model = "embedded-judge"
    assert score_by(config, ("a red ball", "a blue ball"), torch.device("cpu")) is not None


def test_a_text_counts_once_in_a_pool_however_it_is_spelled(tmp_path: Path) -> None:
    judge = load_judge(JudgeConfig(), JudgeConfig("embedded"), torch.device("cpu"))
    features, _ = read_texts(judge, ["a blue ball", "A blue ball.", "a red ball", "a blue sphere", "a blue cube"])
    assert features is not None
    assert told_apart(features)[0] == 0 and 1 not in told_apart(features) and {2, 4} <= set(told_apart(features))
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfa blue ball\na red ball\n")
    assert read_prompts(tmp_path / "marked.txt") == ["a blue ball", "a red ball"]
    (tmp_path / "latin.txt").write_bytes(b"a blue ball\na ball f\xfcr all\n")
    with pytest.raises(BlendingNerfError, match="is no text in UTF-8"):
        read_prompts(tmp_path / "latin.txt")


def test_a_folder_of_a_model_has_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    for other in (JudgeConfig("clip"), JudgeConfig("clip/"), JudgeConfig("clip", "not read")):
        assert same_model(JudgeConfig(str(tmp_path / "clip")), other)
    assert not same_model(JudgeConfig("clip"), JudgeConfig("ViT-L-14"))
    # as it is loaded: a folder that is named as the weights is all of the model, whatever that is called
    guide, judge = JudgeConfig("ViT-B-16", str(tmp_path / "clip")), JudgeConfig("ViT-L-14", "clip")
    assert same_model(judge, guide) and same_model(JudgeConfig("clip"), guide)
    assert (judge.name, JudgeConfig("embedded", "clip").name) == ("clip", "embedded")
    assert "same model, clip" in kinship(judge, guide)[0]
    ReportOptions(judge=judge).check()


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


def test_what_a_layer_made_and_another_edited_on_is_in_neither_text() -> None:
    steps = ("a toy", "a green toy", "A green toy ", "a red toy", "a red toy", "a toy")
    first, second, back = (
        LayerInfo(source_text=before, target_text=after) for before, after in zip(steps[::2], steps[1::2], strict=True)
    )
    beside = LayerInfo(source_text="a cube", target_text="")
    assert joined_texts([first, second]) == ("a toy", "a red toy")
    assert joined_texts([first, beside, second]) == ("a toy and a cube", "a red toy")
    assert joined_texts([second, first]) == ("A green toy  and a toy", "a red toy and a green toy"), (
        "the other way round"
    )
    there_and_back = "a toy and A green toy  and a red toy", "a green toy and a red toy and a toy"
    assert joined_texts([first, second, back]) == there_and_back
    assert joined_texts([beside, beside]) == ("a cube", "")


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
    lower.info = lower.info.with_strengths(add=0.3, remove=0.0, change=8.0)
    with shown_as(model, at_strength(1.0)):
        assert lower.info.strengths == (0.3, 0.0, 8.0), "as it is shown: what its user switched off stays off"
    with shown_as(model, at_strength(1.5)):
        assert lower.info.strengths == pytest.approx((0.45, 0.0, 10.0)), "and no blend ratio is beyond what one may be"
    for off in (replace(lower.info, visible=False), lower.info.with_strengths(add=0.0, remove=0.0, change=0.0)):
        lower.info = off
        with shown_as(model, at_strength(0.5)):
            assert shown_layers(model) == [upper], "a layer that is off stays off"


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
        (
            {"judge": JudgeConfig(pretrained="openai")},
            "--judge.pretrained openai: embedded-judge has weights of its own",
        ),
        ({"change_threshold": 2.0}, "--change-threshold is 2.0"),
        ({"sweep": (0.0, -1.0)}, "--sweep has -1.0"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BlendingNerfError, match=message):
        ReportOptions(**changes).check()
    assert ReportOptions(sweep=(1.0, 0.5)).strengths == (0.0, 0.5, 1.0)


# -- figures and page ------------------------------------------------------------------------------------------------


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
    opaque = torch.ones_like(pictures.accumulation)
    opaque[0, 0] = 0.4
    points, seen = surface_points(cameras, pictures._replace(accumulation=opaque), every_nth(pictures.depth, 10))
    assert len(points) == int(seen.sum()) <= 10 and not seen[0, 0].any(), "what is hardly there has no surface"
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


def test_each_layers_pool_stands_beside_its_figures() -> None:
    edit, figures = tiny_model().edit, dict.fromkeys(METRICS, Figure(1.0))
    layers = layers_content([edit], [Measured(figures, ["a", "b"], [])], False)
    assert layers is not None and layers["layers"][0]["prompt_pool"] == ["a", "b"]


def test_what_the_page_says_of_views_masks_and_limits() -> None:
    content = {
        "guide": {"name": "guide"},
        "judge": {"name": "judge", "available": True},
        "method": "blending-nerf",
        "layers": [],
        "views": {"names": ["a", "b"], "kind": "test", "width": 16, "height": 16},
        "masks": {"reason": "no mask", "dilation": 5},
        "highest_psnr": 99.0,
        "change_threshold": 1e-5,
        "chamfer_pixels": 3,
        "prompt_pool": [],
    }
    page = _facts(content)
    assert "2 views of test photos" in page and "above a difference of 1e-05" in page
    assert "5 pixels, before what lies outside" in page, "our own region is grown, too"
