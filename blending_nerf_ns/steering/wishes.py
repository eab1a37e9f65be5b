"""What a user asked for and is not done yet: the viewer's threads only ask, whoever renders or trains does it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Dict, Tuple

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.uninterrupted import uninterrupted

Wish = Callable[[], None]
"""Does something."""


class Wishes:
    """Things to do, by name; asking again under a name replaces what was asked before, so that a storm costs one of each. What
    does not say where it leads, such as an undo, is asked for with `each`: two are two.

    Example:
        >>> wishes = Wishes()
        >>> for strength in range(1000):
        ...     wishes.ask("strength", lambda strength=strength: print(strength))
        >>> wishes.grant()
        999
        >>> wishes.grant()
    """

    def __init__(self) -> None:
        self._wanted: Dict[Tuple[str, int], Wish] = {}
        self._count = 0
        self._granting = False
        self._lock = Lock()
        self.on_error: Callable[[str], None] = lambda message: CONSOLE.print(message, style="yellow", markup=False)
        """Is told why a wish was not granted."""

    @property
    def pending(self) -> bool:
        """Whether something that was asked for is not done yet."""
        return bool(self._wanted) or self._granting

    def ask(self, name: str, do: Wish, each: bool = False) -> None:
        """Want something done, from any thread; an error (a BlendingNerfError, of the disk, or of a full GPU) is said and ends the
        wish.

        Args:
            name: of what is done, for people, too.
            do: does it.
            each: whether it comes on top of what was asked for under the same name, instead of in its place.
        """
        with self._lock:
            self._count += each
            key = (name, self._count if each else 0)
            self._wanted.pop(key, None)  # the last thing asked for is done last
            self._wanted[key] = do

    def grant(self) -> None:
        """Do what was asked, in order. Call it where nothing else renders or trains."""
        if not self._wanted:
            return
        with uninterrupted():  # half a wish would be worse than none
            with self._lock:
                self._granting = True
                wanted, self._wanted = self._wanted, {}
            try:
                for key, do in wanted.items():
                    self._grant(key[0], do)
            finally:
                self._granting = False

    def _grant(self, name: str, do: Wish) -> None:
        try:
            do()
        except (BlendingNerfError, OSError, torch.OutOfMemoryError) as error:
            self.on_error(f"{name}: {error}")
