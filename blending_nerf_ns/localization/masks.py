"""Mask images as 2D evidence: white is the object, black is not."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from blending_nerf_ns.errors import BlendingNerfError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
GRAY = 0.25
"""Share of pixels that may be neither nearly black nor nearly white: soft edges are, photographs are more."""


def read_masks(folder: Path, images: Sequence[Path]) -> Dict[int, Float[Tensor, "height width"]]:
    """The masks of some or all training images.

    Args:
        folder: with one image per training image that has a mask, named as it (any of .png .jpg .jpeg .bmp .webp).
        images: the training images.

    Returns:
        Masks in [0, 1] by the index of their training image.

    Raises:
        BlendingNerfError: no such folder, no image in it, a mask that belongs to no training image, has another size
            than it, or is a photograph rather than black and white.
    """
    if not folder.is_dir():
        raise BlendingNerfError(
            f"there is no mask folder {folder.absolute()}; name the folder that holds the mask images"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise BlendingNerfError(f"{folder.absolute()} holds no mask image ({', '.join(SUFFIXES)})")
    number = {path.stem: index for index, path in enumerate(images)}
    masks: Dict[int, Tensor] = {}
    strangers = [path.name for path in files if path.stem not in number]
    files = [path for path in files if path.stem in number]
    if not files:
        raise BlendingNerfError(
            f"none of the {len(strangers)} masks in {folder} ({', '.join(strangers[:3])}, ...) is named as a training "
            f"image ({', '.join(path.name for path in images[:3])}, ...)"
        )
    for path in files:
        index = number[path.stem]
        with Image.open(path) as picture:
            mask = np.asarray(picture.convert("L"), dtype=np.float32) / 255
        with Image.open(images[index]) as photo:
            wanted = (photo.height, photo.width)
        if mask.shape != wanted:
            raise BlendingNerfError(
                f"the mask {path} is {mask.shape[1]} x {mask.shape[0]}, but its image {images[index].name} is "
                f"{wanted[1]} x {wanted[0]}; make them the same size"
            )
        gray = float(((mask > 0.1) & (mask < 0.9)).mean())
        if gray > GRAY:
            raise BlendingNerfError(
                f"{100 * gray:.0f} % of the mask {path} is neither black nor white; paint the object white, all else black"
            )
        masks[index] = torch.from_numpy(mask)
    return masks


def resize_mask(mask: Float[Tensor, "height width"], size: Sequence[int]) -> Float[Tensor, "h w"]:
    """A mask at a smaller or larger (height, width), by area."""
    mode = "area" if mask.shape[0] >= size[0] else "bilinear"
    return F.interpolate(mask[None, None], size=tuple(size), mode=mode)[0, 0].clamp(0.0, 1.0)
