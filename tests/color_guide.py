"""A guide that reads nothing but colours, of which everything is known beforehand."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

RED, BLUE = torch.eye(3)[0], torch.eye(3)[2]


class ColorGuide:
    """A picture's feature is its mean colour, a text's the colour that it names; keeps what it was shown."""

    image_size = 24

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def encode_prompt(self, text: str) -> torch.Tensor:
        return BLUE if "blue" in text else RED

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        features = normalize(images.mean(dim=(-1, -2)), dim=-1)
        self.seen.append(features.detach())
        return features
