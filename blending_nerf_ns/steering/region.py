"""What a person does with the region of the edit in work while a run lives; asked for in any thread, like the rest of a session."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Optional

from nerfstudio.data.scene_box import OrientedBox

from blending_nerf_ns.localization.clearing import takes_along
from blending_nerf_ns.localization.config import RegionConfig

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline
    from blending_nerf_ns.steering.session import Session


class SessionRegion:
    """Where the edit in work may act: found, cut, moved, given room.

    Args:
        session: whose steps back and errands these are.
        pipeline: whose edit in work is meant.
    """

    def __init__(self, session: Session, pipeline: BlendingPipeline) -> None:
        self._session, self._pipeline, self._model = session, pipeline, pipeline.model

    @property
    def settings(self) -> RegionConfig:
        """By which the next region is found."""
        return self._pipeline.config.region

    @property
    def is_found(self) -> bool:
        """Whether the edit in work has a region, which Start will not look for again."""
        return bool(self._model.edit_ready)

    @property
    def threshold(self) -> float:
        """How sure a localiser must have been of the region that is there; or of the next one, where none is."""
        return round(self._model.edit.region.shape.threshold, 6) if self.is_found else self.settings.threshold

    @property
    def margin(self) -> float:
        """How far the region grows that is there, as a share of its diagonal; or the next one, where none is."""
        if self.is_found:
            return round(self._model.edit.region.shape.margin, 6)  # as it was said: it is stored in float32
        return self.settings.room_for(self._session.operations).get("margin", self.settings.shape().margin)

    def find(self) -> None:
        """Find the region by the words and settings of now, without training; its field starts afresh.

        Where nothing is found the edit stays as it is.
        """

        def do() -> None:
            self._session.running = False  # now: a Start that is pressed before the search is done counts
            self._session.errands.hand_over(self.search)

        self._session.ask("find the region", do)

    def search(self) -> None:
        """The same at once, which takes long: an errand of the training loop's."""
        before = self._session.snapshot("region") if self.is_found else None
        self._pipeline.work.find_region()
        if before is not None:
            self._session.history.remember(before)
        self._session.restart(keep_region=True)

    def make_room(self) -> None:
        """The region has the room that the operations of now can use, unless the user or a file has said another, or it was looked
        at (`localization/clearing.py`)."""
        operations = self._pipeline.config.operations
        shape = self._model.edit.region.shape
        looked_at = (shape.attached or shape.margin_over_surfaces) and takes_along(self.settings, operations)
        if not looked_at:
            self._model.make_room(**self.settings.room_for(operations))

    def cut(self, **changes: float) -> None:
        """Another threshold, margin, ... of the region, live. No other surface goes with it that was not looked at."""
        if self.settings.margin_over_surfaces is None:
            unseen = {"margin": "margin_over_surfaces", "threshold": "attached"}
            for name in (unseen[name] for name in changes if name in unseen):
                self._model.wishes.ask(f"region's {name}", partial(self._model.make_room, **{name: False}))
        for name, value in changes.items():
            wish, status = f"region's {name}", self._session.status
            if status.message.startswith(f"{wish}:"):  # why it was refused before; what else was said stays
                status.message = ""
            self._model.wishes.ask(wish, partial(self._take_cut, name, value))

    def _take_cut(self, name: str, value: float) -> None:
        """The next region is cut as this one is now; what was refused is not looked for, either."""
        self._model.make_room(**{name: value})
        setattr(self.settings, name, value)

    def take_crop_box(self, box: Optional[OrientedBox]) -> None:
        """The viewer's crop box becomes the region.

        Args:
            box: as it stands when it is asked for; None where the viewer's crop is off.
        """

        def do() -> None:
            before = self._session.snapshot("crop box")
            self._model.take_crop_box(box, self.settings.shape())
            placed = replace(self.settings, source="box")  # whatever the one before it came from
            self._model.make_room(**placed.room_for(self._pipeline.config.operations))
            self._session.history.remember(before)

        self._session.ask_each("crop box", do)
