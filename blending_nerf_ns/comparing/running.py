"""Runs cells: a base for each scene once, then train and evaluate. Whatever is there already is not done again."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Dict, List, Tuple

from filelock import FileLock, Timeout
from tqdm import tqdm

from blending_nerf_ns.comparing.asking import BASE_ALONE, base_flags, edit_flags, how_to_evaluate, join_flags
from blending_nerf_ns.comparing.beforehand import check_measures, check_trainings
from blending_nerf_ns.comparing.cases import DRAWN, RETOUCHED, Cell, SceneCase, Workplace
from blending_nerf_ns.comparing.forked import run_logged
from blending_nerf_ns.comparing.perfect import score_perfect
from blending_nerf_ns.comparing.places import fill_for_scene
from blending_nerf_ns.comparing.results import (
    Result,
    capture_fingerprint,
    fingerprint,
    read_result,
    settings,
    training_fingerprint,
    write_result,
)
from blending_nerf_ns.comparing.retouched import score_retouched
from blending_nerf_ns.comparing.scoring import parse_options
from blending_nerf_ns.demo.commands import environment
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.atomic import replacing

MODELS = "nerfstudio_models"
DONE = "done.json"
"""Says which of a run's attempts came to its end."""
FOREVER = -1.0
"""How long to wait for another process."""


class BaseFailed(BlendingNerfError):
    """The base of a scene could not be trained: none of its cells can be."""


def run_cells(cells: Sequence[Cell], place: Workplace) -> Tuple[List[Result], Dict[str, str]]:
    """Run what is not there yet. Several processes may share a work folder: each takes the next cell that no other is at.

    Args:
        cells: in the order in which they are run; those that another process is at come last.
        place: where.

    Returns:
        the results, and by cell why there is none: one that fails does not stop the others.

    Raises:
        BlendingNerfError: a result that is there was made with other settings, or there is nothing to do, or not so.
    """
    if not cells:
        raise BlendingNerfError(
            "there is nothing to run: drawn-anew alone wants a scene whose edits are drawn, as the demo's, and retouched a "
            "scene with masks and words that can be painted"
        )
    found = {cell.key: read_result(cell, place) for cell in cells}
    failures: Dict[str, str] = {}
    baseless: Dict[str, str] = {}
    todo = [cell for cell in cells if found[cell.key] is None]
    check_measures(todo, place)
    check_trainings(todo, place)
    bar = tqdm(total=len(cells), initial=len(cells) - len(todo), desc="Table", unit="run", dynamic_ncols=True)
    for patience in (0, FOREVER):  # first what nobody is at, then what others leave undone
        for cell in [cell for cell in todo if found[cell.key] is None and cell.key not in failures]:
            bar.set_postfix_str(cell.key)
            try:
                if cell.scene.name in baseless and cell.method.name != DRAWN:
                    raise BlendingNerfError(f"{cell.scene.name} has no base: {baseless[cell.scene.name]}")
                with only_here(place, cell.key, patience):
                    found[cell.key] = read_result(cell, place) or run_cell(cell, place)
            except Timeout:
                continue
            except BaseFailed as error:
                failures[cell.key] = baseless[cell.scene.name] = str(error)
            except BlendingNerfError as error:
                failures[cell.key] = str(error)
            except Exception as error:  # of a disk, a device, a library: other cells may fare better
                failures[cell.key] = repr(error) + _noted(error, log_of(cell, place))
            if cell.key in failures:  # hours before the last one is done
                tqdm.write(f"{cell.key}: {failures[cell.key]}", file=sys.stderr)
            bar.update()
    bar.close()
    return [result for result in found.values() if result is not None], failures


def log_of(cell: Cell, place: Workplace) -> Path:
    """What is said while a cell is made."""
    return place.work / "logs" / f"{cell.key}.log"


def _noted(error: Exception, log: Path) -> str:
    """Write where an error came from to the end of a log, and say so; of a full disk there is nothing to say."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return ""
    return f"; more of it is in {log}"


def only_here(place: Workplace, name: str, patience: float = FOREVER) -> FileLock:
    """What is done in this context is done by one process at a time, of all that share a work folder.

    Args:
        place: has the folder.
        name: of what is done.
        patience: seconds to wait for another process; then filelock's Timeout is raised. Below 0 forever.
    """
    folder = place.work / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock", timeout=patience)


def run_cell(cell: Cell, place: Workplace) -> Result:
    """Train and evaluate one cell, or go on where an earlier attempt stopped; writes its result."""
    made_with = settings(cell, place)
    if cell.method.name == DRAWN:
        assert cell.scene.drawing is not None, "only what is drawn can be drawn anew"
        report = score_perfect(cell.scene.drawing, cell.edit, parse_options(how_to_evaluate(cell, place)))
        return write_result(cell, place, made_with, report, {}, 1)
    log = log_of(cell, place)
    env = environment(place.work / "bin")
    capture = find_capture(cell.scene, place)
    with only_here(place, f"{cell.scene.name}__base"):
        try:
            base = train_base(cell.scene, capture, place, env)
        except BlendingNerfError as error:
            raise BaseFailed(str(error)) from error
    if cell.method.name == RETOUCHED:
        return write_result(cell, place, made_with, retouch(cell, base, capture, place, log), {}, 1)
    attempts = place.work / "runs" / cell.experiment / cell.method.config
    run = train(
        [
            cell.method.config,
            *edit_flags(cell),
            *kept_regions(cell, place),
            "--pipeline.base-run",
            str(base / "config.yml"),
        ],
        capture,
        attempts,
        f"seed{cell.seed}-{training_fingerprint(cell, place)}",
        join_flags(cell.scene.train_flags, place.train_flags, fill_for_scene(cell.method.flags, base, capture)),
        log,
        env,
    )
    report = evaluate(cell, run, capture, place, log, env)
    stages = run / "stages.json"  # missing where nothing was left to do after a resume
    seconds = json.loads(stages.read_text()) if stages.exists() else {}
    return write_result(cell, place, made_with, report, seconds, int(run.suffix[1:]) + 1)


def find_capture(scene: SceneCase, place: Workplace) -> Path:
    """A scene's photos, drawn if they are to be."""
    if scene.drawing is None:
        if scene.capture is None:
            raise BlendingNerfError(f"the scene {scene.name} has neither a capture nor a way to draw one")
        return scene.capture
    folder = (place.work / "captures" / f"{scene.name}-{scene.drawing.fingerprint()}").resolve()
    with only_here(place, f"{scene.name}__capture"):
        if not (folder / "transforms.json").exists():  # it is written last
            scene.drawing.write(folder)
    return folder


def train_base(scene: SceneCase, capture: Path, place: Workplace, env: Dict[str, str]) -> Path:
    """The base that all runs of a scene share."""
    attempts = place.work / "bases" / scene.name / place.base_config
    said = base_flags(scene, place)
    flags = [word for part in said for word in part]
    log = place.work / "logs" / f"{scene.name}__base.log"
    return train(
        [place.base_config],
        capture,
        attempts,
        f"base-{fingerprint([*flags, scene.drawing.fingerprint() if scene.drawing else capture_fingerprint(capture)])}",
        join_flags(*said, BASE_ALONE),
        log,
        env,
    )


def kept_regions(cell: Cell, place: Workplace) -> List[str]:
    """Seeds share what is found of an edit, and so do methods, unless their own flags say where it is."""
    folder = (place.work / "regions" / cell.scene.name).resolve()
    return ["--pipeline.region.kept", str(folder)] if cell.method.has_region else []


def train(
    method: Sequence[str],
    capture: Path,
    attempts: Path,
    name: str,
    flags: Sequence[str],
    log: Path,
    env: Dict[str, str],
) -> Path:
    """A finished run: as it is there, or resumed, or from its beginning.

    Args:
        method: ns-train's method and first flags.
        capture: the photos.
        attempts: OUTPUT/EXPERIMENT/METHOD, where nerfstudio puts a run's folder.
        name: of the run; each further attempt gets a number.
        flags: more of ns-train's.
        log: what it says goes here.
        env: of the process.

    Returns:
        The run's folder.
    """
    done = attempts / f"{name}-{DONE}"
    if done.exists():
        run = attempts / json.loads(done.read_text())["folder"]
        if run.is_dir():  # a run takes gigabytes, and may be gone
            return run
    earlier = sorted(attempts.glob(f"{name}.*"), key=lambda folder: int(folder.suffix[1:]))
    whole = [folder for folder in earlier if any((folder / MODELS).glob("step-*.ckpt"))]
    attempt = f"{name}.{int(earlier[-1].suffix[1:]) + 1 if earlier else 0}"
    where = ["--output-dir", str(attempts.parent.parent), "--experiment-name", attempts.parent.name]
    resumed = ["--load-dir", str(whole[-1] / MODELS)] if whole else []
    quiet = ["--vis", "tensorboard", "--viewer.quit-on-train-completion", "True"]
    data = ["--data", str(capture), *where, "--timestamp", attempt]
    run_logged(["ns-train", *method, *data, *quiet, *resumed, *flags], log, env)
    with replacing(done) as partial:
        partial.write_text(json.dumps({"folder": attempt}) + "\n")
    return attempts / attempt


def retouch(cell: Cell, base: Path, capture: Path, place: Workplace, log: Path) -> Result:
    """The report of a painted edit; its pictures lie in the work folder."""
    options = parse_options([word.replace("{capture}", str(capture)) for word in how_to_evaluate(cell, place)])
    log.parent.mkdir(parents=True, exist_ok=True)
    sheet = place.work / RETOUCHED / f"{cell.key}.png"
    with log.open("a") as said, redirect_stdout(said), redirect_stderr(said):
        return score_retouched(base, capture, cell.edit, cell.seed, options, sheet)


def evaluate(cell: Cell, run: Path, capture: Path, place: Workplace, log: Path, env: Dict[str, str]) -> Result:
    """The report of a finished run: held-out views, the scene's masks, no sweep."""
    flags = [word.replace("{capture}", str(capture)) for word in how_to_evaluate(cell, place)]
    run_logged(["blending-nerf", "evaluate", str(run), "--data", str(capture), *flags], log, env)
    return json.loads((run / "evaluation" / "report.json").read_text())
