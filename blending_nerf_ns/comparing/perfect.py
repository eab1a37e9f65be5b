"""What an edit of a drawn scene would score if it were done perfectly: the scene is drawn anew with the edit made.

A figure of a judge says little until one knows what it gives a right answer. On whole pictures a small judge was seen to give more
to a scene that is painted all over than to the edit that was asked for (ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np
import torch
import tyro
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from blending_nerf_ns.comparing.cases import EditCase
from blending_nerf_ns.comparing.drawing import Drawing
from blending_nerf_ns.demo.capture import find_subject, held_out_views
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.masks import with_room
from blending_nerf_ns.procedural.base import square_photographs
from blending_nerf_ns.procedural.render import render
from blending_nerf_ns.procedural.scene import Scene
from blending_nerf_ns.reporting.build import figures_content
from blending_nerf_ns.reporting.judge import JudgeConfig, load_judge, read_texts
from blending_nerf_ns.reporting.lpips import find_lpips
from blending_nerf_ns.reporting.measuring import Case, Yardstick, measure
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.pictures import Pictures
from blending_nerf_ns.reporting.subject import check_not_empty
from blending_nerf_ns.reporting.views import photo_views
from blending_nerf_ns.reporting.workbench import look_close, prompt_pool, read_prompts

NO_SURFACES = "a drawing has no depth in the run's units"
NOBODY = JudgeConfig("nobody")
"""The guide of an edit that nothing guided."""


class Drawn(NamedTuple):
    """A scene from several cameras."""

    pictures: Float[Tensor, "views height width 3"]
    things: Int[Tensor, "views height width"]
    """Index of the object that a pixel's centre sees; -1: none."""


def parse_options(flags: Sequence[str]) -> ReportOptions:
    """Flags of `blending-nerf evaluate`.

    Raises:
        BlendingNerfError: flags that it would not take either.
    """
    try:
        options = tyro.cli(ReportOptions, args=list(flags), console_outputs=False)
    except SystemExit as error:
        raise BlendingNerfError(f"blending-nerf evaluate does not understand {' '.join(flags)}") from error
    options.check()
    if options.output is not None:
        raise BlendingNerfError(f"--output {options.output}: of a table, reports lie in their runs' folders")
    return options


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
    mask = check_not_empty(before.things == subject, "demo")

    judge = load_judge(options.judge, NOBODY, torch.device("cpu"))
    pool = prompt_pool(judge, edit.source_text, edit.target_text, read_prompts(options.prompts_file))
    features, warned = read_texts(judge, [edit.source_text, *pool])

    nothing = torch.zeros(mask.shape)
    case = Case(
        pictures=Pictures(before.pictures, after.pictures, None, None, None, nothing, nothing),
        before=judge.look(before.pictures),
        after=judge.look(after.pictures),
        source=None if features is None else features[0],
        pool=None if features is None else features[1:],
        original_surface=None,
        edited_surface=None,
        mask=check_not_empty(with_room(mask, options.mask_room), "demo"),
        subject=mask,
        close_before=look_close(judge, before.pictures, mask, options.mask_dilation),
        close_after=look_close(judge, after.pictures, mask, options.mask_dilation),
        own=None,
        in_region=lambda points: torch.zeros(len(points), dtype=torch.bool),
        no_surface=NO_SURFACES,
        recolors=set(edit.operations) == {"change"},
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
