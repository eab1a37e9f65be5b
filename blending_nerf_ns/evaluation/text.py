"""Do the pictures say the target text: CLIP features of pictures and texts.

Values depend on the CLIP model: they compare only with values of the same model, crops and views. The model that scores
should not be the model that guided.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import as_directions, as_picture_pair, check_same_width

TIE = 1e-9
"""Cosines that differ by no more are equal; the same text twice in a pool must tie whatever the order of a sum."""


def clip_similarity(images: Float[Tensor, "views features"], text: Float[Tensor, "features"]) -> float:
    """How much pictures say a text.

    Formula: mean over views of cos(E(I'), T).
    Range: [-1, 1]; in practice a narrow band of positive values that is each model's own.
    Better: higher.
    Source: CLIPScore (Hessel et al., EMNLP 2021, arXiv 2104.08718) without its factor 2.5 and without its cut at 0;
        torchmetrics' `clip_score` is 100 times this, cut at 0.

    Args:
        images: image features, of any length.
        text: text feature, of any length.
    """
    return _similarities(images, text).mean().item()


def manipulative_precision(
    original: Float[Tensor, "views height width 3"],
    edited: Float[Tensor, "views height width 3"],
    edited_features: Float[Tensor, "views features"],
    target: Float[Tensor, "features"],
) -> float:
    """Manipulative precision: saying the text and keeping the pixels, in one number.

    Formula: MP = mean over views of (1 - mean|I - I'|) * cos(E(I'), T'), the inner mean over all pixels and channels,
        for values in [0, 1].
    Range: [-1, 1]. Identical pictures give `clip_similarity`.
    Better: higher. It does not punish an edit outside the subject more than one inside; use `preservation` for that.
    Source: ManiGAN (Li et al., CVPR 2020, arXiv 1912.06203), its DAMSM similarity replaced by CLIP's, as in
        Blending-NeRF (arXiv 2308.11974), whose CLIP and scaling are unknown. On values in [-1, 1] the same code would
        count the difference twice.

    Args:
        original, edited: pictures of the same views.
        edited_features: image features of the edited pictures, of any length.
        target: text feature, of any length.

    Example:
        >>> gray = torch.full((1, 2, 2, 3), 0.5)
        >>> x, y = torch.eye(2)
        >>> round(manipulative_precision(gray, gray + 0.25, (x + y)[None], x), 6)  # 0.75 * cos(45 degrees)
        0.53033
    """
    original, edited = as_picture_pair(original, edited)
    similarities = _similarities(edited_features, target)
    if len(similarities) != len(edited):
        raise BlendingNerfError(f"{len(similarities)} features were given for {len(edited)} edited pictures.")
    kept = 1.0 - (original - edited).abs().mean(dim=(1, 2, 3))
    return (kept * similarities.to(kept.device)).mean().item()


def r_precision(
    images: Float[Tensor, "views features"],
    texts: Float[Tensor, "pool features"],
    truth: int | Int[Tensor, "views"],
    k: int = 1,
) -> float:
    """R-precision: how often a picture's own text is among the `k` texts of a pool that it is most like.

    Formula: share of views whose own text has rank <= k by cos(E(I'), T_j). Texts that tie with the view's own share
        their ranks: such a view counts by its chance of being within k if ties were broken by lot.
    Range: [0, 1]; chance is k / pool, which is also what pictures or texts that are all alike get.
    Better: higher.
    Source: AttnGAN (Xu et al., CVPR 2018, arXiv 1711.10485); with CLIP, Park et al. (NeurIPS Datasets and Benchmarks
        2021); of rendered 3D scenes, Dream Fields (Jain et al., CVPR 2022, arXiv 2112.01455), which scores by another
        model than the guide.

    Args:
        images: image features, of any length.
        texts: text features of the pool, of any length. The value means nothing without the pool: state it.
        truth: index into the pool of each view's own text, or one for all views.
        k: ranks that count, less than the pool's size.

    Example:
        >>> images, texts = torch.eye(3), torch.eye(3)
        >>> r_precision(images, texts, torch.tensor([0, 1, 2]))
        1.0
        >>> r_precision(images, texts, torch.tensor([1, 2, 0]))
        0.0
    """
    images, texts = as_directions("images", images, 2), as_directions("texts", texts, 2).to(images.device)
    check_same_width(images=images, texts=texts)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < len(texts):
        raise BlendingNerfError(
            f"k is {k!r} in a pool of {len(texts)} texts, wanted 1 <= k < pool: else all or none count."
        )
    similarities = images @ texts.T
    own = similarities.gather(1, _check_truth(truth, len(images), len(texts)).to(images.device)[:, None])
    better = (similarities > own + TIE).sum(1)
    tied = ((similarities - own).abs() <= TIE).sum(1)  # its own is one of them
    return ((k - better) / tied).clamp(0.0, 1.0).mean().item()


def _similarities(images: Tensor, text: Tensor) -> Float[Tensor, "views"]:
    images, text = as_directions("images", images, 2), as_directions("text", text, 1).to(images.device)
    check_same_width(images=images, text=text)
    return (images @ text).clamp(-1.0, 1.0)


def _check_truth(truth: int | Tensor, views: int, pool: int) -> Int[Tensor, "views"]:
    if isinstance(truth, bool) or not isinstance(truth, int | Tensor):
        raise BlendingNerfError(f"truth is {truth!r}, wanted an index into the pool, or one per view.")
    indices = torch.full((views,), truth) if isinstance(truth, int) else truth
    if indices.is_floating_point() or indices.dtype == torch.bool or indices.shape != (views,):
        raise BlendingNerfError(
            f"truth is {indices.dtype} of shape {list(indices.shape)}, wanted a whole number for each of {views} views."
        )
    wrong = indices[(indices < 0) | (indices >= pool)].tolist()
    if wrong:
        raise BlendingNerfError(f"truth names text {wrong[0]} in a pool of {pool} texts.")
    return indices.long()
