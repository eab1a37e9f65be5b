"""Scores pictures that no run of ours has rendered, as `blending-nerf evaluate` would score a run's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Dict

import torch
import tyro
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.comparing.cases import EditCase
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.masks import with_room
from blending_nerf_ns.guidance.templates import said_source
from blending_nerf_ns.reporting.content import figures_content
from blending_nerf_ns.reporting.judge import JudgeConfig, load_judge
from blending_nerf_ns.reporting.lpips import find_lpips
from blending_nerf_ns.reporting.measuring import Case, Yardstick, measure
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.pictures import Pictures
from blending_nerf_ns.reporting.subject import check_not_empty
from blending_nerf_ns.reporting.views import Views
from blending_nerf_ns.reporting.workbench import look_close, read_pool, read_prompts

NO_SURFACES = "an edit that is drawn or painted has no depth in the run's units"
NOBODY = JudgeConfig("nobody")
"""The guide of an edit that nothing guided."""


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


def score_pictures(
    before: Float[Tensor, "views height width 3"],
    after: Float[Tensor, "views height width 3"],
    subject: Bool[Tensor, "views height width"],
    views: Views,
    edit: EditCase,
    options: ReportOptions,
) -> Dict[str, Any]:
    """What a report says of an edit, of its pictures alone.

    Args:
        before, after: without and with the edit, in [0, 1].
        subject: the pixels of what is edited.
        views: from where.
        edit: its texts.
        options: judge, pool, room, dilation.

    Raises:
        BlendingNerfError: no view sees the subject, or none sees anything else.
    """
    mask = check_not_empty(subject, options.masks[0])
    judge = load_judge(options.judge, NOBODY, torch.device("cpu"))
    prompts = read_prompts(options.prompts_file)
    pool, features, warned = read_pool(judge, said_source(edit.source_text), edit.target_text, prompts)
    nothing = torch.zeros(mask.shape)
    case = Case(
        pictures=Pictures(before, after, None, None, None, nothing, nothing),
        before=judge.look(before),
        after=judge.look(after),
        source=None if features is None else features[0],
        pool=None if features is None else features[1:],
        original_surface=None,
        edited_surface=None,
        mask=check_not_empty(with_room(mask, options.mask_room), options.masks[0]),
        subject=mask,
        close_before=look_close(judge, before, mask, options.mask_dilation),
        close_after=look_close(judge, after, mask, options.mask_dilation),
        own=None,
        in_region=lambda points: torch.zeros(len(points), dtype=torch.bool),
        no_surface=NO_SURFACES,
        recolors=set(edit.operations) == {"change"},
    )
    by = Yardstick(options.mask_dilation, options.change_threshold, judge.missing, None, *find_lpips())
    return {
        "metrics": figures_content(measure(case, by)),
        "guide": {"name": None},
        "judge": {"name": judge.config.name, "available": judge.clip is not None, "reason": judge.missing},
        "views": {"kind": views.kind, "names": views.names, "height": views.size[0], "width": views.size[1]},
        "masks": {"dilation": options.mask_dilation},
        "prompt_pool": pool if judge.clip is not None else [],
        "warnings": [*judge.warnings, *warned],
    }
