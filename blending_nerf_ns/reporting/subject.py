"""Where the subject is, told by something else than the edit's own region: drawn scene, alpha channel, polygons by hand."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from PIL import Image, ImageDraw
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.masks import grow
from blending_nerf_ns.localization.masks import SUFFIXES, mask_channel, name_of, read_mask
from blending_nerf_ns.reporting.views import Views, called, find_view

KINDS = ("none", "demo", "alpha", "polygons", "images")
WITH_PATH = {"polygons": "FILE.json", "images": "FOLDER"}
SAME_SHAPE = 0.02
"""Sides of a picture and of its mask may differ in their proportion by this share: sizes are rounded to pixels."""


class Masks(NamedTuple):
    """Where an edit belongs."""

    subject: Bool[Tensor, "views height width"]
    """The subject's pixels: close-ups are of these."""
    room: Bool[Tensor, "views height width"]
    """The same with the room that the edit was asked to use: what changes there has not leaked."""


Polygon = List[Tuple[float, float]]


def parse_masks(words: Sequence[str], views: str) -> Tuple[str, Path | None]:
    """What `--masks` says: a kind, and a file for polygons.

    Args:
        words: as they stand on the command line: a kind, and a file or folder where it wants one.
        views: "novel", "test" or "train".

    Raises:
        BlendingNerfError: another kind, a file too many or too few, or a kind that these views do not have.
    """
    kind, rest = (words[0] if words else ""), list(words[1:])
    if kind not in KINDS or len(rest) != (kind in WITH_PATH):
        raise BlendingNerfError(
            f"--masks {' '.join(words)} is not understood: write one of none, demo, alpha, polygons FILE.json, or images FOLDER"
        )
    if kind in ("alpha", "polygons", "images") and views == "novel":
        raise BlendingNerfError(f"--masks {kind} are masks of photos, and novel views have none: add --views test")
    return kind, Path(rest[0]) if rest else None


def demo_masks(
    views: Views, capture: Path, subjects: Sequence[str], transform: Float[Tensor, "3 4"], scale: float
) -> Bool[Tensor, "views height width"]:
    """Ground truth of the demo's scene, drawn from any view.

    Args:
        views: in the run's coordinates.
        capture: the demo's capture.
        subjects: texts that name the objects, "a red ball"; all of them together are the mask.
        transform, scale: from the capture's coordinates to the run's (dataparser_transforms.json).

    Raises:
        BlendingNerfError: another capture, or a text that names none of its objects.
    """
    from blending_nerf_ns.demo.capture import demo_capture_scene, find_subject, object_folder
    from blending_nerf_ns.procedural.render import render

    scene = demo_capture_scene()
    things = [find_subject(scene, text) for text in subjects]
    for thing in things:
        if not object_folder(capture, scene.things[thing]).is_dir():
            raise BlendingNerfError(
                f"{capture} is not the demo's capture (no {object_folder(capture, scene.things[thing])}); "
                "for photos use --masks alpha or --masks polygons FILE.json"
            )
    height, width = views.size
    masks = []
    for i in range(len(views.cameras)):
        camera = views.cameras[i]
        fx, fy, cx, cy = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
        pose = _to_capture(camera.camera_to_worlds.cpu().numpy(), transform.cpu().numpy(), scale)
        _, seen = render(scene, pose, fx, fy, cx, cy, width, height, supersampling=1)
        masks.append(np.isin(seen, things))
    return torch.from_numpy(np.stack(masks))


def alpha_masks(views: Views) -> Bool[Tensor, "views height width"]:
    """The photos' alpha channels, where they are more than half.

    Raises:
        BlendingNerfError: a photo without alpha, or with none of it transparent; or one of another shape than its camera.
    """
    masks = []
    for file in views.files or ():
        with Image.open(file) as photo:
            if "A" not in photo.getbands():
                raise BlendingNerfError(
                    f"{file} has no alpha channel (it is {photo.mode}); --masks alpha wants RGBA photos"
                )
            alpha = photo.getchannel("A")
        low, high = alpha.getextrema()
        if low == high and high:  # where it is 0 everywhere, the subject is not in this photo
            raise BlendingNerfError(f"the alpha channel of {file} is {low} everywhere: it tells nothing of a subject")
        masks.append(_fit(alpha, views.size, f"the alpha channel of {file}"))
    return torch.from_numpy(np.stack(masks))


def image_masks(views: Views, folder: Path, photos: Sequence[Path] | None = None) -> Bool[Tensor, "views height width"]:
    """Pictures that are white where the subject is (or opaque, as `mask_channel` reads them), named as the photos, with their ending or
    without.

    Args:
        views: of photos.
        folder: of the pictures; other files in it do not matter.
        photos: all that the views were chosen from; themselves if not given.

    Raises:
        BlendingNerfError: a view has none, or one of another shape, or a photograph, or numbers instead of white, or two photos have
            one name.
    """
    masks, files = [], views.files or []
    for file in files:
        owners = [photo for photo in photos or files if name_of(photo) == name_of(file)]
        if len(owners) > 1:
            raise BlendingNerfError(
                f"a mask {file.stem} could belong to {owners[0]} or to {owners[1]}: give the photos different names"
            )
        names = name_of(file), unicodedata.normalize("NFC", file.name)  # COLMAP's frame.jpg.png is of frame.jpg
        named = [path for path in sorted(folder.glob("*")) if name_of(path) in names]
        found = [path for path in named if path.suffix.lower() in SUFFIXES]
        if len(found) != 1:
            raise BlendingNerfError(f"{len(found)} images in {folder} are called {file.stem}; --masks images wants one")
        read_mask(found[0])  # refuses what is no mask
        with Image.open(found[0]) as picture:
            masks.append(_fit(mask_channel(picture), views.size, str(found[0])))
    return torch.from_numpy(np.stack(masks))


def read_polygons(path: Path) -> Dict[str, List[Polygon]]:
    """Hand-drawn outlines by the name of their photo.

    Args:
        path: JSON: {image name: [[x, y], ...]} in pixels of the full-size photo, or several such lists for several parts.

    Raises:
        BlendingNerfError: no such file, or not of this form.
    """
    if not path.is_file():
        raise BlendingNerfError(f"there is no polygon file {path}")
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, Mapping) or not content:
            raise ValueError("it is not an object with image names")
        return {str(name): [_polygon(part) for part in _parts(outline)] for name, outline in content.items()}
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise BlendingNerfError(
            f"{path} holds no polygons: {error}; wanted {{image name: [[x, y], [x, y], [x, y], ...]}} in pixels"
        ) from error


def polygon_masks(
    views: Views, polygons: Mapping[str, List[Polygon]], capture: Path
) -> Bool[Tensor, "views height width"]:
    """Masks of views that all have polygons.

    Args:
        views: of photos.
        polygons: by the photos' names.
        capture: whose photos they are.

    Raises:
        BlendingNerfError: a polygon that reaches out of its photo: it was drawn on a photo of another size.
    """
    files = views.files or []
    by_view = {find_view(name, files, views.kind): parts for name, parts in polygons.items() if called(name, files)}
    masks = []
    for i, file in enumerate(files):
        if i not in by_view:
            raise BlendingNerfError(f"the view {file.stem} has no polygon; there are polygons of {', '.join(polygons)}")
        masks.append(
            _fit(_draw(by_view[i], full_size(file, capture), file.name), views.size, f"the polygon of {file.name}")
        )
    return torch.from_numpy(np.stack(masks))


def full_size(file: Path, capture: Path) -> tuple[int, int]:
    """Width and height of a capture's photo; of a smaller copy (nerfstudio takes large photos from `images_4/`) those of the photo
    itself, where that is there too (`images/`)."""
    photo, file, whose = file, file.absolute(), capture.absolute()
    for folder in file.parents:  # a folder for each camera may lie between
        if folder == whose or folder in whose.parents:  # what is called _2 from here on is another capture
            break
        copied = re.fullmatch(r"(.+)_\d+", folder.name)
        if copied and (whole := folder.with_name(copied[1]) / file.relative_to(folder)).is_file():
            photo = whole
            break
    with Image.open(photo) as picture:
        return picture.size


def check_not_empty(masks: Bool[Tensor, "views height width"], kind: str) -> Bool[Tensor, "views height width"]:
    """The masks, if there is something in them and something outside.

    Raises:
        BlendingNerfError: no pixel, or every pixel, is inside.
    """
    if not masks.any():
        raise BlendingNerfError(
            f"the {kind} masks are empty: none of {masks.numel()} pixels in {len(masks)} views is the subject's; "
            "choose views that see it, or a larger --image-size"
        )
    if masks.all():
        raise BlendingNerfError(f"the {kind} masks cover all {masks.numel()} pixels in {len(masks)} views: no outside")
    return masks


def two_sided(masks: Bool[Tensor, "views height width"], dilation: int) -> bool:
    """Whether there is something inside and something outside of grown masks."""
    return bool(masks.any()) and not bool(grow(masks, dilation).all())


def _to_capture(pose: ndarray, transform: ndarray, scale: float) -> ndarray:
    """A camera pose of the run back in the capture's own coordinates."""
    whole, back = np.eye(4), np.eye(4)
    whole[:3], back[:3] = pose, transform
    whole[:3, 3] /= scale
    return np.linalg.inv(back) @ whole


def _fit(mask: Image.Image, size: tuple[int, int], what: str) -> Bool[ndarray, "height width"]:
    """A mask (white is inside) at the views' size."""
    height, width = size
    if abs(mask.width / mask.height * height / width - 1) > max(SAME_SHAPE, 1.5 / min(height, width)):
        raise BlendingNerfError(
            f"{what} is {mask.width} x {mask.height}, the pictures {width} x {height}: not the same proportions"
        )
    return np.asarray(mask.resize((width, height), Image.Resampling.BOX)) > 127


def _draw(parts: Sequence[Polygon], size: tuple[int, int], name: str) -> Image.Image:
    mask = Image.new("L", size, 0)
    for polygon in parts:
        for x, y in polygon:
            if not (0 <= x <= size[0] and 0 <= y <= size[1]):
                raise BlendingNerfError(
                    f"the polygon of {name} has a corner at ({x:g}, {y:g}), outside its photo of {size[0]} x {size[1]} "
                    "pixels: corners are in pixels of the full-size photo"
                )
        ImageDraw.Draw(mask).polygon(polygon, fill=255)
    return mask


def _parts(outline: Any) -> Sequence[Any]:
    return outline if isinstance(outline[0][0], list) else [outline]


def _polygon(corners: Any) -> Polygon:
    polygon = [(float(x), float(y)) for x, y in corners]
    if len(polygon) < 3:
        raise ValueError(f"a polygon has {len(polygon)} corners, wanted 3 or more")
    return polygon
