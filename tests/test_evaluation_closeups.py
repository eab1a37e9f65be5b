"""Close-ups of a subject, against places and values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.closeups import close_up_boxes, close_ups


def mask_of(*boxes: tuple[int, int, int, int], size: int = 12) -> torch.Tensor:
    """One view for each (top, bottom, left, right)."""
    mask = torch.zeros(len(boxes), size, size, dtype=torch.bool)
    for view, (top, bottom, left, right) in enumerate(boxes):
        mask[view, top:bottom, left:right] = True
    return mask


def test_boxes_are_square_around_the_grown_mask_and_stay_in_the_picture() -> None:
    mask = mask_of((5, 7, 4, 8), (0, 2, 0, 2), (0, 0, 0, 0), (0, 12, 3, 5))
    # 2 x 4 pixels, half as large again: 6 around the middle (6, 6)
    # 2 x 2 in a corner: 3, moved into the picture; the third view does not see it; the last is as high as the picture
    assert close_up_boxes(mask, dilation=0) == [(0, 3, 3, 6), (1, 0, 0, 3), (3, 0, 0, 12)]
    # grown by 1: 4 x 6, half as large again: 9
    assert close_up_boxes(mask[:1], dilation=1) == [(0, 1, 1, 9)]


def test_close_ups_show_that_part_alone() -> None:
    mask = mask_of((4, 8, 4, 8))
    pictures = torch.zeros(1, 12, 12, 3)
    pictures[0, 3:9, 3:9] = 0.5  # the square of side 6 around the mask, and nothing else
    assert torch.allclose(close_ups(pictures, mask, dilation=0, size=6), torch.full((1, 6, 6, 3), 0.5))
    assert close_ups(pictures, mask, dilation=0, size=9).shape == (1, 9, 9, 3)
    outside = pictures.clone()
    outside[0, :3] = 1.0
    same = (close_ups(values, mask, dilation=0, size=4) for values in (pictures, outside))
    assert torch.equal(*same), "what lies outside is not read"


def test_masks_that_show_nothing_are_refused() -> None:
    with pytest.raises(BlendingNerfError, match="the mask is empty"):
        close_ups(torch.zeros(1, 12, 12, 3), mask_of((0, 0, 0, 0)), dilation=1, size=4)
    seen, gray = mask_of((2, 6, 2, 6)), torch.full((1, 12, 12, 3), 0.5)
    with pytest.raises(BlendingNerfError, match="wanted a floating-point torch tensor"):
        close_ups((255 * gray).to(torch.uint8), seen, dilation=1, size=4)
    with pytest.raises(BlendingNerfError, match="pictures"):
        close_ups(gray * torch.nan, seen, dilation=1, size=4)
    with pytest.raises(BlendingNerfError, match="dilation is -1"):
        close_ups(gray, seen, dilation=-1, size=4)
