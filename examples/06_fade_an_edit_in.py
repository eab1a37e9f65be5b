"""A camera path along which a run's edits fade in: from the original to the edited scene, one strength a frame.

    python examples/06_fade_an_edit_in.py RUN/config.yml --output fade.json    # then the command that it prints

Each frame gets a `render_time` from 0 to 1, and the run's look is told to fade: that time scales all strengths. The path is
one that you saved in the viewer (`--path`), or leads along the training cameras.
"""

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Dict, Optional

import numpy as np
import torch
import tyro
from nerfstudio.cameras.camera_paths import get_interpolated_camera_path

from blending_nerf_ns.commands.look import look
from blending_nerf_ns.errors import BlendingNerfError, in_one_line
from blending_nerf_ns.localization.scene import open_scene
from blending_nerf_ns.runs.atomic import writable


@dataclass
class Fade:
    """What to fade, and along which path."""

    config: Annotated[Path, tyro.conf.Positional]
    """config.yml of a run of blending-nerf. It can run code: name only runs that you trust."""
    output: Path = Path("fade.json")
    """Camera path to write."""
    path: Optional[Path] = None
    """A camera path from the viewer; without one it leads along the training cameras."""
    frames: int = 60
    """Frames along the training cameras."""
    stops: int = 4
    """Training cameras that it passes, evenly from the first to the last."""
    size: int = 512
    """Longer side of a picture in pixels."""
    seconds: float = 4.0
    """How long the video plays."""
    data: Optional[Path] = None
    """The capture, if it has moved."""


def along_cameras(fade: Fade) -> Dict[str, Any]:
    """A path in nerfstudio's format, from one training camera to the next."""
    if fade.stops < 2:
        raise BlendingNerfError(
            f"--stops {fade.stops}: a path leads from one training camera to another, so it takes two"
        )
    cameras = open_scene(fade.config, fade.data, "cpu")[0].cameras
    stops = np.linspace(0, len(cameras) - 1, fade.stops).round().astype(int)
    steps = math.ceil(fade.frames / (fade.stops - 1))
    between = get_interpolated_camera_path(cameras[torch.from_numpy(stops)], steps, order_poses=False)
    width, height = float(cameras.width[stops[0]]), float(cameras.height[stops[0]])
    scale = fade.size / max(width, height)
    frames = []
    for pose, focal in zip(between.camera_to_worlds[: fade.frames], between.fy):
        whole = torch.cat([pose, torch.tensor([[0.0, 0.0, 0.0, 1.0]])])
        view = math.degrees(2 * math.atan(height / 2 / float(focal)))
        frames.append({"camera_to_world": whole.flatten().tolist(), "fov": view, "aspect": width / height})
    return {
        "camera_type": "perspective",
        "render_width": 2 * round(width * scale / 2),  # video codecs want even numbers
        "render_height": 2 * round(height * scale / 2),
        "camera_path": frames,
        "fps": fade.frames / fade.seconds,
        "seconds": fade.seconds,
    }


@in_one_line()
def main(fade: Fade) -> None:
    """Write the path, turn the look's fade on, print the command."""
    writable(fade.output.parent)
    path = along_cameras(fade) if fade.path is None else json.loads(fade.path.read_text())
    frames = path["camera_path"]
    for frame, time in zip(frames, np.linspace(0.0, 1.0, len(frames)), strict=True):
        frame["render_time"] = float(time)
    fade.output.write_text(json.dumps(path) + "\n")
    look(fade.config, fade=True)
    print(f"written: {fade.output} ({len(frames)} frames). Now:")
    run = fade.config / "config.yml" if fade.config.is_dir() else fade.config
    read, write = ["--load-config", str(run)], ["--output-path", str(fade.output.with_suffix(".mp4"))]
    path_of = ["--camera-path-filename", str(fade.output), "--rendered-output-names", "rgb"]
    print(shlex.join(["ns-render", "camera-path", *read, *path_of, *write]))


if __name__ == "__main__":
    main(tyro.cli(Fade))
