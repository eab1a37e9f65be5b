"""Mask images as 2D evidence: white is the object, black is not."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

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


def mask_files(folder: Path) -> List[Path]:
    """The images in a folder of masks; raises BlendingNerfError where there is no such folder or no image in it."""
    if not folder.is_dir():
        raise BlendingNerfError(f"there is no mask folder {folder.absolute()}; name the folder of the mask images")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise BlendingNerfError(f"{folder.absolute()} holds no mask image ({', '.join(SUFFIXES)})")
    return files


def find_masks(folder: Path, images: Sequence[Path]) -> Dict[int, Path]:
    """Which training images have a mask. Only names and sizes are read.

    Args:
        folder: with one image per training image that has a mask, named as it (any of .png .jpg .jpeg .bmp .webp).
        images: the training images. Other files in the folder do not matter, as long as one belongs to an image.

    Returns:
        Files by the index of their training image.

    Raises:
        BlendingNerfError: no such folder, no image in it, none that is named as a training image or one that fits two of
            them, two for one of them, or a mask of other proportions than its image: that may be a smaller copy of the photo.
    """
    files = mask_files(folder)
    owners: Dict[str, List[int]] = {}
    for index, path in enumerate(images):
        owners.setdefault(name_of(path), []).append(index)
    masks: Dict[int, Path] = {}
    for path in files:
        fits = owners.get(name_of(path), [])
        if len(fits) > 1:
            raise BlendingNerfError(
                f"the mask {path} could belong to {images[fits[0]]} or to {images[fits[1]]}: give the images different names"
            )
        for index in fits:
            if index in masks:
                raise BlendingNerfError(
                    f"{masks[index]} and {path.name} are both masks of {images[index].name}: leave one of them there"
                )
            masks[index] = path
    if not masks:
        raise BlendingNerfError(
            f"none of the {len(files)} masks in {folder} ({', '.join(path.name for path in files[:3])}, ...) is named as "
            f"a training image ({', '.join(path.name for path in images[:3])}, ...)"
        )
    for index, path in masks.items():
        size, wanted = _size(path), _size(images[index])
        if abs(size[0] * wanted[1] - size[1] * wanted[0]) > max(*size, *wanted):  # more than the rounding of a size
            raise BlendingNerfError(
                f"the mask {path} is {size[0]} x {size[1]}, but its image {images[index].name} is "
                f"{wanted[0]} x {wanted[1]}; give them the same proportions"
            )
    return masks


def name_of(path: Path) -> str:
    """A file's name without its ending; whether an accented letter is one sign or two depends on the system that named it."""
    return unicodedata.normalize("NFC", path.stem)


def _size(path: Path) -> Tuple[int, int]:
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError as error:
        raise BlendingNerfError(f"{path} is no image that can be read: {error}") from error


def read_mask(path: Path) -> Float[Tensor, "height width"]:
    """A mask in [0, 1]: its alpha channel where that varies, else its brightness.

    Raises:
        BlendingNerfError: a photograph rather than black and white, or nothing in it is white, as where labels are numbers or colours.
    """
    mask = np.asarray(_open_channel(path), dtype=np.float32) / 255
    gray = float(((mask > 0.1) & (mask < 0.9)).mean())
    if gray > GRAY:
        raise BlendingNerfError(
            f"{100 * gray:.0f} % of the mask {path} is neither black nor white; paint the object white, all else black"
        )
    if 0.0 < mask.max() < 0.9:
        raise BlendingNerfError(
            f"the brightest value of the mask {path} is {255 * mask.max():.0f} of 255; white is 255: paint the object white, all else "
            "black"
        )
    return torch.from_numpy(mask)


def marks_something(path: Path) -> bool:
    """Whether a mask is not black, or transparent, all over, as that of an object out of view is."""
    return bool(np.asarray(_open_channel(path)).any())


def _open_channel(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return mask_channel(picture)
    except OSError as error:
        raise BlendingNerfError(f"{path} is no image that can be read: {error}") from error


def mask_channel(picture: Image.Image) -> Image.Image:
    """What of a picture is the mask, in 8-bit gray: its alpha channel where that says something, else its brightness.

    A cut-out of an object that is out of view is transparent all over, whatever colour lies beneath.
    """
    if picture.mode.startswith("I"):  # gray of 16 bits, which Pillow would cut off at 255
        values = np.asarray(picture).astype(np.int64)
        top = int(values.max())
        if top > 255:  # some write 0 and 255 all the same
            two_valued = bool(((values == 0) | (values == top)).all())  # of 12 bits, say
            values = values * 255 // (top if two_valued else 65535)
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    alpha = picture.convert("RGBA").getchannel("A")
    low, high = alpha.getextrema()
    return picture.convert("L") if low == high != 0 else alpha


def resize_mask(mask: Float[Tensor, "height width"], size: Sequence[int]) -> Float[Tensor, "h w"]:
    """A mask at a smaller or larger (height, width), by area."""
    mode = "area" if mask.shape[0] >= size[0] else "bilinear"
    return F.interpolate(mask[None, None], size=tuple(size), mode=mode)[0, 0].clamp(0.0, 1.0)
