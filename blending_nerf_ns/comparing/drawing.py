"""Drawn scenes, and what an edit of one would score if it were done perfectly: the scene is drawn anew with the edit made.

A figure of a judge says little until one knows what it gives the right answer. On whole pictures a small judge was seen to give
more to a scene that is painted all over than to the edit that was asked for (ours).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from blending_nerf_ns.demo.capture import CaptureShape, find_subject, held_out_views, write_capture
from blending_nerf_ns.evaluation.closeups import close_ups
from blending_nerf_ns.evaluation.masks import with_room
from blending_nerf_ns.localization.parts import rivals
from blending_nerf_ns.procedural.base import square_photographs
from blending_nerf_ns.procedural.render import render
from blending_nerf_ns.procedural.scene import Scene
from blending_nerf_ns.reporting.build import figures_content
from blending_nerf_ns.reporting.judge import Judge, JudgeConfig, load_judge, read_texts
from blending_nerf_ns.reporting.lpips import find_lpips
from blending_nerf_ns.reporting.measuring import Case, Yardstick, measure
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.pictures import Pictures
from blending_nerf_ns.reporting.subject import check_not_empty
from blending_nerf_ns.reporting.views import photo_views
from blending_nerf_ns.reporting.workbench import read_prompts

NO_SURFACES = "a drawing has no depth in the run's units"
NOBODY = JudgeConfig("nobody")
"""The guide of an edit that nothing guided."""


@dataclass(frozen=True)
class Drawing:
    """A scene that is photographed by drawing it."""

    scene: Scene
    subject: int = 0
    """Index of the object that every held-out photo shows well."""
    shape: CaptureShape = field(default_factory=CaptureShape)
    perfect: Mapping[str, Scene] = field(default_factory=dict)
    """By the name of an edit: the scene with that edit made."""

    def write(self, folder: Path) -> None:
        """Photograph it into a folder."""
        write_capture(folder, self.scene, self.subject, self.shape)


class Drawn(NamedTuple):
    """A scene from several cameras."""

    pictures: Float[Tensor, "views height width 3"]
    things: Int[Tensor, "views height width"]
    """Index of the object that a pixel's centre sees; -1: none."""


def draw_views(scene: Scene, cameras: Cameras) -> Drawn:
    """Draw a scene from cameras in its own coordinates."""
    pictures, things = [], []
    for i in range(len(cameras)):
        camera = cameras[i]
        fx, fy, cx, cy = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
        width, height = int(camera.width), int(camera.height)
        rgb, seen = render(scene, camera.camera_to_worlds.numpy(), fx, fy, cx, cy, width, height)
        pictures.append(rgb)
        things.append(seen)
    return Drawn(torch.from_numpy(np.stack(pictures)).float(), torch.from_numpy(np.stack(things)))


def score_perfect(drawing: Drawing, name: str, texts: tuple[str, str], subject: str, options: ReportOptions) -> Dict:
    """What `blending-nerf evaluate` says of an edit, for a perfect one: from the held-out photos' views.

    Args:
        drawing: of the scene.
        name: of the edit; it must be among `drawing.perfect`.
        texts: source and target.
        subject: names the object that the edit is of.
        options: judge, views, and the mask's room and dilation.
    """
    photos = held_out_views(drawing.scene, drawing.subject, drawing.shape)
    poses = torch.tensor(np.stack([view.pose[:3] for view in photos]), dtype=torch.float32)
    cameras = square_photographs(poses, drawing.shape.focal, drawing.shape.size)
    files = [Path(view.name) for view in photos]
    views = photo_views("test", cameras, files, options.num_views, options.image_size)
    before, after = (draw_views(scene, views.cameras) for scene in (drawing.scene, drawing.perfect[name]))
    masks = before.things == find_subject(drawing.scene, subject)
    masks = check_not_empty(with_room(masks, options.mask_room), "demo")

    judge = load_judge(options.judge, NOBODY, torch.device("cpu"))
    source, target = texts
    pool = [target, *(read_prompts(options.prompts_file) or (source, *_rivals(judge, target)))]
    pool = list(dict.fromkeys(pool))
    features, warned = read_texts(judge, [source, *pool])

    def close(pictures: Tensor) -> Any:
        size = 1 if judge.clip is None else judge.clip.image_size
        return judge.look(close_ups(pictures, masks, dilation=options.mask_dilation, size=size))

    nothing = torch.zeros(before.things.shape)
    case = Case(
        pictures=Pictures(before.pictures, after.pictures, None, None, None, nothing, nothing),
        before=judge.look(before.pictures),
        after=judge.look(after.pictures),
        source=None if features is None else features[0],
        pool=None if features is None else features[1:],
        original_points=None,
        edited_points=None,
        mask=masks,
        close_before=close(before.pictures),
        close_after=close(after.pictures),
        own=None,
        in_region=lambda points: torch.zeros(len(points), dtype=torch.bool),
        no_points=NO_SURFACES,
    )
    by = Yardstick(options.mask_dilation, options.change_threshold, judge.missing, None, *find_lpips())
    return {
        "metrics": figures_content(measure(case, by)),
        "guide": {"name": None},
        "judge": {"name": judge.config.name},
        "views": {"kind": views.kind, "names": views.names, "height": views.size[0], "width": views.size[1]},
        "masks": {"dilation": options.mask_dilation},
        "prompt_pool": pool if judge.clip is not None else [],
        "warnings": [*judge.warnings, *warned],
    }


def _rivals(judge: Judge, target: str) -> List[str]:
    return [] if judge.clip is None else rivals(target, judge.clip.embedded)
