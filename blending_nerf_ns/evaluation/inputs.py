"""What the metrics take: stacks of pictures, amounts, masks, features, points. All else is an error with its value."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.errors import BlendingNerfError

ROUNDING = 1e-5
"""Values this far outside [0, 1] are float32 rounding and are clamped; pictures that differ by no more are the same."""
SMALLEST_LENGTH = 1e-6
"""A feature shorter than this has no direction."""
NO_STEP = 1e-4
"""Features have length 1 here; steps shorter than this are rounding, not a direction.

The embedded CLIP's features differ by 3e-7 between batches, and by 2e-5 where pixels differ by 1e-5. Rounding to 8 bits moves
them by 1e-3: take both stacks as rendered, or both from files, never one of each.
"""


def as_pictures(name: str, pictures: Float[Tensor, "views height width 3"]) -> Float[Tensor, "views height width 3"]:
    """RGB pictures in [0, 1], as float64 and without gradient.

    Args:
        name: what the error calls them.
        pictures: of the same size, channels last, floating point. 8-bit pictures must be divided by 255 first.
    """
    _check_floating(name, pictures)
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or 0 in pictures.shape:
        raise BlendingNerfError(f"{name} have shape {list(pictures.shape)}, wanted [views, height, width, 3].")
    return _in_unit_range(name, pictures)


def as_picture_pair(
    original: Float[Tensor, "views height width 3"], edited: Float[Tensor, "views height width 3"]
) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width 3"]]:
    """Two stacks that show the same views, each as `as_pictures` gives it."""
    first, second = as_pictures("original pictures", original), as_pictures("edited pictures", edited)
    if first.shape != second.shape:
        raise BlendingNerfError(
            f"original pictures have shape {list(first.shape)}, edited ones {list(second.shape)}: not the same views."
        )
    return first, second.to(first.device)


def as_amounts(name: str, amounts: Float[Tensor, "views height width"]) -> Float[Tensor, "views height width"]:
    """One number in [0, 1] per pixel, such as an accumulated opacity, as float64 and without gradient."""
    _check_floating(name, amounts)
    if amounts.ndim != 3 or 0 in amounts.shape:
        raise BlendingNerfError(
            f"{name} has shape {list(amounts.shape)}, wanted [views, height, width]; take [..., 0] of a last axis."
        )
    return _in_unit_range(name, amounts)


def as_mask(mask: Bool[Tensor, "views height width"], pixels: Tensor) -> Bool[Tensor, "views height width"]:
    """A mask of the pixels that are measured, on their device.

    Args:
        mask: True where the subject is; some pixel in some view must be, or nothing is inside to speak of.
        pixels: [views, height, width, ...].
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise BlendingNerfError(f"the mask is {_kind(mask)}, wanted a bool tensor: compare it with a threshold first.")
    if mask.shape != pixels.shape[:3]:
        raise BlendingNerfError(f"the mask has shape {list(mask.shape)}, the pictures {list(pixels.shape)}.")
    if not mask.any():
        raise BlendingNerfError(f"the mask is empty: none of its {mask.numel()} pixels in {len(mask)} views is True.")
    return mask.to(pixels.device)


def as_directions(name: str, features: Float[Tensor, "*batch features"], axes: int) -> Float[Tensor, "*batch features"]:
    """Features scaled to length 1, as float64 and without gradient.

    Args:
        name: what the error calls them.
        features: of any length, in float32 or finer: steps between features are small, and half precision drowns them.
        axes: how many axes they must have.
    """
    _check_floating(name, features)
    if torch.finfo(features.dtype).bits < 32:
        raise BlendingNerfError(
            f"{name} are {features.dtype}, wanted float32 or finer: their differences would be noise."
        )
    if features.ndim != axes or 0 in features.shape:
        wanted = "[features]" if axes == 1 else "[number, features]"
        raise BlendingNerfError(f"{name} have shape {list(features.shape)}, wanted {wanted}.")
    _check_finite(name, features)
    features = features.detach().double()
    lengths = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    if lengths.min() < SMALLEST_LENGTH:
        raise BlendingNerfError(f"{name} have a vector of length {lengths.min().item():.3g}, which has no direction.")
    return features / lengths


def differ(source: Float[Tensor, "features"], target: Float[Tensor, "features"]) -> bool:
    """Whether two texts' features, of any length, are far enough apart to be a direction.

    Example:
        >>> x, y, _ = torch.eye(3)
        >>> differ(x, y), differ(x, 7 * x)
        (True, False)
    """
    source, target = as_directions("source text", source, 1), as_directions("target text", target, 1)
    return (target - source).norm().item() >= NO_STEP


def check_same_width(**features: Tensor) -> None:
    """That features are of one model, as far as their number of elements can tell.

    Args:
        features: the features by name.
    """
    if len({each.shape[-1] for each in features.values()}) > 1:
        widths = ", ".join(f"{name}: {each.shape[-1]}" for name, each in features.items())
        raise BlendingNerfError(f"features of different lengths ({widths}) are not of one model.")


def as_points(name: str, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """A point cloud, as float64 on the CPU and without gradient."""
    _check_floating(name, points)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise BlendingNerfError(f"{name} have shape {list(points.shape)}, wanted [points, 3] with at least one point.")
    _check_finite(name, points)
    return points.detach().double().cpu()


def _in_unit_range(name: str, values: Tensor) -> Tensor:
    _check_finite(name, values)
    values = values.detach().double()
    low, high = values.min().item(), values.max().item()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise BlendingNerfError(f"{name} range from {low:.6g} to {high:.6g}, wanted values in [0, 1].")
    return values.clamp(0.0, 1.0)


def _check_floating(name: str, values: Tensor) -> None:
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise BlendingNerfError(f"{name}: {_kind(values)} was given, wanted a floating-point torch tensor.")


def _check_finite(name: str, values: Tensor) -> None:
    broken = int((~torch.isfinite(values)).sum())
    if broken:
        raise BlendingNerfError(f"{name}: {broken} of {values.numel()} values are NaN or infinite.")


def _kind(value: object) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
