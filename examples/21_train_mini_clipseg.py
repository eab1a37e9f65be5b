"""Train the mini CLIPSeg that ships with the package, on procedural pictures, on one CPU core.

    python examples/21_train_mini_clipseg.py --minutes 75 --data /tmp/mini

Shares its data with 20_train_mini_clip.py. Stop it whenever you like: the same command goes on where it was. The
shipped files are rewritten at every checkpoint.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from mini_guidance import models, training
from mini_guidance.gates import learn_words, phrases, set_gates
from mini_guidance.queries import cell_targets, draw_queries, query_masks
from mini_guidance.scores import clipseg_scores

from blending_nerf_ns.procedural import words

COLOURS, SHAPES = len(words.COLOUR_NAMES), len(words.SHAPE_NAMES)


@dataclass
class Settings:
    """Settings of the training."""

    minutes: float = 75.0
    """Length of the training; the learning rate reaches its end then."""
    data: Path = Path("/tmp/mini_guidance")
    """Folder for traced scenes, textures and checkpoints (about 3 GB)."""
    scenes: int = 16
    """Scenes shaded per step; each gives three pictures."""
    queries: int = 3
    """Texts per picture."""
    patch: int = 8
    width: int = 192
    layers: int = 4
    peak: float = 1.0e-3
    """Highest learning rate."""
    gates_at: int = 1500
    """Step at which the decoder is taught to read its text, see `mini_guidance.gates`: the heads are good enough then."""
    save_every: float = 5.0
    """Minutes between checkpoints."""
    name: str = "mini_clipseg"
    """Name of the checkpoint; only the run called mini_clipseg rewrites the shipped files."""
    seed: int = 0
    threads: int = 1


def vision(model, pixels: Tensor) -> List[Tensor]:
    """Hidden states [B, 1 + tokens, width] after each layer: CLIPSeg's own forward runs its towers without gradient."""
    tower = model.clip.vision_model
    x = tower.pre_layrnorm(tower.embeddings(pixels))
    states = []
    for layer in tower.encoder.layers:
        x = layer(x, None)
        x = x[0] if isinstance(x, tuple) else x
        states.append(x)
    return states


def segment(model, states: List[Tensor], texts: Tensor, queries: int) -> Tensor:
    """Mask logits [B, Q, S, S] for `queries` texts [B * Q, D] of each picture."""
    activations = [states[i].repeat_interleave(queries, 0) for i in model.extract_layers]
    return model.decoder(activations, texts).logits.unflatten(0, (-1, queries))


def text_features(model, tokens: Tensor) -> Tensor:
    """Projected text features [T, D]."""
    return model.clip.text_projection(model.clip.text_model(tokens).pooler_output)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross entropy, and dice where the query is in the picture; both [B, Q, S, S]."""
    bce = F.binary_cross_entropy_with_logits(logits, target)
    p = logits.sigmoid()
    overlap, total = (p * target).sum((-1, -2)), (p + target).sum((-1, -2))
    present = (target.sum((-1, -2)) > 4).float()
    dice = ((1 - (2 * overlap + 1) / (total + 1)) * present).sum() / present.sum().clamp_min(1)
    return 3 * bce + 0.5 * dice


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    training.prepare_data(settings.data)
    source = training.painter(settings.data, "train", settings.seed + 100)
    held_out = training.painter(settings.data, "val", 1)
    rng = np.random.default_rng(settings.seed)

    model = models.build_clipseg(settings.patch, settings.width, settings.layers)
    heads = nn.Linear(settings.width, 2 + COLOURS + SHAPES)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    both = nn.ModuleList([model, heads])
    optimizer = torch.optim.AdamW(training.decay_groups(both, 0.05), lr=1e-4, betas=(0.9, 0.98))
    average = training.Average(model)
    run = training.Run(
        settings.data / f"{settings.name}.pt", settings.minutes,
        {"model": model, "heads": heads, "optimizer": optimizer, "average": average},
    )  # fmt: skip
    source.rng = np.random.default_rng((settings.seed, 1, run.step))
    source.generator.manual_seed(settings.seed + 1 + run.step)
    grid = models.IMAGE_SIZE // settings.patch

    def finish() -> None:
        run.save()
        copy = models.build_clipseg(settings.patch, settings.width, settings.layers)
        copy.load_state_dict(average.state)
        if settings.name == "mini_clipseg":
            models.export_clipseg(copy)
        held_out.rng, _ = np.random.default_rng(5), held_out.generator.manual_seed(5)
        scores = clipseg_scores(copy.eval(), held_out, pictures=256)
        print(f"held out at step {run.step}: { ({k: round(v, 3) for k, v in scores.items()}) }", flush=True)

    seen: List[List[float]] = []
    saved = run.spent
    for step in run.steps():
        if step == settings.gates_at:
            fresh = models.build_clipseg(settings.patch, settings.width, settings.layers)
            model.clip.text_model.load_state_dict(fresh.clip.text_model.state_dict())
            model.clip.text_projection.load_state_dict(fresh.clip.text_projection.state_dict())
            loss_words = learn_words(model, lambda texts: text_features(model, models.tokenize(texts)), 300, rng)
            texts, gates, left_open = phrases(1500, rng)
            with torch.no_grad():
                features = text_features(model, models.tokenize(texts))
            error = set_gates(model, heads, features, gates, left_open)
            optimizer.state.clear()
            average = training.Average(model)
            run.parts["average"] = average
            print(f"step {step} gates set: words {loss_words:.3f}, error of the gates {error:.3f}", flush=True)
        model.train()
        training.set_learning_rate(optimizer, training.learning_rate(run.done, settings.peak))
        source.ease = training.ease(run.done)
        batch = source.draw(settings.scenes, views=3)
        texts, items = draw_queries(batch.facts, settings.queries, rng)
        target = query_masks(batch, items)
        states = vision(model, models.normalize(batch.images))
        unique = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        features = text_features(model, models.tokenize(list(unique)))[[unique[text] for text in texts]]
        logits = segment(model, states, features, settings.queries)
        loss_mask = mask_loss(logits, target)

        answer = heads(states[-1][:, 1:])
        colours, shapes = cell_targets(batch, grid)
        loss_colour = -(colours * answer[..., : 1 + COLOURS].log_softmax(-1)).sum(-1).mean()
        loss_shape = -(shapes * answer[..., 1 + COLOURS :].log_softmax(-1)).sum(-1).mean()
        loss = loss_mask + loss_colour + loss_shape

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        seen.append([loss_mask.item(), loss_colour.item(), loss_shape.item()])
        if (step + 1) % 100 == 0:
            means = " ".join(f"{x:.3f}" for x in np.mean(seen[-100:], 0))
            print(f"step {step + 1} {run.spent / 60:.1f} min  mask colour shape: {means}", flush=True)
        if run.spent - saved >= 60 * settings.save_every:
            saved = run.spent
            finish()
    finish()


if __name__ == "__main__":
    main(tyro.cli(Settings))
