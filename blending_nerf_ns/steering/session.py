"""What a person does with a run while it lives: start, pause, reset, undo; layers and files too. Nothing here knows a widget.

The viewer's threads call these methods; they only ask (see `wishes`). What takes seconds (finding a region) is an errand for the
training loop, for a picture can be interrupted and a loop cannot.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional, Tuple

import torch

from blending_nerf_ns.edits.layers import clear
from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.guidance.config import GuidanceConfig, budgets
from blending_nerf_ns.localization.clearing import takes_along
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.steering.history import History, Snapshot, restore, snapshot_of
from blending_nerf_ns.steering.layers import SessionLayers
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
        self.layers = SessionLayers(self, pipeline)
        self._errand: Optional[Callable[[], None]] = None
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
    def has_region(self) -> bool:
        """Whether the edit in work has a region, which Start will not look for again."""
        return bool(self._model.edit_ready)

    @property
    def guidance(self) -> GuidanceConfig:
        """Budgets and weights; a change acts from the next step on."""
        return self._pipeline.config.guidance

    @property
    def budgets(self) -> Tuple[float, float, float]:
        """What the edit in work may add, remove and recolour for free, in [0, 1]."""
        return budgets(self.guidance, self.operations, self._model.edit.field.has_seed)

    @property
    def region(self) -> RegionConfig:
        """Settings by which the next region is found."""
        return self._pipeline.config.region

    @property
    def threshold(self) -> float:
        """How sure a localiser must have been of the region that is there; or of the next one, where none is."""
        return round(self._model.edit.region.shape.threshold, 6) if self.has_region else self.region.threshold

    @property
    def margin(self) -> float:
        """How far the region grows that is there, as a share of its diagonal; or the next one, where none is."""
        if bool(self._model.edit_ready):
            return round(self._model.edit.region.shape.margin, 6)  # as it was said: it is stored in float32
        return self.region.room_for(self.operations).get("margin", self.region.shape().margin)

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

        def do() -> None:
            self.running = True
            if self._work.is_done:
                self.remember("another round")
                self._pipeline.restart_edit()
            self._work.describe()
            self.make_room()
            self._wake()

        self._ask("start or pause", do)

    def pause(self) -> None:
        """Let the edit stand after the step that is on."""

        def do() -> None:
            self.running = False

        self._ask("start or pause", do)

    def find_region(self) -> None:
        """Find the region by the words and settings of now, without training; its field starts afresh.

        Where nothing is found the edit stays as it is.
        """

        def do() -> None:
            self._errand = self._find_region
            self._wake()

        self._ask("find the region", do)

    def set_texts(self, source: str, target: str, new_region: bool = False, restart: bool = False) -> None:
        """Other prompts.

        Args:
            source: what is there now.
            target: what it should become.
            new_region: find the region again by the new source text.
            restart: the field starts again from no edit; else it keeps its weights.
        """

        def take() -> None:
            before = self._snapshot("prompts")
            with self._overhearing():
                self._pipeline.take_texts(source, target)
            self.history.remember(before)
            if restart or new_region:
                self.restart(keep_region=not new_region)
            if (restart or new_region) and self.running:
                self._wake()
            self._keep()

        self._ask("prompts", take)

    def set_operations(self, operations: tuple[str, ...]) -> None:
        """What the edit may do from now on; at least one."""

        def take() -> None:
            if not operations:
                raise BlendingNerfError("choose at least one of add, remove and change")
            self._pipeline.config.operations = operations  # type: ignore[assignment]
            self._pipeline.take_texts(*self._work.texts)
            if not self._work.is_done:  # what is done stays as it is until it is started again
                self.make_room()
            self._keep()

        self._ask("operations", take)

    def make_room(self) -> None:
        """The region has the room that the operations of now can use, unless the user or a file has said another, or it was looked
        at (`localization/clearing.py`)."""
        operations = self._pipeline.config.operations
        shape = self._model.edit.region.shape
        looked_at = (shape.attached or shape.margin_over_surfaces) and takes_along(self.region, operations)
        if not looked_at:
            self._model.make_room(**self.region.room_for(operations))

    def cut_region(self, **changes: float) -> None:
        """Another threshold, margin, ... of the region, live. No other surface goes with it that was not looked at."""
        for name, value in changes.items():
            setattr(self.region, name, value)
        if self.region.margin_over_surfaces is None:
            unseen = {"margin": "margin_over_surfaces", "threshold": "attached"}
            self._model.want_region(**{unseen[name]: False for name in changes if name in unseen})
        self._model.want_region(**changes)

    def take_crop_box(self) -> None:
        """The viewer's crop box becomes the region."""

        def do() -> None:
            before = self._snapshot("crop box")
            self._model.take_crop_box(self.region.shape())
            self._model.make_room(**self.region.room_for(self._pipeline.config.operations))
            self.history.remember(before)

        self.ask_each("crop box", do)

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
        self.ask_each("undo", lambda: self._restore(self.history.undo(self._snapshot("")), "nothing to undo"))

    def redo(self) -> None:
        """Do again what was taken back."""
        self.ask_each("redo", lambda: self._restore(self.history.redo(self._snapshot("")), "nothing to redo"))

    def _snapshot(self, label: str) -> Snapshot:
        return snapshot_of(self._pipeline, label)

    def remember(self, label: str) -> None:
        """What is about to be changed can be taken back."""
        self.history.remember(self._snapshot(label))

    def _restore(self, snapshot: Optional[Snapshot], otherwise: str) -> None:
        if snapshot is None:
            raise BlendingNerfError(otherwise)
        restore(self._pipeline, snapshot)

    def restart(self, keep_region: bool) -> None:
        model = self._model
        region = {name: value.clone() for name, value in model.edit.region.state_dict().items()}
        clear(model.edit)
        keep_region = keep_region and bool(model.edit_ready)
        if keep_region:
            model.edit.region.load_state_dict(region)
            self.make_room()
            model.edit.fit_field_to_region()
        model.edit_ready.fill_(keep_region)
        self._pipeline.restart_edit()
        self._work.describe()

    # -- the training loop's side -------------------------------------------------------------------------------

    def run_errand(self) -> None:
        """Do what takes long, if anything. In the training loop only."""
        errand, self._errand = self._errand, None
        if errand is not None:
            self.attempt(errand, asked=self.steered)

    def attempt(self, do: Callable[[], None], asked: bool = False) -> bool:
        """Do something that a user may have asked wrongly. Where nobody waits the error ends the run; else it is said.

        Args:
            do: it.
            asked: whether somebody waits for this, whatever becomes of the run later.

        Returns:
            Whether it was done.
        """
        self.status.message = ""  # of what was tried before
        try:
            with self._overhearing():
                do()
        except (BlendingNerfError, OSError, torch.OutOfMemoryError) as error:
            if not (self.waits or asked):
                raise
            self.running = False
            self.say(" ".join(filter(None, (self.status.message, str(error)))))  # a warning before it may explain it
            return False
        return True

    @contextmanager
    def _overhearing(self) -> Iterator[None]:
        """What is warned of, such as words that the guide does not know, a user hears too, and before the error that it may explain. Under
        the training's lock only: Python hands all threads' warnings on here."""
        heard: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always", GuidanceWarning)
                yield
        finally:
            for warning in heard:
                if issubclass(warning.category, GuidanceWarning):
                    self.say(str(warning.message))
                else:
                    warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def _find_region(self) -> None:
        self.running = False
        before = self._snapshot("region") if bool(self._model.edit_ready) else None
        self._work.find_region()
        if before is not None:
            self.history.remember(before)
        self.restart(keep_region=True)

    def _ask(self, name: str, do: Callable[[], None]) -> None:
        self._model.wishes.ask(name, do)

    def ask_each(self, name: str, do: Callable[[], None]) -> None:
        """Ask for something that comes on top of what was asked before, and is kept."""

        def done() -> None:
            do()
            self._keep()

        self._model.wishes.ask(name, done, each=True)

    def _keep(self) -> None:
        """A run that sleeps because there is nothing to train wakes, and saves itself before it sleeps again."""
        if self._pipeline.stage == "done":
            self._wake()

    def _wake(self) -> None:
        trainer = self._pipeline.trainer
        if trainer is not None and trainer.training_state == "paused":
            trainer.training_state = "training"
