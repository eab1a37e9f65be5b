"""The camera path of the before/after video: once around the scene, up and down on the way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from blending_nerf_ns.demo.capture import CaptureShape, orbit_pose


def to_nerfstudio(pose: Float[ndarray, "4 4"], transform: Float[ndarray, "3 4"], scale: float) -> Float[ndarray, "4 4"]:
    """A camera pose in the capture's coordinates to nerfstudio's, by a run's dataparser_transforms.json."""
    moved = np.eye(4)
    moved[:3] = transform @ pose
    moved[:3, 3] *= scale
    return moved


def orbit(frames: int, distance: float) -> list[Float[ndarray, "4 4"]]:
    """Poses that go once around the scene between 25 and 50 degrees above the floor; the end meets the start."""
    turns = [2 * math.pi * i / frames for i in range(frames)]
    return [orbit_pose(turn, math.radians(37.5 - 12.5 * math.cos(turn)), distance) for turn in turns]


def camera_path(
    run_folder: Path, shape: CaptureShape, size: int, frames: int = 60, seconds: float = 4.0
) -> dict[str, object]:
    """What `ns-render camera-path` reads.

    Args:
        run_folder: of the training, with its dataparser_transforms.json.
        shape: of the capture, for distance and field of view.
        size: width and height of a frame in pixels; even, since video codecs want that.
        frames: how many.
        seconds: how long the video plays.
    """
    saved = json.loads((run_folder / "dataparser_transforms.json").read_text())
    transform, scale = np.array(saved["transform"]), float(saved["scale"])
    cameras = [
        {"camera_to_world": to_nerfstudio(pose, transform, scale).flatten().tolist(), "fov": shape.field_of_view}
        for pose in orbit(frames, shape.distance)
    ]
    return {
        "camera_type": "perspective",
        "render_height": size,
        "render_width": size,
        "camera_path": cameras,
        "fps": frames / seconds,
        "seconds": seconds,
    }
