"""From a finished run to its report: open, render, measure, sweep, read the losses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch
from jaxtyping import Bool
from torch import Tensor

from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.masks import Room, with_room
from blending_nerf_ns.evaluation.preservation import HIGHEST_PSNR
from blending_nerf_ns.guidance.clip import check_names
from blending_nerf_ns.guidance.templates import said_source
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.reporting.content import figures_content, finite, layers_content, models_content
from blending_nerf_ns.reporting.judge import load_judge
from blending_nerf_ns.reporting.layers import only, original_texts, shown_as, unedited
from blending_nerf_ns.reporting.lpips import find_lpips
from blending_nerf_ns.reporting.measuring import Yardstick
from blending_nerf_ns.reporting.opening import FinishedRun, ReportedModel, open_finished
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.pictures import OwnRegion, Pictures, render_pictures
from blending_nerf_ns.reporting.subject import (
    Masks,
    alpha_masks,
    check_not_empty,
    demo_masks,
    image_masks,
    parse_masks,
    polygon_masks,
    read_polygons,
    two_sided,
)
from blending_nerf_ns.reporting.sweep import SweepCase, sweep_strengths
from blending_nerf_ns.reporting.views import Views, called, novel_views, photo_views, spread
from blending_nerf_ns.reporting.workbench import IN_REGION, MOST_POINTS, Bench, Measured, every_nth, read_prompts
from blending_nerf_ns.training.loss_record import read_losses

FORMAT = "blending-nerf report 1"
REPORT_MEMORY = 2 << 30
"""Bytes for the base's renders of all views: twelve of 192 x 192 pixels take 0.8 GB."""
NO_MASK = "no mask was given (--masks); our own region does not stand in for one"


@dataclass(frozen=True)
class Report:
    """What goes into the JSON file, and the pictures that only the page shows."""

    content: Dict[str, Any]
    views: Views
    pictures: Pictures
    region: Optional[OwnRegion]
    """Of all layers that are shown; None where the method has none."""
    masks: Optional[Bool[Tensor, "views height width"]]


def build_report(run: Path, options: ReportOptions) -> Report:
    """Measure a run.

    Args:
        run: its config.yml or folder. The config.yml is YAML that can run code: name only runs that you trust.
        options: which views, which judge, which masks.

    Raises:
        BlendingNerfError: there is nothing to measure, or not so; with the value and what to do.
    """
    clock = Clock()
    options.check()
    kind, masks_path = parse_masks(options.masks, options.views)
    polygons = read_polygons(masks_path) if masks_path and kind == "polygons" else None
    prompts = read_prompts(options.prompts_file)
    check_names(
        options.judge.model, options.judge.pretrained
    )  # weights that cannot be fetched leave figures out; a name is an error
    found = open_finished(run, options.data)
    model, layers = found.model, found.layers
    source, target = found.texts(options.source_text, options.target_text)
    views = choose_views(found, options, polygons)
    subjects = [options.subject] if options.subject else original_subjects(found, source) or [source]
    masks = read_masks(kind, found, views, subjects, polygons or masks_path, options.mask_room)
    judge = load_judge(options.judge, found.guide, model.device)
    no_mask = NO_MASK if masks is None else None
    yardstick = Yardstick(options.mask_dilation, options.change_threshold, judge.missing, no_mask, *find_lpips())
    clock.lap("opening")

    with rendered_once(model):
        with unedited(model):
            plain = render_pictures(model, views.cameras, "Originals")
        bench = Bench(found, views, plain, judge, yardstick, masks, prompts)
        pictures = render_pictures(model, views.cameras, "Edited")
        clock.lap("views")
        measured = bench.measure(layers, pictures, source, target)
        own = subjects if layers and kind == "demo" and not options.subject else []
        each = []
        if len(layers) > 1:
            alone = [bench_of(bench, name, kind, options.mask_room) for name in own]
            each = measure_each(alone or [bench] * len(layers), layers)
        region = bench.region(layers) if layers else None
        clock.lap("figures")
        sweep = None
        if options.sweep_views and layers:
            sweep = sweep_content(bench, layers, source, target, options)
            clock.lap("sweep")
    content = {
        "format": FORMAT,
        "run": str(found.folder),
        "method": found.method,
        "step": found.step,
        "source_text": source,
        "target_text": target,
        "layers": [edit.info.to_dict() for edit in layers],
        "warnings": list(
            dict.fromkeys(
                [*judge.warnings, *told_of(views, found), *(told for one in (measured, *each) for told in one.warnings)]
            )
        ),
        **models_content(judge, found),
        "views": {"kind": views.kind, "names": views.names, "height": views.size[0], "width": views.size[1]},
        "masks": {
            "kind": kind,
            "file": str(masks_path) if masks_path else None,
            "subjects": subjects if kind == "demo" else None,
            "room": options.mask_room,
            "dilation": options.mask_dilation,
            "share_of_pixels": round(float(masks.room.float().mean()), 6) if masks is not None else None,
            "reason": no_mask,
        },
        "change_threshold": options.change_threshold,
        "highest_psnr": HIGHEST_PSNR,
        "own_region_weight": IN_REGION,
        "chamfer_pixels": int(every_nth(plain.depth, MOST_POINTS).sum()),
        "prompt_pool": measured.pool,
        "metrics": figures_content(measured.figures),
        "per_layer": layers_content(layers, each, bool(own)),
        "sweep": sweep,
        "losses": [finite(step) for step in read_losses(found.folder)],
        "seconds": clock.seconds,
    }
    return Report(content, views, pictures, region, masks and masks.room)


def rendered_once(model: ReportedModel) -> AbstractContextManager[None]:
    """Inside, a frozen base is rendered once for each view that has room, however often its edits are looked at."""
    return model.seen.remembering(REPORT_MEMORY) if isinstance(model, BlendingModel) else nullcontext()


class Clock:
    """Seconds of each part of the work, and of all."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self.seconds: Dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Book the time since the last lap."""
        now = time.perf_counter()
        self.seconds[name], self.seconds["total"] = round(now - self._last, 1), round(now - self._started, 1)
        self._last = now


def choose_views(found: FinishedRun, options: ReportOptions, polygons: Optional[Mapping[str, Any]]) -> Views:
    """The views that were asked for; of photos only those that have polygons, where there are any."""
    count, longest = options.num_views, options.image_size
    if options.views == "novel":
        return novel_views(found.photos("train")[0], count, longest)
    cameras, files = found.photos(options.views)
    # those of the other split may be in one file with these; where none fits, their names are said
    fits = polygons and ([name for name in polygons if called(name, files)] or polygons)
    return photo_views(options.views, cameras, files, count, longest, fits)


def told_of(views: Views, found: FinishedRun) -> List[str]:
    """What a reader must know of the views."""
    height, width = views.size
    others = (
        f"{views.left_out} of the {views.kind} photos are left out: they have another shape than {width} x {height}."
    )
    return [*([others] if views.left_out else []), *trained_on(views, found)]


def trained_on(views: Views, found: FinishedRun) -> List[str]:
    """What a reader must know of test views that are no held-out ones, as with nerfstudio's `--eval-mode all`."""
    if views.kind != "test" or views.files is None:
        return []
    count = len(set(views.files) & set(found.photos("train")[1]))
    return [f"{count} of the {len(views.files)} test photos were trained on: they are not held out."] if count else []


def original_subjects(found: FinishedRun, source: str) -> List[str]:
    """What each of the layers that are shown edits, by its name in the original; of one that was given none, `source`."""
    if not isinstance(found.model, BlendingModel):
        return []
    texts = original_texts([edit.info for edit in found.model.layers.all()])
    return [texts[edit.info.id] or source for edit in found.layers]


def read_masks(
    kind: str, found: FinishedRun, views: Views, subjects: List[str], told: Any, room: Room
) -> Optional[Masks]:
    """Where the edit belongs, if masks were asked for; `told` are polygons, or the folder of images."""
    if kind == "none":
        return None
    if kind == "demo":
        masks = demo_masks(views, found.capture, subjects, *found.placement)
    elif kind == "alpha":
        masks = alpha_masks(views)
    elif kind == "images":
        masks = image_masks(views, told, found.photos(views.kind)[1])
    else:
        masks = polygon_masks(views, told, found.capture)
    check_not_empty(masks, kind)
    return Masks(masks, check_not_empty(with_room(masks, room), kind))


def bench_of(bench: Bench, subject: str, kind: str, room: Room) -> Bench:
    """The bench for a layer of its own subject; without a mask where no view shows that."""
    try:
        return bench.of(read_masks(kind, bench.run, bench.views, [subject], None, room))
    except BlendingNerfError as error:
        return bench.of(None, f"{subject}: {error}")


def measure_each(benches: List[Bench], layers: List[Edit]) -> List[Measured]:
    """Each layer alone switched on, by its own texts, on a bench of its own."""
    measured = []
    for bench, edit in zip(benches, layers, strict=True):
        model = _blend(bench)
        with shown_as(model, only(edit.info)):
            pictures = render_pictures(model, bench.views.cameras, f"Layer {edit.info.name}")
        info = edit.info
        measured.append(bench.measure([edit], pictures, said_source(info.source_text), info.target_text))
    return measured


def _blend(bench: Bench) -> BlendingModel:
    model = bench.run.model
    assert isinstance(model, BlendingModel), "only a blend has layers"
    return model


def sweep_content(bench: Bench, layers: List[Edit], source: str, target: str, options: ReportOptions) -> Dict[str, Any]:
    """The sweep over some of the views."""
    some = spread(len(bench.views.names), options.sweep_views)
    judge, masks = bench.judge, bench.masks and Masks(*(side[some] for side in bench.masks))
    used = [name for name in OPERATIONS if any(getattr(edit.info.shown, name) for edit in layers)]
    case = SweepCase(
        bench.views.cameras[torch.tensor(some)],
        judge,
        judge.read(source),
        judge.read(target),
        masks if masks is not None and two_sided(masks.room, options.mask_dilation) else None,
        options.mask_dilation,
    )
    curves = sweep_strengths(_blend(bench), used, options.strengths, case)
    return {"views": [bench.views.names[i] for i in some], "strengths": list(options.strengths), "curves": curves}
