"""Pictures of scenes before and after an edit: the same crop, light and noise, and one object another, gone or in another colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Tuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from blending_nerf_ns.procedural.batches import Batch, Colours, Painter
from blending_nerf_ns.procedural.captions import Facts
from blending_nerf_ns.procedural.fakes import camouflaged, flooded, nearest_name
from blending_nerf_ns.procedural.framing import cut
from blending_nerf_ns.procedural.stock import MAX_THINGS
from blending_nerf_ns.procedural.variants import OTHER, STATES, WHOLE, WITHOUT

ORIGINAL, RECOLOURED, REMOVED, REPLACED, ELSEWHERE, GHOST, PAINTED, SPILLED = range(8)
"""The pictures of a group: as it is, the subject in another colour, without it, another in its place, and what passes for an edit
where only colours are looked at: all but the subject repainted; half-way to its removal, sometimes in another colour, or in the
colours of what lies behind it, and there all the same; without it, and the rest in its colour; recoloured as it should be, and
all the rest as well."""
PICTURES = 8
STATES_OF_EDITS = (ORIGINAL, RECOLOURED, REMOVED, REPLACED)
"""From any of these to any other is an edit."""
FAKES = ((ORIGINAL, ELSEWHERE), (ORIGINAL, GHOST), (REMOVED, PAINTED), (ORIGINAL, SPILLED))
"""From the first of each to the second is none, or another than it seems."""
PALEST, STRONGEST = 0.45, 0.8
"""What is left of a ghost."""
SHOWING = 0.03
"""Mean difference that a camouflaged object makes, at least: on black, say, it is as good as gone."""
FAINTEST, FULLEST = 0.3, 0.9
"""How much of a colour the surroundings take on where it spills."""


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
        recoloured = _some(replaced, recoloured, self._coins(count))  # a new colour alone is no new object
        plan: List[Tuple[Any, Colours]] = [
            (rows[WHOLE], first),
            (rows[WHOLE], _swapped(first, recoloured, subject)),
            (rows[WITHOUT], first),
            (rows[OTHER], _swapped(first, replaced, subject)),
            (rows[WHOLE], _swapped(repainted, first, subject)),
            (rows[WHOLE], _swapped(first, _some(recoloured, first, self._coins(count)), subject)),
            (rows[WITHOUT], _all_in(first, subject)),
            (rows[WHOLE], _all_in(recoloured, subject)),
        ]
        light = self._state()
        layers = []
        for number, (row, colours) in enumerate(plan):
            if number != ELSEWHERE:  # there the surroundings and the light are others, too
                self._restore(light)
            layers.append(painter.layers(row, colours))
        self._leave_shadows(layers, subject)
        plan[GHOST] = (rows[WHOLE], self._haunt(layers, subject, plan[GHOST][1]))
        self._spill(layers[PAINTED], first, subject, self._coins(count) | (subject == 0))
        self._spill(layers[SPILLED], recoloured, subject, torch.ones(count, dtype=torch.bool))
        layers = [full.repeat(views, 1, 1, 1) for full in layers]
        theta = painter.aim(self._where_to_look(layers, subject.repeat(views)))
        noise = self._state()
        batches = []
        for (row, colours), full in zip(plan, layers):
            self._restore(noise)
            batches.append(painter.batch(row, colours, *cut(full, theta, painter.size)))
        return Groups(joined(batches), subject.repeat(views))

    def _leave_shadows(self, layers: List[Tensor], subject: Tensor) -> None:
        """Let half of the removals leave the shadow where it was, as they do in a captured scene; what is painted instead of an
        addition begins there (in place)."""
        before, masks = layers[ORIGINAL][:, :3], layers[ORIGINAL][:, -MAX_THINGS:] > 0
        mine, any_of_them = masks[torch.arange(len(subject)), subject], masks.any(1)
        left = self._coins(len(subject))[:, None, None]
        for picture, covered in ((REMOVED, mine), (PAINTED, any_of_them)):
            stays = (left & ~covered)[:, None]
            layers[picture][:, :3] = torch.where(stays, before, layers[picture][:, :3])

    def _haunt(self, layers: List[Tensor], subject: Tensor, colours: Colours) -> Colours:
        """Make half of the ghosts pale and half of them camouflaged (in place); their colours, which camouflage changes."""
        count = len(subject)
        gone, there = layers[REMOVED][:, :3], layers[GHOST][:, :3]
        mine = layers[GHOST][torch.arange(count), subject - MAX_THINGS] > 0
        hidden = camouflaged(there, gone, mine, self._between(0.3, 1.0, count))
        pale = gone.lerp(there, self._between(PALEST, STRONGEST, count)[:, None, None, None])
        inside = mine[:, None].float()
        area = inside.sum((-1, -2)).clamp_min(1)
        shows = ((hidden - gone).abs() * inside).sum((-1, -2)).amax(1) / area[:, 0] > SHOWING
        chosen = self._coins(count) & shows
        layers[GHOST][:, :3] = torch.where(chosen[:, None, None, None], hidden, pale)
        mean = (hidden * inside).sum((-1, -2)) / area
        name = nearest_name(mean, torch.from_numpy(self.painter.named[:, :256]).float())
        as_seen = Colours(name[:, None].expand_as(colours.colour), torch.zeros_like(colours.finish), colours.rgb)
        return _swapped(colours, _some(as_seen, colours, chosen), subject)

    def _spill(self, layers: Tensor, colours: Colours, subject: Tensor, chosen: Tensor) -> None:
        """Let the surroundings of some pictures take on the subject's colour (in place)."""
        count = len(subject)
        strength = self._between(FAINTEST, FULLEST, count) * chosen.float()
        objects = layers[:, -MAX_THINGS:].amax(1) > 0
        rgb = colours.rgb[torch.arange(count), subject, 0]
        layers[:, :3] = flooded(layers[:, :3], objects, rgb, strength)

    def _between(self, low: float, high: float, count: int) -> Float[Tensor, "count"]:
        return torch.from_numpy(self.painter.rng.uniform(low, high, count)).float()

    def _coins(self, count: int) -> Tensor:
        return torch.from_numpy(self.painter.rng.random(count) < 0.5)

    def _where_to_look(self, layers: List[Tensor], subject: Tensor) -> Tensor:
        """Masks to aim at: mostly those of the edited object alone, before and after."""
        masks = torch.stack([full[:, -MAX_THINGS:] for full in layers]).amax(0)
        mine = torch.arange(MAX_THINGS) == subject[:, None]
        anything = torch.from_numpy(self.painter.rng.random(len(subject)) < 0.4)
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


def _all_in(colours: Colours, subject: Int[Tensor, "G"]) -> Colours:
    """Every object in the subject's colours."""
    rows = torch.arange(len(subject))
    return Colours(*(one[rows, subject][:, None].expand_as(one) for one in colours))


def _swapped(colours: Colours, others: Colours, subject: Int[Tensor, "G"]) -> Colours:
    """`colours`, the subject's taken from `others`."""
    mine = torch.arange(MAX_THINGS) == subject[:, None]
    return Colours(
        torch.where(mine, others.colour, colours.colour),
        torch.where(mine, others.finish, colours.finish),
        torch.where(mine[..., None, None], others.rgb, colours.rgb),
    )
