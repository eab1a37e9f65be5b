"""What the guide is shown of a rendered view: square crops at several scales, on random backgrounds.

A guide that sees whole views only is content once part of the object looks right. Crops of every scale, laid so that
each part of the region is looked at, make every part answer for itself (ours).
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple, Union

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.preprocess import resize

SCALES: Tuple[float, ...] = (1.15, 0.75, 0.5)
"""Sides of crops, as shares of the region's larger extent in the picture; crops take turns."""
READ_AGAIN = 0.15
"""How much less a pixel that a crop has shown attracts the next one."""
BACKGROUNDS: Tuple[str, ...] = ("color", "noise", "checker", "clouds")
"""Kinds of random background."""


def _uniform(shape: Sequence[int], generator: Optional[Generator], device: Union[str, torch.device]) -> Tensor:
    """Uniform numbers in [0, 1); drawn where the generator lives, so that a seed gives the same on every device."""
    source = generator.device if generator is not None else "cpu"
    return torch.rand(tuple(shape), generator=generator, device=source).to(device, non_blocking=True)


def _extent(mask: Tensor) -> float:
    """Larger side of the bounding box of the pixels where a [H, W] mask is true, in pixels."""
    sides = []
    for dim in (0, 1):
        hit = mask.any(1 - dim).nonzero()
        sides.append(float(hit.max() - hit.min() + 1))
    return max(sides)


def sample_boxes(
    coverage: Float[Tensor, "H W"],
    count: int,
    generator: Optional[Generator] = None,
    scales: Sequence[float] = SCALES,
    smallest: int = 16,
) -> Int[Tensor, "N 3"]:
    """Random square crops that land on a region and, together, read all of it.

    Each crop is laid around a pixel that is drawn with the coverage as weight; the pixels it shows then weigh less, so
    the next crop goes to what has not been read. The pixel's place inside its crop is random.

    Args:
        coverage: the region's silhouette in the picture, >= 0 (Σ w°·m); all 0 if the region is not in view.
        count: number of crops.
        generator: source of randomness.
        scales: sides of the crops, as shares of the larger extent of the region's silhouette; crop i takes entry
            i modulo their number, 10 % longer or shorter.
        smallest: shortest side of a crop in pixels, as far as the picture allows.

    Returns:
        Top, left and side in pixels, on the CPU; every crop lies inside the picture.

    Raises:
        BlendingNerfError: the coverage is not a [H, W] map of finite, non-negative numbers, or there is no scale.
    """
    if coverage.dim() != 2 or not bool(torch.isfinite(coverage).all()) or bool((coverage < 0).any()):
        values = f"from {float(coverage.min()):.3g} to {float(coverage.max()):.3g}" if coverage.numel() else "none"
        raise BlendingNerfError(
            f"coverage must be a [H, W] map of finite numbers >= 0; got shape {tuple(coverage.shape)}, values {values}"
        )
    if not scales or min(scales) <= 0:
        raise BlendingNerfError(f"crop scales must be positive shares of the region's extent, got {tuple(scales)}")
    weight = coverage.detach().float().cpu().clone()
    height, width = weight.shape
    largest = min(height, width)
    if float(weight.max()) <= 0:
        weight = torch.ones_like(weight)
    weight[weight < 0.05 * weight.max()] = 0.0  # the faint rim of a soft region is not worth a crop of its own
    extent = _extent(weight > 0)
    boxes: List[List[int]] = []
    for index in range(count):
        jitter, down, right, pick = _uniform((4,), generator, "cpu").tolist()
        side = round(extent * scales[index % len(scales)] * (0.9 + 0.2 * jitter))
        side = max(min(side, largest), min(smallest, largest))
        cumulative = weight.flatten().double().cumsum(0)
        pixel = int(torch.searchsorted(cumulative, pick * cumulative[-1], right=True).clamp(max=height * width - 1))
        row, column = divmod(pixel, width)
        # keep the pixel away from the crop's border, where the guide looks least
        top = row - round(side * (0.25 + 0.5 * down))
        left = column - round(side * (0.25 + 0.5 * right))
        top, left = max(0, min(top, height - side)), max(0, min(left, width - side))
        boxes.append([top, left, side])
        weight[top : top + side, left : left + side] *= READ_AGAIN
    return torch.tensor(boxes, dtype=torch.long).reshape(count, 3)


def crop(image: Float[Tensor, "C H W"], boxes: Int[Tensor, "N 3"], size: int) -> Float[Tensor, "N C size size"]:
    """The same crops of any picture of a view: original, edited, accumulation; differentiable.

    Args:
        image: values in [0, 1].
        boxes: top, left and side in pixels, from `sample_boxes`.
        size: side of the results in pixels, the guide's `image_size`.

    Raises:
        BlendingNerfError: a box reaches outside the picture.
    """
    height, width = image.shape[-2:]
    pieces = []
    for top, left, side in boxes.tolist():
        if side < 1 or top < 0 or left < 0 or top + side > height or left + side > width:
            raise BlendingNerfError(f"the crop at ({top}, {left}) of side {side} is not inside {height}x{width} pixels")
        piece = image[None, :, top : top + side, left : left + side]
        pieces.append(resize(piece, (size, size)))
    return torch.cat(pieces) if pieces else image.new_zeros(0, image.shape[0], size, size)


def random_backgrounds(
    count: int,
    size: Tuple[int, int],
    generator: Optional[Generator] = None,
    device: Union[str, torch.device] = "cpu",
    kinds: Sequence[str] = BACKGROUNDS,
) -> Float[Tensor, "N 3 H W"]:
    """Random pictures to put behind an edit, so that no edit relies on one background.

    Args:
        count: how many.
        size: (height, width) in pixels.
        generator: source of randomness.
        device: where to put them.
        kinds: what to choose from: "color" (one colour), "noise" (fine), "checker" (two colours), "clouds" (soft).

    Returns:
        Values in [0, 1].

    Raises:
        BlendingNerfError: no kind is given, or one is not known.
    """
    unknown = [kind for kind in kinds if kind not in BACKGROUNDS]
    if unknown or not kinds:
        raise BlendingNerfError(f"background kinds {tuple(kinds)} must be chosen from {', '.join(BACKGROUNDS)}")
    choices = (_uniform((count,), generator, "cpu") * len(kinds)).long().tolist()
    pictures = [_background(kinds[int(choice)], size, generator, device) for choice in choices]
    return torch.stack(pictures) if pictures else torch.zeros(0, 3, *size, device=device)


def _background(
    kind: str, size: Tuple[int, int], generator: Optional[Generator], device: Union[str, torch.device]
) -> Float[Tensor, "3 H W"]:
    first, second = _uniform((2, 3, 1, 1), generator, device)
    if kind == "color":
        return first.expand(3, *size)
    if kind == "noise":
        strength = _uniform((1,), generator, device)
        return (first + strength * (_uniform((3, *size), generator, device) - 0.5)).clamp(0.0, 1.0)
    if kind == "checker":
        cells, down, right = _uniform((3,), generator, "cpu").tolist()
        side = max(1.0, max(size) / (2 + 8 * cells))
        rows = ((torch.arange(size[0], device=device) / side + down * 2).long()) % 2
        columns = ((torch.arange(size[1], device=device) / side + right * 2).long()) % 2
        return torch.where((rows[:, None] == columns[None, :])[None], first, second)
    coarse = _uniform((1, 3, 6, 6), generator, device)
    return functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)[0].clamp(0.0, 1.0)


def composite(
    rgb: Float[Tensor, "B 3 H W"], accumulation: Float[Tensor, "B 1 H W"], background: Float[Tensor, "B 3 H W"]
) -> Float[Tensor, "B 3 H W"]:
    """A picture rendered over black, put over a background; differentiable.

    Args:
        rgb: colour over black, that is, already weighted by its accumulation (Iᵉ as the renderer gives it).
        accumulation: opacity of each pixel in [0, 1].
        background: values in [0, 1].
    """
    return rgb + (1.0 - accumulation) * background


def as_image(picture: Float[Tensor, "height width channels"]) -> Float[Tensor, "channels height width"]:
    """A picture with its channels first, as networks want it."""
    return picture.permute(2, 0, 1)
