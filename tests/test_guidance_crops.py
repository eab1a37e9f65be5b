"""Crops land on the region, read all of it, and are the same for every picture of a view; backgrounds and compositing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.crops import BACKGROUNDS, composite, crop, random_backgrounds, sample_boxes


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disc(height: int, width: int, row: float, column: float, radius: float) -> Tensor:
    """A coverage map: 1 inside a disc, 0 outside."""
    y, x = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return (((y - row) ** 2 + (x - column) ** 2) <= radius**2).float()


@settings(max_examples=60)
@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    radius=st.floats(1, 40),
    seed=st.integers(0, 1000),
)
def test_boxes_lie_inside_and_hit_the_region(height: int, width: int, where: tuple, radius: float, seed: int):
    coverage = disc(height, width, where[0] * (height - 1), where[1] * (width - 1), radius)
    boxes = sample_boxes(coverage, 6, seeded(seed))
    assert boxes.shape == (6, 3)
    for top, left, side in boxes.tolist():
        assert side >= min(16, height, width)
        assert 0 <= top <= height - side
        assert 0 <= left <= width - side
        assert coverage[top : top + side, left : left + side].any()


def test_every_part_of_a_region_is_read():
    coverage = disc(100, 100, 48, 55, 30)
    for seed in range(8):
        seen = torch.zeros_like(coverage)
        for top, left, side in sample_boxes(coverage, 12, seeded(seed), scales=(0.4,)).tolist():
            seen[top : top + side, left : left + side] += 1
        read = (seen > 0)[coverage > 0].float().mean()
        assert read >= 0.9  # twelve crops, each 16 % of the bounding box; blind ones read about 75 %


def test_scales_are_shares_of_the_regions_extent():
    coverage = torch.zeros(200, 300)
    coverage[60:100, 90:190] = 1.0  # 100 pixels wide
    sides = sample_boxes(coverage, 40, seeded(), scales=(1.0, 0.5))[:, 2].float()
    assert sides[0::2].min() >= 90
    assert sides[0::2].max() <= 110
    assert sides[1::2].min() >= 45
    assert sides[1::2].max() <= 55


def test_faint_coverage_does_not_draw_crops():
    coverage = torch.full((64, 64), 0.01)
    coverage[40:60, 40:60] = 1.0
    for top, left, side in sample_boxes(coverage, 20, seeded()).tolist():
        assert coverage[top : top + side, left : left + side].max() == 1.0


def test_empty_coverage_gives_crops_of_the_picture():
    boxes = sample_boxes(torch.zeros(40, 60), 30, seeded())
    assert boxes[:, 2].max() <= 40
    assert boxes[:, 1].float().std() > 0


def test_seed_decides():
    coverage = disc(80, 80, 30, 40, 20)
    assert torch.equal(sample_boxes(coverage, 5, seeded(3)), sample_boxes(coverage, 5, seeded(3)))
    assert not torch.equal(sample_boxes(coverage, 5, seeded(3)), sample_boxes(coverage, 5, seeded(4)))


def test_crop_takes_the_named_pixels():
    image = torch.rand(3, 20, 30, generator=seeded())
    boxes = torch.tensor([[2, 5, 8], [0, 0, 20]])
    out = crop(image, boxes, 8)
    assert torch.equal(out[0], image[:, 2:10, 5:13])  # same size: not resampled
    assert out.shape == (2, 3, 8, 8)
    assert out[1].mean().item() == pytest.approx(image[:, :, :20].mean().item(), abs=0.03)
    assert crop(image[:1], boxes, 8).shape == (2, 1, 8, 8)  # an accumulation map
    assert crop(image, boxes[:0], 8).shape == (0, 3, 8, 8)


def test_gradient_stays_inside_the_boxes():
    image = torch.rand(3, 24, 24, generator=seeded()).requires_grad_()
    crop(image, torch.tensor([[4, 6, 10]]), 7).sum().backward()
    assert image.grad is not None
    inside = torch.zeros(24, 24, dtype=torch.bool)
    inside[4:14, 6:16] = True
    assert image.grad[:, ~inside].abs().max() == 0
    assert image.grad[:, inside].abs().min() > 0


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_backgrounds(kind: str):
    pictures = random_backgrounds(5, (24, 36), seeded(), kinds=(kind,))
    assert pictures.shape == (5, 3, 24, 36)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert (pictures[0] - pictures[1]).abs().max() > 0.05
    colours = pictures[0].flatten(1).unique(dim=1).shape[1]
    assert colours == {"color": 1, "checker": 2}.get(kind, 24 * 36)
    assert torch.equal(pictures, random_backgrounds(5, (24, 36), seeded(), kinds=(kind,)))


def test_backgrounds_of_all_kinds_and_none():
    pictures = random_backgrounds(40, (16, 16), seeded())
    counts = {picture.flatten(1).unique(dim=1).shape[1] for picture in pictures}
    assert {1, 2} <= counts
    assert len(counts) > 2
    assert random_backgrounds(0, (4, 4)).shape == (0, 3, 4, 4)


def test_composite_by_hand():
    rgb = torch.tensor([0.3, 0.0, 0.1]).reshape(1, 3, 1, 1)  # over black, accumulation 0.5
    accumulation = torch.full((1, 1, 1, 1), 0.5, requires_grad=True)
    background = torch.tensor([1.0, 0.4, 0.0]).reshape(1, 3, 1, 1)
    out = composite(rgb, accumulation, background)
    assert out.flatten().tolist() == pytest.approx([0.8, 0.2, 0.1])
    out.sum().backward()
    assert accumulation.grad is not None
    assert accumulation.grad.item() == pytest.approx(-1.4)


def test_errors():
    with pytest.raises(BlendingNerfError, match=r"shape \(3, 8, 8\)"):
        sample_boxes(torch.ones(3, 8, 8), 2)
    with pytest.raises(BlendingNerfError, match="finite"):
        sample_boxes(torch.full((8, 8), float("nan")), 2)
    with pytest.raises(BlendingNerfError, match="scales"):
        sample_boxes(torch.ones(8, 8), 2, scales=())
    with pytest.raises(BlendingNerfError, match=r"\(5, 0\) of side 8 is not inside 10x10"):
        crop(torch.rand(3, 10, 10), torch.tensor([[5, 0, 8]]), 4)
    with pytest.raises(BlendingNerfError, match="'stars'"):
        random_backgrounds(1, (4, 4), kinds=("stars",))
