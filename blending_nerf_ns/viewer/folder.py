"""A folder of the panel: nerfstudio finds its elements by walking the pipeline's modules, in alphabetical order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Dict, List, Tuple, TypeVar

from nerfstudio.viewer.viewer_elements import ViewerElement
from torch import nn
from viser import ViserServer

Element = TypeVar("Element", bound=ViewerElement)

HAND_SECONDS = 2.0
"""So long after its last move an element is still the user's: what was asked for is granted with the next step or picture."""


class Folder(nn.Module):
    """Elements in the order in which they are put, and what they shall look like. One thread writes them: the panel's."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: List[Tuple[ViewerElement, Callable[[Any], Any]]] = []
        """The elements with their own callbacks, which nerfstudio wraps in the training's lock."""
        self._written: Dict[Tuple[int, str], Any] = {}
        self._moved: Dict[int, float] = {}

    def put(self, element: Element) -> Element:
        """Add an element below the others."""
        setattr(self, f"e{len(self.hooks):02d}", element)
        self.hooks.append((element, element.cb_hook))
        return element

    def moved(self, element: ViewerElement) -> None:
        """The user moved it. Call before its callback."""
        self._moved[id(element)] = time.monotonic()

    def write(self, element: ViewerElement, **properties: Any) -> None:
        """Set properties of an element's handle (value, disabled, content, options) where they differ from what was written.

        A value that the user has moved is left alone until the state behind it, which follows a moment later, had the time to
        take it over; then it is shown only if it changes again.
        """
        handle = element.gui_handle
        if handle is None:
            return
        in_hand = time.monotonic() - self._moved.get(id(element), -HAND_SECONDS) < HAND_SECONDS
        for name, value in properties.items():
            if name == "value" and in_hand:
                self._written[(id(element), name)] = value
            elif self._written.get((id(element), name), _NOTHING) != value:
                self._written[(id(element), name)] = value
                setattr(handle, name, value)

    def refresh(self) -> None:
        """Show the present state. Called by the panel's thread only."""


_NOTHING = object()


class Markdown(ViewerElement[str]):
    """Text that the panel writes; nerfstudio has no element for it."""

    def __init__(self, name: str, content: str) -> None:
        super().__init__(name)
        self.content = content

    def _create_gui_handle(self, viser_server: ViserServer) -> None:
        self.gui_handle = viser_server.gui.add_markdown(self.content)  # type: ignore[assignment]

    def install(self, viser_server: ViserServer) -> None:
        """Put it into the folder that is open."""
        self._create_gui_handle(viser_server)
