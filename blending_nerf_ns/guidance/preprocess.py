"""What CLIP and CLIPSeg do to an image before they look at it, written so that gradients pass through.

The models were trained behind Pillow's resize, which filters rows first, then columns, and cuts overshoot off after
each. Doing the same keeps our tensors within 8-bit rounding of the real transforms; bicubic in one pass is off by up to
20/255 at hard edges. (Pillow 13 takes the columns first where the height shrinks much more than the width, which only
"squash" can ask for; we keep the order that the models were trained with.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Mapping, Tuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError

Triple = Tuple[float, float, float]


def clamp_straight_through(images: Float[Tensor, "*image"]) -> Float[Tensor, "*image"]:
    """Values cut to [0, 1], gradients passed as if they were not.

    A plain clamp has no gradient where rounding puts a saturated pixel at 1.0000001: white could never turn green.
    """
    return images + (images.clamp(0.0, 1.0) - images).detach()


def resize(
    images: Float[Tensor, "B C H W"], size: Tuple[int, int], interpolation: str = "bicubic"
) -> Float[Tensor, "B C height width"]:
    """Antialiased resize as Pillow does it, differentiable.

    Args:
        images: values in [0, 1].
        size: (height, width) of the result.
        interpolation: "bicubic" or "bilinear".

    Returns:
        Images in [0, 1].
    """
    height, width = size
    for step in ((images.shape[-2], width), (height, width)):  # along the rows first: Pillow cuts overshoot in between
        if tuple(images.shape[-2:]) != step:
            images = functional.interpolate(images, size=step, mode=interpolation, antialias=True, align_corners=False)
            images = clamp_straight_through(images)
    return images


def _center_crop_or_pad(images: Tensor, size: Tuple[int, int], fill: float) -> Tensor:
    """The middle of the images; where they are smaller, a margin of value `fill`."""
    missing = [max(want - have, 0) for want, have in zip(size, images.shape[-2:])]
    if any(missing):
        margins = [missing[1] // 2, (missing[1] + 1) // 2, missing[0] // 2, (missing[0] + 1) // 2]
        images = functional.pad(images, margins, value=fill)
    top, left = (round((have - want) / 2.0) for want, have in zip(size, images.shape[-2:]))
    return images[..., top : top + size[0], left : left + size[1]]


@dataclass(frozen=True)
class ImageTransform:
    """A model's own preprocessing for a batch of tensors: resize, crop or pad, normalise.

    Tested against open_clip's `image_transform` and against the CLIPSeg processor on the same images.
    """

    size: Tuple[int, int]
    """Height and width the model takes, in pixels."""
    mean: Triple
    """Subtracted from each channel of an image in [0, 1]."""
    std: Triple
    """Each channel is divided by this."""
    interpolation: str = "bicubic"
    """"bicubic" or "bilinear"."""
    resize_mode: str = "shortest"
    """"shortest": fit the shorter side and crop; "longest": fit the longer side and pad; "squash": stretch."""
    fill: float = 0.0
    """Value of the margin of "longest", in [0, 1]."""

    def __post_init__(self) -> None:
        if self.interpolation not in ("bicubic", "bilinear"):
            raise BlendingNerfError(f"interpolation {self.interpolation!r} is not known; use 'bicubic' or 'bilinear'")
        if self.resize_mode not in ("shortest", "longest", "squash"):
            raise BlendingNerfError(
                f"resize mode {self.resize_mode!r} is not known; use 'shortest', 'longest' or 'squash'"
            )

    def scaled_size(self, height: int, width: int) -> Tuple[int, int]:
        """Height and width that an image is resized to, before cropping or padding."""
        if self.resize_mode == "squash":
            return self.size
        ratios = (height / self.size[0], width / self.size[1])
        if self.resize_mode == "longest":
            return round(height / max(ratios)), round(width / max(ratios))
        if self.size[0] != self.size[1]:
            return round(height / min(ratios)), round(width / min(ratios))
        # torchvision's rule for a square target, which rounds the longer side down
        short, side = min(height, width), self.size[0]
        return (side, int(side * width / short)) if height <= width else (int(side * height / short), side)

    def __call__(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 height width"]:
        """The model's input for images in [0, 1]; differentiable.

        Raises:
            BlendingNerfError: the tensor is not a batch of RGB images.
        """
        if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise BlendingNerfError(
                f"expected float images of shape [B, 3, H, W], got {tuple(images.shape)} of {images.dtype}"
            )
        height, width = images.shape[-2:]
        images = resize(images, self.scaled_size(height, width), self.interpolation)
        if self.resize_mode != "squash":
            images = _center_crop_or_pad(images, self.size, self.fill)
        return (images - _channels(self.mean, images.dtype, images.device)) / _channels(
            self.std, images.dtype, images.device
        )


@lru_cache(maxsize=32)  # a copy to a GPU for each batch would wait for it
def _channels(values: Triple, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "3 1 1"]:
    return torch.tensor(values, dtype=dtype, device=device)[:, None, None]


def _triple(value: Any) -> Triple:
    numbers = tuple(float(x) for x in value) if isinstance(value, (list, tuple)) else (float(value),) * 3
    return numbers[0], numbers[1], numbers[2]


def transform_of_open_clip(model: Any) -> ImageTransform:
    """The transform that an open_clip model carries with it: size, mean, std, interpolation and mode of its weights."""
    import open_clip

    settings = open_clip.get_model_preprocess_cfg(model)
    size = settings["size"]
    interpolation = settings.get("interpolation", "bicubic")
    return ImageTransform(
        size=(size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
        mean=_triple(settings["mean"]),
        std=_triple(settings["std"]),
        interpolation="bilinear" if interpolation == "bilinear" else "bicubic",  # open_clip reads "random" as bicubic
        resize_mode=settings.get("resize_mode", "shortest"),
        fill=settings.get("fill_color", 0) / 255.0,
    )


def transform_of_processor(processor: Any) -> ImageTransform:
    """The transform of a transformers image processor, without its crop: a mask must cover the whole image.

    A processor that would scale the shorter side and crop is taken as stretching to that square instead.

    Raises:
        BlendingNerfError: the processor's size or filter is of a kind that is not understood.
    """
    size: Mapping[str, int] = processor.size
    if "height" in size and "width" in size:
        shape = (int(size["height"]), int(size["width"]))
    elif "shortest_edge" in size:
        shape = (int(size["shortest_edge"]), int(size["shortest_edge"]))
    else:
        raise BlendingNerfError(f"the image processor's size {size} has neither height and width nor shortest_edge")
    filters = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
    if int(processor.resample) not in filters:
        raise BlendingNerfError(f"the image processor resizes with Pillow's filter {processor.resample}; use 2 or 3")
    return ImageTransform(
        size=shape,
        mean=_triple(processor.image_mean),
        std=_triple(processor.image_std),
        interpolation=filters[int(processor.resample)],
        resize_mode="squash",
    )
