"""The shipped mini models: they load through the real doors, are small, and read procedural pictures."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from blending_nerf_ns.guidance.embedded import (
    EMBEDDED_DIR,
    MINI_CLIP_NAME,
    MINI_JUDGE_NAME,
    load_mini,
    mini_clipseg_path,
    mini_tokenizer,
    unknown_words,
)
from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.render import look_at, render
from blending_nerf_ns.procedural.scene import Scene, Surface, primitive

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)

# a hue from the middle of each word's range, and none that the training drew as such
RGB = {"red": (0.82, 0.10, 0.08), "green": (0.15, 0.62, 0.22), "blue": (0.12, 0.25, 0.85), "yellow": (0.92, 0.82, 0.15)}
SIZES = {"ball": (0.6, 0.6, 0.6), "cube": (0.5, 0.5, 0.5), "cone": (0.55, 0.55, 0.7), "cylinder": (0.4, 0.4, 0.65)}


def _picture(colour: str, shape: str, angle: float, side: int):
    """One object on a gray floor: image [3, side, side] in [0, 1] and its mask [side, side]."""
    size = SIZES.get(shape, (0.7, 0.7, 0.7))
    height = 0.7 * 0.35 if shape == "donut" else size[2]
    scene = Scene(
        (primitive(shape, colour, RGB[colour], (0, 0, height), size),), ground=Surface.flat((0.55, 0.53, 0.5))
    )
    eye = (3 * np.cos(angle), 3 * np.sin(angle), 1.9)
    focal, middle = 1.4 * side, side / 2
    rgb, ids = render(scene, look_at(eye, (0, 0, 0.45)), focal, focal, middle, middle, side, side, supersampling=3)
    return torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(ids == 0)


CASES = [(c, s, 0.7 + 1.3 * i) for i, c in enumerate(RGB) for s in words.PRIMITIVES]


def pictures(side: int):
    drawn = [_picture(*case, side) for case in CASES]
    return torch.stack([p for p, _ in drawn]), torch.stack([m for _, m in drawn])


@pytest.fixture(scope="module", params=[MINI_CLIP_NAME, MINI_JUDGE_NAME])
def clip(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # open_clip still scripts functions
        model = load_mini(request.param)
    return model, mini_tokenizer(model.context_length)


@pytest.fixture(scope="module")
def clipseg():
    from transformers import AutoProcessor, CLIPSegForImageSegmentation

    model = CLIPSegForImageSegmentation.from_pretrained(mini_clipseg_path()).eval()
    return model, AutoProcessor.from_pretrained(mini_clipseg_path())


def test_files_are_small_and_half_precision():
    files = [p for p in EMBEDDED_DIR.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    assert sum(p.stat().st_size for p in files) <= 25e6
    assert (EMBEDDED_DIR / f"{MINI_JUDGE_NAME}.safetensors").stat().st_size <= 15e6
    clips = [EMBEDDED_DIR / f"{name}.safetensors" for name in (MINI_CLIP_NAME, MINI_JUDGE_NAME)]
    for path in (*clips, mini_clipseg_path() / "model.safetensors"):
        with safe_open(path, "pt") as weights:
            kinds = {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}


def test_the_judge_has_nothing_of_the_guide():
    guide, judge = (load_mini(name).state_dict() for name in (MINI_CLIP_NAME, MINI_JUDGE_NAME))
    shared = {name for name in guide.keys() & judge.keys() if guide[name].ndim > 1}
    assert len(shared) > 20
    alike = [
        name for name in shared if guide[name].shape == judge[name].shape and torch.equal(guide[name], judge[name])
    ]
    assert not alike, "other weights from the first number on"
    assert guide["visual.conv1.weight"].shape != judge["visual.conv1.weight"].shape, "of another architecture"


def test_models_load_in_single_precision_and_eval_mode(clip, clipseg):
    for model in (clip[0], clipseg[0]):
        assert not model.training
        assert next(model.parameters()).dtype == torch.float32
    assert not any(p.requires_grad for p in clip[0].parameters())


def test_both_tokenizers_agree_and_end_with_the_highest_id(clip, clipseg):
    texts = ["A red ball!", "a photo of a purple toy, on a table", "a fox"]
    ours = clip[1](texts)
    theirs = clipseg[1](text=texts, padding="max_length", max_length=24, return_tensors="pt").input_ids
    assert ours.shape == (3, clip[0].context_length)
    assert torch.equal(ours, theirs)
    expected = [[words.VOCABULARY.index(w) for w in (words.START, "a", "red", "ball", words.END)]]
    assert ours[:1, :5].tolist() == expected
    assert ours.argmax(-1)[0] == 4
    assert words.VOCABULARY.index(words.UNKNOWN) in ours[2].tolist()


def test_unknown_words_are_named():
    assert unknown_words("a red ball on the floor") == []
    assert unknown_words("A fox, and a red FOX with wings") == ["fox", "wings"]


@torch.no_grad()
def test_mini_clip_reads_colours_and_shapes(clip):
    model, tokenize = clip
    image = model.encode_image((pictures(model.visual.image_size[0])[0] - MEAN) / STD, normalize=True)

    def share_right(texts, expected):
        scores = image @ model.encode_text(tokenize(texts), normalize=True).T
        return np.mean([texts[int(i)] == text for i, text in zip(scores.argmax(1), expected)])

    colours = [f"a {c} toy" for c in words.COLOUR_NAMES]
    pairs = [f"a {c} {s}" for c in words.COLOUR_NAMES for s in words.PRIMITIVES]
    assert share_right(colours, [f"a {c} toy" for c, _, _ in CASES]) >= 0.8
    assert share_right(pairs, [f"a {c} {s}" for c, s, _ in CASES]) >= 0.6


def test_gradients_reach_the_pixels(clip):
    model, tokenize = clip
    pixels = torch.full((1, 3, *model.visual.image_size), 0.5, requires_grad=True)
    score = F.cosine_similarity(model.encode_image((pixels - MEAN) / STD), model.encode_text(tokenize(["a red ball"])))
    (gradient,) = torch.autograd.grad(score.sum(), pixels)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


@torch.no_grad()
def test_mini_clipseg_finds_what_is_there_and_is_quiet_otherwise(clipseg):
    model, processor = clipseg
    drawn, masks = pictures(64)
    images = [np.round(255 * p.permute(1, 2, 0).numpy()).astype(np.uint8) for p in drawn]
    found, loud = [], []
    for wanted, marks in ((True, found), (False, loud)):
        others = dict(zip(RGB, [*list(RGB)[2:], *list(RGB)[:2]]))
        texts = [f"a {c if wanted else others[c]} {s}" for c, s, _ in CASES]
        inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
        assert inputs.pixel_values.shape[1:] == (3, 64, 64)
        heat = model(**inputs).logits.sigmoid() > 0.5
        mask = masks
        iou = (heat & mask).sum((1, 2)) / (heat | mask).sum((1, 2)).clamp_min(1)
        marks += (iou if wanted else heat.float().mean((1, 2))).tolist()
    assert np.mean(found) >= 0.5
    assert np.mean(loud) <= 0.05
