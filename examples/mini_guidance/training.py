"""What both trainings share: data on disk, a schedule in minutes, an average of the weights, checkpoints."""

from __future__ import annotations

import atexit
import math
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn, track
from torch import nn

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.procedural.backgrounds import texture_bank
from blending_nerf_ns.procedural.batches import Painter
from blending_nerf_ns.procedural.stock import Shot, load_stock, make_stock, random_shot
from blending_nerf_ns.procedural.variants import DRAFT, STATES, variant_shot
from blending_nerf_ns.runs.atomic import replacing

TRAIN_SEED, HELD_OUT_SEED = 7, 991
HELD_OUT_SCENES = 2000
LONGEST_STEP = 30.0
"""Seconds; a process that was stopped for longer did not train meanwhile."""


def prepare_data(folder: Path, scenes: int = 24000, textures: int = 3000, side: int = 96) -> None:
    """Trace the training and held-out scenes and make the textures, unless they are there. Minutes, once."""
    prepare_scenes(folder, "val", HELD_OUT_SCENES, HELD_OUT_SEED, 400, side)
    prepare_scenes(folder, "train", scenes, TRAIN_SEED, textures, side)


def trace_once(
    folder: Path, count: int, side: int, seed: int, shot: Callable[[int, int], Shot], draft: str = ""
) -> None:
    """Trace so many pictures, unless just these are there; `draft` tells them from what the same seed drew before."""
    said, done = f"{count} pictures of {side} pixels, seed {seed}{draft}\n", folder / "done"
    unsaid = not draft and done.exists() and not done.read_text() and _lie_there(folder, count, side)
    if done.exists() and (done.read_text() == said or unsaid):
        return  # those of before say nothing of themselves
    done.unlink(missing_ok=True)
    make_stock(folder, count, side, seed, progress=lambda it: track(list(it), f"tracing {folder.name}"), shot=shot)
    done.write_text(said)


def _lie_there(folder: Path, count: int, side: int) -> bool:
    pictures = folder / "surface.npy"
    return pictures.exists() and np.load(pictures, mmap_mode="r").shape[:2] == (count, side)


def prepare_edits(folder: Path, name: str, scenes: int, seed: int, side: int = 96) -> None:
    """Trace the three states of scenes under folder/name, unless they are there; textures are those of `prepare_data`."""
    trace_once(folder / name, STATES * scenes, side, seed, variant_shot, DRAFT)


def prepare_scenes(folder: Path, name: str, scenes: int, seed: int, textures: int, side: int = 96) -> None:
    """Trace scenes under folder/name and make their textures, unless they are there."""
    trace_once(folder / name, scenes, side, seed, random_shot)
    bank = folder / f"textures_{name}.npy"
    if not bank.exists() or len(np.load(bank, mmap_mode="r")) != textures:
        with replacing(bank) as partial, partial.open("wb") as file:
            np.save(file, texture_bank(textures, 128, seed))


def seeded(source: Painter, seed: int, step: int, rank: int) -> np.random.Generator:
    """Seed what a source draws from some step on, for one process of a team; returns a generator for everything else."""
    source.rng = np.random.default_rng((seed, 1, step, rank))
    source.generator.manual_seed(seed + 1 + step + 1_000_000 * rank)
    return np.random.default_rng((seed, 0, step, rank))


def painter(folder: Path, name: str, seed: int, size: int = 64, textures: str = "") -> Painter:
    """Source of batches of pictures `size` pixels wide from prepared scenes, with their own textures or those of others."""
    bank = np.load(folder / f"textures_{textures or name}.npy")
    return Painter(load_stock(folder / name), bank, seed, size)


def learning_rate(done: float, peak: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a cosine to 1 % of the peak; `done` is the share of the training that is over."""
    if done < warmup:
        return peak * (done + 1e-4) / warmup
    along = min(1.0, (done - warmup) / (1 - warmup))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))


def ease(done: float) -> float:
    """How easy the pictures are: plain close-ups at first, the full difficulty from 60 % of the training on."""
    return min(1.0, max(0.0, (0.6 - done) / 0.3))


class Average:
    """Exponential moving average of a module's parameters and buffers."""

    def __init__(self, model: nn.Module, decay: float = 0.998):
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step towards the model's present weights."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)


def decay_groups(modules: nn.Module, weight_decay: float) -> list:
    """Optimiser groups: matrices decay, vectors (norms, biases, scales) do not."""
    matrices = [p for p in modules.parameters() if p.ndim >= 2]
    vectors = [p for p in modules.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


class Run:
    """Counts steps and minutes over interruptions, and saves everything needed to go on.

    Args:
        path: the checkpoint; one that is there is gone on from.
        minutes: of the whole training.
        parts: what learns, with what follows it.
        start: what the training starts from, and learns by; one of another start is not gone on from.

    Raises:
        BlendingNerfError: the checkpoint is of another start.
    """

    def __init__(self, path: Path, minutes: float, parts: Dict[str, Any], start: Mapping[str, Any]):
        self.path, self.minutes, self.parts, self.start = path, minutes, parts, dict(start)
        self.step, self.spent, self.shipped = 0, 0.0, False
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            saved = torch.load(path, weights_only=True)
            if saved.get("start", self.start) != self.start:  # those of before say nothing of it
                raise BlendingNerfError(
                    f"{path} is of another training ({saved['start']}, not {self.start}): its weights would take the place of those "
                    "that were asked for. Give another --name, or delete it"
                )
            self.step, self.spent, self.shipped = saved["step"], saved["spent"], saved.get("shipped", True)
            for name, part in parts.items():
                if isinstance(part, Average):
                    of = saved[name]
                    part.state, part.steps = (of["state"], of["steps"]) if "steps" in of else (of, saved["step"])
                else:
                    part.load_state_dict(saved[name])
            print(f"resumed {path} at step {self.step}, {self.spent / 60:.1f} min")

    @property
    def done(self) -> float:
        """Share of the training that is over."""
        return self.spent / (60 * self.minutes)

    def is_over(self, ship: bool) -> bool:
        """Whether there is nothing left to train, nor to ship, which is said: what is shipped now may be of a later training.

        Args:
            ship: whether its weights are to become the package's.
        """
        over = self.done >= 1.0 and (self.shipped or not ship)
        if over:
            print(f"{self.path} has had its {self.spent / 60:.1f} min: give more --minutes, or another --name")
        return over

    def save(self, shipped: bool = False) -> None:
        """Write a checkpoint; the old one stays until the new one is complete.

        Args:
            shipped: whether what it holds is among the package's weights.
        """
        self.shipped = shipped
        states = {
            k: {"state": p.state, "steps": p.steps} if isinstance(p, Average) else p.state_dict()
            for k, p in self.parts.items()
        }
        new = self.path.with_suffix(".new")
        now = {"step": self.step, "spent": self.spent, "start": self.start, "shipped": self.shipped}
        torch.save({**now, **states}, new)
        new.replace(self.path)

    def steps(self, team: "Team") -> Iterator[int]:
        """Yield step numbers, each counted as it begins, until the minutes are over; time between yields counts as spent, the slowest's of a team, whose members
        all end with the same step."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, refresh_per_second=0.5) as bar:
            task = bar.add_task("training", total=60 * self.minutes, completed=int(self.spent))
            while self.spent < 60 * self.minutes:
                start = time.time()
                self.step += 1  # a checkpoint that is saved in this step knows what it learned
                yield self.step - 1
                self.spent = team.agree(self.spent + min(time.time() - start, LONGEST_STEP))
                bar.update(task, completed=self.spent)


class Team:
    """Processes that train together, each on pictures of its own: `torchrun --nproc-per-node 2 SCRIPT` makes two."""

    def __init__(self) -> None:
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        if self.size > 1:
            dist.init_process_group("gloo", timeout=timedelta(hours=6))  # one may prepare for long
            # A group left to the interpreter's end aborts its process now and then, and torchrun then ends them all.
            atexit.register(dist.destroy_process_group)

    def prepare(self, work: Callable[[], None]) -> None:
        """Let one process do it, while the others wait."""
        if self.rank == 0:
            work()
        if self.size > 1:
            dist.barrier()

    def share_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the team; all must have met the same parameters."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        mean = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(mean)
        for gradient, part in zip(gradients, (mean / self.size).split([g.numel() for g in gradients])):
            gradient.copy_(part.view_as(gradient))

    def share_weights(self, module: nn.Module) -> None:
        """Give all of the team the first one's: what each learned alone is another in each."""
        if self.size > 1:
            for value in module.state_dict().values():
                dist.broadcast(value, 0)

    def agree(self, value: float) -> float:
        """The largest of the team's values."""
        if self.size == 1:
            return value
        largest = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return float(largest)


class Steps:
    """The steps of a training, and what they report.

    Args:
        student: learns; has the CLIP as `clip`.
        optimizer: of its parameters.
        average: follows its weights.
        team: it learns with.
    """

    def __init__(self, student: Any, optimizer: torch.optim.Optimizer, average: Average, team: Team) -> None:
        self.student, self.optimizer, self.average, self.team = student, optimizer, average, team
        self._seen: List[List[float]] = []

    def learn(self, terms: Dict[str, torch.Tensor], rate: float) -> None:
        """One step down the sum of some losses."""
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.team.share_gradients(self.student.parameters())
        nn.utils.clip_grad_norm_(self.student.parameters(), 2.0)
        self.optimizer.step()
        with torch.no_grad():
            self.student.clip.logit_scale.clamp_(0, 4.6052)
        self.average.update(self.student)
        self._seen.append([term.item() for term in terms.values()])

    def say(self, run: Run, names: Iterable[str], every: int = 100) -> None:
        """Print the mean losses of the last steps, now and then."""
        if run.step % every == 0:
            means = " ".join(f"{name} {x:.3f}" for name, x in zip(names, np.mean(self._seen[-every:], 0)))
            print(f"step {run.step} {run.spent / 60:.1f} min  {means}", flush=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate from now on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
