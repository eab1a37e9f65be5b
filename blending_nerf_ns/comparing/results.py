"""Results of cells: small JSON files, fit to be committed, that say by which settings they were made."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Dict, Optional

from blending_nerf_ns.comparing.brush import BRUSH
from blending_nerf_ns.comparing.cases import DRAWN, REGION_PLACES, RETOUCHED, Cell, Workplace
from blending_nerf_ns.comparing.scoring import parse_options
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.atomic import replacing

FORMAT = "blending-nerf table 1"
PHOTOS = {".png", ".jpg", ".jpeg"}
SCALED = re.compile(r"images_\d+$")
"""Folders of downscaled copies, as nerfstudio makes them."""

Result = Mapping[str, Any]


def read_result(cell: Cell, place: Workplace) -> Optional[Result]:
    """A cell's result, if it is there.

    Raises:
        BlendingNerfError: it was made with other settings, so that a table would mix two things.
    """
    path = place.results / f"{cell.key}.json"
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text())
        was, _ = dict(result["settings"]), dict(result["metrics"])
    except (ValueError, KeyError, TypeError) as error:
        raise BlendingNerfError(f"{path} is no result, or not all of one ({error!r}); move it away") from error
    wanted = settings(cell, place)
    if "contents" not in was:  # results of before they were kept, and of before the photos were among them
        del wanted["contents"]
    elif "capture" not in was["contents"]:
        wanted["contents"].pop("capture", None)
    other = sorted(name for name, value in wanted.items() if was.get(name) != value)
    if other:
        told = "; ".join(f"{name} was {was.get(name)}, is {wanted[name]}" for name in other)
        raise BlendingNerfError(f"{path} was made with other settings ({told}); move it away or name other --results")
    return result


def settings(cell: Cell, place: Workplace) -> Dict[str, Any]:
    """All that a cell's figures depend on; no place on a disk: another may go on with what is committed."""
    names = ("train_flags", "base_flags", "evaluate_flags")
    flags = {name: [without_folder(word) for word in getattr(place, name)] for name in names}
    said = cell.settings
    said["flags"] = [without_folder(word) for word in said["flags"]]
    if "region" in said["edit"]:
        region = said["edit"]["region"]
        said["edit"]["region"] = region | {
            name: f"{path.name} {hash_of(path) if path.exists() else 'missing'}"
            for name, path in ((name, Path(region[name])) for name in REGION_PLACES if name in region)
        }
    if cell.method.name == DRAWN and cell.scene.drawing is not None:
        drawn = cell.scene.drawing.fingerprint(cell.edit.name)
        said = {**said, "drawn": drawn, "evaluate_flags": flags["evaluate_flags"]}
    else:
        said = {**said, "base_config": place.base_config, **flags}
    if cell.method.name == RETOUCHED and cell.edit.wish is not None:
        said["painted"] = {**cell.edit.wish._asdict(), "brush": BRUSH._asdict()}
    return json.loads(json.dumps({**said, "contents": contents(cell, place)}))  # as it is read again: a tuple is a list


def contents(cell: Cell, place: Workplace) -> Dict[str, str]:
    """What is in the files that a cell is measured by, and in the scene that is drawn for it: a name alone does not tell."""
    options = parse_options(place.evaluate_flags)
    files = {"masks": cell.scene.masks_path, "prompts": options.prompts_file, "judge": options.judge.weights}
    found = {name: hash_of(path) for name, path in files.items() if path is not None and path.exists()}
    if cell.scene.capture is not None:
        found["capture"] = capture_fingerprint(cell.scene.capture)
    return found if cell.scene.drawing is None else {**found, "drawing": cell.scene.drawing.fingerprint()}


def hash_of(path: Path) -> str:
    """A few letters for a file, or for all files of a folder and their names."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    told = hashlib.sha256()
    for file in files:
        told.update(file.relative_to(path).as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return told.hexdigest()[:12]


def without_folder(word: str) -> str:
    """A word of a command line; of a file that is there, or of a folder named in full, its name and a few letters for what is in it, for
    many weights have one name.

    Example:
        >>> without_folder("ViT-L-14"), without_folder(__file__).partition(" ")[0]
        ('ViT-L-14', 'results.py')
        >>> without_folder(f"--weights={__file__}").partition(" ")[0]
        '--weights=results.py'
    """
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value).expanduser()
    try:
        named = path.exists() if path.is_absolute() else bool(path.suffix or os.sep in value) and path.is_file()
    except OSError:  # a text that is too long for a name
        named = False
    if not named:
        return word
    return f"{flag}{equals}{path.name} {_read_once(path.resolve(), path.stat().st_mtime_ns)}"


@functools.cache
def _read_once(path: Path, changed: int) -> str:
    if path.is_file():
        return hash_of(path)
    return fingerprint(sorted((str(f.relative_to(path)), f.stat().st_size) for f in path.rglob("*") if f.is_file()))


def capture_fingerprint(capture: Path) -> str:
    """A few letters for a capture: its cameras, and names and sizes of its photos."""
    listed = capture / "transforms.json"
    if not listed.is_file():
        # not what is made of it: downscaled copies, and camera paths of the viewer
        photos = (
            file for file in capture.rglob("*") if file.suffix.lower() in PHOTOS and not SCALED.match(file.parent.name)
        )
        files = {file for file in [*capture.glob("*"), *photos] if file.is_file()}
        return fingerprint(sorted((file.relative_to(capture).as_posix(), file.stat().st_size) for file in files))
    frames = json.loads(listed.read_text()).get("frames", [])
    photos = [capture / str(frame.get("file_path", "")) for frame in frames]
    return fingerprint([hash_of(listed), [photo.stat().st_size for photo in photos if photo.is_file()]])


def training_fingerprint(cell: Cell, place: Workplace) -> str:
    """Tells runs apart that were trained otherwise, so that none is taken for another."""
    said = settings(cell, place)
    measured = ("masks", "development", "evaluate_flags", "contents")
    edit = {name: value for name, value in said["edit"].items() if name not in ("room", "subject")}
    trained = {name: value for name, value in said.items() if name not in measured}
    seen = {name: said["contents"].get(name) for name in ("drawing", "capture")}
    return fingerprint(trained | {"edit": edit} | seen)


def fingerprint(values: Any) -> str:
    """A few letters for plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def write_result(
    cell: Cell, place: Workplace, made_with: Result, report: Result, seconds: Mapping[str, float], attempts: int
) -> Result:
    """What the table needs of a cell, as a file.

    Args:
        cell: what was made.
        place: where results lie.
        made_with: its `settings` before anything was made: a file that is changed meanwhile was not what it is of.
        report: what `blending-nerf evaluate` said of it.
        seconds: that its stages took.
        attempts: that there were.

    Raises:
        BlendingNerfError: its judge could not be loaded.
    """
    if not report["judge"]["available"]:  # a result without its figures would stand there for good
        raise BlendingNerfError(f"{cell.key} is made and not scored: {report['judge']['reason']}")
    result = {
        "format": FORMAT,
        "settings": made_with,
        "code": code_version(),
        **compact(report, seconds),
        "attempts": attempts,
    }
    with replacing(place.results / f"{cell.key}.json") as partial:
        partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


@functools.cache
def code_version() -> str:
    """Of this package: the commit where it lies in a clone ("+" where files were changed since), else the installed version. It is told
    and not compared, the small models that guide included: most commits change no figure."""
    clone, git = Path(__file__).resolve().parents[2], shutil.which("git")
    if git is None or not (clone / ".git").exists():
        return version("blending_nerf_ns")
    describe = [git, "-C", str(clone), "describe", "--always", "--dirty=+", "--exclude=*"]
    told = subprocess.run(describe, capture_output=True, text=True, check=False)
    # git refuses another user's clone
    return told.stdout.strip() if told.returncode == 0 else version("blending_nerf_ns")


def compact(report: Result, stages: Mapping[str, float]) -> Dict[str, Any]:
    """What a table needs of a report: figures, by what they were measured, and a sweep where one was asked for; no places, no losses."""
    metrics = report["metrics"]
    return {
        "metrics": {name: metric["value"] for name, metric in metrics.items()},
        "doing_nothing": {name: metric["unedited"] for name, metric in metrics.items()},
        "left_out": {name: metric["reason"] for name, metric in metrics.items() if metric["reason"]},
        "guide": report["guide"]["name"],
        "judge": report["judge"]["name"],
        "views": {name: report["views"][name] for name in ("kind", "names", "height", "width")},
        "mask_dilation": report["masks"]["dilation"],
        "prompt_pool": report["prompt_pool"],
        "warnings": report["warnings"],
        "seconds": {
            name.removesuffix("_seconds"): round(value, 1)
            for name, value in stages.items()
            if name.endswith("_seconds")
        },
        "edit_steps": stages.get("edit_steps"),
        **({"sweep": report["sweep"]} if report.get("sweep") else {}),
    }
