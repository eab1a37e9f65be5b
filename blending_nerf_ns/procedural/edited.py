"""Pictures of scenes before and after an edit: the same crop, light and noise, and one object another, gone or in another colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Tuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

from blending_nerf_ns.procedural.batches import Batch, Colours, Painter
from blending_nerf_ns.procedural.captions import Facts
from blending_nerf_ns.procedural.framing import cut
from blending_nerf_ns.procedural.stock import MAX_THINGS
from blending_nerf_ns.procedural.variants import OTHER, STATES, WHOLE, WITHOUT

ORIGINAL, RECOLOURED, REMOVED, REPLACED, ELSEWHERE, GHOST = range(6)
"""The pictures of a group: as it is, the subject in another colour, without it, another in its place, all but it repainted, and
half-way to its removal, sometimes in another colour: paler, and there all the same."""
PICTURES = 6
STATES_OF_EDITS = (ORIGINAL, RECOLOURED, REMOVED, REPLACED)
"""From any of these to any other is an edit."""
PALEST, STRONGEST = 0.45, 0.8
"""What is left of a ghost."""


@dataclass(frozen=True)
class Groups:
    """G groups of `PICTURES` pictures each: group g's are g, G + g, 2 G + g, ... of the batch, in the order above."""

    batch: Batch
    subject: Int[Tensor, "G"]
    """Index of the object that is edited."""


def joined(batches: List[Batch]) -> Batch:
    """Several batches as one."""
    facts = [batch.facts for batch in batches]
    together = {name: torch.cat([getattr(f, name) for f in facts]) for name in Facts.__dataclass_fields__}
    parts = {name: torch.cat([getattr(batch, name) for batch in batches]) for name in ("images", "masks", "facing")}
    return Batch(**parts, facts=Facts(**together))


class EditPainter:
    """Draws groups from a stock of states (`variants.variant_shot`).

    Example:
        >>> groups = EditPainter(Painter(load_stock(folder), texture_bank(2000, 128, seed=0), seed=0)).draw(4, views=2)
    """

    def __init__(self, painter: Painter):
        self.painter = painter

    def draw(self, count: int, views: int = 1) -> Groups:
        """Groups of `count` random scenes, `views` crops of each: G = views * count."""
        scenes = len(self.painter.stock) // STATES
        return self.paint(np.sort(self.painter.rng.integers(0, scenes, count)), views)

    def paint(self, scenes: ndarray, views: int = 1) -> Groups:
        """Groups of the given scenes, in new looks."""
        painter, count = self.painter, len(scenes)
        rows = [painter.stock.rows(scenes * STATES + state) for state in range(STATES)]
        subject = (rows[WHOLE]["shape"] >= 0).sum(1) - 1
        first = painter.draw_colours(count)
        recoloured, replaced, repainted = (painter.draw_colours(count) for _ in range(3))
        plan: List[Tuple[Any, Colours]] = [
            (rows[WHOLE], first),
            (rows[WHOLE], _swapped(first, recoloured, subject)),
            (rows[WITHOUT], first),
            (rows[OTHER], _swapped(first, replaced, subject)),
            (rows[WHOLE], _swapped(repainted, first, subject)),
            (rows[WHOLE], _swapped(first, _some(recoloured, first, self._coins(count)), subject)),
        ]
        light = self._state()
        layers = []
        for number, (row, colours) in enumerate(plan):
            if number != ELSEWHERE:  # there the surroundings and the light are others, too
                self._restore(light)
            layers.append(painter.layers(row, colours))
        self._leave_shadows(layers, subject)
        left = PALEST + (STRONGEST - PALEST) * torch.from_numpy(painter.rng.random(count)).float()
        layers[GHOST][:, :3] = layers[REMOVED][:, :3].lerp(layers[GHOST][:, :3], left[:, None, None, None])
        layers = [full.repeat(views, 1, 1, 1) for full in layers]
        theta = painter.aim(self._where_to_look(layers, subject.repeat(views)))
        noise = self._state()
        batches = []
        for (row, colours), full in zip(plan, layers):
            self._restore(noise)
            batches.append(painter.batch(row, colours, *cut(full, theta, painter.size)))
        return Groups(joined(batches), subject.repeat(views))

    def _leave_shadows(self, layers: List[Tensor], subject: Tensor) -> None:
        """Let half of the removals leave the shadow where it was, as they do in a captured scene (in place)."""
        mine = layers[ORIGINAL][torch.arange(len(subject)), subject - MAX_THINGS][:, None] > 0
        stays = self._coins(len(subject))[:, None, None, None] & ~mine
        layers[REMOVED][:, :3] = torch.where(stays, layers[ORIGINAL][:, :3], layers[REMOVED][:, :3])

    def _coins(self, count: int) -> Tensor:
        return torch.from_numpy(self.painter.rng.random(count) < 0.5)

    def _where_to_look(self, layers: List[Tensor], subject: Tensor) -> Tensor:
        """Masks to aim at: mostly those of the edited object alone, before and after."""
        masks = torch.stack([full[:, -MAX_THINGS:] for full in layers]).amax(0)
        mine = torch.arange(MAX_THINGS) == subject[:, None]
        anything = torch.from_numpy(self.painter.rng.random(len(subject)) < 0.25)
        return masks * (mine | anything[:, None])[..., None, None]

    def _state(self) -> Tuple[Any, Tensor]:
        return self.painter.rng.bit_generator.state, self.painter.generator.get_state()

    def _restore(self, state: Tuple[Any, Tensor]) -> None:
        self.painter.rng.bit_generator.state = state[0]
        self.painter.generator.set_state(state[1])


def _some(colours: Colours, others: Colours, chosen: Bool[Tensor, "G"]) -> Colours:
    """`colours` in the chosen groups, `others` elsewhere."""
    pairs = zip(colours, others)
    return Colours(*(torch.where(chosen.view(-1, *[1] * (one.ndim - 1)), one, other) for one, other in pairs))


def _swapped(colours: Colours, others: Colours, subject: Int[Tensor, "G"]) -> Colours:
    """`colours`, the subject's taken from `others`."""
    mine = torch.arange(MAX_THINGS) == subject[:, None]
    return Colours(
        torch.where(mine, others.colour, colours.colour),
        torch.where(mine, others.finish, colours.finish),
        torch.where(mine[..., None, None], others.rgb, colours.rgb),
    )
