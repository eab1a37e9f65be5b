"""Train the mini CLIPSeg and the mini CLIP that ship with the package, on procedural pictures, on CPU cores.

    python examples/20_train_mini_guidance.py --minutes 240 --data /tmp/mini
    torchrun --nproc-per-node 2 examples/20_train_mini_guidance.py --minutes 120 --data /tmp/mini    # on two cores

Both learn at once, from one vision tower. Stop it whenever you like: the same command goes on where it was, and
`--weights shipped` goes on from the weights in the package. The shipped files are rewritten at every checkpoint. Where the
CLIPSeg is good enough, the CLIP goes on alone, on larger pictures:

    torchrun --nproc-per-node 2 examples/20_train_mini_guidance.py --weights shipped --queries 0 --name clip --minutes 75
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
from mini_guidance import models, objectives, training
from mini_guidance.gates import learn_words, phrases, set_gates
from mini_guidance.lessons import clip_losses
from mini_guidance.queries import draw_queries, query_masks
from mini_guidance.scores import clip_scores, clipseg_scores
from mini_guidance.students import Seen, Students, finished

from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.procedural.batches import Batch, Painter


@dataclass
class Settings:
    """Settings of the training."""

    minutes: float = 240.0
    """Length of the training; the learning rate reaches its end then."""
    data: Path = Path("/tmp/mini_guidance")
    """Folder for traced scenes, textures and checkpoints (about 3 GB)."""
    weights: Literal["fresh", "shipped"] = "fresh"
    """What the first step starts from: random weights, or those in the package."""
    name: str = "mini"
    """Name of the checkpoint in `data`."""
    ship: bool = True
    """Rewrite the shipped files at every checkpoint."""
    scenes: int = 16
    """Scenes shaded per step; each gives three pictures."""
    queries: int = 3
    """Texts per picture that the CLIPSeg is asked for. With 0 the CLIP learns alone and the CLIPSeg is left as it was."""
    captions: int = 24
    """Captions of the batch's own pictures per step that the CLIP is asked for, beside the fixed ones."""
    peak: float = 1.0e-3
    """Highest learning rate."""
    gates_at: int = 1500
    """Step at which the decoder is taught to read its text, see `mini_guidance.gates`: the heads are good enough then.
    Without effect on shipped weights, whose decoder reads."""
    save_every: float = 10.0
    """Minutes between checkpoints."""
    seed: int = 0
    threads: int = 1


def losses(students: Students, batch: Batch, settings: Settings, rng: np.random.Generator) -> Dict[str, torch.Tensor]:
    """Everything that one batch teaches."""
    seen = students.look(models.normalize(batch.images))
    return {
        **(_mask_loss(students, seen, batch, settings, rng) if settings.queries else {}),
        **clip_losses(students, seen, batch, settings.captions, rng),
    }


def _mask_loss(
    students: Students, seen: Seen, batch: Batch, settings: Settings, rng: np.random.Generator
) -> Dict[str, torch.Tensor]:
    texts, items = draw_queries(batch.facts, settings.queries, rng)
    unique = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    asked = students.query(list(unique))[[unique[text] for text in texts]]
    masks = students.segment(seen.states, asked, settings.queries)
    return {"mask": objectives.mask_loss(masks, query_masks(batch, items))}


def open_gates(students: Students, rng: np.random.Generator) -> None:
    """Teach the CLIPSeg's decoder to read its text."""
    fresh = models.build_clipseg().clip
    students.clipseg.clip.text_model.load_state_dict(fresh.text_model.state_dict())
    students.clipseg.clip.text_projection.load_state_dict(fresh.text_projection.state_dict())
    loss_words = learn_words(students.clipseg, students.query, 300, rng)
    texts, gates, left_open = phrases(1500, rng)
    with torch.no_grad():
        features = students.query(texts)
    error = set_gates(students.clipseg, students.cells, features, gates, left_open)
    print(f"gates set: words {loss_words:.3f}, error of the gates {error:.3f}", flush=True)


def report(run: training.Run, average: training.Average, held_out: Painter, settings: Settings) -> None:
    """Save the checkpoint, ship the averaged weights and print a few held-out figures."""
    run.save()
    clipseg, clip = finished(average.state, models.LAYERS)
    held_out.rng, _ = np.random.default_rng(5), held_out.generator.manual_seed(5)
    scores = clip_scores(clip, held_out, pictures=512)
    if settings.queries:
        scores.update(clipseg_scores(clipseg, held_out, pictures=256))
    if settings.ship:
        models.export_clip(clip.state_dict())
        if settings.queries:
            models.export_clipseg(clipseg)
        run.save(shipped=True)
    print(f"held out at step {run.step}: { ({k: round(v, 3) for k, v in scores.items()}) }", flush=True)


@in_one_line()
def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    team = training.Team()
    team.prepare(lambda: training.prepare_data(settings.data))
    alone = settings.queries == 0
    size = models.CLIP_IMAGE_SIZE if alone else models.IMAGE_SIZE
    source = training.painter(settings.data, "train", settings.seed + 100, size)
    held_out = training.painter(settings.data, "val", 1, size)

    students = Students(size)
    if settings.weights == "shipped":
        students.start_from_shipped(of_clip=alone)
    print(f"{sum(p.numel() for p in students.parameters()) / 1e6:.2f} M parameters")
    optimizer = torch.optim.AdamW(training.decay_groups(students, 0.05), lr=1e-4, betas=(0.9, 0.98))
    parts: Dict[str, Any] = {"students": students, "optimizer": optimizer, "average": training.Average(students)}
    start = {"weights": settings.weights, "alone": alone, "size": size, "seed": settings.seed}
    run = training.Run(settings.data / f"{settings.name}.pt", settings.minutes, parts, start)
    if run.is_over(settings.ship):
        return
    rng = training.seeded(source, settings.seed, run.step, team.rank)
    steps = training.Steps(students, optimizer, parts["average"], team)

    saved = run.spent
    for step in run.steps(team):
        if step == settings.gates_at and settings.weights == "fresh":
            open_gates(students, rng)
            team.share_weights(students)
            optimizer.state.clear()
            parts["average"] = steps.average = training.Average(students)
        students.train()
        source.ease = training.ease(run.done) if settings.weights == "fresh" else 0.0
        terms = losses(students, source.draw(settings.scenes, views=3), settings, rng)
        steps.learn(terms, training.learning_rate(run.done, settings.peak))
        if team.rank > 0:
            continue
        steps.say(run, terms)
        if run.spent - saved >= 60 * settings.save_every:
            saved = run.spent
            report(run, steps.average, held_out, settings)
    if team.rank == 0:
        report(run, steps.average, held_out, settings)


if __name__ == "__main__":
    main(tyro.cli(Settings))
