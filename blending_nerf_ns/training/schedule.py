"""Learning rates by a stage's own steps: nerfstudio's schedulers count the whole run's."""

from __future__ import annotations

from torch.optim import Optimizer


def exponential(step: float, steps: float, final: float) -> float:
    """Factor that falls from 1 to `final` over `steps` steps.

    Example:
        >>> exponential(50, 100, 0.01)
        0.1
    """
    return final ** min(1.0, step / max(1, steps))


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` times its configured one (kept as `initial_lr`)."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = group["initial_lr"] * factor
