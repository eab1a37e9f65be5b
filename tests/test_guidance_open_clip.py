"""What open_clip's own models want beside their weights: a tokenizer, a preparation of pictures, a tower that can be built here."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from tiny_clip import TINY, write_tiny_clip

from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.guidance import open_clip_names
from blending_nerf_ns.guidance.clip import check_names, load_clip
from blending_nerf_ns.guidance.embedded import mini_clipseg_path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("models"))


def test_a_tokenizer_with_files_of_its_own_can_be_called(tiny: Path, tmp_path: Path):
    import open_clip

    text = {**TINY["text_cfg"], "hf_tokenizer_name": str(mini_clipseg_path())}
    (tmp_path / "tiny-hf.json").write_text(json.dumps({**TINY, "text_cfg": text}))
    open_clip.add_model_config(tmp_path / "tiny-hf.json")
    guide = load_clip("tiny-hf", str(tiny / "trained.pt"))
    red, blue = guide.encode_text(["a red ball", "a blue ball"])
    assert not torch.allclose(red, blue, atol=1e-4)
    assert torch.allclose(guide.encode_prompt("a red ball", ("{}",)), red, atol=1e-5)


def test_a_file_that_may_want_its_pictures_otherwise_is_warned_of(tiny: Path):
    weights = str(tiny / "trained.pt")
    with pytest.warns(GuidanceWarning, match=r"laion2b_s32b_b82k of ViT-L-14 want them otherwise.*preprocess_cfg"):
        open_clip_names.warn_of_preprocessing("ViT-L-14", weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_clip_names.warn_of_preprocessing("ViT-L-14", "laion2b_s32b_b82k")
        open_clip_names.warn_of_preprocessing("ViT-B-32-quickgelu", weights)


def test_a_file_that_is_called_like_weights_of_another_activation_is_warned_of(tiny: Path, tmp_path: Path):
    for name in ("vit_b_32-quickgelu-laion400m.pt", "MetaCLIP_b32.pt", "ViT-B-32.pt"):
        (tmp_path / name).write_bytes(b"")
    for name in ("vit_b_32-quickgelu-laion400m.pt", "MetaCLIP_b32.pt"):
        with pytest.warns(GuidanceWarning, match="give ViT-B-32-quickgelu for ViT-B-32"):
            open_clip_names.warn_of_activation("ViT-B-32", str(tmp_path / name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_clip_names.warn_of_activation("ViT-B-32-quickgelu", str(tmp_path / "MetaCLIP_b32.pt"))
        open_clip_names.warn_of_activation("ViT-B-32", str(tmp_path / "ViT-B-32.pt"))
        open_clip_names.warn_of_activation("ViT-B-32", "openai")
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.warns(GuidanceWarning, match="holds OpenAI's numbers.* give ViT-B-32-quickgelu for ViT-B-32"):
        open_clip_names.warn_of_activation("ViT-B-32", str(tmp_path / "weights.pt"), "holds OpenAI's numbers")


def test_a_tower_of_timm_on_the_hub_is_refused_before_its_weights_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from open_clip import pretrained, timm_model

    if timm_model.timm is not None:
        pytest.skip("this timm is new enough for open_clip")
    vision = {"timm_model_name": "vit_base_patch16_siglip_224", "image_size": 224}
    config = tmp_path / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": {**TINY, "vision_cfg": vision}, "preprocess_cfg": {}}))
    asked: list[str] = []
    fetched = lambda repository, filename, **options: asked.append(f"{repository}/{filename}") or str(config)  # noqa: E731
    monkeypatch.setattr(pretrained, "download_pretrained_from_hf", fetched)
    with pytest.raises(BlendingNerfError, match=r"'hf-hub:timm/ViT-B-16-SigLIP' has a vision tower of timm"):
        load_clip("hf-hub:timm/ViT-B-16-SigLIP")
    assert asked == ["timm/ViT-B-16-SigLIP/open_clip_config.json"]


def test_a_tower_of_timm_is_refused_before_anything_is_trained_or_fetched(tiny: Path, tmp_path: Path):
    from open_clip import timm_model

    if timm_model.timm is not None:
        pytest.skip("this timm is new enough for open_clip")
    for read in (load_clip, check_names):
        with pytest.raises(BlendingNerfError, match=r"'convnext_base_w' has a vision tower of timm.* such as ViT-B-16"):
            read("convnext_base_w", "laion2b_s13b_b82k")
    with pytest.raises(BlendingNerfError, match="no model 'convnext_base_x'") as caught:
        check_names("convnext_base_x", "laion2b_s13b_b82k")
    assert "convnext_base_w" not in str(caught.value), "that one would not do, either"
    vision = {"timm_model_name": "convnext_base", "image_size": 32}
    content = {"model_cfg": {**TINY, "vision_cfg": vision}, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    with pytest.raises(BlendingNerfError, match="has a vision tower of timm"):
        check_names(str(tmp_path), None)
