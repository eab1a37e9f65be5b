"""Our preprocessing against the models' own, on the same images, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.preprocess import (
    ImageTransform,
    clamp_straight_through,
    resize,
    transform_of_open_clip,
    transform_of_processor,
)

ROUNDING = 1.3 / 255
"""Pillow rounds to 8 bits after the rows (half a step, times at most 1.5: the sum of a bicubic filter's absolute weights)
and again after the columns (half a step); ours does not round."""


def pictures() -> dict[str, np.ndarray]:
    """uint8 images that stress a resize: noise, hard edges, a smooth ramp; larger and smaller than the target."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 150)[None, :, None] * np.linspace(0, 1, 110)[:, None, None] * np.array([1.0, 0.6, 0.2])
    return {
        "noise": rng.integers(0, 256, (180, 260, 3)).astype(np.uint8),
        "edges": (rng.integers(0, 2, (140, 211, 3)) * 255).astype(np.uint8),
        "small": rng.integers(0, 256, (23, 37, 3)).astype(np.uint8),
        "same": rng.integers(0, 256, (96, 96, 3)).astype(np.uint8),
        "ramp": ramp.astype(np.uint8),
    }


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", list(pictures()))
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_same_as_open_clips_transform(name: str, mode: str, interpolation: str):
    from open_clip import image_transform

    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    own: Any = image_transform(
        96, is_train=False, mean=mean, std=std, resize_mode=mode, interpolation=interpolation, fill_color=30
    )
    ours = ImageTransform((96, 96), mean, std, interpolation, mode, fill=30 / 255)
    picture = pictures()[name]
    expected = own(Image.fromarray(picture))
    got = ours(as_tensor(picture))[0]
    assert got.shape == expected.shape
    difference = (got - expected).abs() * torch.tensor(std)[:, None, None]
    assert difference.max() <= ROUNDING
    assert (
        difference.mean() <= 0.4 / 255
    )  # what rounding twice leaves on average; a shift by half a pixel gives 20 times that


def test_tall_images_as_pillow():
    # in two calls, as Pillow 13 squashes tall images in the other order
    picture = (np.random.default_rng(0).integers(0, 2, (211, 140, 3)) * 255).astype(np.uint8)
    rows = Image.fromarray(picture).resize((96, 211), Image.Resampling.BICUBIC)
    expected = as_tensor(np.array(rows.resize((96, 80), Image.Resampling.BICUBIC)))
    assert (resize(as_tensor(picture), (80, 96)) - expected).abs().max() <= ROUNDING
    expected = as_tensor(np.array(Image.fromarray(picture).resize((93, 140), Image.Resampling.BICUBIC)))
    assert (resize(as_tensor(picture), (140, 93)) - expected).abs().max() <= ROUNDING  # the same shape, smaller


def test_non_square_target_as_open_clip():
    from open_clip import image_transform

    picture = pictures()["noise"]
    own: Any = image_transform((64, 96), is_train=False, mean=(0.0,) * 3, std=(1.0,) * 3)
    expected = own(Image.fromarray(picture))
    got = ImageTransform((64, 96), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(as_tensor(picture))[0]
    assert (got - expected).abs().max() <= ROUNDING


@pytest.mark.parametrize("name", list(pictures()))
@pytest.mark.parametrize("resample", [2, 3])
def test_same_as_the_clipseg_processor(name: str, resample: int):
    from transformers import ViTImageProcessor

    processor: Any = ViTImageProcessor(
        size={"height": 88, "width": 88},
        resample=resample,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    picture = pictures()[name]
    expected = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"][0]
    transform = transform_of_processor(processor)
    got = transform(as_tensor(picture))[0]
    assert got.shape == expected.shape
    assert ((got - expected).abs() * torch.tensor(transform.std)[:, None, None]).max() <= ROUNDING


def test_processor_that_crops_is_read_as_the_whole_image():
    from transformers import CLIPImageProcessor

    transform = transform_of_processor(CLIPImageProcessor(size={"shortest_edge": 48}, crop_size=48))
    assert transform.size == (48, 48)
    assert transform.resize_mode == "squash"
    image = torch.zeros(1, 3, 40, 200)
    image[..., -20:] = 1.0  # the right end, which a centre crop would lose
    assert transform(image)[..., -1].min() > transform(torch.zeros(1, 3, 40, 200)).max()


def test_transform_that_a_model_carries():
    import open_clip

    model = torch.nn.Module()
    model.visual = torch.nn.Module()
    open_clip.set_model_preprocess_cfg(
        model,
        {"size": 60, "mean": (0.5,) * 3, "std": (0.25,) * 3, "interpolation": "bilinear", "resize_mode": "longest"},
    )
    transform = transform_of_open_clip(model)
    assert transform == ImageTransform((60, 60), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear", "longest")


def test_constant_images_stay_constant_and_keep_their_gradient():
    for value in (0.0, 0.3, 1.0):  # at 0 and 1 a plain clamp would block what rounding pushed outside
        image = torch.full((1, 3, 41, 67), value, requires_grad=True)
        out = resize(image, (32, 32))
        assert (out - value).abs().max() < 1e-6
        out.sum().backward()
        assert image.grad is not None
        assert torch.isclose(image.grad.sum(), torch.tensor(3.0 * 32 * 32), rtol=1e-3)


def test_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    image = (torch.rand(1, 3, 9, 7, dtype=torch.float64) * 0.2 + 0.4).requires_grad_()
    transform = ImageTransform((6, 6), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert torch.autograd.gradcheck(transform, (image,))


@settings(max_examples=30)
@given(height=st.integers(2, 70), width=st.integers(2, 70), mode=st.sampled_from(["shortest", "longest", "squash"]))
def test_any_shape_gives_the_models_shape_in_range(height: int, width: int, mode: str):
    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    out = ImageTransform((32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize_mode=mode)(image)
    assert out.shape == (2, 3, 32, 32)
    assert out.min() >= 0.0
    assert out.max() <= 1.0


def test_straight_through_clamp():
    x = torch.tensor([-0.5, 0.25, 1.5], requires_grad=True)
    y = clamp_straight_through(x)
    assert torch.allclose(y, torch.tensor([0.0, 0.25, 1.0]))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_errors():
    transform = ImageTransform((32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(BlendingNerfError, match=r"\[B, 3, H, W\], got \(3, 8, 8\)"):
        transform(torch.rand(3, 8, 8))
    with pytest.raises(BlendingNerfError, match="uint8"):
        transform(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(BlendingNerfError, match="interpolation 'nearest'"):
        ImageTransform((32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), interpolation="nearest")
    with pytest.raises(BlendingNerfError, match="resize mode 'fit'"):
        ImageTransform((32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize_mode="fit")
