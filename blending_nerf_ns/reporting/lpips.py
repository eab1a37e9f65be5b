"""LPIPS where its weights are at hand; they are never fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional, Tuple

import torch
from torch import Tensor

WEIGHTS = "alexnet-owt-7be5be79.pth"
"""torchvision's AlexNet, on which torchmetrics' LPIPS stands; the small rest of LPIPS comes with torchmetrics."""

Lpips = Callable[[Tensor, Tensor], Tensor]


def find_lpips() -> Tuple[Optional[Lpips], Optional[str]]:
    """The network on AlexNet, or why there is none."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not path.is_file():
        return None, f"the weights of LPIPS are not at hand: there is no {WEIGHTS} in torch's folder of checkpoints"
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity  # imports transformers, in seconds

    return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval(), None
