"""The base's pictures that were last asked for: a slider moves the edit, and what is behind it stays as it was (ours)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components import renderers
from torch import Tensor

from blending_nerf_ns.bases.base import Base, BaseRender

MOST_PICTURES = 4
"""A viewer goes from a small picture to the full one, and back: these many sizes of one camera are kept."""


@dataclass
class _Picture:
    """Rays of a picture, and the chunks that were rendered of it, by their place and length."""

    rays: Tuple[Optional[Tensor], ...]
    background: Optional[Tensor]
    chunks: Dict[Tuple[int, int], Tuple[BaseRender, Optional[Tensor], Optional[Tensor]]] = field(default_factory=dict)
    size: int = 0

    def shows(self, rays: Tuple[Optional[Tensor], ...], background: Optional[Tensor]) -> bool:
        return all(map(_same, (*self.rays, self.background), (*rays, background)))


class RenderMemory:
    """A frozen base that remembers what it rendered for whole pictures; anything else it renders anew.

    Args:
        base: what is rendered; it must not change any more once pictures are begun.
        most_bytes: for all pictures together; 0 remembers nothing.

    Example:
        >>> memory = RenderMemory(base, most_bytes=1 << 28)
        >>> memory.begin(picture)                        # rays of all pixels
        >>> [memory.render(chunk) for chunk in chunks]   # in the same order and of the same size each time
    """

    def __init__(self, base: Base, most_bytes: int = 0) -> None:
        self._base, self.most_bytes, self._drops_oldest = base, most_bytes, True
        self._pictures: List[_Picture] = []
        self._current: Optional[_Picture] = None
        self._place = 0

    @contextmanager
    def remembering(self, most_bytes: int) -> Iterator[None]:
        """Inside, any number of pictures is remembered, the first ones for good, until that much memory is full: for who looks at
        the same views again and again. Afterwards as before, and nothing is."""
        before, self.most_bytes, self._drops_oldest = self.most_bytes, most_bytes, False
        try:
            yield
        finally:
            self.most_bytes, self._drops_oldest, self._current = before, True, None
            self._pictures.clear()

    def begin(self, picture: RayBundle) -> None:
        """The next rays are this picture's, chunk by chunk. `end` when it is done."""
        if self.most_bytes <= 0:
            return
        rays = (picture.origins, picture.directions, picture.camera_indices, picture.nears, picture.fars)
        background = renderers.BACKGROUND_COLOR_OVERRIDE
        found = next((one for one in self._pictures if one.shows(rays, background)), None) or _Picture(rays, background)
        self._pictures = [found, *(one for one in self._pictures if one is not found)]
        if self._drops_oldest:
            del self._pictures[MOST_PICTURES:]
        self._current, self._place = found, 0

    def end(self) -> None:
        """What comes now is no picture's."""
        self._current = None

    def render(self, ray_bundle: RayBundle) -> BaseRender:
        """See `Base.render`; the bundle gets its `nears` and `fars` here as there."""
        picture = self._current
        if picture is None:
            return self._base.render(ray_bundle)
        place = (self._place, len(ray_bundle))
        self._place += len(ray_bundle)
        if place in picture.chunks:
            render, ray_bundle.nears, ray_bundle.fars = picture.chunks[place]
            return render
        render = self._base.render(ray_bundle)
        size = sum(tensor.nbytes for tensor in _tensors(render))
        while self._drops_oldest and len(self._pictures) > 1 and self._held + size > self.most_bytes:
            self._pictures.pop()
        if self._held + size <= self.most_bytes:
            picture.chunks[place] = (render, ray_bundle.nears, ray_bundle.fars)
            picture.size += size
        return render

    @property
    def _held(self) -> int:
        return sum(picture.size for picture in self._pictures)


def _tensors(render: BaseRender) -> Iterator[Tensor]:
    yield from render.samples
    yield from render.outputs.values()
    yield from render.proposal


def _same(one: Optional[Tensor], other: Optional[Tensor]) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or (one.shape == other.shape and one.device == other.device and torch.equal(one, other))
