"""A guidance view whose base is kept, against one whose base is rendered again."""

from __future__ import annotations

from typing import List

import torch

from .guiding import make_guiding
from .scene import BenchScene
from .steps import SHARE, STEP
from .table import Figure
from .timing import in_turns


def measure_views(scene: BenchScene, rounds: int, image_size: int | None = None) -> List[Figure]:
    """`cached_over_uncached`, of a whole guidance step; `cached_picture_over_uncached_picture`, of its rendering alone.

    Args:
        scene: its edit gets a ball.
        rounds: of the comparison.
        image_size: side of the guidance view, in pixels; the method's own if not given.
    """
    editing = make_guiding(scene, image_size or scene.config.guidance.image_size)
    model = editing.model

    @torch.no_grad()
    def picture() -> object:
        rays, base, proposal, intervals = editing.pool[0].part(slice(None))
        return model.blend(rays, base, proposal, intervals, model.edit.info.trained)

    def forget() -> None:
        model.version += 1  # as if the region had moved: the pool drops what it kept

    calls = {  # each of a kept view right after the same of one that is not: before it the view is as it left it
        "uncached picture": lambda: (forget(), picture()),
        "cached picture": picture,
        "uncached": lambda: (forget(), editing.step(STEP, SHARE)),
        "cached": lambda: editing.step(STEP, SHARE),
    }
    times = in_turns("Views", calls, rounds, scene.device)
    size = f"{editing.config.image_size}² pixels"
    notes = {
        "": f"a whole guidance step, {size}, CLIP and gradients included; what CLIP reads of the original is kept with the view",
        "picture": f"the blended picture alone, {size}",
    }
    return [
        Figure(
            f"cached{what and '_'}{what}_over_uncached{what and '_'}{what}",
            times.ratio(f"cached {what}".strip(), f"uncached {what}".strip()),
            "",
            times.spread(f"cached {what}".strip(), f"uncached {what}".strip()),
            note,
        )
        for what, note in notes.items()
    ]
