"""A procedural capture on disk: photos of the demo's scene in nerfstudio's format, and whose every pixel is.

    CAPTURE/transforms.json, CAPTURE/images/{train,test}_000.png    what nerfstudio reads
    CAPTURE/objects/OBJECT/{train,test}_000.png                      ground truth: 255 where the pixel's centre sees it

The ground-truth masks are in no list that nerfstudio reads: they only serve to measure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from PIL import Image
from tqdm import tqdm

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.procedural.render import look_at, render
from blending_nerf_ns.procedural.scene import Scene, Surface, Thing, demo_scene
from blending_nerf_ns.procedural.words import COLOUR_NAMES, PRIMITIVES, without_synonyms
from blending_nerf_ns.runs.atomic import replacing

CENTRE = (0.0, 0.0, 0.25)
"""What the cameras look at, in scene units: the middle of the four objects."""
GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))


@dataclass(frozen=True)
class CaptureShape:
    """How many photos, from where."""

    size: int = 96
    """Width and height of a photo in pixels."""
    train_views: int = 64
    """Photos that the base learns from."""
    held_out_views: int = 12
    """Photos that only measure."""
    distance: float = 4.0
    """Of the cameras from the middle of the scene, in scene units (the ball's radius is 0.45)."""
    field_of_view: float = 45.0
    """In degrees, vertical and horizontal alike."""
    smallest_share: float = 0.03
    """Of a held-out photo's pixels that the subject covers at least."""

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.size / 2 / math.tan(math.radians(self.field_of_view) / 2)


@dataclass(frozen=True)
class View:
    """One camera of the capture."""

    name: str
    """File name without its ending: "train_000"."""
    pose: Float[ndarray, "4 4"]
    """OpenGL camera to scene."""


def demo_capture_scene() -> Scene:
    """The demo's scene on a floor of faint tiles: a floor without any mark has no depth that photos could tell."""
    tiles = np.kron(np.indices((2, 2)).sum(0) % 2, np.ones((24, 24)))[..., None]
    texture = np.array([140.0, 134.0, 126.0]) + 14.0 * tiles
    return replace(demo_scene(), ground=Surface(texture.astype(np.uint8), repeats=0.5))


def object_name(thing: Thing) -> str:
    """What a caption calls an object: "red ball"."""
    return f"{thing.colour} {thing.shape}"


def find_subject(scene: Scene, text: str) -> int:
    """Which object of the scene a source text means.

    Args:
        scene: where to look.
        text: for example "a red ball"; synonyms count ("sphere"), one word that fits one object is enough.

    Returns:
        Index into `scene.things`.

    Raises:
        BlendingNerfError: the text fits none of the objects, or several.
    """
    words = set(without_synonyms(text))
    colours, shapes = words & set(COLOUR_NAMES), words & set(PRIMITIVES)
    fits = [
        i
        for i, thing in enumerate(scene.things)
        if (colours or shapes) and (not colours or thing.colour in colours) and (not shapes or thing.shape in shapes)
    ]
    if len(fits) == 1:
        return fits[0]
    held = ", ".join(f"a {object_name(thing)}" for thing in scene.things)
    problem = "fits none of" if not fits else "could mean several of"
    raise BlendingNerfError(f"{text!r} {problem} the demo scene's objects; name one of them: {held}")


def orbit_pose(azimuth: float, elevation: float, distance: float) -> Float[ndarray, "4 4"]:
    """Pose of a camera that looks at the scene's middle; angles in radians, elevation above the floor."""
    level = math.cos(elevation)
    towards = np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)])
    return look_at(np.asarray(CENTRE) + distance * towards, CENTRE)


def spiral(count: int, lowest: float, highest: float, start: float) -> Iterator[tuple[float, float]]:
    """Azimuth and elevation of `count` directions, spread evenly over a band of the upper hemisphere.

    Args:
        count: how many.
        lowest, highest: elevations in degrees.
        start: azimuth of the first, in radians.
    """
    low, high = math.sin(math.radians(lowest)), math.sin(math.radians(highest))
    for i in range(count):
        yield start + i * GOLDEN_ANGLE, math.asin(low + (high - low) * (i + 0.5) / count)


def training_views(shape: CaptureShape) -> list[View]:
    """The cameras that the base learns from, from near the floor to nearly above."""
    directions = spiral(shape.train_views, 20.0, 78.0, 0.0)
    return [View(f"train_{i:03d}", orbit_pose(a, e, shape.distance)) for i, (a, e) in enumerate(directions)]


def held_out_views(scene: Scene, subject: int, shape: CaptureShape) -> list[View]:
    """Cameras between the training cameras, each turned around the scene until it sees enough of the subject."""
    views = []
    step = math.radians(12.0)
    for i, (azimuth, elevation) in enumerate(spiral(shape.held_out_views, 28.0, 65.0, 0.4)):
        for turn in range(30):
            pose = orbit_pose(azimuth + turn * step, elevation, shape.distance)
            if (draw(scene, pose, shape, supersampling=1)[1] == subject).mean() >= shape.smallest_share:
                views.append(View(f"test_{i:03d}", pose))
                break
        else:
            raise BlendingNerfError(
                f"from no side the {object_name(scene.things[subject])} covers {shape.smallest_share:.0%} of a picture "
                f"at elevation {math.degrees(elevation):.0f} degrees: bring the cameras nearer than {shape.distance}"
            )
    return views


def draw(
    scene: Scene, pose: Float[ndarray, "4 4"], shape: CaptureShape, supersampling: int = 3
) -> tuple[Float[ndarray, "size size 3"], Int[ndarray, "size size"]]:
    """Photo in [0, 1], and the index of each pixel's object (-1: none)."""
    half = shape.size / 2
    return render(scene, pose, shape.focal, shape.focal, half, half, shape.size, shape.size, supersampling)


def object_folder(capture: Path, thing: Thing) -> Path:
    """Where the ground-truth masks of one object lie."""
    return capture / "objects" / object_name(thing).replace(" ", "_")


def write_capture(folder: Path, scene: Scene, subject: int, shape: CaptureShape | None = None) -> None:
    """Draw and write the whole capture.

    Args:
        folder: where to; made if it does not exist.
        scene: what to photograph.
        subject: index of the object that every held-out view must show well.
        shape: how many photos, from where.
    """
    shape = shape or CaptureShape()
    train, test = training_views(shape), held_out_views(scene, subject, shape)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for thing in scene.things:
        object_folder(folder, thing).mkdir(parents=True, exist_ok=True)
    for view in tqdm(train + test, desc="Data", dynamic_ncols=True):
        rgb, ids = draw(scene, view.pose, shape)
        Image.fromarray(np.round(255 * rgb).astype(np.uint8)).save(folder / "images" / f"{view.name}.png")
        for i, thing in enumerate(scene.things):
            mask = np.where(ids == i, 255, 0).astype(np.uint8)
            Image.fromarray(mask).save(object_folder(folder, thing) / f"{view.name}.png")
    with replacing(folder / "transforms.json") as partial:  # last, and whole or not at all: it says that all is there
        partial.write_text(json.dumps(transforms(train, test, shape), indent=1) + "\n")


def transforms(train: list[View], test: list[View], shape: CaptureShape) -> dict:
    """The contents of transforms.json, with its split: the held-out views are both validation and test."""
    train_files, test_files = ([f"images/{view.name}.png" for view in views] for views in (train, test))
    frames = [
        {"file_path": f"images/{view.name}.png", "transform_matrix": view.pose.tolist()} for view in [*train, *test]
    ]
    return {
        "camera_model": "OPENCV",
        **dict.fromkeys(("fl_x", "fl_y"), shape.focal),
        **dict.fromkeys(("cx", "cy"), shape.size / 2),
        **dict.fromkeys(("w", "h"), shape.size),
        "frames": frames,
        "train_filenames": train_files,
        "val_filenames": test_files,
        "test_filenames": test_files,
    }


def read_mask(capture: Path, thing: Thing, view: str) -> ndarray:
    """Ground-truth mask of one object in one view, bool [H, W]."""
    return np.asarray(Image.open(object_folder(capture, thing) / f"{view}.png")) > 127
