"""`blending-nerf compare`: scenes x edits x methods x seeds, run, resumed, and printed as a Markdown table."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional, Tuple

import tyro
from typing_extensions import Annotated

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.runs.atomic import writable


def words_in(flags: str) -> Tuple[str, ...]:
    """Flags that were given in one string.

    Raises:
        BlendingNerfError: a quotation in it does not end.

    Example:
        >>> words_in("--pipeline.edit-steps 200 --pipeline.target-text 'a blue ball'")
        ('--pipeline.edit-steps', '200', '--pipeline.target-text', 'a blue ball')
    """
    try:
        return tuple(shlex.split(flags))
    except ValueError as error:
        raise BlendingNerfError(f"the flags {flags!r} cannot be told apart: {error}") from error


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and where it is run."""

    scenes: Tuple[str, ...] = ("demo",)
    """`demo`, which is drawn, or JSON files that say a capture's masks and edits (`examples/scenes/`)."""
    data: Tuple[str, ...] = ()
    """Where the captures lie: NAME=FOLDER for each scene that has a file."""
    methods: Tuple[str, ...] = ("ours", "clip-nerf-finetune", "drawn-anew")
    """`ours`, `clip-nerf-finetune`, `drawn-anew` (what a perfect edit scores, where the scene is drawn), `retouched` (what
    the base's pictures score with the edit painted into them, where masks and known words tell what to paint), and ours with one idea
    taken out: `no-region`, `no-budgets`, `no-directional-loss`, `no-edit-loss`, `no-shading-loss`, `no-base-freezing`,
    `resampled`, or `ablations` for all of these."""
    edits: Tuple[str, ...] = ()
    """Of the scenes' edits, such as `recolour add remove replace`; all if none is named."""
    seeds: Tuple[int, ...] = (0, 1, 2)
    """Of views, crops and weights."""
    work: Path = Path("outputs/table")
    """Captures, bases, runs and logs. What is there is not made again."""
    results: Optional[Path] = None
    """One small JSON file for each run, fit to be committed; `results/` in the work folder if none is named."""
    size: Literal["cpu", "gpu"] = "cpu"
    """Which configurations of the methods."""
    train_flags: str = ""
    """More flags for every ns-train, in one string and behind a "=": --train-flags="--pipeline.edit-steps 200"."""
    base_flags: str = ""
    """More flags for the bases' ns-train alone, likewise."""
    run: bool = True
    """Run what is not there yet; with --no-run the table is printed of what there is."""
    evaluate_flags: str = ""
    """More flags for every `blending-nerf evaluate`: --evaluate-flags="--judge.model ViT-L-14 --judge.pretrained openai"."""


def compare(
    options: Annotated[CompareOptions, tyro.conf.arg(name="")] = CompareOptions(),
) -> None:
    """Run every edit of every scene by every method, and print means and deviations over seeds.

    It may be stopped and started again: finished runs are taken as they are, and a half-finished one goes on. The base of a
    scene is trained once and shared by all methods. Hours on a CPU.

    Args:
        options: what is compared, and where it is run.
    """
    from blending_nerf_ns.comparing.cases import Workplace, table_cells
    from blending_nerf_ns.comparing.methods import OURS, choose_methods, methods
    from blending_nerf_ns.comparing.results import read_result
    from blending_nerf_ns.comparing.running import run_cells
    from blending_nerf_ns.comparing.scenes import read_scenes
    from blending_nerf_ns.comparing.table import markdown

    scenes = read_scenes(options.scenes, options.data)
    cells = table_cells(scenes, options.edits, choose_methods(options.methods, options.size), options.seeds)
    if len({cell.key for cell in cells}) < len(cells):
        raise BlendingNerfError("two of the scenes, edits or seeds have the same name")
    place = Workplace(
        options.work,
        options.results or options.work / "results",
        methods(options.size)[OURS].config,
        *(words_in(flags) for flags in (options.train_flags, options.base_flags, options.evaluate_flags)),
    )
    if not options.run:
        print(markdown([result for cell in cells if (result := read_result(cell, place)) is not None]))
        return
    for folder in (place.work, place.results):
        writable(folder)
    results, failures = run_cells(cells, place)
    print(markdown(results))
    if failures:
        told = "\n".join(f"{key}: {reason}" for key, reason in failures.items())
        raise BlendingNerfError(
            f"{len(failures)} of {len(cells)} runs failed; the others are in {place.results}\n{told}"
        )
