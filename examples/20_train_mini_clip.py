"""Train the mini CLIP that ships with the package, on procedural pictures, on one CPU core.

    python examples/21_train_mini_clipseg.py --minutes 80 --data /tmp/mini
    python examples/20_train_mini_clip.py --minutes 60 --data /tmp/mini

It starts from the vision tower of the mini CLIPSeg that lies in the same folder (--start none: from nothing, which takes
several times as long). Stop it whenever you like: the same command goes on where it was. The shipped files are rewritten at
every checkpoint.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from mini_guidance import models, training
from mini_guidance.queries import cell_targets
from mini_guidance.scores import clip_scores

from blending_nerf_ns.procedural import captions, words
from blending_nerf_ns.procedural.batches import Batch
from blending_nerf_ns.procedural.captions import Item, Phrase

COLOURS, SHAPES = len(words.COLOUR_NAMES), len(words.SHAPE_NAMES)
PRIMITIVES = len(words.PRIMITIVES)
FIXED: List[Phrase] = [
    *(Phrase((Item(c, s),)) for c in range(COLOURS) for s in range(PRIMITIVES)),
    *(Phrase((Item(c),)) for c in range(COLOURS)),
    *(Phrase((Item(shape=s),)) for s in range(PRIMITIVES)),
    Phrase((), "empty"),
]
"""Asked at every step, so that every picture meets every colour and shape."""


@dataclass
class Settings:
    """Settings of the training."""

    minutes: float = 75.0
    """Length of the training; the learning rate reaches its end then."""
    data: Path = Path("/tmp/mini_guidance")
    """Folder for traced scenes, textures and checkpoints (about 3 GB)."""
    scenes: int = 24
    """Scenes shaded per step; each gives three pictures."""
    texts: int = 32
    """Captions of the batch's own pictures per step, beside the fixed ones."""
    peak: float = 8e-4
    """Highest learning rate."""
    save_every: float = 5.0
    """Minutes between checkpoints."""
    start: str = "mini_clipseg"
    """Name of the CLIPSeg checkpoint in `data` to take the vision tower from, or "none"."""
    seed: int = 0
    threads: int = 1


class Heads(nn.Module):
    """Plain questions asked during training only: which colours, shapes and pairs are in the picture, and where."""

    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.whole = nn.Linear(width, COLOURS * SHAPES + COLOURS + SHAPES)
        self.cells = nn.Linear(tokens, 2 + COLOURS + SHAPES)
        self.text = nn.Linear(width, 2 + COLOURS + PRIMITIVES)


def present(facts: captions.Facts) -> Tuple[Tensor, Tensor]:
    """What is in each picture, [B, 12 * 6 + 12 + 6] in {0, 1}, and where that is certain."""
    pair = facts.colour.clamp_min(0) * SHAPES + facts.shape.clamp_min(0)
    parts = []
    for index, size in (
        (pair, COLOURS * SHAPES),
        (facts.colour.clamp_min(0), COLOURS),
        (facts.shape.clamp_min(0), SHAPES),
    ):
        hot = F.one_hot(index, size).float()
        yes = (hot * (facts.seen == 1)[..., None]).amax(1)
        maybe = (hot * (facts.seen == -1)[..., None]).amax(1)
        parts.append(torch.stack([yes, 1 - maybe * (1 - yes)]))
    target, certain = torch.cat(parts, -1)
    return target, certain


def cell_loss(answer: Tensor, batch: Batch) -> Tensor:
    """Answers [B, cells, 2 + 12 + 6]: cross entropy of the colour and shape (or nothing) in each cell of a grid, cells with objects counting most.

    Knowing where to look is most of what a picture's shape words ask for, and this teaches it directly.
    """
    colours, shapes = cell_targets(batch, int(answer.shape[1] ** 0.5))
    losses = [
        -(target * part.log_softmax(-1)).sum(-1)
        for target, part in ((colours, answer[..., : 1 + COLOURS]), (shapes, answer[..., 1 + COLOURS :]))
    ]
    weight = 1.2 - colours[..., 0]
    return ((losses[0] + losses[1]) * weight).sum() / weight.sum()


def word_loss(answer: Tensor, phrases: List[Phrase]) -> Tensor:
    """Cross entropy of the first item's colour and shape (or none) told from the text features.

    Without it the shape words stay as one for long: nothing pulls them apart before the pictures' shapes are read, and
    nothing makes the pictures' shapes be read before the words differ.
    """
    first = [p.items[0] if p.items else Item() for p in phrases]
    colours, shapes = torch.tensor([i.colour + 1 for i in first]), torch.tensor([i.shape + 1 for i in first])
    return F.cross_entropy(answer[:, : 1 + COLOURS], colours) + F.cross_entropy(answer[:, 1 + COLOURS :], shapes)


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    training.prepare_data(settings.data)
    source = training.painter(settings.data, "train", settings.seed)
    held_out = training.painter(settings.data, "val", 1)
    rng = np.random.default_rng(settings.seed)

    model: Any = models.build_clip()
    heads = Heads(model.visual.output_dim, model.visual.conv1.out_channels)
    if settings.start != "none" and not (settings.data / "mini_clip.pt").exists():
        saved = torch.load(settings.data / f"{settings.start}.pt", weights_only=True)
        models.start_from_clipseg(model, saved["average"])
        heads.cells.load_state_dict(saved["heads"])
    middle: List[Tensor] = []
    model.visual.transformer.resblocks[-2].register_forward_hook(lambda module, args, out: middle.append(out))
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    both = nn.ModuleList([model, heads])
    optimizer = torch.optim.AdamW(training.decay_groups(both, 0.05), lr=1e-4, betas=(0.9, 0.98))
    average = training.Average(model)
    run = training.Run(
        settings.data / "mini_clip.pt", settings.minutes,
        {"model": model, "heads": heads, "optimizer": optimizer, "average": average},
    )  # fmt: skip
    source.rng = np.random.default_rng((settings.seed, run.step))
    source.generator.manual_seed(settings.seed + run.step)

    seen: List[List[float]] = []
    saved = run.spent
    for step in run.steps():
        model.train()
        training.set_learning_rate(optimizer, training.learning_rate(run.done, settings.peak))
        source.ease = training.ease(run.done)
        batch = source.draw(settings.scenes, views=3)
        owners = rng.choice(len(batch.images), settings.texts, replace=False)
        phrases = FIXED + [captions.true_phrase(batch.facts, int(i), rng) for i in owners]
        truth = captions.holds(batch.facts, phrases)
        # the fixed ones without leads and tails: short texts are cheap
        short = models.tokenize([captions.name(p.items[0], rng) if p.items else "nothing" for p in FIXED])
        long = models.tokenize([captions.say(p, rng) for p in phrases[len(FIXED) :]])

        middle.clear()
        features = model.encode_image(models.normalize(batch.images))
        images = F.normalize(features, dim=-1)
        words_read = torch.cat([encode_text(model, short), encode_text(model, long)])
        texts = F.normalize(words_read, dim=-1)
        logits = model.logit_scale.exp().clamp_max(100) * images @ texts.T
        pairs, colours = slice(0, COLOURS * PRIMITIVES), slice(COLOURS * PRIMITIVES, COLOURS * PRIMITIVES + COLOURS)
        loss_clip = training.many_positives(logits, truth) + 0.5 * training.many_positives(logits.T, truth.T)
        loss_blocks = training.many_positives(logits[:, pairs], truth[:, pairs])
        loss_blocks = loss_blocks + training.many_positives(logits[:, colours], truth[:, colours])

        target, certain = present(batch.facts)
        answer = heads.whole(features)
        loss_whole = F.binary_cross_entropy_with_logits(answer, target, certain, reduction="sum") / len(target) / 4
        loss_cells = cell_loss(heads.cells(middle[0][:, 1:]), batch)
        loss_words = word_loss(heads.text(words_read), phrases)
        loss = loss_clip + loss_blocks + loss_whole + loss_cells + loss_words

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(both.parameters(), 2.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        average.update(model)
        seen.append([loss_clip.item(), loss_blocks.item(), loss_whole.item(), loss_cells.item(), loss_words.item()])
        if (step + 1) % 100 == 0:
            means = " ".join(f"{x:.3f}" for x in np.mean(seen[-100:], 0))
            print(f"step {step + 1} {run.spent / 60:.1f} min  clip blocks whole cells words: {means}", flush=True)
        if run.spent - saved >= 60 * settings.save_every:
            saved = run.spent
            finish(run, average, held_out)
    finish(run, average, held_out)


def encode_text(model, tokens: Tensor) -> Tensor:
    """open_clip's encode_text for texts shorter than the context: the padding after the end token changes nothing."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), tokens.argmax(-1)]
    return x @ model.text_projection if isinstance(model.text_projection, Tensor) else model.text_projection(x)


def finish(run: training.Run, average: training.Average, held_out) -> None:
    """Save the checkpoint, export the averaged weights and print a few held-out figures."""
    run.save()
    models.export_clip(average.state)
    model: Any = models.build_clip()
    model.load_state_dict(average.state)
    held_out.rng, _ = np.random.default_rng(5), held_out.generator.manual_seed(5)
    scores = clip_scores(model.eval(), held_out, pictures=512)
    print(f"held out at step {run.step}: { ({k: round(v, 3) for k, v in scores.items()}) }", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Settings))
