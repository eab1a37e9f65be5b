"""Coarse to fine: early steps guide on smaller pictures, where the guide loses nothing by it."""

from __future__ import annotations


def view_size(share: float, size: int, seen: int, coarse: float) -> int:
    """Side of the views at some point of an edit's schedule, in pixels.

    At first colour and outline move as a whole, which half the side shows as well for a quarter of the rays. The guide scales
    what it is shown to its own size: a whole view that is no smaller than this looks the same to it.

    Args:
        share: of the schedule that is behind, in [0, 1].
        size: of the views later on.
        seen: side of the pictures that the guide takes.
        coarse: share of the schedule in which views are small.

    Example:
        >>> [view_size(share, size=512, seen=224, coarse=0.3) for share in (0.0, 0.3)]
        [256, 512]
        >>> view_size(0.0, size=64, seen=96, coarse=0.3)  # smaller than what the guide takes already
        64
    """
    return size if share >= coarse else min(size, max(seen, size // 2))
