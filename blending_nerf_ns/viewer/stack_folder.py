"""The layers, and the blend ratios of the one that is chosen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Dict, NamedTuple, Optional

from nerfstudio.viewer.viewer_elements import (
    ViewerButton,
    ViewerCheckbox,
    ViewerDropdown,
    ViewerElement,
    ViewerSlider,
    ViewerText,
)

from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.steering.session import Session
from blending_nerf_ns.viewer.folder import HAND_SECONDS, Folder

SHOWN = {"add": "density that the edit grew", "remove": "density it took away", "change": "colour it replaced"}
STRONGEST = 1.5
"""Where the sliders of blend ratios end, as the report's sweep does."""


class Drag(NamedTuple):
    """A slider that a page is moving."""

    operation: str
    """Whose slider."""
    layer: Optional[str]
    """Id of the layer that was chosen when it began."""
    moved: float
    """When it was moved last, in seconds."""


class StackFolder(Folder):
    """A list of layers, the uppermost first, and what can be done with one.

    Args:
        session: is steered.
        training: whether there is a trainer.
    """

    def __init__(self, session: Session, training: bool) -> None:
        super().__init__()
        self._session = session
        chosen = session.layers.all()[-1]
        names = self._labels()
        self._list = self.put(ViewerDropdown("Layer", next(iter(names)), list(names), hint="The uppermost first."))
        self._on = self.put(ViewerCheckbox("Layer: on", True, cb_hook=lambda e: self._change(visible=bool(e.value))))
        self._name = self.put(ViewerText("Layer: name", chosen.info.name))
        self.put(ViewerButton("Layer: rename", cb_hook=lambda _: self._change(name=self._name.value)))
        self._ratios = {name: self.put(self._ratio(name, chosen)) for name in OPERATIONS}
        self.put(ViewerButton("Layer: up", cb_hook=lambda _: self._with_chosen(lambda id: session.layers.move(id, +1))))
        self.put(
            ViewerButton("Layer: down", cb_hook=lambda _: self._with_chosen(lambda id: session.layers.move(id, -1)))
        )
        if training:  # without, a deleted layer would be back in the next command: it is switched off instead
            self.put(ViewerButton("Layer: delete", cb_hook=lambda _: self._with_chosen(session.layers.delete)))
            self._new = self.put(ViewerButton("New layer on top", cb_hook=lambda _: session.layers.new()))
        self._training = training
        self._shown_labels, self._shown_id, self._shown_in_work = names, chosen.info.id, chosen.info.id
        self._drags: Dict[int, Drag] = {}
        self._here = threading.local()
        self.put(
            ViewerSlider(
                "Compare at", 0.5, 0.0, 1.0, step=0.01, cb_hook=lambda e: session.compare_at(float(e.value)),
                hint="The output compare: the original left of here, the edited right of it.",
            )
        )  # fmt: skip

    def _ratio(self, operation: str, chosen: Edit) -> ViewerSlider:
        hint = f"How much of the {SHOWN[operation]} is shown: 0 off, 1 as trained."
        value = min(STRONGEST, getattr(chosen.info.strengths, operation))
        unused = operation not in chosen.info.operations

        def moved(element: ViewerSlider) -> None:
            if self._here.layer is not None:
                self._session.layers.change(self._here.layer, **{operation: float(element.value)})

        return ViewerSlider(
            f"Blend ratio: {operation}", value, 0.0, STRONGEST, step=0.05, cb_hook=moved, disabled=unused, hint=hint
        )

    def moved(self, element: ViewerElement, client: int = 0) -> None:
        """A drag stays with the layer that it began on, also where somebody else picks another one meanwhile."""
        operation = next((name for name, slider in self._ratios.items() if slider is element), None)
        if operation is None:
            self._drags.pop(client, None)  # whoever turns to something else has let go of it
        else:
            drag, now = self._drags.get(client), time.monotonic()
            if drag is None or drag.operation != operation or now - drag.moved > HAND_SECONDS:
                chosen = self._chosen
                drag = Drag(operation, None if chosen is None else chosen.info.id, now)
            self._drags[client] = drag._replace(moved=now)
            self._here.layer = drag.layer  # for the callback, which is next in this thread; others may be on meanwhile
        super().moved(element, client)

    def _labels(self) -> Dict[str, str]:
        """What the list shows, with the ids."""
        edits = self._session.layers.all()
        return {
            f"{place + 1}: {edit.info.name or 'empty'}{'' if edit.info.visible else ' (off)'}": edit.info.id
            for place, edit in reversed(list(enumerate(edits)))
        }

    @property
    def _chosen(self) -> Optional[Edit]:
        """The layer that the list shows as chosen, by what it was last written; None where it has gone since."""
        id = self._shown_labels.get(self._list.value)
        return next((edit for edit in self._session.layers.all() if edit.info.id == id), None)

    def _with_chosen(self, do: Callable[[str], None]) -> None:
        chosen = self._chosen
        if chosen is not None:
            do(chosen.info.id)

    def _change(self, **changes: object) -> None:
        self._with_chosen(lambda id: self._session.layers.change(id, **changes))

    def refresh(self) -> None:
        """Show the chosen layer. Where the list changed it stays chosen, and a new layer is chosen when it begins."""
        labels, handle = self._labels(), self._list.gui_handle
        in_work = self._session.layers.in_work.info.id
        if handle is not None and (labels != self._shown_labels or self._list.value not in labels):
            chosen_id = self._shown_labels.get(self._list.value, self._shown_id)  # it may have been picked just now
            wanted = chosen_id if in_work == self._shown_in_work else in_work
            handle.options = tuple(labels)  # type: ignore[union-attr]
            handle.value = next((label for label, id in labels.items() if id == wanted), next(iter(labels)))
            self._shown_labels, self._shown_in_work = labels, in_work
        chosen = self._chosen
        if chosen is None:
            return
        if chosen.info.id != self._shown_id:
            self._shown_id = chosen.info.id
            self.let_go(self._name)  # a name that was typed for another layer
        info = chosen.info
        self.write(self._on, value=info.visible)
        self.write(self._name, value=info.name)
        for name, slider in self._ratios.items():
            self.write(
                slider, value=min(STRONGEST, getattr(info.strengths, name)), disabled=name not in info.operations
            )
        if self._training:
            self.write(self._new, disabled=self._session.status.stage in ("starting", "base", "region"))
