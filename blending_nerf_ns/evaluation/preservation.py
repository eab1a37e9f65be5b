"""What an edit left alone: PSNR, SSIM and LPIPS of edited against original pictures, everywhere or outside a mask.

`dilation` is always stated: that many pixels around the mask count as inside. A figure without it means little.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import as_picture_pair
from blending_nerf_ns.evaluation.masks import split_by_mask

HIGHEST_PSNR = 99.0
"""Identical pictures have an infinite PSNR, which neither JSON nor a mean can hold. 99 dB are an error of 1e-5."""
SSIM_REACH = 5
"""The window of SSIM is 11 pixels wide. Grow a mask by this much, and SSIM outside sees nothing of what is inside."""


def psnr(original: Float[Tensor, "views height width 3"], edited: Float[Tensor, "views height width 3"]) -> float:
    """Peak signal-to-noise ratio of whole pictures.

    Formula: -10 log10(mean (I - I')^2), over all pixels of all views together; at most 99.
    Range: [0, 99] dB; identical pictures give 99.
    Better: higher.
    Source: standard, by torchmetrics. ns-eval states the mean of the views' values, which is another number for several
        views: the mean of this function's values of one view each.

    Args:
        original, edited: pictures of the same views.
    """
    return _psnr(*as_picture_pair(original, edited))


def psnr_outside(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    *,
    dilation: int,
) -> float:
    """Peak signal-to-noise ratio outside a mask.

    Formula: -10 log10(mean (I - I')^2), over the pixels of all views together that are not in the grown mask; at most 99.
    Range: [0, 99] dB; identical pictures give 99.
    Better: higher.
    Source: standard, by torchmetrics; the mask, its dilation and the cap are ours.

    Args:
        original, edited: pictures of the same views.
        mask: the subject's pixels.
        dilation: pixels around the mask that do not count either.

    Example:
        >>> original, edited = torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8, 3)
        >>> mask = torch.zeros(1, 8, 8, dtype=torch.bool)
        >>> mask[:, :4] = True
        >>> edited[:, :4] = 1.0
        >>> psnr_outside(original, edited, mask, dilation=0)
        99.0
    """
    original, edited = as_picture_pair(original, edited)
    outside = split_by_mask(mask, original, dilation).outside
    return _psnr(original[outside], edited[outside])


def ssim(original: Float[Tensor, "views height width 3"], edited: Float[Tensor, "views height width 3"]) -> float:
    """Structural similarity of whole pictures.

    Formula: mean of the SSIM map over pixels, channels and views (Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2
        0.03, mirrored borders).
    Range: [-1, 1]; identical pictures give 1.
    Better: higher.
    Source: Wang et al., IEEE TIP 2004, by torchmetrics.

    Args:
        original, edited: pictures of the same views, 11 pixels or more each way.
    """
    return _ssim_map(*as_picture_pair(original, edited)).mean().item()


def ssim_outside(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    *,
    dilation: int,
) -> float:
    """Structural similarity outside a mask.

    Formula: mean of the SSIM map (see `ssim`), over channels and all pixels of all views together that are not in the
        grown mask. The map of a pixel sees 5 pixels around it: with a smaller `dilation`, what changed inside lowers it
        too.
    Range: [-1, 1]; identical pictures give 1.
    Better: higher.
    Source: Wang et al., IEEE TIP 2004, by torchmetrics; the mask and its dilation are ours.

    Args:
        original, edited: pictures of the same views, 11 pixels or more each way.
        mask: the subject's pixels.
        dilation: pixels around the mask that do not count either; `SSIM_REACH` for an SSIM of the outside alone.
    """
    original, edited = as_picture_pair(original, edited)
    outside = split_by_mask(mask, original, dilation).outside
    return _ssim_map(original, edited)[outside].mean().item()


def lpips_outside(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    mask: Bool[Tensor, "views height width"],
    network: Callable[[Tensor, Tensor], Tensor] | None,
    *,
    dilation: int,
) -> float:
    """Learned perceptual distance of what changed outside a mask.

    Formula: mean over views of LPIPS(I, I' with the original's pixels in the grown mask). The network's mean runs over
        whole pictures: the same change counts less where the outside is smaller.
    Range: [0, about 1]; identical pictures give 0.
    Better: lower.
    Source: Zhang et al., CVPR 2018, arXiv 1801.03924; the mask and its dilation are ours.

    Args:
        original, edited: pictures of the same views.
        mask: the subject's pixels.
        network: from two stacks [1, 3, height, width] in [0, 1] to one number, such as torchmetrics'
            `LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)`. State which. There is no other
            model in its place: None, where its weights are not at hand, is an error.
        dilation: pixels around the mask that do not count either.
    """
    if network is None:
        raise BlendingNerfError("LPIPS was asked for without its network: give its weights, or leave the metric out.")
    if getattr(network, "normalize", True) is False:
        raise BlendingNerfError(
            "the LPIPS network has normalize=False and expects [-1, 1]; build it with normalize=True."
        )
    original, edited = as_picture_pair(original, edited)
    inside = split_by_mask(mask, original, dilation).inside
    edited = torch.where(inside[..., None], original, edited)
    return sum(_lpips(network, one, other) for one, other in zip(original, edited)) / len(original)


def ns_eval_figures(
    photo: Float[Tensor, "height width 3"],
    original: Float[Tensor, "height width 3"],
    edited: Float[Tensor, "height width 3"],
) -> dict[str, float]:
    """What ns-eval says of a view: `psnr` and `ssim` of the original against the photo, `edit_psnr` and `edit_ssim` of the edited
    picture against the original.

    Formula: `psnr` and `ssim` above, of one view.
    Range: PSNR [0, 99] dB, SSIM [-1, 1]; identical pictures give 99 and 1.
    Better: higher; an edit that does nothing has the highest `edit_*`.
    Source: as those; the names are ns-eval's, and ours for the edit.

    Args:
        photo: what was captured.
        original: the base's picture of it.
        edited: the same with the edit.
    """
    base, edit = (photo[None], original[None]), (original[None], edited[None])
    return {"psnr": psnr(*base), "ssim": ssim(*base), "edit_psnr": psnr(*edit), "edit_ssim": ssim(*edit)}


def _psnr(original: Tensor, edited: Tensor) -> float:
    from torchmetrics.functional.image import peak_signal_noise_ratio  # imports transformers, in seconds

    return min(float(peak_signal_noise_ratio(edited, original, data_range=1.0)), HIGHEST_PSNR)


def _ssim_map(original: Tensor, edited: Tensor) -> Float[Tensor, "views height width"]:
    """SSIM at every pixel, mean of the channels; view by view, to keep memory small."""
    from torchmetrics.functional.image import structural_similarity_index_measure  # imports transformers, in seconds

    if min(original.shape[1:3]) <= 2 * SSIM_REACH:
        raise BlendingNerfError(
            f"pictures of {original.shape[1]} x {original.shape[2]} pixels: SSIM needs {2 * SSIM_REACH + 1} each way."
        )
    maps = []
    for one, other in zip(original, edited):
        _, similarity = structural_similarity_index_measure(
            other.permute(2, 0, 1)[None], one.permute(2, 0, 1)[None], data_range=1.0, return_full_image=True
        )
        maps.append(similarity[0].mean(0))
    return torch.stack(maps)


def _lpips(network: Callable[[Tensor, Tensor], Tensor], original: Tensor, edited: Tensor) -> float:
    one, other = (picture.permute(2, 0, 1)[None].float() for picture in (original, edited))
    try:
        with torch.no_grad():
            answer = torch.as_tensor(network(one, other))
    except RuntimeError as error:  # a network of several scales has a smallest picture
        height, width = original.shape[:2]
        raise BlendingNerfError(f"the LPIPS network does not read pictures of {height} x {width}: {error}") from error
    if answer.numel() != 1:
        raise BlendingNerfError(
            f"the LPIPS network answered with shape {list(answer.shape)}, wanted one number per view."
        )
    value = float(answer)
    if not math.isfinite(value) or value < 0:
        raise BlendingNerfError(f"the LPIPS network answered {value}, wanted a distance >= 0.")
    return value
