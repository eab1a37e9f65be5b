"""Train the mini CLIP that judges edits, on procedural pictures, on CPU cores.

    python examples/21_train_mini_judge.py --minutes 180 --data /tmp/mini
    torchrun --nproc-per-node 2 examples/21_train_mini_judge.py --minutes 100 --data /tmp/mini    # on two cores

The guide (`20_train_mini_guidance.py`) must not score its own work: this model has another architecture, other weights and
another seed from the first number on. It also learns what the guide never meets: how an edit moves a picture, against how its
texts move, which is what direction similarity asks of it. Stop it whenever you like: the same command goes on where it was.
The shipped files are rewritten at every checkpoint.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Literal

import numpy as np
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent))
from mini_guidance import judge, models, training
from mini_guidance.lessons import clip_losses, edit_losses
from mini_guidance.scores import clip_scores, edit_scores

from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.procedural.edited import EditPainter, joined


@dataclass
class Settings:
    """Settings of the training."""

    minutes: float = 180.0
    """Length of the training; the learning rate reaches its end then."""
    data: Path = Path("/tmp/mini_guidance")
    """Folder for traced scenes, textures and checkpoints (about 3 GB); the guide's will do."""
    name: str = "judge"
    """Name of the checkpoint in `data`."""
    ship: bool = True
    """Rewrite the shipped files at every checkpoint."""
    weights: Literal["fresh", "shipped"] = "fresh"
    """Begin from nothing, or go on from the weights in the package (at full difficulty from the first step on)."""
    scenes: int = 8
    """Scenes shaded per step; each gives three pictures."""
    groups: int = 4
    """Scenes per step that are edited; each gives two crops of eight pictures. 0: learn captions alone."""
    edits: int = 4
    """Edits per crop, of the twelve from one picture of it to another."""
    captions: int = 24
    """Captions of the batch's own pictures per step, beside the fixed ones."""
    peak: float = 8.0e-4
    """Highest learning rate."""
    save_every: float = 10.0
    """Minutes between checkpoints."""
    bfloat16: bool = False
    """Multiply the tower's matrices in bfloat16: for processors that have it (AMX)."""
    seed: int = 77_001
    threads: int = 1


def report(run: training.Run, average: training.Average, held_out: Any, ship: bool) -> None:
    """Save the checkpoint, ship the averaged weights and print a few held-out figures."""
    run.save()
    finished = judge.finished_judge(average.state)
    for source in held_out:
        source.rng, _ = np.random.default_rng(5), source.generator.manual_seed(5)
    scores = {
        **clip_scores(finished, held_out[0], pictures=512),
        **edit_scores(finished, EditPainter(held_out[1]), 128),
    }
    if ship:
        judge.export_judge(finished)
        run.save(shipped=True)
    print(f"held out at step {run.step}: { ({k: round(v, 3) for k, v in scores.items()}) }", flush=True)


def prepare(settings: Settings) -> None:
    """Trace what is learned from, unless it is there."""
    training.prepare_data(settings.data)
    for name, scenes, seed in (("edits_val", 400, training.HELD_OUT_SEED + 1), ("edits_train", 8000, settings.seed)):
        training.prepare_edits(settings.data, name, scenes, seed)


@in_one_line()
def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    team = training.Team()
    team.prepare(lambda: prepare(settings))
    source = training.painter(settings.data, "train", settings.seed + 100, judge.IMAGE_SIZE)
    edited = EditPainter(training.painter(settings.data, "edits_train", settings.seed + 200, judge.IMAGE_SIZE, "train"))
    held_out = [training.painter(settings.data, name, 1, judge.IMAGE_SIZE, "val") for name in ("val", "edits_val")]

    student = judge.JudgeStudent()
    if settings.weights == "shipped":
        student.clip.load_state_dict(judge.shipped_state())
    print(f"{sum(p.numel() for p in student.clip.parameters()) / 1e6:.2f} M parameters")
    optimizer = torch.optim.AdamW(training.decay_groups(student, 0.05), lr=1e-4, betas=(0.9, 0.98))
    parts: Dict[str, Any] = {"student": student, "optimizer": optimizer, "average": training.Average(student)}
    start = {"weights": settings.weights, "edits": settings.groups > 0, "seed": settings.seed}
    run = training.Run(settings.data / f"{settings.name}.pt", settings.minutes, parts, start)
    if run.is_over(settings.ship):
        return
    rng = training.seeded(source, settings.seed, run.step, team.rank)
    training.seeded(edited.painter, settings.seed + 500, run.step, team.rank)
    steps = training.Steps(student, optimizer, parts["average"], team)

    saved = run.spent
    look = student.look_in_bfloat16 if settings.bfloat16 else student.look
    for _ in run.steps(team):
        student.train()
        source.ease = 0.0 if settings.weights == "shipped" else training.ease(run.done)
        batch = source.draw(settings.scenes, views=3)
        terms: Dict[str, torch.Tensor] = {}
        if settings.groups:
            edited.painter.ease = source.ease
            groups = edited.draw(settings.groups, views=2)
            batch = joined([groups.batch, batch])
            seen = look(models.normalize(batch.images))
            terms = edit_losses(student, seen.features, groups, settings.edits, rng)
        else:
            seen = look(models.normalize(batch.images))
        terms = {**clip_losses(student, seen, batch, settings.captions, rng), **terms}
        steps.learn(terms, training.learning_rate(run.done, settings.peak))
        if team.rank > 0:
            continue
        steps.say(run, terms)
        if run.spent - saved >= 60 * settings.save_every:
            saved = run.spent
            report(run, steps.average, held_out, settings.ship)
    if team.rank == 0:
        report(run, steps.average, held_out, settings.ship)


if __name__ == "__main__":
    main(tyro.cli(Settings))
