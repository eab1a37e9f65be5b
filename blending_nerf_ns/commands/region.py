"""`blending-nerf region`: see where an edit would act, in seconds and without training."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import fields
from pathlib import Path
from typing import Dict, Literal, Optional, Tuple, cast

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm
from typing_extensions import Annotated

from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.edits.region import SMALLEST_RESOLUTION
from blending_nerf_ns.errors import BlendingNerfError, naming_flags_as
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.runs.atomic import writable

FILE, SHEET, REPORT = "region.safetensors", "region_overlay.png", "region.json"
AS_IT_IS = (
    "A region from a file stays as it was cut: --region.threshold, --region.margin and the like, --operations and --resolution change "
    "nothing. To cut it otherwise find it anew, by the source that it came from."
)
"""For a region that was not looked for."""


@naming_flags_as("--resolution", "--pipeline.model.region-resolution")
@naming_flags_as("--region.", "--pipeline.region.")
def show_region(
    run: Annotated[Path, tyro.conf.Positional],
    source_text: str = "",
    operations: Tuple[Literal["add", "remove", "change"], ...] = OPERATIONS,
    output: Path = Path("outputs/region"),
    region: RegionConfig = RegionConfig(threshold=0.4),  # noqa: B008  tyro reads it, nobody writes it
    like: Optional[str] = None,
    data: Optional[Path] = None,
    resolution: int = 96,
    pictures: int = 8,
    picture_size: int = 192,
    guide: str = "embedded",
    guide_pretrained: Optional[str] = None,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Find a region in a finished run and show it on its views.

    Writes the overlay on some views, the region itself (for `--pipeline.region.source file --pipeline.region.file ...`) and
    its figures.

    Args:
        run: config.yml of a finished run of nerfacto, or of blending-nerf, whose base is looked at. It is YAML that can
            run code: name only runs that you trust.
        source_text: what is looked for, "a wooden chair".
        operations: what the edit may do, as in ns-train: they decide how much room it has around the object (--region.margin and
            --region.grow, where these are not given).
        output: folder to write to.
        region: where the region comes from and how it is cut.
        like: training method whose settings are looked with, where they are not given: localiser, threshold, what it looks
            at (--region.views, --region.close-ups, --region.image-size), guide, resolution. Without it those of the run, if it is one of blending-nerf, else those of blending-nerf-cpu.
        data: the capture, if it has moved.
        resolution: voxels along each side of the region's grid.
        pictures: views on the overlay sheet.
        picture_size: longer side of its pictures, in pixels.
        guide: open_clip model that decides between several parts, or "embedded".
        guide_pretrained: its pretrained tag or a local path of weights.
        device: where to compute.
    """
    from blending_nerf_ns.bases.nerfacto import NerfactoBase
    from blending_nerf_ns.bases.weights import fingerprint
    from blending_nerf_ns.guidance.clip import check_names, load_clip
    from blending_nerf_ns.localization.build import build_region, warn_unseen
    from blending_nerf_ns.localization.clearing import TAKEN_ALONG, clear_region, takes_along
    from blending_nerf_ns.localization.file import (
        FOUND_ON,
        OPERATIONS_FOR,
        other_base_hint,
        read_metadata,
        save_region,
    )
    from blending_nerf_ns.localization.keeping import Search, keep_region
    from blending_nerf_ns.localization.overlay import overlay_view
    from blending_nerf_ns.localization.scene import open_scene
    from blending_nerf_ns.localization.views import even_cameras
    from blending_nerf_ns.reporting.sheet import contact_sheet

    console, started = Console(), time.perf_counter()
    for name, value, least in (
        ("resolution", resolution, SMALLEST_RESOLUTION),
        ("pictures", pictures, 1),
        ("picture-size", picture_size, 8),
    ):
        if value < least:
            raise BlendingNerfError(f"--{name} {value}: at least {least}")
    region.check()
    if not operations:
        raise BlendingNerfError(f"--operations: an edit needs at least one of {', '.join(OPERATIONS)}")
    check_names(guide, guide_pretrained)
    for field in fields(region):
        if getattr(region, field.name) != field.default and (why := region.unread(field.name)):
            console.print(
                f"[yellow]--region.{field.name.replace('_', '-')}: {escape(why.replace('--pipeline.', '--'))}"
            )
    writable(output)
    scene, images = open_scene(run, data, device)
    base = cast(NerfactoBase, scene.base)
    searched = Search(
        text=source_text,
        guide=guide,
        pretrained=guide_pretrained,
        resolution=resolution,
        scene=repr([base.config]),
        weights=base.state_dict(),
        cameras=scene.cameras,
        images=images,
    )
    found = keep_region(
        region,
        searched,
        lambda: build_region(
            region, scene, source_text, resolution, lambda: load_clip(guide, guide_pretrained, device), images
        ),
    )
    warn_unseen(found.covered, operations)
    made = found.region.to(device)
    from_file, room = region.source.strip() == "file", region.room_for(operations)
    made.take_shape(**room)
    along = takes_along(region, operations) and clear_region(scene, made)
    if along:
        console.print(TAKEN_ALONG)
    of = {OPERATIONS_FOR: " ".join(operations), FOUND_ON: fingerprint(base.state_dict())}
    if from_file:  # it stays what it was, and was found where it was
        said = read_metadata(cast(Path, region.file))
        for hint in (AS_IT_IS, other_base_hint(cast(Path, region.file), of[FOUND_ON])):
            if hint is not None:
                console.print(hint, style="yellow", markup=False)
        of = {name: said[name] for name in of if name in said}
    save_region(made, output / FILE, of)
    cameras, numbers = even_cameras(scene, pictures, picture_size)
    columns: Dict[str, list] = {"original": [], "region": [], "overlay": []}
    for index in tqdm(range(len(cameras)), desc="Overlay", dynamic_ncols=True):
        view = overlay_view(scene, made, cameras, index)
        for name, column in columns.items():
            column.append(view[name].cpu().numpy())
    names = [images[number].stem.split("_")[-1] for number in numbers]
    contact_sheet(columns, names, picture_size).save(output / SHEET)

    voxel = made.voxel_size.tolist()
    lower, upper = (corner.tolist() for corner in made.bounds())
    report = {
        "like": like,
        "localizer": region.localizer,
        "guide": guide,
        "source": region.source,
        "source_text": source_text,
        "operations": of.get(OPERATIONS_FOR, "").split(),
        "threshold": round(made.shape.threshold, 6),
        "highest_probability": found.highest,
        "share_of_what_is_seen": found.covered,
        "takes_along": along,
        "volume": float(made.weight.sum()) * float(np.prod(voxel)),
        "box_lower": lower,
        "box_upper": upper,
        "voxel_size": voxel,
        "resolution": made.resolution,
        "seconds": {name: round(value, 2) for name, value in found.seconds.items()}
        | {"total": round(time.perf_counter() - started + found.seconds_before, 2)},
    }
    (output / REPORT).write_text(json.dumps(report, indent=2) + "\n")
    table = Table(
        "figure", "value", title=f"region of {escape(source_text or repr(region.source))}", title_justify="left"
    )
    for name, value in report.items():
        table.add_row(name.replace("_", " "), escape(json.dumps(value)))
    console.print(table)
    console.print(f"written: {output / SHEET}, {output / FILE}, {output / REPORT}", markup=False, soft_wrap=True)
    console.print(
        f"to edit in it: --pipeline.region.source file --pipeline.region.file {shlex.quote(str(output / FILE))}",
        markup=False,
        soft_wrap=True,  # to be copied
    )
