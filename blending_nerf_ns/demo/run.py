"""The demo from beginning to end: capture, ns-train, ns-render, figures, contact sheet."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blending_nerf_ns.demo.capture import (
    CaptureShape,
    demo_capture_scene,
    find_subject,
    object_name,
    write_capture,
)
from blending_nerf_ns.demo.commands import environment, program, run
from blending_nerf_ns.demo.path import camera_path
from blending_nerf_ns.demo.report import (
    PICTURES,
    clip_figures,
    demo_sheet,
    masks,
    pick_distractor,
    picture_figures,
    read_held_out,
)
from blending_nerf_ns.errors import BlendingNerfError, naming_flags_as
from blending_nerf_ns.procedural.words import ARTICLES, COLOUR_NAMES, without_synonyms

QUICK_BASE = (
    *("--pipeline.model.base.num-levels", "6", "--pipeline.model.base.max-res", "512"),
    *("--pipeline.model.base.log2-hashmap-size", "15", "--pipeline.model.base.hidden-dim", "32"),
    *("--pipeline.model.base.hidden-dim-color", "32", "--pipeline.model.base.num-proposal-samples-per-ray", "48"),
    *("--pipeline.model.base.num-nerf-samples-per-ray", "24", "--pipeline.base-steps", "420"),
    *("--pipeline.edit-steps", "200"),
)
"""A drawn scene needs a smaller base than a photographed one, and less patience."""
MARKER = ".blending-nerf-demo"
"""Lies in a folder that a demo filled, and that the next one may therefore empty."""


@dataclass(frozen=True)
class Demo:
    """What to edit, how, and where everything goes."""

    source: str = "a red ball"
    """The object of the demo's scene that is edited."""
    target: str = "a blue ball"
    """What it becomes."""
    output: Path = Path("outputs/demo")
    """Folder of everything; emptied first."""
    method: str = "blending-nerf-cpu"
    """Method configuration."""
    shape: CaptureShape = field(default_factory=CaptureShape)
    """The capture."""
    video_size: int = 96
    """Width and height of one half of the video, in pixels."""
    video_frames: int = 60
    """Frames of the video."""
    train_arguments: Sequence[str] = ()
    """More flags for ns-train; they win over the demo's own."""

    @property
    def capture(self) -> Path:
        """The capture's folder."""
        return self.output / "capture"

    @property
    def run_folder(self) -> Path:
        """Where nerfstudio puts the run."""
        return self.output / "train" / "demo" / self.method / "run"


def start_afresh(folder: Path) -> None:
    """Empty a demo's folder, or make one.

    Raises:
        BlendingNerfError: the folder holds something that no demo put there, or that cannot be deleted.
    """
    folder = folder.resolve()  # a link's own place stays
    if folder.exists() and not folder.is_dir():
        raise BlendingNerfError(f"{folder} is a file; name a folder with --output")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise BlendingNerfError(f"{folder} holds files that no demo wrote; name another folder with --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).touch()
        for one in folder.iterdir():  # not the folder: something may be mounted there, or somebody be in it
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one)
            elif one.name != MARKER:
                one.unlink()
    except OSError as error:
        raise BlendingNerfError(
            f"{folder} cannot be made or emptied ({error}); name another folder with --output"
        ) from error


def run_demo(demo: Demo) -> dict[str, object]:
    """Do all of it.

    Returns:
        The report, which is also in `report.json`.

    Raises:
        BlendingNerfError: the source text names no object of the scene, the target says nothing else, there is no such method or size
            of a video, or a command failed.
    """
    from blending_nerf_ns.commands.like import settings_of  # imports much of nerfstudio, as below
    from blending_nerf_ns.training.checking import check_texts

    started = time.perf_counter()
    scene = demo_capture_scene()
    subject = find_subject(scene, demo.source)
    distractor = pick_distractor(scene, subject)
    with naming_flags_as("--target", "--pipeline.target-text"):
        check_texts(demo.source, demo.target)  # what ns-train would refuse does not cost the demo before it
    with naming_flags_as("--method", "--like"):
        settings_of(demo.method)
    if demo.video_size < 2:
        raise BlendingNerfError(f"--video-size {demo.video_size}: a picture has at least 2 pixels along its side")
    program("ns-train")
    start_afresh(demo.output)
    write_capture(demo.capture, scene, subject, demo.shape)
    seconds = {"data": time.perf_counter() - started}

    env = environment(demo.output / "bin")
    train(demo, env)
    stages = json.loads((demo.run_folder / "stages.json").read_text())
    seconds |= {name: stages.get(f"{name}_seconds", 0.0) for name in ("base", "region", "edit")}  # a base may be given
    seconds["render"] = render(demo, env)

    measuring = time.perf_counter()
    views = read_held_out(demo.capture, demo.output / "renders")
    demo_sheet(views).save(demo.output / "contact_sheet.png")
    subject_mask, distractor_mask = (masks(demo.capture, scene, i, views.names) for i in (subject, distractor))
    from blending_nerf_ns.demo.exactness import measure_exactness  # imports nerfstudio's trainer, which takes seconds

    figures = {
        **picture_figures(views, subject_mask, distractor_mask, demo.target),
        **measure_exactness(demo.run_folder / "config.yml"),
        **clip_figures(views, demo.source, demo.target),
    }
    seconds["measure"] = time.perf_counter() - measuring
    total = time.perf_counter() - started
    seconds["start_up"] = total - sum(seconds.values())
    seconds["total"] = total
    report = {
        "source": demo.source,
        "target": demo.target,
        "subject": object_name(scene.things[subject]),
        "distractor": object_name(scene.things[distractor]),
        "method": demo.method,
        "held_out_views": len(views.names),
        "smallest_subject_share": float(subject_mask.mean(axis=(1, 2)).min()),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        **figures,
    }
    (demo.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def operations(source: str, target: str) -> tuple[str, ...]:
    """What the edit may do: where only a colour word differs, nothing needs to grow or vanish.

    Example:
        >>> operations("my red ball", "a violet sphere")
        ('change',)
    """

    def rest(text: str) -> list[str]:
        return [word for word in without_synonyms(text) if word not in (*COLOUR_NAMES, *ARTICLES)]

    return ("change",) if rest(source) == rest(target) else ("add", "remove", "change")


def train(demo: Demo, env: dict[str, str]) -> None:
    """Base, region and edit in one ns-train."""
    run(
        [
            program("ns-train"),
            demo.method,
            *("--data", str(demo.capture)),
            *("--output-dir", str(demo.output / "train")),
            *("--experiment-name", "demo"),
            *("--timestamp", "run"),
            *("--vis", "tensorboard"),
            *("--pipeline.source-text", demo.source),
            *("--pipeline.target-text", demo.target),
            *("--pipeline.operations", *operations(demo.source, demo.target)),
            *(QUICK_BASE if demo.method == Demo.method else ()),
            *demo.train_arguments,
        ],
        env,
    )


def render(demo: Demo, env: dict[str, str]) -> float:
    """Held-out views as pictures and arrays, and the video; seconds of both."""
    config = str(demo.run_folder / "config.yml")
    names = [*PICTURES, "region_overlay", *(f"raw-{name}" for name in PICTURES)]
    views = run(
        [
            *(program("ns-render"), "dataset"),
            *("--load-config", config),
            *("--output-path", str(demo.output / "renders")),
            *("--split", "test"),
            *("--image-format", "png"),
            *("--rendered-output-names", *names),
        ],
        env,
    )
    path = demo.output / "camera_path.json"
    path.write_text(json.dumps(camera_path(demo.run_folder, demo.shape, demo.video_size, demo.video_frames), indent=1))
    video = run(
        [
            *(program("ns-render"), "camera-path"),
            *("--load-config", config),
            *("--camera-path-filename", str(path)),
            *("--output-path", str(demo.output / "before_after.mp4")),
            *("--rendered-output-names", "original", "rgb"),
        ],
        env,
    )
    return views + video
