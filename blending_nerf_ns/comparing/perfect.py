"""What an edit of a drawn scene would score if it were done perfectly: the scene is drawn anew with the edit made.

A figure of a judge says little until one knows what it gives a right answer. On whole pictures a small judge was seen to give more
to a scene that is painted all over than to the edit that was asked for (ours).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from blending_nerf_ns.comparing.cases import EditCase
from blending_nerf_ns.comparing.drawing import Drawing
from blending_nerf_ns.comparing.scoring import score_pictures
from blending_nerf_ns.demo.capture import find_subject, held_out_views
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.procedural.base import square_photographs
from blending_nerf_ns.procedural.render import render
from blending_nerf_ns.procedural.scene import Scene
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.views import photo_views


class Drawn(NamedTuple):
    """A scene from several cameras."""

    pictures: Float[Tensor, "views height width 3"]
    things: Int[Tensor, "views height width"]
    """Index of the object that a pixel's centre sees; -1: none."""


def score_perfect(drawing: Drawing, edit: EditCase, options: ReportOptions) -> Dict[str, Any]:
    """What `blending-nerf evaluate --views test` says of an edit, for a perfect one: drawings of the held-out photos' views, and
    the drawn subject as the mask.

    Args:
        drawing: of the scene; the edit must be among `drawing.perfect`.
        edit: its texts and subject.
        options: judge, pool, number and size of the views, room, dilation.

    Raises:
        BlendingNerfError: other views, texts or masks are asked for.
    """
    if options.views != "test" or options.source_text or options.target_text or options.masks == ("none",):
        raise BlendingNerfError(
            f"a scene that is drawn anew is seen from the held-out photos' views, by its edit's texts and with a mask; asked for "
            f"were --views {options.views} --masks {' '.join(options.masks)} and the texts {options.source_text!r}, "
            f"{options.target_text!r}: leave drawn-anew out of --methods"
        )
    photos = held_out_views(drawing.scene, drawing.subject, drawing.shape)
    poses = torch.tensor(np.stack([view.pose[:3] for view in photos]), dtype=torch.float32)
    cameras = square_photographs(poses, drawing.shape.focal, drawing.shape.size)
    files = [Path(view.name) for view in photos]
    views = photo_views("test", cameras, files, options.num_views, options.image_size)
    before, after = (draw_views(scene, views.cameras) for scene in (drawing.scene, drawing.perfect[edit.name]))
    subject = find_subject(drawing.scene, options.subject or edit.subject or edit.source_text)
    return score_pictures(before.pictures, after.pictures, before.things == subject, views, edit, options)


def draw_views(scene: Scene, cameras: Cameras) -> Drawn:
    """Draw a scene from cameras in its own coordinates."""
    drawn: List[Tuple[np.ndarray, np.ndarray]] = []
    for i in range(len(cameras)):
        camera = cameras[i]
        fx, fy, cx, cy = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
        width, height = int(camera.width), int(camera.height)
        drawn.append(render(scene, camera.camera_to_worlds.numpy(), fx, fy, cx, cy, width, height))
    pictures, things = (torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True))
    return Drawn(pictures.float(), things)
