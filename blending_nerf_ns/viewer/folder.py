"""A folder of the panel: nerfstudio finds its elements by walking the pipeline's modules, in alphabetical order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Dict, List, Tuple, TypeVar

from nerfstudio.viewer.viewer_elements import ViewerCheckbox, ViewerElement, ViewerText
from torch import nn
from viser import ViserServer

Element = TypeVar("Element", bound=ViewerElement)

HAND_SECONDS = 2.0
"""So long a moved element waits at least for the state to follow, and until all that was asked for is granted: with the next step or
picture, or after a search. A text waits for as long as it takes its user to press the button that applies it."""


class Folder(nn.Module):
    """Elements in the order in which they are put, and what they shall look like. One thread writes them: the panel's."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: List[Tuple[ViewerElement, Callable[[Any], Any]]] = []
        """The elements with their own callbacks, which nerfstudio wraps in the training's lock."""
        self._written: Dict[Tuple[int, str], Any] = {}
        self._in_hand: Dict[int, float] = {}
        self.waits = False
        """Whether something that was asked for is not done yet."""

    def put(self, element: Element) -> Element:
        """Add an element below the others."""
        setattr(self, f"e{len(self.hooks):02d}", element)
        self.hooks.append((element, element.cb_hook))
        return element

    def moved(self, element: ViewerElement, client: int = 0) -> None:
        """A user moved it, or typed into it. Call before its callback.

        Args:
            element: one of this folder's.
            client: whose: several may have the page open, and all see the same elements.
        """
        self._in_hand[id(element)] = time.monotonic()

    def let_go(self, element: ViewerElement) -> None:
        """Give up what the user typed and did not apply: it was meant for something that is not shown any more."""
        self._in_hand.pop(id(element), None)
        self._written.pop((id(element), "value"), None)

    def switch_off(self, box: ViewerCheckbox, pressed: float) -> None:
        """What was ticked is done; unless it was ticked for the next time since then.

        Args:
            box: one of this folder's.
            pressed: when it was asked for, on `time.monotonic`.
        """
        if self._in_hand.get(id(box), pressed) <= pressed:
            self.let_go(box)
            self.write(box, value=False)

    def write(self, element: ViewerElement, **properties: Any) -> None:
        """Set properties of an element's handle (value, disabled, content, options) where they differ from what was written.

        A value that the user has set is theirs until the state behind it has taken it over: until then it is left alone,
        whatever the state does meanwhile.
        """
        handle = element.gui_handle
        if handle is None:
            return
        for name, value in properties.items():
            if name == "value" and self._is_held(element, value):
                self._written[(id(element), name)] = value
            elif self._written.get((id(element), name), _NOTHING) != value:
                self._written[(id(element), name)] = value
                setattr(handle, name, value)

    def _is_held(self, element: ViewerElement, state: Any) -> bool:
        """Whether the user's value is to be left standing; where the state has just taken it over it stands there already."""
        moved = self._in_hand.get(id(element))
        if moved is None:
            return False
        taken_over = element.gui_handle.value == state  # type: ignore[union-attr]
        waits = isinstance(element, ViewerText) or self.waits or time.monotonic() - moved < HAND_SECONDS
        if taken_over or not waits:
            self._in_hand.pop(id(element), None)
        if not (taken_over or waits):  # what the user set was refused: the widget shows it all the same
            self._written.pop((id(element), "value"), None)
        return taken_over or waits

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
