"""Train the mini CLIP that judges edits, on procedural pictures, on CPU cores.

    python examples/21_train_mini_judge.py --minutes 180 --data /tmp/mini
    torchrun --nproc-per-node 2 examples/21_train_mini_judge.py --minutes 100 --data /tmp/mini    # on two cores

The guide (`20_train_mini_guidance.py`) must not score its own work: this model has another architecture, other weights and
another seed from the first number on. Stop it whenever you like: the same command goes on where it was. The shipped files
are rewritten at every checkpoint.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent))
from mini_guidance import judge, models, training
from mini_guidance.lessons import clip_losses
from mini_guidance.scores import clip_scores


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
    scenes: int = 14
    """Scenes shaded per step; each gives three pictures."""
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
    held_out.rng, _ = np.random.default_rng(5), held_out.generator.manual_seed(5)
    scores = clip_scores(finished, held_out, pictures=512)
    if ship:
        judge.export_judge(finished)
    print(f"held out at step {run.step}: { ({k: round(v, 3) for k, v in scores.items()}) }", flush=True)


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    team = training.Team()
    training.prepare_data(settings.data)
    source = training.painter(settings.data, "train", settings.seed + 100, judge.IMAGE_SIZE)
    held_out = training.painter(settings.data, "val", 1, judge.IMAGE_SIZE)

    student = judge.JudgeStudent()
    print(f"{sum(p.numel() for p in student.clip.parameters()) / 1e6:.2f} M parameters")
    optimizer = torch.optim.AdamW(training.decay_groups(student, 0.05), lr=1e-4, betas=(0.9, 0.98))
    parts: Dict[str, Any] = {"student": student, "optimizer": optimizer, "average": training.Average(student)}
    run = training.Run(settings.data / f"{settings.name}.pt", settings.minutes, parts)
    rng = training.seeded(source, settings.seed, run.step, team.rank)
    steps = training.Steps(student, optimizer, parts["average"], team)

    saved = run.spent
    look = student.look_in_bfloat16 if settings.bfloat16 else student.look
    for _ in run.steps():
        run.spent = team.agree(run.spent)
        student.train()
        source.ease = training.ease(run.done)
        batch = source.draw(settings.scenes, views=3)
        terms = clip_losses(student, look(models.normalize(batch.images)), batch, settings.captions, rng)
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
