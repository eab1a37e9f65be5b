"""Did the pictures move as the text did, and alike from view to view: cosines of steps between CLIP features.

A step that the edit should have made and did not make counts as 0, never as agreement: a view that the edit left as it
was must not raise a mean. A step that the question needs and does not have (two texts that are the same, two frames
that are the same) is an error.

Values depend on the CLIP model: they compare only with values of the same model, crops and views.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.inputs import NO_STEP, as_directions, check_same_width, differ


def clip_direction_similarity(
    before: Float[Tensor, "views features"],
    after: Float[Tensor, "views features"],
    source: Float[Tensor, "features"],
    target: Float[Tensor, "features"],
) -> float:
    """CLIP text-image direction similarity: whether pictures changed the way the text did.

    Formula: mean over views of cos(E(I') - E(I), T' - T), every feature scaled to length 1 first.
    Range: [-1, 1]. A view that did not change counts as 0, so identical pictures give 0.
    Better: higher.
    Source: StyleGAN-NADA (Gal et al., arXiv 2108.00946, the directional CLIP loss), as a metric in InstructPix2Pix
        (Brooks et al., CVPR 2023, arXiv 2211.09800) and Instruct-NeRF2NeRF (Haque et al., ICCV 2023, arXiv 2303.12789).

    Args:
        before, after: image features of the same views, of any length.
        source, target: text features, of any length.

    Raises:
        BlendingNerfError: the texts' features are the same, so that there is no direction to follow.

    Example:
        >>> x, y, z = torch.eye(3)
        >>> round(clip_direction_similarity(x[None], y[None], x, y), 6)  # the picture did what the text says
        1.0
        >>> clip_direction_similarity(x[None], x[None], x, y)  # nothing happened
        0.0
    """
    before, after = _paired(before, after)
    source, target = as_directions("source text", source, 1), as_directions("target text", target, 1)
    check_same_width(images=before, source=source, target=target)
    wanted = (target - source).to(before.device)
    if not differ(source, target):
        raise BlendingNerfError(
            f"source and target text have the same features (distance {wanted.norm().item():.3g}): no way to go."
        )
    return _mean_cosine(after - before, wanted.expand_as(after))


def edit_direction_consistency(
    before: Float[Tensor, "frames features"], after: Float[Tensor, "frames features"]
) -> float:
    """CLIP direction consistency, reading "neighbouring frames": whether neighbours were edited in the same direction.

    Formula: mean over i of cos(E(I'_i) - E(I_i), E(I'_i+1) - E(I_i+1)), every feature scaled to length 1 first.
    Range: [-1, 1]. A pair with a frame that did not change counts as 0, so identical pictures give 0.
    Better: higher.
    Source: one of two readings of Instruct-NeRF2NeRF's metric that are in use under one name (arXiv 2303.12789). The
        other is `view_change_consistency`; their values do not compare.

    Args:
        before, after: image features of neighbouring frames of one camera path, in the path's order.
    """
    before, after = _paired(before, after)
    _check_path(before)
    steps = after - before
    return _mean_cosine(steps[:-1], steps[1:])


def view_change_consistency(before: Float[Tensor, "frames features"], after: Float[Tensor, "frames features"]) -> float:
    """CLIP direction consistency, reading "difference of differences": whether a change of view looks alike.

    Formula: mean over i of cos(E(I'_i+1) - E(I'_i), E(I_i+1) - E(I_i)), every feature scaled to length 1 first.
    Range: [-1, 1]. Identical pictures give 1: doing nothing is consistent. A step where the edited picture stands still
        while the original moves counts as 0.
    Better: higher, at the same edit strength only.
    Source: one of two readings of Instruct-NeRF2NeRF's metric that are in use under one name (arXiv 2303.12789). The
        other is `edit_direction_consistency`; their values do not compare.

    Args:
        before, after: image features of neighbouring frames of one camera path, in the path's order.

    Raises:
        BlendingNerfError: two neighbouring original frames have the same features; the message names the first.
    """
    before, after = _paired(before, after)
    _check_path(before)
    moves = before[1:] - before[:-1]
    still = (moves.norm(dim=-1) < NO_STEP).nonzero()[:, 0].tolist()
    if still:
        raise BlendingNerfError(
            f"original frames {still[0]} and {still[0] + 1} have the same features ({len(still)} of {len(moves)} do): "
            "no change of view to follow. Leave out repeated frames."
        )
    return _mean_cosine(after[1:] - after[:-1], moves)


def _paired(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Unit features of the same views."""
    before, after = as_directions("features before", before, 2), as_directions("features after", after, 2)
    if before.shape != after.shape:
        raise BlendingNerfError(
            f"features before have shape {list(before.shape)}, after {list(after.shape)}: not the same views or model."
        )
    return before, after.to(before.device)


def _check_path(frames: Tensor) -> None:
    if len(frames) < 2:
        raise BlendingNerfError(f"{len(frames)} frame has no neighbour: direction consistency needs 2 frames or more.")


def _mean_cosine(steps: Float[Tensor, "pairs features"], wanted: Float[Tensor, "pairs features"]) -> float:
    """Mean cosine of pairs of steps; 0 for a pair with a step that is none."""
    moved = (steps.norm(dim=-1) >= NO_STEP) & (wanted.norm(dim=-1) >= NO_STEP)
    cosines = functional.cosine_similarity(steps, wanted, dim=-1)
    return torch.where(moved, cosines, 0.0).mean().clamp(-1.0, 1.0).item()
