"""Preservation outside a mask, on pictures whose differences are known, and against torchmetrics, scipy and the demo's report."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from blending_nerf_ns import compat
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.change import kept_inside, leaked_change, leaked_pixels, mean_inside_outside
from blending_nerf_ns.evaluation.masks import grow, split_by_mask, with_room
from blending_nerf_ns.evaluation.preservation import (
    HIGHEST_PSNR,
    SSIM_REACH,
    lpips_outside,
    ns_eval_figures,
    psnr,
    psnr_outside,
    ssim,
    ssim_outside,
)
from blending_nerf_ns.reporting.lpips import WEIGHTS, find_lpips

SEEDS = st.integers(0, 10_000)


def random_pictures(seed: int, views: int = 2, size: tuple[int, int] = (20, 24)) -> Tensor:
    return torch.rand(views, *size, 3, generator=torch.Generator().manual_seed(seed))


def box_mask(views: int = 2, size: tuple[int, int] = (20, 24)) -> Tensor:
    """Rows 8..10 and columns 9..12 of every view."""
    mask = torch.zeros(views, *size, dtype=torch.bool)
    mask[:, 8:11, 9:13] = True
    return mask


def distance(a: Tensor, b: Tensor) -> Tensor:
    """A stand-in for an LPIPS network."""
    assert a.shape == b.shape and a.shape[:2] == (1, 3)
    return (a - b).abs().mean()


# --- the two sides of a mask


def test_room_is_the_rectangle_around_a_mask_and_as_much_above_it():
    mask = torch.zeros(3, 8, 6, dtype=torch.bool)
    mask[0, 5, 2] = mask[0, 6, 4] = True  # two rows high, three columns wide
    mask[1, 1:4, 0] = True  # three rows high, with one row above it
    assert with_room(mask, "none") is mask
    around, above = with_room(mask, "around"), with_room(mask, "above")
    assert [int(view.sum()) for view in around] == [6, 3, 0] and bool(around[0, 5:7, 2:5].all())
    assert [int(view.sum()) for view in above] == [12, 4, 0] and bool(above[0, 3:7, 2:5].all())
    assert bool(above[1, :4, 0].all()), "a picture ends at its edge"
    with pytest.raises(BlendingNerfError, match="--mask-room below: choose among none, around, above"):
        with_room(mask, "below")  # type: ignore[arg-type]


@given(SEEDS, st.integers(0, 6))
@settings(max_examples=30)
def test_growing_a_mask_is_what_scipy_does(seed, dilation):
    mask = random_pictures(seed, size=(9, 13))[..., 0] > 0.95
    for one, grown in zip(mask, grow(mask, dilation)):
        expected = one.numpy()
        if dilation:
            expected = ndimage.binary_dilation(expected, np.ones((3, 3)), iterations=dilation)
        np.testing.assert_array_equal(grown.numpy(), expected)


def test_every_pixel_is_on_one_side():
    sides = split_by_mask(box_mask(), torch.zeros(2, 20, 24), 2)
    assert (sides.inside ^ sides.outside).all()
    assert sides.inside.sum() == 2 * (3 + 4) * (4 + 4)


@pytest.mark.parametrize("dilation", [-1, 1.0, True, None])
def test_a_dilation_is_a_number_of_pixels(dilation):
    with pytest.raises(BlendingNerfError, match=f"dilation is {dilation}"):
        psnr_outside(random_pictures(0), random_pictures(1), box_mask(), dilation=dilation)


EVERY_MASKED_METRIC = {
    "psnr": psnr_outside,
    "ssim": ssim_outside,
    "lpips": lambda original, edited, mask, **k: lpips_outside(original, edited, mask, distance, **k),
    "mean": lambda original, edited, mask, **k: mean_inside_outside(edited[..., 0], mask, **k),
    "leaked pixels": lambda *a, **k: leaked_pixels(*a, **k, threshold=0.1),
    "leaked change": leaked_change,
    "kept inside": kept_inside,
}


@pytest.mark.parametrize("metric", EVERY_MASKED_METRIC.values(), ids=EVERY_MASKED_METRIC.keys())
def test_a_side_without_pixels_is_an_error(metric):
    original, edited = random_pictures(0), random_pictures(1)
    with pytest.raises(BlendingNerfError, match="mask is empty: none of its 960 pixels in 2 views"):
        metric(original, edited, torch.zeros(2, 20, 24, dtype=torch.bool), dilation=3)
    with pytest.raises(BlendingNerfError, match="grown by 30 pixels, covers all 960 pixels in 2 views"):
        metric(original, edited, box_mask(), dilation=30)
    with pytest.raises(BlendingNerfError, match=r"mask has shape \[1, 20, 24\]"):
        metric(original, edited, box_mask(1), dilation=3)
    with pytest.raises(BlendingNerfError, match=r"mask is a tensor of torch.float32"):
        metric(original, edited, box_mask().float(), dilation=3)


@pytest.mark.parametrize("metric", EVERY_MASKED_METRIC.values(), ids=EVERY_MASKED_METRIC.keys())
def test_a_view_without_the_subject_is_all_outside(metric):
    """What changes there is damage; the same change within the mask was not."""
    mask, original = box_mask(), random_pictures(0)
    edited = torch.where(mask[..., None], 1.0 - original, original)
    within = metric(original, edited, mask, dilation=2)
    mask[1] = False
    assert metric(original, edited, mask, dilation=2) != within


# --- PSNR


def test_psnr_by_hand():
    original = torch.zeros(1, 2, 2, 3)
    edited = original.clone()
    edited[0, 0, 0] = 0.1  # one pixel of four: mean squared error 0.0025
    assert psnr(original, edited) == pytest.approx(-10 * math.log10(0.0025), abs=1e-5)
    assert psnr(original, original + 0.1) == pytest.approx(20.0, abs=1e-5)
    assert psnr(original, original + 1) == pytest.approx(0.0, abs=1e-9)


def test_psnr_outside_by_hand():
    original, edited, mask = torch.zeros(2, 20, 24, 3), torch.zeros(2, 20, 24, 3), box_mask()
    edited[mask] = 1.0
    assert psnr_outside(original, edited, mask, dilation=0) == HIGHEST_PSNR
    edited[:, 7, 9] = 0.5  # a pixel above the mask, in each view
    outside = 20 * 24 - 12
    assert psnr_outside(original, edited, mask, dilation=0) == pytest.approx(-10 * math.log10(0.25 / outside))
    assert psnr_outside(original, edited, mask, dilation=1) == HIGHEST_PSNR


def test_psnr_is_capped():
    original = torch.full((1, 12, 12, 3), 0.5, dtype=torch.float64)
    assert psnr(original, original) == HIGHEST_PSNR == 99.0
    assert psnr(original, original + 1e-6) == HIGHEST_PSNR  # 120 dB
    assert psnr(original, original + 1e-4) == pytest.approx(
        80.0, abs=1e-4
    )  # torchmetrics takes the logarithm in float32


@given(SEEDS, st.integers(0, 4))
@settings(max_examples=20)
def test_psnr_is_the_formula_and_torchmetrics(seed, dilation):
    from torchmetrics.image import PeakSignalNoiseRatio

    original, edited, mask = random_pictures(seed), random_pictures(seed + 1), box_mask()
    square = ((original.double() - edited.double()) ** 2).numpy()
    assert psnr(original, edited) == pytest.approx(-10 * math.log10(square.mean()), abs=1e-4)
    assert psnr(original, edited) == pytest.approx(
        PeakSignalNoiseRatio(data_range=1.0)(edited, original).item(), abs=1e-4
    )
    value = psnr_outside(original, edited, mask, dilation=dilation)
    grown = ndimage.maximum_filter(mask.numpy(), size=(1, 2 * dilation + 1, 2 * dilation + 1), mode="constant")
    outside = np.logical_not(grown)
    assert value == pytest.approx(-10 * math.log10(square[outside].mean()), abs=1e-4)
    assert value == pytest.approx(psnr_outside(edited, original, mask, dilation=dilation), abs=1e-9)
    assert 0 <= value <= HIGHEST_PSNR


# --- SSIM


def scipy_ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM of one channel after Wang et al. 2004, written out."""

    def blur(picture: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(picture, 1.5, mode="mirror", radius=5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


@given(SEEDS)
@settings(max_examples=10)
def test_ssim_is_scipys_and_torchmetrics(seed):
    from torchmetrics.functional.image import structural_similarity_index_measure

    original = random_pictures(seed)
    edited = (0.7 * original + 0.3 * random_pictures(seed + 1)).clamp(0, 1)
    maps = np.stack(
        [
            np.mean([scipy_ssim_map(a[..., c], b[..., c]) for c in range(3)], 0)
            for a, b in zip(original.double().numpy(), edited.double().numpy())
        ]
    )
    assert ssim(original, edited) == pytest.approx(maps.mean(), abs=1e-8)
    library = structural_similarity_index_measure(
        edited.movedim(-1, 1).double(), original.movedim(-1, 1).double(), data_range=1.0
    )
    assert isinstance(library, Tensor)
    assert ssim(original, edited) == pytest.approx(library.item(), abs=1e-8)
    outside = ~grow(box_mask(), 2).numpy()
    value = ssim_outside(original, edited, box_mask(), dilation=2)
    assert value == pytest.approx(maps[outside].mean(), abs=1e-8)
    assert value == pytest.approx(ssim_outside(edited, original, box_mask(), dilation=2), abs=1e-9)
    assert -1 <= value <= 1


def test_ssim_of_flat_pictures_by_hand():
    # no variance: (2ab + c1) / (a^2 + b^2 + c1)
    a, b, c1 = 0.2, 0.6, 1e-4
    original = torch.full((1, 12, 12, 3), a, dtype=torch.float64)
    assert ssim(original, original - a + b) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-9)


def test_ssim_of_identical_pictures_is_1():
    pictures = random_pictures(3)
    assert ssim(pictures, pictures) == pytest.approx(1.0, abs=1e-9)
    assert ssim_outside(pictures, pictures, box_mask(), dilation=0) == pytest.approx(1.0, abs=1e-9)


def test_ssim_outside_sees_the_inside_unless_the_mask_is_grown_by_its_window():
    original, mask = random_pictures(0), box_mask()
    edited = torch.where(mask[..., None], 1 - original, original)
    assert ssim_outside(original, edited, mask, dilation=SSIM_REACH - 1) < 1 - 1e-6
    assert ssim_outside(original, edited, mask, dilation=SSIM_REACH) == pytest.approx(1.0, abs=1e-9)


def test_ns_eval_says_what_the_base_and_what_the_edit_differ_by():
    photo = torch.full((16, 16, 3), 0.5)
    original = photo + 0.1
    found = ns_eval_figures(photo, original, original + 0.01)
    assert found["psnr"] == pytest.approx(20.0, abs=1e-4) and found["edit_psnr"] == pytest.approx(40.0, abs=1e-3)
    of_flat_ones = (2 * 0.5 * 0.6 + 1e-4) / (0.5**2 + 0.6**2 + 1e-4)
    assert found["ssim"] == pytest.approx(of_flat_ones, abs=1e-5)
    assert found["ssim"] < found["edit_ssim"] < 1.0
    unedited = ns_eval_figures(photo, original, original)
    assert unedited == {**found, "edit_psnr": 99.0, "edit_ssim": pytest.approx(1.0)}


def test_ssim_needs_room_for_its_window():
    small = torch.rand(1, 10, 30, 3)
    with pytest.raises(BlendingNerfError, match="10 x 30 pixels: SSIM needs 11"):
        ssim(small, small)


# --- LPIPS


def test_lpips_outside_shows_the_network_the_outside_alone():
    original, mask = random_pictures(0), box_mask()
    inside_edit = torch.where(mask[..., None], 1 - original, original)
    assert lpips_outside(original, inside_edit, mask, distance, dilation=0) == 0.0
    assert lpips_outside(original, original, mask, distance, dilation=0) == 0.0
    edited = torch.zeros_like(original)
    kept = torch.where(grow(mask, 2)[..., None], original, edited)
    expected = (original - kept).abs().mean().item()
    assert lpips_outside(original, edited, mask, distance, dilation=2) == pytest.approx(expected, abs=1e-6)


def test_lpips_says_which_pictures_its_network_does_not_read():
    def several_scales(one, other):
        return torch.nn.functional.max_pool2d(one - other, 32).mean()

    small, mask = torch.zeros(2, 24, 24, 3), torch.zeros(2, 24, 24, dtype=torch.bool)
    mask[:, :4] = True
    with pytest.raises(BlendingNerfError, match="does not read pictures of 24 x 24"):
        lpips_outside(small, small, mask, several_scales, dilation=0)


def test_lpips_with_the_real_network():
    """torchmetrics' class, its backbone without trained weights: they are not needed to see that it is called as it expects."""
    from torchmetrics.functional.image.lpips import _LPIPS

    network = _LPIPS(pretrained=True, net="squeeze", pnet_rand=True)  # the linear layers ship with torchmetrics
    network.eval()

    def call(a: Tensor, b: Tensor) -> Tensor:
        return network(a, b, normalize=True)  # answers [1, 1, 1, 1]

    original, edited = random_pictures(0, size=(64, 64)), random_pictures(1, size=(64, 64))
    mask = box_mask(size=(64, 64))
    assert lpips_outside(original, original, mask, call, dilation=3) == pytest.approx(0.0, abs=1e-6)
    assert lpips_outside(original, edited, mask, call, dilation=3) > 0


def test_lpips_is_found_where_its_weights_are_and_is_torchmetrics(tmp_path, monkeypatch):
    """A file as torchvision would have fetched it, with random weights: half of float32, to be small."""
    from torchvision.models import alexnet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network, reason = find_lpips()
    assert network is None and reason is not None and WEIGHTS in reason
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    state = {name: value.half() for name, value in alexnet(weights=None).state_dict().items()}
    torch.save(state, tmp_path / "hub" / "checkpoints" / WEIGHTS)
    network, reason = find_lpips()
    assert network is not None and reason is None
    original, edited = random_pictures(0, size=(64, 64)), random_pictures(1, size=(64, 64))
    mask = box_mask(size=(64, 64))
    hidden = torch.where(grow(mask, 3)[..., None], original, edited)
    pairs = zip(original.movedim(-1, 1).float().split(1), hidden.movedim(-1, 1).float().split(1))
    expected = [float(network(*pair)) for pair in pairs]
    value = lpips_outside(original, edited, mask, network, dilation=3)
    assert value == pytest.approx(sum(expected) / len(expected), rel=1e-4) and value > 0
    assert lpips_outside(original, original, mask, network, dilation=3) == pytest.approx(0.0, abs=1e-6)


def test_lpips_is_never_replaced():
    pictures, mask = random_pictures(0), box_mask()
    with pytest.raises(BlendingNerfError, match="without its network"):
        lpips_outside(pictures, pictures, mask, None, dilation=0)
    with pytest.raises(BlendingNerfError, match="answered nan"):  # what the model has where no weights are
        lpips_outside(pictures, pictures, mask, compat._absent_lpips, dilation=0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BlendingNerfError, match="answered -1"):
        lpips_outside(pictures, pictures, mask, lambda a, b: torch.tensor(-1.0), dilation=0)
    with pytest.raises(BlendingNerfError, match=r"answered with shape \[1, 3, 20, 24\]"):
        lpips_outside(pictures, pictures, mask, lambda a, b: a, dilation=0)

    class Signed:
        normalize = False

        def __call__(self, a: Tensor, b: Tensor) -> Tensor:
            return distance(a, b)

    with pytest.raises(BlendingNerfError, match="normalize=False"):
        lpips_outside(pictures, pictures, mask, Signed(), dilation=0)
