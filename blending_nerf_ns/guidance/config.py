"""Which CLIP guides, what it looks at, how its losses weigh, and when it is satisfied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass
class GuidanceConfig:
    """Which CLIP guides, what it looks at, and how the losses weigh."""

    model: str = "embedded"
    """open_clip model name ("ViT-B-16", "hf-hub:owner/name"), a local folder of open_clip, or "embedded" for the small one that ships
    with the package."""
    pretrained: Optional[str] = None
    """open_clip pretrained tag ("laion2b_s34b_b88k") or a local path of weights. By path OpenAI's, and others of that activation (docs/configs.md),
    want the model's name with "-quickgelu"."""
    mixed_precision: bool = False
    """Let it read pictures in bfloat16, where the device has it and loss and gradient are checked to be those of float32."""
    image_size: int = 64
    """Side of the guidance views, in pixels."""
    coarse_views: float = 0.3
    """Share of the edit's steps with views of half that side, but no less than what the guide sees; 0: none."""
    view_memory: float = 2.0
    """GiB of rendered views that are kept; beyond it they are rendered again when they are drawn."""
    views: int = 48
    """Region-centred views; the base is rendered once for each."""
    views_per_step: int = 1
    """Views that a step learns from, one after the other; each of several processes has as many of its own."""
    crops: int = 4
    """Pictures that CLIP sees of a view: the whole, and crops of the region at several scales."""
    lone_crops: int = 2
    """Of these, drawn anew in each step, how many it also sees of the edit alone, on random backgrounds."""
    rays_per_chunk: int = 2048
    """Most rays whose graph is held at a time, fewer where memory is short: a step's memory does not grow with image_size."""
    weight_blended: float = 1.0
    """Weight of the global loss on the blended picture."""
    weight_edit: float = 0.5
    """Weight of the global loss on the edit alone."""
    weight_direction: float = 1.0
    """Weight of the directional loss."""
    weight_budget: float = 5.0
    """Weight of what an operation uses beyond its budget."""
    weight_smooth: float = 0.5
    """Weight of the difference of colour and blend ratios between neighbouring points of the region."""
    weight_shading: float = 0.5
    """Weight of light and shade being other than the original's, where an edit may do nothing but recolour. More than 0: colours
    take the original's light and shade to begin with; 0 for patterns of light and dark."""
    weight_tint: float = 0.1
    """Weight of stains, where an edit may both add and remove and started from a solid: of that one's colours departing from one tint,
    in light and shade. 0 for patterns."""
    weight_solid: float = 2.0
    """Weight of what is added being neither empty nor solid; a quarter of this left a red glow around a red ball."""
    budget_add: float = 0.5
    """Mean accumulated opacity that may be added for free, where rays meet the region, the room around the object included."""
    budget_remove: Optional[float] = None
    """The same for what is removed, inside the object's silhouette; if not given, all of it where the edit may do nothing else or
    started from a solid, which may be in the object's place; half of it otherwise."""
    budget_change: float = 1.0
    """The same for what is recoloured."""
    stop_when_settled: bool = True
    """End the edit before its last step, once its similarity to the target has settled."""
    settle_patience: float = 0.2
    """Share of the edit's steps that bring nothing better before it counts as settled."""
    settle_cooldown: float = 0.1
    """Share of the edit's steps in which the rest of its schedule (learning rate, levels) is then run through."""
    coarse_to_fine: float = 0.5
    """Share of the edit's steps after which all levels of the hash grid are open."""
    open_levels: float = 2.0
    """Levels that are open at the start: colour moves as a whole first."""


def budgets(config: GuidanceConfig, operations: Sequence[str], seeded: bool = False) -> Tuple[float, float, float]:
    """What may be added, removed and recoloured for free, as shares of the region's picture.

    Args:
        config: the user's.
        operations: of the edit.
        seeded: whether it started from a solid, which may be in the object's place.
    """
    remove = config.budget_remove
    if remove is None:
        remove = 1.0 if seeded or tuple(operations) == ("remove",) else 0.5
    return config.budget_add, remove, config.budget_change
