"""The report as one HTML page that needs nothing else: no network, no script, pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import Any, Dict, List, Optional

import torch
from PIL import Image
from torch import Tensor

from blending_nerf_ns.model import AMOUNTS
from blending_nerf_ns.rendering.overlay import region_overlay
from blending_nerf_ns.reporting.build import Report
from blending_nerf_ns.reporting.catalogue import METRICS
from blending_nerf_ns.reporting.plots import by_layer, loss_plot, sweep_plot
from blending_nerf_ns.reporting.sheet import as_picture
from blending_nerf_ns.reporting.style import STYLE
from blending_nerf_ns.reporting.views import spread

Content = Mapping[str, Any]
ROOMS = {
    "none": "",
    "around": ", with the rectangle around it",
    "above": ", with the rectangle around it and as much above",
}
"""A mask's room in words."""


def html_page(report: Report, shown_views: int) -> str:
    """The whole page.

    Args:
        report: what `build_report` made.
        shown_views: rows of the contact sheet.
    """
    content = report.content
    title = f"{content['source_text']} → {content['target_text']}"
    parts = [
        f"<header><p class=kind>Report on an edit</p><h1>{escape(title)}</h1>",
        f"<p class=muted>{escape(content['run'])}, step {content['step']}</p></header>",
        *(f"<p class=warning>{escape(text)}</p>" for text in content["warnings"]),
        _section("How it was measured", _facts(content)),
        _section("Contact sheet", _sheet(report, shown_views)),
        _section("Figures", _figures(content)),
        *([_section("Each layer alone", _layers(content))] if content["per_layer"] else []),
        *([_section("Strength sweep", _sweep(content))] if content["sweep"] else []),
        _section("Training losses", _losses(content)),
    ]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>{body}</body></html>\n'


def shown(value: Optional[float]) -> str:
    """A number for people, a dash for none.

    Example:
        >>> shown(0.123456), shown(99.0), shown(None)
        ('0.1235', '99.00', '–')
    """
    if value is None:
        return "–"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>"


def _facts(content: Content) -> str:
    views, masks, judge = content["views"], content["masks"], content["judge"]
    kinds = {
        "novel": "on a path between the training cameras, which no photo shows",
        "test": "of test photos",
        "train": "of training photos",
    }
    sight = f"{len(views['names'])} views {kinds[views['kind']]}, {views['width']} × {views['height']} pixels"
    mask = masks["reason"] or (
        f"{masks['kind']}{' ' + masks['file'] if masks['file'] else ''}{ROOMS[masks['room']]}, "
        f"{100 * masks['share_of_pixels']:.1f} % of the pixels"
    )
    rows = {
        "Guide": f"{content['guide']['name']}, in this run's training",
        "Judge": judge["name"] + ("" if judge["available"] else f" (not there: {judge['reason']})"),
        "Method": content["method"],
        "Layers": "; ".join(_layer_text(layer) for layer in content["layers"]) or "none: this method has no layers",
        "Views": sight,
        "Mask": mask,
        "Grown by": f"{masks['dilation']} pixels, before what lies outside of the mask or of our own region is looked at",
        "Caps": f"PSNR ends at {content['highest_psnr']:g} dB; a pixel has changed above a difference of "
        f"{content['change_threshold']:.4g}",
        "Chamfer": f"of the surface points of {content['chamfer_pixels']} pixels; blending splits intervals, which alone "
        "moves depths by a part of an interval",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows.items())
    pool = "".join(f"<li>{escape(text)}</li>" for text in content["prompt_pool"])
    if pool:
        size = len(content["prompt_pool"])
        pool = f"<details><summary>Prompt pool of R-precision ({size}; chance {1 / size:.3f})</summary><ol>{pool}</ol></details>"
    return f"<dl>{listed}</dl>{pool}"


def _layer_text(layer: Content) -> str:
    strengths = ", ".join(f"{name} {layer['strengths'][name]:g}" for name in layer["operations"])
    return f"{layer['name'] or layer['id']} ({strengths})"


def _sheet(report: Report, rows: int) -> str:
    pictures, chosen = report.pictures, spread(len(report.views.names), rows)
    columns: Dict[str, Tensor] = {"original": pictures.original, "edited": pictures.edited}
    if report.region is not None:
        region = (values[..., None] for values in report.region)
        columns["region"] = torch.stack(
            [region_overlay(*view) for view in zip(pictures.original, *region, strict=True)]
        )
    amounts = {name: getattr(pictures, name) for name in AMOUNTS}
    columns |= {name: amount[..., None] for name, amount in amounts.items() if amount is not None}
    if report.masks is not None:
        columns["mask"] = report.masks[..., None].float()
    head = "".join(f"<th>{name}</th>" for name in ("view", *columns))
    lines = []
    for i in chosen:
        name = report.views.names[i]
        cells = "".join(f"<td>{_image(_png(v[i]), f'{title} of {name}')}</td>" for title, v in columns.items())
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    note = (
        "<p class=muted>Region: our own, tinted on the original, outlined with its margin. Added, removed, changed: accumulated opacities from 0 (black) "
        "to 1 (pale yellow).</p>"
    )
    return f"{note}<div class=wide><table class=sheet><tr>{head}</tr>{''.join(lines)}</table></div>"


def _figures(content: Content) -> str:
    groups: Dict[str, List[Content]] = {}
    for metric in content["metrics"].values():
        groups.setdefault(metric["group"], []).append(metric)
    names = ("figure", "value", "doing nothing", "range", "better", "source")
    head = "".join(f"<th>{name}</th>" for name in names)
    lines = []
    for group, metrics in groups.items():
        reasons = {metric["reason"] for metric in metrics}
        shared = reasons.pop() if len(reasons) == 1 else None  # once above all of them, not beside each
        reason = f"<div class=reason>{escape(shared)}</div>" if shared else ""
        lines.append(f"<tr><th class=group colspan={len(names)}>{escape(group)}{reason}</th></tr>")
        lines += [_figure(metric, with_reason=shared is None) for metric in metrics]
    return f"<div class=wide><table class=figures><tr>{head}</tr>{''.join(lines)}</table></div>"


def _figure(metric: Content, with_reason: bool) -> str:
    notes = f"<div class=muted>{escape(metric['of'])}</div>" if metric["of"] else ""
    if with_reason and metric["reason"]:
        notes += f"<div class=reason>{escape(metric['reason'])}</div>"
    title = f"<span title='{escape(metric['formula'], quote=True)}'>{escape(metric['title'])}</span>"
    told = (escape(metric[name]) for name in ("range", "better", "source"))
    cells = (title + notes, f"<b>{shown(metric['value'])}</b>", shown(metric["unedited"]), *told)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _layers(content: Content) -> str:
    per_layer = content["per_layer"]
    masked = content["masks"]["kind"] != "none"
    shared = (
        "Masks and close-ups are of what all layers edit together: what one does to another's object has not leaked."
    )
    note = f"<p class=muted>{shared}</p>" if masked and not per_layer["own_masks"] else ""
    columns = [(layer["name"] or layer["id"], layer["metrics"]) for layer in per_layer["layers"]]
    columns.append(("mean", per_layer["mean"]))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("figure", *(name for name, _ in columns)))
    lines = []
    for name in per_layer["mean"]:
        values = "".join(f"<td>{shown(metrics[name]['value'])}</td>" for _, metrics in columns)
        lines.append(f"<tr><td>{escape(METRICS[name].title)}</td>{values}</tr>")
    return f"{note}<div class=wide><table class=numbers><tr>{head}</tr>{''.join(lines)}</table></div>"


def _sweep(content: Content) -> str:
    sweep = content["sweep"]
    curves = sweep["curves"]
    masked = curves["all"][0]["psnr_outside"] is not None
    name, label = ("psnr_outside", "PSNR outside the mask (dB)") if masked else ("psnr", "PSNR of whole pictures (dB)")
    alone = ", and each operation alone with the others off" if len(curves) > 1 else ""
    note = (
        f"<p class=muted>{len(sweep['views'])} of the views; all operations together{alone}. At 0 nothing has changed, 1 is "
        "the edit as it is shown. "
        "A method that does nothing preserves best: read both axes.</p>"
    )
    keys = [
        key for key in curves["all"][0] if any(point[key] is not None for points in curves.values() for point in points)
    ]
    head = "".join(f"<th>{escape(key.replace('_', ' '))}</th>" for key in ("operations", *keys))
    lines = []
    for curve, points in curves.items():
        for point in points:
            values = "".join(f"<td>{_number(point[key])}</td>" for key in keys)
            lines.append(f"<tr><td>{escape(curve)}</td>{values}</tr>")
    table = f"<div class=wide><table class=numbers><tr>{head}</tr>{''.join(lines)}</table></div>"
    plot = _image(sweep_plot(curves, name, label), "strength against preservation", "plot")
    return f"{note}{plot}<details><summary>All numbers</summary>{table}</details>"


def _losses(content: Content) -> str:
    names = {layer["id"]: layer["name"] for layer in content["layers"]}
    plots = []
    for layer, steps in by_layer(content["losses"]).items():
        known = layer in names or not names  # others are hidden here, or gone; a baseline has no layers
        plot = loss_plot(steps) if known else None
        if plot is not None:
            name = names.get(layer) or layer
            plots.append(f"<h3>{escape(name)}, {len(steps)} steps</h3>{_image(plot, f'losses of {name}', 'plot')}")
    return (
        "".join(plots)
        or "<p class=muted>The run's folder keeps no losses of what is shown (losses.jsonl): layers that come as files have none.</p>"
    )


def _number(value: Optional[float]) -> str:
    return "–" if value is None else f"{value:.4g}"


def _png(values: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(as_picture(values.numpy())).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _image(png: bytes, what: str, kind: str = "") -> str:
    data = base64.b64encode(png).decode()
    return f'<img class="{kind}" alt="{escape(what, quote=True)}" src="data:image/png;base64,{data}">'
