"""Words, operations, budgets, and the training's buttons."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Dict

from nerfstudio.viewer.viewer_elements import ViewerButton, ViewerCheckbox, ViewerSlider, ViewerText

from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.steering.session import Session
from blending_nerf_ns.steering.status import Status
from blending_nerf_ns.viewer.folder import Folder, Markdown

NO_TRAINER = "As it was trained: from here (ns-viewer, or one of several processes) nothing can be trained or found."
MEANINGS = {"add": "grow new density", "remove": "take density away", "change": "recolour what is there"}


class EditFolder(Folder):
    """What the edit in work is made from and into.

    Args:
        session: is steered.
        training: whether there is a trainer.
        before_search: called when a button is pressed after which a region is looked for.
    """

    def __init__(self, session: Session, training: bool, before_search: Callable[[], None]) -> None:
        super().__init__()
        self._session, self._training, self._before_search = session, training, before_search
        source, target = session.texts
        hint = None if training else NO_TRAINER
        self._status = self.put(Markdown("status", "starting"))
        self._source = self.put(ViewerText("Source text", source, disabled=not training, hint=hint))
        self._target = self.put(ViewerText("Target text", target, disabled=not training, hint=hint))
        if not training:
            return
        hint = "With the new source text; the edit starts again in what is found."
        self._new_region = self.put(ViewerCheckbox("Find the region again", False, hint=hint))
        self._restart = self.put(
            ViewerCheckbox("Start the edit again", False, hint="Else it goes on from where it is.")
        )
        self._taken: Dict[ViewerCheckbox, float] = {}
        """Those of the two that were taken, and when they were pressed for: they ask for one search and one beginning, not for each to
        come."""
        self.put(ViewerButton("Apply texts", cb_hook=lambda _: self._apply()))
        self._operations = {
            name: self.put(
                ViewerCheckbox(
                    f"May {name}",
                    name in session.operations,
                    cb_hook=lambda _: self._set_operations(),
                    hint=f"The edit may {MEANINGS[name]}.",
                )
            )
            for name in OPERATIONS
        }
        self._start = self.put(ViewerButton("Start", cb_hook=lambda _: self._begin()))
        self._pause = self.put(ViewerButton("Pause", cb_hook=lambda _: session.pause()))
        self._reset = self.put(ViewerButton("Reset", cb_hook=lambda _: session.reset()))
        self._budgets = [self.put(self._budget(name, free)) for name, free in zip(OPERATIONS, self._free, strict=True)]

    @property
    def _free(self) -> tuple[float, float, float]:
        return self._session.budgets

    def _budget(self, name: str, free: float) -> ViewerSlider:
        field = f"budget_{name}"
        guidance = self._session.guidance

        def moved(element: ViewerSlider) -> None:
            setattr(guidance, field, float(element.value))

        hint = f"Share of the region's picture that the edit may {name} for free; beyond it costs."
        most = max(1.0, free)  # viser refuses a value outside its slider
        return ViewerSlider(f"Budget: {name}", free, 0.0, most, step=0.05, cb_hook=moved, hint=hint)

    def _apply(self, start: bool = False) -> None:
        again = self._new_region.value
        if again:
            self._before_search()
        texts = self._source.value, self._target.value
        pressed = {box: time.monotonic() for box in (self._new_region, self._restart) if box.value}
        self._session.set_texts(*texts, again, self._restart.value, start, on_taken=lambda: self._taken.update(pressed))

    def _begin(self) -> None:
        if not self._session.region.is_found:
            self._before_search()
        switched = self._new_region.value or self._restart.value
        if switched or (self._source.value, self._target.value) != self._session.texts:
            self._apply(start=True)
        else:
            self._session.start()

    def _set_operations(self) -> None:
        self._session.set_operations(tuple(name for name, box in self._operations.items() if box.value))

    def refresh(self) -> None:
        """Status, texts, and which buttons apply."""
        session = self._session
        self.write(self._status, content=describe(session.status))
        self.write(self._source, value=session.texts[0])
        self.write(self._target, value=session.texts[1])
        if self._training:
            while self._taken:
                self.switch_off(*self._taken.popitem())
            stage = session.status.stage
            for name, box in self._operations.items():
                self.write(box, value=name in session.operations)
            for slider, free in zip(self._budgets, self._free, strict=True):
                self.write(slider, value=free)
            self.write(self._start, disabled=stage in ("starting", "base", "region", "edit"))
            self.write(self._pause, disabled=stage not in ("region", "edit"))
            self.write(self._reset, disabled=stage in ("starting", "base", "region"))


SENTENCES = {
    "starting": "Starting.",
    "base": "The base is being trained; edits come after it.",
    "region": "The region is being found.",
    "edit": "The edit is being trained.",
    "paused": "Waiting: write what is there and what it should become, then press Start.",
    "done": "The edit is done. Move the blend ratios, save it, or begin a new layer on top.",
    "alone": "The base is trained, and no edit is to follow (--pipeline.edit-steps 0): edits from files can be loaded.",
    "viewing": "A finished run: layers, blend ratios and looks can be changed; training wants ns-train.",
}


def describe(status: Status) -> str:
    """The status as markdown: what goes on, how far, and what it brought.

    Example:
        >>> print(describe(Status(stage="edit", step=50, steps=200, seconds_left=61, similarity=0.31, similarity_start=0.2)))
        **The edit is being trained.** Step 50 of 200, 1:01 left.
        <BLANKLINE>
        Similarity to the target 0.310 (0.200 at the start). Added 0 %, removed 0 %, recoloured 0 % of the region's picture.
    """
    first = f"**{SENTENCES.get(status.stage, status.stage)}**"
    if status.stage in ("base", "edit", "done", "paused") and status.steps:
        first += f" Step {status.step} of {status.steps}"
        if status.seconds_left is not None and status.stage in ("base", "edit"):
            minutes, seconds = divmod(int(status.seconds_left), 60)
            first += f", {minutes}:{seconds:02d} left"
        first += "."
    lines = [first]
    if status.similarity is not None and status.similarity_start is not None:
        amounts = (f"{name} {100 * value:.0f} %" for name, value in zip(AMOUNT_WORDS, _amounts(status), strict=True))
        lines.append(
            f"Similarity to the target {status.similarity:.3f} ({status.similarity_start:.3f} at the start). "
            f"{', '.join(amounts).capitalize()} of the region's picture."
        )
    if status.message:
        lines.append(f"*{status.message}*")
    return "\n\n".join(lines)


AMOUNT_WORDS = ("added", "removed", "recoloured")


def _amounts(status: Status) -> tuple[float, float, float]:
    return status.added, status.removed, status.changed
