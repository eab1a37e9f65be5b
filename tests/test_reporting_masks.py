"""Masks of a report: which are understood, how each kind is read, and the room that an edit gets beside them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import ring

from blending_nerf_ns.demo.capture import demo_capture_scene, object_folder
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.masks import find_masks, read_mask
from blending_nerf_ns.reporting.build import bench_of, read_masks
from blending_nerf_ns.reporting.subject import (
    alpha_masks,
    check_not_empty,
    full_size,
    image_masks,
    parse_masks,
    polygon_masks,
    read_polygons,
    two_sided,
)
from blending_nerf_ns.reporting.views import Views, photo_views


def photo_view(path: Path, size: int = 16) -> Views:
    return photo_views("test", ring(1, size), [path], 1, 64)


@pytest.mark.parametrize(
    ("words", "views", "message"),
    [
        (("painted",), "test", "--masks painted is not understood"),
        (("polygons",), "test", "polygons FILE.json"),
        (("demo", "file.json"), "test", "not understood"),
        ((), "test", "not understood"),
        (("alpha",), "novel", "novel views have none: add --views test"),
        (("polygons", "file.json"), "novel", "novel views have none"),
    ],
)
def test_masks_that_are_not_understood(words: tuple[str, ...], views: str, message: str) -> None:
    with pytest.raises(BlendingNerfError, match=message):
        parse_masks(words, views)


def test_alpha_masks(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, 16:, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    (mask,) = alpha_masks(photo_view(tmp_path / "half.png"))
    assert mask.shape == (16, 16) and not mask[:, :8].any() and mask[:, 8:].all()

    Image.fromarray(pixels[..., :3]).save(tmp_path / "opaque.png")
    with pytest.raises(BlendingNerfError, match="no alpha channel"):
        alpha_masks(photo_view(tmp_path / "opaque.png"))
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "full.png")
    with pytest.raises(BlendingNerfError, match="255 everywhere"):
        alpha_masks(photo_view(tmp_path / "full.png"))
    pixels[..., 3] = 0
    Image.fromarray(pixels).save(tmp_path / "empty.png")
    assert not alpha_masks(photo_view(tmp_path / "empty.png")).any(), "the subject is in the other photos"
    pixels[:, 16:, 3] = 0
    Image.fromarray(pixels[:20]).save(tmp_path / "flat.png")
    with pytest.raises(BlendingNerfError, match="32 x 20, the pictures 16 x 16: not the same proportions"):
        alpha_masks(photo_view(tmp_path / "flat.png"))


def test_polygons_are_drawn_in_pixels_of_the_full_photo(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    view, drawn = photo_view(tmp_path / "photo.png"), tmp_path / "drawn.json"
    drawn.write_text(json.dumps({"photo.png": [[0, 0], [32, 0], [32, 64], [0, 64]]}))
    (mask,) = polygon_masks(view, read_polygons(drawn), tmp_path)
    assert mask[:, :8].all() and not mask[:, 9:].any()
    parts = [[[0, 0], [15, 0], [15, 15], [0, 15]], [[48, 48], [63, 48], [63, 63], [48, 63]]]
    drawn.write_text(json.dumps({"photo": parts}))
    (mask,) = polygon_masks(view, read_polygons(drawn), tmp_path)
    assert mask[:4, :4].all() and mask[12:, 12:].all() and int(mask.sum()) == 32

    # nerfstudio takes large photos from a folder of smaller copies: outlines are those of the photos all the same
    for camera in ("", "cam1"):  # and of a folder for each camera, as COLMAP may have it
        for folder, size in (("images", 64), ("images_4", 16)):
            (tmp_path / folder / camera).mkdir(exist_ok=True, parents=True)
            Image.new("RGB", (size, size)).save(tmp_path / folder / camera / "photo.png")
        (again,) = polygon_masks(
            photo_view(tmp_path / "images_4" / camera / "photo.png"), read_polygons(drawn), tmp_path
        )
        assert torch.equal(again, mask)

    with pytest.raises(BlendingNerfError, match=r"corner at \(90, 0\), outside its photo of 64 x 64"):
        polygon_masks(view, {"photo.png": [[(0.0, 0.0), (90.0, 0.0), (3.0, 3.0)]]}, tmp_path)
    with pytest.raises(BlendingNerfError, match="photo has no polygon"):
        polygon_masks(view, {"another": [[(0.0, 0.0), (9.0, 0.0), (3.0, 3.0)]]}, tmp_path)


def test_a_capture_beside_another_is_no_smaller_copy_of_it(tmp_path: Path) -> None:
    for capture, size in (("fox", 64), ("fox_2", 32)):
        (tmp_path / capture / "images").mkdir(parents=True)
        Image.new("RGB", (size, size)).save(tmp_path / capture / "images" / "1.png")
    photo = tmp_path / "fox_2" / "images" / "1.png"
    for capture in (tmp_path / "fox_2", tmp_path / "fox_2" / "transforms.json"):
        assert full_size(photo, capture) == (32, 32)


def test_mask_images_are_named_as_for_a_region(tmp_path: Path) -> None:
    """Dots and accents included."""
    for name in ("frame.png", "frame.1.png", f"{unicodedata.normalize('NFD', 'blé')}.png"):
        pixels = np.zeros((16, 16), np.uint8)
        pixels[:, : 4 * len(name) % 16] = 255
        Image.fromarray(pixels).save(tmp_path / name)
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(tmp_path / f"{unicodedata.normalize('NFD', 'été')}.jpg.png")
    (mask,) = image_masks(photo_view(Path("photos") / f"{unicodedata.normalize('NFC', 'été')}.jpg"), tmp_path)
    assert int(mask.sum()) == 16, "COLMAP's way"
    for name in ("frame.jpg", "frame.1.jpg", f"{unicodedata.normalize('NFC', 'blé')}.jpg"):
        (mask,) = image_masks(photo_view(Path("photos") / name), tmp_path)
        photo = tmp_path / "photos" / name
        photo.parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16)).save(photo)
        assert torch.equal(mask, read_mask(find_masks(tmp_path, [photo])[0]) > 0.5)


@pytest.mark.parametrize(
    "content", ["[]", "{}", "no json", '{"a": [[1, 2], [3, 4]]}', '{"a": [[1], [2], [3]]}', '{"a": 3}']
)
def test_what_are_no_polygons(tmp_path: Path, content: str) -> None:
    (tmp_path / "drawn.json").write_text(content)
    with pytest.raises(BlendingNerfError, match="holds no polygons"):
        read_polygons(tmp_path / "drawn.json")
    with pytest.raises(BlendingNerfError, match="there is no polygon file"):
        read_polygons(tmp_path / "elsewhere.json")


def test_a_mask_gets_the_room_that_was_asked_for_and_close_ups_do_not(tmp_path: Path) -> None:
    view = photo_view(tmp_path / "photo.png")
    height, width = view.size
    white = np.zeros((height, width), dtype=np.uint8)
    white[height // 2, width // 2 : width // 2 + 2] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(white).save(tmp_path / "masks" / "photo.png")
    found: Any = SimpleNamespace(photos=lambda kind: (None, view.files))
    masks = read_masks("images", found, view, [], tmp_path / "masks", "above")
    assert masks is not None and int(masks.subject.sum()) == 2
    expected = torch.zeros(1, height, width, dtype=torch.bool)
    expected[0, height // 2 - 1 : height // 2 + 1, width // 2 : width // 2 + 2] = True
    assert torch.equal(masks.room, expected)
    assert read_masks("none", found, view, [], None, "above") is None


def test_masks_must_have_two_sides() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    with pytest.raises(BlendingNerfError, match="demo masks are empty: none of 32 pixels in 2 views"):
        check_not_empty(masks, "demo")
    with pytest.raises(BlendingNerfError, match="cover all 32 pixels"):
        check_not_empty(~masks, "alpha")
    masks[0, 0, 0] = True
    assert check_not_empty(masks, "demo") is masks
    assert two_sided(masks, 1) and not two_sided(masks[:1], 3) and not two_sided(masks[1:], 0)


def test_image_masks_are_found_by_the_photos_names(tmp_path: Path) -> None:
    views = photo_views("test", ring(2), [Path(f"images/photo_{i}.png") for i in range(2)], 2, 64)
    for i in range(2):
        picture = np.zeros((12, 12), np.uint8)
        picture[: 3 + i] = 255
        Image.fromarray(picture).save(tmp_path / f"photo_{i}.png")
    masks = image_masks(views, tmp_path)
    rows = {name: int(mask.any(dim=1).sum()) for name, mask in zip(views.names, masks, strict=True)}
    assert rows == {"photo_0": 3, "photo_1": 4}
    assert parse_masks(["images", "FOLDER"], "test") == ("images", Path("FOLDER"))
    (tmp_path / "photo_0.json").write_text("{}")  # as labelme leaves them
    assert torch.equal(image_masks(views, tmp_path), masks)
    with pytest.raises(BlendingNerfError, match=r"0 images in .* are called photo_"):
        image_masks(views, tmp_path / "elsewhere")
    with pytest.raises(BlendingNerfError, match=r"could belong to images/photo_\d.png or to other/photo_\d.png"):
        image_masks(views, tmp_path, [*(views.files or []), Path("other/photo_0.png"), Path("other/photo_1.png")])
    one_name = photo_views("test", ring(2), [Path(f"cam{i}/photo_0.png") for i in range(2)], 2, 64)
    with pytest.raises(BlendingNerfError, match=r"a mask photo_0 could belong to .*cam.* or to .*cam"):
        image_masks(one_name, tmp_path)


def test_what_is_no_mask_is_refused_by_an_evaluation_as_by_a_region(tmp_path: Path) -> None:
    views = photo_views("test", ring(1), [Path("images/photo_0.png")], 1, 64)
    picture = np.linspace(0, 255, 144).reshape(12, 12)
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "photo_0.png")
    with pytest.raises(BlendingNerfError, match="is neither black nor white"):
        image_masks(views, tmp_path)
    Image.fromarray((picture > 100).astype(np.uint8)).save(tmp_path / "photo_0.png")
    with pytest.raises(BlendingNerfError, match="is 1 of 255; white is 255"):
        image_masks(views, tmp_path)


def test_a_cut_out_is_the_same_mask_to_an_evaluation_as_to_a_region(tmp_path: Path) -> None:
    """A dark object that is opaque, its surroundings white and transparent."""
    views = photo_views("test", ring(1), [Path("images/photo_0.png")], 1, 64)
    picture = np.zeros((*views.size, 4), np.uint8)
    picture[..., :3] = 255
    picture[2:8, 1:7] = (40, 20, 10, 255)
    Image.fromarray(picture).save(tmp_path / "photo_0.png")
    (mask,) = image_masks(views, tmp_path)
    there = read_mask(tmp_path / "photo_0.png") > 0.5
    assert torch.equal(mask, there) and int(mask.sum()) == 36


def test_a_layer_that_no_view_shows_has_no_mask_and_says_why(tmp_path: Path) -> None:
    scene = demo_capture_scene()
    for thing in scene.things:
        object_folder(tmp_path, thing).mkdir(parents=True)
    run = SimpleNamespace(capture=tmp_path, placement=(torch.eye(4)[:3], 1.0))
    views = Views("novel", ["a", "b"], ring(24, 16)[torch.tensor([1, 2])], None)
    made: dict[str, Any] = {}
    for name in ("a red ball", "a red cube"):
        bench: Any = SimpleNamespace(run=run, views=views, of=lambda *told, name=name: made.update({name: told}))
        bench_of(bench, name, "demo", "none")
    (mask,), (nothing, why) = made["a red ball"], made["a red cube"]
    assert mask.subject.any() and nothing is None
    assert "a red cube: the demo masks are empty" in why
