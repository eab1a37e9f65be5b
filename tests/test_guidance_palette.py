"""Trying plain colours: the palette covers the hues, and the guide's favourite is the one that the text names."""

from __future__ import annotations

import pytest
import torch

from blending_nerf_ns.demo.measure import hsv
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.palette import (
    best_color,
    brightest_of_hue,
    painted_between,
    painted_over,
    palette,
    score_colors,
)


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
    before = guide.encode_images(crops)
    losses = score_colors(guide, painted_over(crops, nothing), before, palette()[:3], source, target)
    assert float(losses.max() - losses.min()) < 1e-6


def test_a_surface_takes_most_of_a_colour_and_keeps_its_shades() -> None:
    crops, half = torch.full((1, 3, 1, 2), 0.4), torch.tensor([[[[1.0, 0.0]]]])
    plain = painted_over(crops, half)(torch.tensor([1.0, 0.0, 0.0]))
    assert plain[0, :, 0, 0].tolist() == pytest.approx([0.85 + 0.06, 0.06, 0.06]), "85 % of the colour, 15 % of 0.4"
    assert plain[0, :, 0, 1].tolist() == pytest.approx([0.4] * 3), "where the region is not"
    shade = painted_over(crops, half, torch.tensor([[[0.5, 1.0]]]))(torch.tensor([1.0, 0.0, 0.0]))
    assert shade[0, :, 0, 0].tolist() == pytest.approx([0.425 + 0.06, 0.06, 0.06])


def test_two_grays_tell_every_colour() -> None:
    """A ball that covers three quarters of a pixel, in shade: 0.3 behind it."""
    light, behind = 0.75 * torch.tensor([1.0, 0.4]).view(1, 1, 1, 2), 0.25 * 0.3
    dark, bright = (behind + light * gray * torch.ones(1, 3, 1, 2) for gray in (0.1, 0.9))
    painted = painted_between(dark, bright, (0.1, 0.9))(torch.tensor([1.0, 0.5, 0.0]))
    assert painted[0, :, 0, 0].tolist() == pytest.approx([0.825, 0.45, 0.075])
    assert painted[0, :, 0, 1].tolist() == pytest.approx([0.375, 0.225, 0.075])


def ball() -> tuple[torch.Tensor, torch.Tensor]:
    """A red ball on a floor, and the share of each pixel that it makes up."""
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((row - 32) ** 2 + (column - 32) ** 2 < 18**2).float()[None]
    shade = 1.0 - 0.4 * ((row - 24) ** 2 + (column - 24) ** 2).sqrt() / 40  # lit from above, so that it is a ball
    red = torch.tensor([0.85, 0.1, 0.1]).view(3, 1, 1) * shade
    floor = torch.full((3, 64, 64), 0.6) * (0.9 + 0.1 * row / 64)
    return (disc * red + (1 - disc) * floor)[None], disc[None]


def test_the_named_color_wins_on_a_plain_disc() -> None:
    guide, (crops, disc) = load_clip("embedded"), ball()
    source, before, paint = guide.encode_prompt("a red ball"), guide.encode_images(crops), painted_over(crops, disc)
    for word, low, high in (("blue", 195, 260), ("green", 85, 165), ("yellow", 40, 70), ("brown", 15, 45)):
        target = guide.encode_prompt(f"a {word} ball")
        losses = score_colors(guide, paint, before, palette(), source, target)
        color, loss = best_color(guide, paint, before, palette(), source, target)
        assert float(loss) == pytest.approx(float(losses.min()), abs=1e-6), "what it is compared by is the best one's"
        hue, saturation, value = hsv(color.numpy())
        assert low <= hue <= high and saturation > 0.2, (word, hue, saturation)
        best_hue, _, best_value = hsv(palette()[losses.argmin()].numpy())
        assert hue == pytest.approx(best_hue, abs=0.1) and value >= best_value
        assert (value < 0.5) == (word == "brown"), (word, value)


def test_of_two_tones_that_are_liked_alike_the_brighter_one_is_taken() -> None:
    vivid, dark, pale, other = [0.85, 0.85, 0.085], [0.45, 0.45, 0.045], [0.9, 0.9, 0.495], [0.9, 0.09, 0.09]
    colors = torch.tensor([vivid, dark, pale, other])

    def taken(*losses: float, as_good: float = 0.05) -> list[float]:
        return colors[brightest_of_hue(colors, torch.tensor(losses), as_good)].tolist()

    assert taken(1.04, 1.00, 1.50, 1.50) == pytest.approx(vivid), "the dark one is hardly better"
    assert taken(1.06, 1.00, 1.50, 1.50) == pytest.approx(dark), "brown is not orange"
    assert taken(1.50, 1.00, 1.01, 1.01) == pytest.approx(dark), "neither a paler one nor another hue"
    assert taken(1.00, 1.20, 0.98, 1.20) == pytest.approx(pale)
    assert taken(1.00, 1.00, 1.50, 1.50, as_good=-0.3) == pytest.approx(vivid), "none gains anything"
    grays = torch.tensor([[0.05] * 3, [0.95] * 3])
    assert brightest_of_hue(grays, torch.tensor([1.0, 1.01]), 0.05) == 0, "black is not white"
