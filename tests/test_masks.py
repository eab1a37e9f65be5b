"""Mask images: which image each belongs to, and one clear error for each way in which a folder can be wrong."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.masks import find_masks, read_mask, resize_mask


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"frame_{number}.jpg" for number in range(3)]
    for path in paths:
        Image.new("RGB", (8, 6), (90, 120, 150)).save(path)
    (tmp_path / "masks").mkdir()
    return paths


def write_mask(folder: Path, name: str, size: tuple[int, int] = (8, 6), value: int | None = None) -> None:
    pixels = np.zeros(size[::-1], np.uint8) if value is None else np.full(size[::-1], value, np.uint8)
    if value is None:
        pixels[:, : size[0] // 2] = 255
    Image.fromarray(pixels).save(folder / name)


def test_some_of_the_images_by_name_whatever_the_ending(tmp_path: Path, images: list[Path]) -> None:
    write_mask(tmp_path / "masks", "frame_2.png")
    write_mask(tmp_path / "masks", "unrelated.png")
    masks = find_masks(tmp_path / "masks", images)
    assert list(masks) == [2]
    mask = read_mask(masks[2])
    assert mask.shape == (6, 8) and mask[:, :4].min() == 1.0 and mask[:, 4:].max() == 0.0


def test_accents_may_be_a_sign_of_their_own(tmp_path: Path, images: list[Path]) -> None:
    photo = tmp_path / "images" / f"{unicodedata.normalize('NFC', 'küche')}.png"
    write_mask(photo.parent, photo.name)
    write_mask(tmp_path / "masks", f"{unicodedata.normalize('NFD', 'küche')}.png")
    assert list(find_masks(tmp_path / "masks", [photo])) == [0]


def test_an_alpha_channel_that_varies_is_the_mask(tmp_path: Path) -> None:
    alpha = np.zeros((6, 8), np.uint8)
    alpha[2:4], alpha[1] = 255, 128  # a soft edge
    Image.fromarray(alpha).save(tmp_path / "gray.png")
    picture = Image.new("RGB", (8, 6), (255, 255, 255))
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "rgba.png")
    for name in ("gray", "rgba"):
        mask = read_mask(tmp_path / f"{name}.png")
        assert float(mask[1, 0]) == pytest.approx(128 / 255) and float(mask[0].max()) == 0.0, name


@pytest.mark.parametrize("beneath", ["white", "gray", "black"])
def test_a_cut_out_of_an_object_that_is_out_of_view_marks_nothing(beneath: str, tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 6), beneath)
    picture.putalpha(Image.new("L", (8, 6), 0))
    picture.save(tmp_path / "empty.png")
    assert float(read_mask(tmp_path / "empty.png").max()) == 0.0


def test_no_folder(tmp_path: Path, images: list[Path]) -> None:
    with pytest.raises(BlendingNerfError, match=r"there is no mask folder .*nowhere"):
        find_masks(tmp_path / "nowhere", images)


def test_an_empty_folder(tmp_path: Path, images: list[Path]) -> None:
    with pytest.raises(BlendingNerfError, match="holds no mask image"):
        find_masks(tmp_path / "masks", images)


def test_names_that_fit_no_image(tmp_path: Path, images: list[Path]) -> None:
    write_mask(tmp_path / "masks", "mask_0.png")
    with pytest.raises(BlendingNerfError, match=r"mask_0\.png.*frame_0\.jpg"):
        find_masks(tmp_path / "masks", images)


def test_other_proportions(tmp_path: Path, images: list[Path]) -> None:
    write_mask(tmp_path / "masks", "frame_1.png", (4, 6))
    with pytest.raises(BlendingNerfError, match=r"is 4 x 6, but its image frame_1\.jpg is 8 x 6"):
        find_masks(tmp_path / "masks", images)


def test_the_photo_may_be_a_smaller_copy_of_what_the_mask_was_drawn_on(tmp_path: Path, images: list[Path]) -> None:
    write_mask(tmp_path / "masks", "frame_1.png", (33, 24))  # of which a quarter is 8 x 6
    assert len(find_masks(tmp_path / "masks", images)) == 1


def test_a_photograph_is_no_mask(tmp_path: Path, images: list[Path]) -> None:
    write_mask(tmp_path / "masks", "frame_1.png", value=130)
    with pytest.raises(BlendingNerfError, match=r"100 % of the mask .* is neither black nor white"):
        read_mask(tmp_path / "masks" / "frame_1.png")


def test_zeros_and_ones_are_not_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.eye(6, dtype=np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(BlendingNerfError, match="is 1 of 255"):
        read_mask(tmp_path / "one.png")
    labels = Image.fromarray(np.eye(6, dtype=np.uint8), mode="P")
    labels.putpalette([0, 0, 0, 128, 0, 0])  # as data sets colour what they label
    labels.save(tmp_path / "label.png")
    with pytest.raises(BlendingNerfError, match="is 38 of 255; white is 255: paint the object white"):
        read_mask(tmp_path / "label.png")


def test_gray_of_16_bits_is_read_as_that_of_8(tmp_path: Path) -> None:
    def write(values: np.ndarray) -> Path:
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep.png")
        return tmp_path / "deep.png"

    half = np.tile([0.0, 0.0, 1.0, 1.0], (4, 1))
    for white in (65535, 255, 4095, 1000):  # not all are their range, and written all the same
        assert torch.equal(read_mask(write(white * half)), torch.from_numpy(half).float())
    on_gray = read_mask(write(np.where(half > 0, 65535, 1500)))
    assert 0.0 < float(on_gray.min()) < 0.03 and float(on_gray.max()) == 1.0
    with pytest.raises(BlendingNerfError, match="paint the object white"):
        read_mask(write(800 + 8200 * np.linspace(0, 1, 64).reshape(8, 8)))  # a depth in millimetres
    with pytest.raises(BlendingNerfError, match="paint the object white"):
        read_mask(write(7001 + 19000 * half))  # numbers of instances


def test_two_masks_of_one_image(tmp_path: Path, images: list[Path]) -> None:
    write_mask(tmp_path / "masks", "frame_1.png")
    write_mask(tmp_path / "masks", "frame_1.webp")
    with pytest.raises(BlendingNerfError, match=r"frame_1\.png and frame_1\.webp are both masks of frame_1\.jpg"):
        find_masks(tmp_path / "masks", images)


def test_a_broken_file_and_two_images_of_one_name(tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "masks" / "frame_1.png").write_bytes(b"no image")
    with pytest.raises(BlendingNerfError, match="is no image that can be read"):
        find_masks(tmp_path / "masks", images)
    with pytest.raises(BlendingNerfError, match="could belong to"):
        find_masks(tmp_path / "masks", [*images, tmp_path / "right" / "frame_1.jpg"])


def test_resizing_keeps_the_area() -> None:
    mask = torch.zeros(12, 16)
    mask[:, :5] = 1.0
    small = resize_mask(mask, (6, 8))
    assert small.shape == (6, 8) and float(small.mean()) == pytest.approx(5 / 16)
    assert resize_mask(mask, (24, 32)).shape == (24, 32)
