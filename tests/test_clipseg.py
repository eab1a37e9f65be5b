"""CLIPSeg as a localiser: a real, small transformers CLIPSeg with random weights, loaded by path, and its errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.clipseg import load_clipseg

VOCABULARY = ["<|startoftext|>", "<|endoftext|>", "<|pad|>", *"abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIPSeg of a few thousand weights with a byte-pair tokenizer of single letters, saved as transformers saves them."""
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPTokenizer,
        ViTImageProcessor,
    )

    path = tmp_path_factory.mktemp("clipseg")
    words = VOCABULARY + [f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (path / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(path, pad_token="<|pad|>")
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    text = {
        "vocab_size": len(words),
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "max_position_embeddings": 24,
    }
    config = CLIPSegConfig(
        text_config={**tower, **text},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=24,
        extract_layers=[0, 1, 2],
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        initializer_factor=2.0,  # so that random weights listen to the text
    )
    model: Any = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        model.decoder.transposed_convolution.weight *= 0.1  # and their probabilities are not all 0 and 1
    model.save_pretrained(path)
    images = ViTImageProcessor(
        size={"height": 48, "width": 48}, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    )
    CLIPSegProcessor(images, tokenizer).save_pretrained(path)
    return path


def picture(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(48, 48), (40, 60)])
def test_same_as_transformers_own_path(folder: Path, height: int, width: int):
    from transformers import AutoProcessor, CLIPSegForImageSegmentation

    model = CLIPSegForImageSegmentation.from_pretrained(folder).eval()
    processor: Any = AutoProcessor.from_pretrained(folder)
    inputs = processor(text=["a red ball"], images=[Image.fromarray(picture(height, width))], return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits.reshape(1, 1, 48, 48).sigmoid()
    expected = functional.interpolate(expected, size=(height, width), mode="bilinear", align_corners=False)[0, 0]
    image = torch.from_numpy(picture(height, width)) / 255
    got = load_clipseg(str(folder)).probability(image, "a red ball", templates=("{}",))
    assert got.shape == (height, width)
    # the processor rounds what it resizes to 8 bits, and random weights make much of that
    limit = 1e-5 if (height, width) == (48, 48) else min(0.01, 0.2 * float(expected.std()))
    # not flat: the comparison means something; it is 0.005 or 0.1, by how transformers draws weights
    assert expected.std() > 0.003
    assert (got - expected).abs().mean() < limit


def test_batches_templates_and_range(folder: Path):
    localizer = load_clipseg(str(folder))
    images = torch.stack([torch.from_numpy(picture(seed=s)) / 255 for s in range(3)])
    maps = localizer.probabilities(images, "a ball")
    assert maps.shape == (3, 40, 60)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert not maps.requires_grad
    assert torch.allclose(maps[1], localizer.probability(images[1], "a ball"), atol=1e-5)
    one, two = (localizer.probabilities(images, "a ball", (t,)) for t in ("{}", "the {}"))
    assert not torch.allclose(one, two, atol=1e-4)  # it reads the text
    assert torch.allclose(localizer.probabilities(images, "a ball", ("{}", "the {}")), (one + two) / 2, atol=1e-5)


def test_weights_stay_frozen(folder: Path):
    localizer = load_clipseg(str(folder))
    owner: Any = torch.nn.Module()
    owner.localizer = localizer
    assert owner.state_dict() == {}


def test_errors_of_use(folder: Path):
    localizer = load_clipseg(str(folder))
    with pytest.raises(BlendingNerfError, match="prompt ' ' is empty"):
        localizer.probability(torch.rand(8, 8, 3), " ")
    with pytest.raises(BlendingNerfError, match=r"\[B, H, W, 3\], got \(1, 3, 8, 8\)"):
        localizer.probabilities(torch.rand(1, 3, 8, 8), "a ball")
    with pytest.raises(BlendingNerfError, match=r"'a ball .*\.\.\.' makes \d+ tokens, but .* reads at most 24"):
        localizer.probability(torch.rand(8, 8, 3), "a ball " * 40)
    bad = torch.rand(8, 8, 3)
    bad[4, 4] = float("nan")
    with pytest.raises(BlendingNerfError, match="gives NaN for 'a ball'"):
        localizer.probability(bad, "a ball")


def test_a_processor_by_the_name_that_it_had_before_transformers_4_26(folder: Path, tmp_path: Path):
    copy = tmp_path / "old"
    shutil.copytree(folder, copy)
    own = json.loads((copy / "processor_config.json").read_text())["image_processor"]
    (copy / "processor_config.json").unlink()
    (copy / "preprocessor_config.json").write_text(json.dumps({**own, "image_processor_type": "ViTFeatureExtractor"}))
    image = torch.from_numpy(picture()) / 255
    old, new = (load_clipseg(str(path)).probability(image, "a ball") for path in (copy, folder))
    assert torch.equal(old, new)


def test_folders_that_are_no_clipseg(folder: Path, tmp_path: Path):
    with pytest.raises(BlendingNerfError, match="weights of CLIPSeg") as caught:
        load_clipseg(str(tmp_path))
    assert "no config.json" in str(caught.value)
    for part in (str(tmp_path), "local folder", "embedded localizer", "--pipeline.region.localizer"):
        assert part in str(caught.value)
    with pytest.raises(BlendingNerfError, match="were not found"):
        load_clipseg(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(BlendingNerfError, match="is a 'clip' model; the localiser wants a CLIPSeg"):
        load_clipseg(str(tmp_path))


def test_damaged_weights(folder: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    state = load_file(copy / "model.safetensors")
    del state["decoder.film_mul.weight"]
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BlendingNerfError, match=r"lack 1 tensors of a CLIPSeg \(decoder\.film_mul\.weight\)"):
        load_clipseg(str(copy))
    whole = (folder / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BlendingNerfError, match="Last error"):
        load_clipseg(str(copy))


def test_a_folder_without_vocabulary(folder: Path, tmp_path: Path):
    """transformers makes a tokenizer of it that reads all texts of a length alike."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(BlendingNerfError, match="its tokenizer has no vocabulary") as caught:
        load_clipseg(str(copy))
    assert str(copy) in str(caught.value)


def test_pictures_are_looked_at_once_for_all_texts_and_templates(folder: Path):
    localizer = load_clipseg(str(folder))
    pictures = [torch.from_numpy(picture(seed=s)) / 255 for s in range(3)] + [torch.from_numpy(picture(20, 30)) / 255]
    apart = [localizer.localize(pictures, text) for text in ("a red ball", "a cube")]
    looked: list[int] = []
    localizer._model.clip.vision_model.register_forward_hook(lambda *_: looked.append(1))
    together = localizer.localize_each(pictures, ("a red ball", "a cube"))
    assert len(looked) == 2 and len(localizer.templates) > 1, "once for each size"
    for maps, others in zip(together, apart, strict=True):
        assert [one.shape for one in maps] == [one.shape[:2] for one in pictures]
        assert all(torch.equal(one, other) for one, other in zip(maps, others, strict=True))
    assert not torch.equal(together[0][0], together[1][0])


def test_half_precision_weights_are_computed_in_full(folder: Path, tmp_path: Path):
    from transformers import CLIPSegForImageSegmentation

    copy = tmp_path / "half"
    shutil.copytree(folder, copy)
    CLIPSegForImageSegmentation.from_pretrained(folder).half().save_pretrained(copy)
    image = torch.from_numpy(picture()) / 255
    half, full = (load_clipseg(str(path)).probability(image, "a ball") for path in (copy, folder))
    assert half.dtype == torch.float32
    assert torch.allclose(half, full, atol=0.02)


def test_offline_says_what_was_looked_for_without_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    from huggingface_hub import constants

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody answers
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(BlendingNerfError) as caught:
        load_clipseg("CIDAS/no-such-clipseg")
    for part in (
        "CIDAS/no-such-clipseg",
        str(tmp_path / "hub"),
        "127.0.0.1:9",
        "no connection",
        "local folder",
        "embedded",
    ):
        assert part in str(caught.value)
    output = capfd.readouterr()
    assert "Retrying" not in output.out + output.err
