"""What an edit of a capture would score if it were done right: the base's pictures of the held-out views, retouched.

A capture cannot be drawn anew (`perfect`), but its pictures can be painted: in another shade of the colour that was asked for, the
object painted over, a solid put on top of it or in its place. Where a judge gives more than that, it does not tell whether the edit was
done (ours).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch

from blending_nerf_ns.comparing.cases import EditCase
from blending_nerf_ns.comparing.retouching import Shown, retouched
from blending_nerf_ns.comparing.scoring import score_pictures
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.reporting.build import choose_views, read_masks, trained_on
from blending_nerf_ns.reporting.layers import unedited
from blending_nerf_ns.reporting.opening import open_finished
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.pictures import OPAQUE, render_pictures, surface_points
from blending_nerf_ns.reporting.sheet import contact_sheet
from blending_nerf_ns.reporting.subject import parse_masks, read_polygons
from blending_nerf_ns.reporting.views import Views


def score_retouched(
    base: Path, capture: Path, edit: EditCase, seed: int, options: ReportOptions, sheet: Path
) -> Dict[str, Any]:
    """What `blending-nerf evaluate --views test` says of an edit, for the base's own pictures with the edit painted into them.

    Args:
        base: folder of the base's run.
        capture: its photos.
        edit: one that can be painted (`wishes.wish_of`).
        seed: of the shade and the size.
        options: judge, pool, number and size of the views, masks, room, dilation.
        sheet: the pictures before and after go there, to be looked at (PNG).

    Raises:
        BlendingNerfError: other texts, no masks, or an edit that cannot be painted.
    """
    wish = edit.wish
    if wish is None or options.source_text or options.target_text or options.masks[0] == "none":
        raise BlendingNerfError(
            f"{edit.target_text!r} for {edit.source_text!r} cannot be painted into pictures of {capture}: wanted are masks (asked for: "
            f"--masks {' '.join(options.masks)}), the edit's own texts, one new colour that is known, and one new shape where something "
            'is put on top ("room": "above") or in the object\'s place: leave retouched out of --methods'
        )
    subject = options.subject or edit.subject or edit.source_text
    views, shown, warned = _look(
        base, capture, options.views, options.num_views, options.image_size, options.masks, subject
    )
    after = retouched(shown, wish, seed)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    columns = {"original": shown.pictures.numpy(), "retouched": after.numpy()}
    contact_sheet(columns, [str(i) for i in range(len(after))]).save(sheet)
    report = score_pictures(shown.pictures, after, shown.mask, views, edit, options)
    return {**report, "warnings": [*report["warnings"], *warned]}


@functools.lru_cache(maxsize=8)
def _look(
    base: Path, capture: Path, kind: str, count: int, longest: int, words: Tuple[str, ...], subject: str
) -> Tuple[Views, Shown, List[str]]:
    """A base's views with their masks; kept, for all edits and seeds of a scene have the same."""
    found = open_finished(base, capture)
    masks_kind, path = parse_masks(words, kind)
    polygons = read_polygons(path) if path is not None and masks_kind == "polygons" else None
    options = ReportOptions(views=kind, num_views=count, image_size=longest)  # type: ignore[arg-type]
    views = choose_views(found, options, polygons)
    masks = read_masks(masks_kind, found, views, [subject], polygons or path, "none")
    assert masks is not None, "checked by the caller"
    with unedited(found.model):
        pictures = render_pictures(found.model, views.cameras, "Originals")
    depth = torch.where(pictures.accumulation >= OPAQUE, pictures.depth, torch.inf)
    points = surface_points(views.cameras, pictures, masks.subject).points
    return views, Shown(views.cameras, pictures.original, depth, masks.subject, points), trained_on(views, found)
