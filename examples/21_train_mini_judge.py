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
from typing import Any, Dict, List

import numpy as np
import torch
import tyro
from torch import nn

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
    average = training.Average(student)
    parts: Dict[str, Any] = {"student": student, "optimizer": optimizer, "average": average}
    run = training.Run(settings.data / f"{settings.name}.pt", settings.minutes, parts)
    rng = np.random.default_rng((settings.seed, 0, run.step, team.rank))
    source.rng = np.random.default_rng((settings.seed, 1, run.step, team.rank))
    source.generator.manual_seed(settings.seed + 1 + run.step + 1_000_000 * team.rank)

    seen: List[List[float]] = []
    saved = run.spent
    for step in run.steps():
        run.spent = team.agree(run.spent)
        student.train()
        training.set_learning_rate(optimizer, training.learning_rate(run.done, settings.peak))
        source.ease = training.ease(run.done)
        batch = source.draw(settings.scenes, views=3)
        terms = clip_losses(student, student.look(models.normalize(batch.images)), batch, settings.captions, rng)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        team.share_gradients(student.parameters())
        nn.utils.clip_grad_norm_(student.parameters(), 2.0)
        optimizer.step()
        with torch.no_grad():
            student.clip.logit_scale.clamp_(0, 4.6052)
        average.update(student)
        seen.append([term.item() for term in terms.values()])
        if team.rank > 0:
            continue
        if (step + 1) % 100 == 0:
            means = " ".join(f"{name} {x:.3f}" for name, x in zip(terms, np.mean(seen[-100:], 0)))
            print(f"step {step + 1} {run.spent / 60:.1f} min  {means}", flush=True)
        if run.spent - saved >= 60 * settings.save_every:
            saved = run.spent
            report(run, average, held_out, settings.ship)
    if team.rank == 0:
        report(run, average, held_out, settings.ship)


if __name__ == "__main__":
    main(tyro.cli(Settings))
