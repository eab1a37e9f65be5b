"""`blending-nerf evaluate`: figures of a finished run's edit, as report.json and one page, report.html."""

from __future__ import annotations

import json
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typing_extensions import Annotated

from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.runs.atomic import replacing, writable

JSON, PAGE, FOLDER = "report.json", "report.html", "evaluation"


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    options: Annotated[ReportOptions, tyro.conf.arg(name="")] = ReportOptions(),  # noqa: B008  frozen
) -> None:
    """Measure a finished run: what the judge reads, what was left alone, where the change lies, and how it grows.

    Writes report.json and report.html, one page that opens without a network. Figures that cannot be had are null, with the
    reason.

    Args:
        run: config.yml of a run of blending-nerf, or its folder. It is YAML that can run code: name only runs that you trust.
        options: which views, which judge, which masks.
    """
    from blending_nerf_ns.reporting.build import build_report
    from blending_nerf_ns.reporting.page import html_page, shown
    from blending_nerf_ns.runs.layers import run_folder

    console = Console()
    writable(options.output or run_folder(run))
    report = build_report(run, options)
    content = report.content
    output = options.output or Path(content["run"]) / FOLDER
    with replacing(output / JSON) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    with replacing(output / PAGE) as partial:
        partial.write_text(html_page(report, options.shown_views), encoding="utf8")

    title = f"{content['source_text']} -> {content['target_text']}: {len(content['views']['names'])} {content['views']['kind']} views"
    table = Table("figure", title=escape(title), title_justify="left")
    table.add_column("value", justify="right")
    table.add_column("doing nothing", justify="right")
    for metric in content["metrics"].values():
        table.add_row(escape(metric["title"]), shown(metric["value"]), shown(metric["unedited"]))
    console.print(table)
    for reason in dict.fromkeys(metric["reason"] for metric in content["metrics"].values() if metric["reason"]):
        console.print(f"Left out: {escape(reason)}", soft_wrap=True)
    console.print(f"Guide {escape(content['guide']['name'])}, judge {escape(content['judge']['name'])}.")
    for warning in content["warnings"]:
        console.print(f"[bold yellow]Warning: {escape(warning)}", soft_wrap=True)
    console.print(f"Written: {escape(str(output / JSON))} and {escape(str(output / PAGE))}", soft_wrap=True)
