"""A second edit on top of the demo's, each of them switched off in turn, with figures per layer.

    make demo && .venv/bin/python examples/07_a_second_edit.py --demo outputs/demo

The first edit is saved as a file and put under a new run on the same base, which then learns the second one on top. Both are
shown, either is hidden by the run's look, and every picture is rendered by ns-render. What is left when one is hidden must be
what a run without that layer renders: `hidden_is_absent` is the largest difference of the arrays.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from blending_nerf_ns.demo.capture import demo_capture_scene, find_subject
from blending_nerf_ns.demo.commands import environment, program, run
from blending_nerf_ns.demo.measure import hue_fraction, hue_of_text, psnr_outside
from blending_nerf_ns.demo.report import PICTURES, HeldOut, clip_figures, masks, picture_figures, read_held_out
from blending_nerf_ns.demo.run import operations, start_afresh
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.reporting.sheet import contact_sheet


@dataclass
class SecondEdit:
    """What to put on top of the demo's edit."""

    demo: Path = Path("outputs/demo")
    """Folder of a finished demo."""
    source: str = "a green donut"
    """Another object of its scene."""
    target: str = "a yellow donut"
    """What that becomes."""
    output: Path = Path("outputs/two_edits")
    """Where report.json, the sheet and the runs go."""
    method: str = "blending-nerf-cpu"
    """The demo's method."""
    edit_steps: int = 200
    """Of the second edit."""
    train_arguments: tuple[str, ...] = ()
    """More flags for ns-train."""

    @property
    def first_run(self) -> Path:
        """The demo's run."""
        return self.demo / "train" / "demo" / self.method / "run"

    def run_folder(self, name: str) -> Path:
        """Where nerfstudio puts a run of ours."""
        return self.output / "train" / "demo" / self.method / name


def train(edit: SecondEdit, name: str, env: dict[str, str], *flags: str) -> None:
    """A run on the demo's base, with the demo's edit as its lowest layer."""
    shutil.rmtree(edit.run_folder(name), ignore_errors=True)  # of before; ns-train trains over none
    run(
        [
            *(program("ns-train"), edit.method, "--data", str(edit.demo / "capture")),
            *("--output-dir", str(edit.output / "train"), "--experiment-name", "demo", "--timestamp", name),
            *("--vis", "tensorboard", "--pipeline.base-run", str(edit.first_run / "config.yml")),
            *("--pipeline.edits", str(edit.output / "first.edit.safetensors")),
            *flags,
            *edit.train_arguments,
        ],
        env,
    )


def renders(edit: SecondEdit, name: str, run_name: str, env: dict[str, str]) -> HeldOut:
    """The held-out views as ns-render shows the run now."""
    names = [*(f"raw-{output}" for output in PICTURES), "rgb"]
    run(
        [
            *(program("ns-render"), "dataset", "--load-config", str(edit.run_folder(run_name) / "config.yml")),
            *("--output-path", str(edit.output / name), "--split", "test", "--image-format", "png"),
            *("--rendered-output-names", *names),
        ],
        env,
    )
    return read_held_out(edit.demo / "capture", edit.output / name)


def main(edit: SecondEdit) -> dict[str, object]:
    """Train the second edit, render every combination, write report.json and sheet.png."""
    if not (edit.demo / "report.json").exists():
        raise BlendingNerfError(f"{edit.demo} holds no finished demo: run `make demo` first, or name one with --demo")
    demo, scene = json.loads((edit.demo / "report.json").read_text()), demo_capture_scene()
    layers = [(demo["source"], demo["target"]), (edit.source, edit.target)]
    subjects = [find_subject(scene, source) for source, _ in layers]
    if subjects[0] == subjects[1] or demo["target"] == edit.target:
        raise BlendingNerfError(
            f"the demo's own edit is {demo['source']!r} -> {demo['target']!r}: name another --source and --target"
        )
    if edit.demo.resolve().is_relative_to(edit.output.resolve()):
        raise BlendingNerfError(f"--output {edit.output} would empty the demo in {edit.demo}: name another folder")
    start_afresh(edit.output)
    env = environment(edit.output / "bin")

    def ours(*arguments: str) -> None:
        run([program("blending-nerf"), *arguments], env)

    ours("edits", "save", str(edit.first_run), demo["target"], "--output", str(edit.output / "first.edit.safetensors"))
    texts = ("--pipeline.source-text", edit.source, "--pipeline.target-text", edit.target)
    steps = ("--pipeline.edit-steps", str(edit.edit_steps))
    train(edit, "both", env, *texts, *steps, "--pipeline.operations", *operations(edit.source, edit.target))
    train(edit, "first", env, "--pipeline.edit-steps", "0")
    both = edit.run_folder("both")
    views = {
        "both": renders(edit, "both", "both", env),
        "without_second": renders(edit, "without_second", "first", env),
    }
    ours("look", str(both), "--hide", edit.target)
    views["second_hidden"] = renders(edit, "second_hidden", "both", env)
    ours("look", str(both), "--show", edit.target, "--hide", demo["target"])
    views["first_hidden"] = renders(edit, "first_hidden", "both", env)
    shutil.copytree(both, edit.run_folder("second"))
    ours("look", str(edit.run_folder("second")), "--reset")
    ours("edits", "remove", str(edit.run_folder("second")), demo["target"])
    views["without_first"] = renders(edit, "without_first", "second", env)

    report = figures(views, layers, [masks(edit.demo / "capture", scene, i, views["both"].names) for i in subjects])
    (edit.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    sheet(views).save(edit.output / "sheet.png")
    print(json.dumps(report, indent=2))
    return report


def figures(views: dict[str, HeldOut], layers: list[tuple[str, str]], subjects: list[np.ndarray]) -> dict[str, object]:
    """The demo's figures of each layer alone, of both together, and whether a hidden layer is as one that is not there."""
    alone = [views["second_hidden"], views["first_hidden"]]
    per_layer = [
        {
            "source": source,
            "target": target,
            **picture_figures(shown, mine, other, target),
            **clip_figures(shown, source, target),
        }
        for (source, target), shown, mine, other in zip(layers, alone, subjects, subjects[::-1])
    ]
    shown = views["both"].renders
    together: dict[str, object] = {
        target: {"target_hue_fraction": hue_fraction(shown["rgb"], mask, hue_of_text(target))}
        for (_, target), mask in zip(layers, subjects)
    }
    together["psnr_outside"] = psnr_outside(shown["rgb"], shown["original"], subjects[0] | subjects[1])
    absent = {"second": ("second_hidden", "without_second"), "first": ("first_hidden", "without_first")}
    away = {
        name: float(abs(views[hidden].renders["rgb"] - views[without].renders["rgb"]).max())
        for name, (hidden, without) in absent.items()
    }
    return {"layers": per_layer, "together": together, "hidden_is_absent": away}


def sheet(views: dict[str, HeldOut], rows: int = 4):
    """The original, each edit alone, and both, from some held-out views."""
    names = views["both"].names
    chosen = np.linspace(0, len(names) - 1, min(rows, len(names))).round().astype(int)
    columns = {"original": views["both"].renders["original"][chosen]}
    for title, name in (("first alone", "second_hidden"), ("second alone", "first_hidden"), ("both", "both")):
        columns[title] = views[name].renders["rgb"][chosen]
    return contact_sheet(columns, [names[i].removeprefix("test_") for i in chosen])


if __name__ == "__main__":
    try:
        main(tyro.cli(SecondEdit))
    except BlendingNerfError as error:
        sys.exit(str(error))
