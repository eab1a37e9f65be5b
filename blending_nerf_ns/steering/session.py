"""What a person does with a run while it lives: start, pause, reset, undo; layers and files too. Nothing here knows a widget.

The viewer's threads call these methods; they only ask (see `wishes`). What takes seconds (finding a region) is an errand (see
`errands`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Optional, Tuple

from blending_nerf_ns.edits.layers import clear
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.config import GuidanceConfig, budgets
from blending_nerf_ns.steering.errands import Errands
from blending_nerf_ns.steering.hearing import overhearing
from blending_nerf_ns.steering.history import History, Snapshot, restore, snapshot_of
from blending_nerf_ns.steering.layers import SessionLayers
from blending_nerf_ns.steering.region import SessionRegion
from blending_nerf_ns.steering.status import Status
from blending_nerf_ns.training.standing import Words, words_of

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline


class Session:
    """Steers a pipeline.

    Args:
        pipeline: whose edit in work, layers and files are meant.
    """

    def __init__(self, pipeline: BlendingPipeline) -> None:
        self._pipeline, self._model, self._work = pipeline, pipeline.model, pipeline.work
        self.history = History()
        self.status = Status()
        self.waits = False
        """Whether the run waits for its user where there is nothing to train, instead of ending."""
        self.steered = False
        """Whether its user can pause it, also where it ends with its edit."""
        self.was_asked = False
        """Whether a user gave words or pressed Start here: what goes wrong in preparing the edit is then said to them, and ends nothing."""
        self.region = SessionRegion(self, pipeline)
        self.layers = SessionLayers(self, pipeline)
        self.errands = Errands(self, pipeline)
        self._model.wishes.on_error = self.say

    def say(self, message: str) -> None:
        """Tell the user something."""
        from nerfstudio.utils.rich_utils import CONSOLE

        CONSOLE.print(message, markup=False)  # a name may have brackets
        self.status.message = message

    @property
    def running(self) -> bool:
        """Whether the edit may train."""
        return self._work.standing.running

    @running.setter
    def running(self, running: bool) -> None:
        self._work.standing.running = running

    # -- what the panel shows -----------------------------------------------------------------------------------

    @property
    def texts(self) -> Tuple[str, str]:
        """Source and target text that are asked for; of an edit that is done they count once it is started again."""
        return self._words[:2]

    @property
    def operations(self) -> Tuple[str, ...]:
        """What the edit may do, likewise."""
        return self._words.operations

    @property
    def _words(self) -> Words:
        if self._pipeline.test_mode == "val":
            return self._work.standing.words
        return words_of(self._model.edit.info)  # nothing can be started

    @property
    def guidance(self) -> GuidanceConfig:
        """Budgets and weights; a change acts from the next step on."""
        return self._pipeline.config.guidance

    @property
    def budgets(self) -> Tuple[float, float, float]:
        """What the edit in work may add, remove and recolour for free, in [0, 1]."""
        return budgets(self.guidance, self.operations, self._model.edit.field.has_seed)

    @property
    def asked(self) -> bool:
        """Whether something that was asked for is not done yet: a step or a search is on, and no picture was made meanwhile."""
        return self._model.wishes.pending

    def grant(self) -> None:
        """Do what was asked for. Call it where nothing else renders or trains."""
        self._model.wishes.grant()

    def refresh(self) -> None:
        """Bring the status up to date. From any thread: this only reads."""
        self.status.refresh(self._pipeline)

    @property
    def picture(self) -> Tuple[object, ...]:
        """Changes whenever the picture does for another reason than a widget that was moved."""
        return self.status.stage, self.status.step, self._model.version

    # -- training -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Train the edit in work: on from where it stands, or another round where it was done."""
        self.ask("start or pause", self._begin)

    def _begin(self) -> None:
        self._check_steps()
        self.running = True
        self.was_asked |= self.steered
        if self._work.is_done:
            self.remember("another round")
            self._pipeline.restart_edit()
        self._work.describe()
        self.region.make_room()
        self.errands.wake()

    def _check_steps(self) -> None:
        if self._pipeline.config.edit_steps == 0:
            raise BlendingNerfError(
                "this run is one of a base alone (--pipeline.edit-steps 0). End it with Ctrl-C, and go on from it: ns-train ... --load-dir "
                "RUN/nerfstudio_models --pipeline.edit-steps N, with the method's own number of steps (3000 of blending-nerf, 2000 of -small, 400 of -cpu)"
            )

    def pause(self) -> None:
        """Let the edit stand after the step that is on."""

        def do() -> None:
            self.running = False

        self.ask("start or pause", do)

    def set_texts(
        self,
        source: str,
        target: str,
        new_region: bool = False,
        restart: bool = False,
        start: bool = False,
        on_taken: Callable[[], None] = lambda: None,
    ) -> None:
        """Other prompts.

        Args:
            source: what is there now.
            target: what it should become.
            new_region: find the region again by the new source text: at once where the edit stands on its base, else before its next step.
                Its field starts again in what is found.
            restart: the field starts again from no edit; else it keeps its weights.
            start: train the edit by them. Where they are refused nothing is started: it would be by those of before.
            on_taken: called where they are not.
        """

        def take() -> None:
            if start:
                self._check_steps()
            searches = new_region and bool(self._model.base_frozen) and not (start or self.running)
            anew = (restart or new_region) and not searches
            same = (source, target) == self.texts and not anew
            before = None if same else self.snapshot("prompts")
            with overhearing(self.say):
                self._pipeline.take_texts(source, target)
            self.was_asked |= self.steered
            if before is not None:
                self.history.remember(before)
            if anew:
                self.restart(keep_region=not new_region)
            if start:
                self._begin()
            elif searches:
                self.errands.hand_over(self.region.search)
            elif anew and self.running:
                self.errands.wake()
            self._keep()
            on_taken()

        self.ask("prompts and start" if start else "prompts", take)

    def set_operations(self, operations: tuple[str, ...]) -> None:
        """What the edit may do from now on; at least one."""

        def take() -> None:
            if not operations:
                raise BlendingNerfError("choose at least one of add, remove and change")
            self._pipeline.config.operations = operations  # type: ignore[assignment]
            self._pipeline.take_texts(*self._work.texts)
            if not self._work.is_done:  # what is done stays as it is until it is started again
                self.region.make_room()
            self._keep()

        self.ask("operations", take)

    def compare_at(self, position: float) -> None:
        """Where the output `compare` passes from the original to the edited picture, as a share of its width."""
        self._model.compare_at = position

    def reset(self) -> None:
        """Back to no edit, in the same region, until it is started again."""

        def do() -> None:
            self.remember("reset")
            self.running = False
            self.restart(keep_region=True)

        self.ask_each("reset", do)

    # -- steps back ---------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back the last reset, change of prompts or training; what is restored is not trained until it is started."""
        self.ask_each("undo", lambda: self._restore(self.history.undo(self.snapshot("")), "nothing to undo"))

    def redo(self) -> None:
        """Do again what was taken back."""
        self.ask_each("redo", lambda: self._restore(self.history.redo(self.snapshot("")), "nothing to redo"))

    def snapshot(self, label: str) -> Snapshot:
        """The edit in work and its words as they are, to be taken back to."""
        return snapshot_of(self._pipeline, label)

    def remember(self, label: str) -> None:
        """What is about to be changed can be taken back."""
        self.history.remember(self.snapshot(label))

    def _restore(self, snapshot: Optional[Snapshot], otherwise: str) -> None:
        if snapshot is None:
            raise BlendingNerfError(otherwise)
        restore(self._pipeline, snapshot)

    def restart(self, keep_region: bool) -> None:
        """Begin the edit in work anew, from no edit.

        Args:
            keep_region: in the region that it has, with the room that the operations of now can use; else it is found again.
        """
        model = self._model
        region = {name: value.clone() for name, value in model.edit.region.state_dict().items()}
        clear(model.edit)
        keep_region = keep_region and bool(model.edit_ready)
        if keep_region:
            model.edit.region.load_state_dict(region)
            self.region.make_room()
            model.edit.fit_field_to_region()
        model.edit_ready.fill_(keep_region)
        self._pipeline.restart_edit()
        self._work.describe()

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(self, name: str, do: Callable[[], None]) -> None:
        """Ask for something; the last one of a name counts."""
        self.status.message = ""  # of what was done before
        self._model.wishes.ask(name, do)

    def ask_each(self, name: str, do: Callable[[], None]) -> None:
        """Ask for something that comes on top of what was asked before, and is kept."""

        def done() -> None:
            do()
            self._keep()

        self.status.message = ""
        self._model.wishes.ask(name, done, each=True)

    def _keep(self) -> None:
        """A run that sleeps because there is nothing to train wakes, and saves itself before it sleeps again."""
        if self._pipeline.stage == "done":
            self.errands.wake()
