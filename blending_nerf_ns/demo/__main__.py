"""`python -m blending_nerf_ns.demo`, which is what `make demo` runs."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from blending_nerf_ns.demo.commands import program
from blending_nerf_ns.demo.run import Demo, run_demo
from blending_nerf_ns.errors import BlendingNerfError


def parse(arguments: Sequence[str] | None = None) -> Demo:
    """The demo that a command line describes."""
    parser = argparse.ArgumentParser(
        prog="python -m blending_nerf_ns.demo",
        description="Photograph a small scene, train a base, edit one object by text, render before and after.",
        epilog="What follows a lone -- goes to ns-train: -- --pipeline.edit-steps 200",
    )
    parser.add_argument("--source", default=Demo.source, help="the object to edit (default: %(default)s)")
    parser.add_argument("--target", default=Demo.target, help="what it becomes (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Demo.output, help="emptied first (default: %(default)s)")
    parser.add_argument("--method", default=Demo.method, help="method configuration (default: %(default)s)")
    parser.add_argument("--video-size", type=int, default=Demo.video_size, help="in pixels (default: %(default)s)")
    parser.add_argument("train_arguments", nargs="*", metavar="ns-train flag")
    given = vars(parser.parse_args(arguments))
    return Demo(**{**given, "train_arguments": tuple(given["train_arguments"])})


def main() -> int:
    """Run it and say where everything is."""
    demo = parse()
    try:
        report = run_demo(demo)
    except BlendingNerfError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"\n{demo.source} -> {demo.target}")
    for key, value in report.items():
        print(f"  {key}: {value}")
    print("\nLook at")
    files = ("before_after.mp4", "contact_sheet.png", "report.json", "renders", "capture")
    for path in (*(demo.output / name for name in files), demo.run_folder / "config.yml"):
        print(f"  {path}")
    viewer = [program("ns-viewer"), "--load-config", str(demo.run_folder / "config.yml")]
    print(f"and move the strengths in the viewer:\n  {shlex.join(viewer)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
