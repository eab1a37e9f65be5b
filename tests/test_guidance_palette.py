"""Trying plain colours: the palette covers the hues, and the guide's favourite is the one that the text names."""

from __future__ import annotations

import pytest
import torch

from blending_nerf_ns.demo.measure import hsv
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.palette import best_color, palette, score_colors


def test_palette_covers_hues_and_grays() -> None:
    colors = palette()
    assert float(colors.min()) >= 0.0 and float(colors.max()) <= 1.0
    hue, saturation, _ = hsv(colors.numpy()).T
    assert set((hue[saturation > 0] / 30).round().astype(int)) == set(range(12))
    assert int((saturation == 0).sum()) == 4


def test_a_color_that_paints_nothing_scores_like_the_original() -> None:
    guide = load_clip("embedded")
    crops, nothing = torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    source, target = guide.encode_prompt("a red ball"), guide.encode_prompt("a blue ball")
    losses = score_colors(guide, crops, nothing, palette()[:3], source, target)
    assert float(losses.max() - losses.min()) < 1e-6


def test_the_named_color_wins_on_a_plain_disc() -> None:
    guide = load_clip("embedded")
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((row - 32) ** 2 + (column - 32) ** 2 < 18**2).float()[None]
    shade = 1.0 - 0.4 * ((row - 24) ** 2 + (column - 24) ** 2).sqrt() / 40  # lit from above, so that it is a ball
    red = torch.tensor([0.85, 0.1, 0.1]).view(3, 1, 1) * shade
    floor = torch.full((3, 64, 64), 0.6) * (0.9 + 0.1 * row / 64)
    crops = (disc * red + (1 - disc) * floor)[None]
    source = guide.encode_prompt("a red ball")
    for word, low, high in (("blue", 195, 260), ("green", 85, 165), ("yellow", 40, 70)):
        target = guide.encode_prompt(f"a {word} ball")
        losses = score_colors(guide, crops, disc[None], palette(), source, target)
        color, loss = best_color(guide, crops, disc[None], palette(), source, target)
        assert torch.equal(color, palette()[losses.argmin()]) and float(loss) == pytest.approx(
            float(losses.min()), abs=1e-6
        )
        hue, saturation, _ = hsv(color.numpy())
        assert low <= hue <= high and saturation > 0.2, (word, hue, saturation)
