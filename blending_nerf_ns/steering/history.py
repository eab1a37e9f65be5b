"""Steps back: what an edit was before something was done to it, kept as edit files are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, List, Mapping, NamedTuple, Optional, Tuple

from blending_nerf_ns.edits.file import edit_bytes, edit_from_bytes
from blending_nerf_ns.edits.layer import looking_as
from blending_nerf_ns.training.loss_record import losses_of, replace_losses
from blending_nerf_ns.training.settling import Watch
from blending_nerf_ns.training.standing import Words, words_of

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline

DEPTH = 12
"""Steps that can be taken back; a snapshot is as large as an edit's file."""


class Snapshot(NamedTuple):
    """An edit at a moment."""

    label: str
    """What was done next: "reset", "training"."""
    content: bytes
    """See `file.edit_bytes`."""
    step: int
    """Training steps that it had."""
    ready: bool
    """Whether it had a region."""
    watch: Optional[Watch] = None
    """How far it had settled; None: not at all."""
    asked: Optional[Words] = None
    """The words that were asked for; None: those that it was made by."""
    margin: Optional[float] = None
    """That the user or a file had said for regions; None: none."""
    losses: Tuple[Mapping[str, Any], ...] = ()
    """What its steps had lost, as recorded (`losses_of`)."""
    seconds: float = 0.0
    """That its training took."""


def snapshot_of(pipeline: BlendingPipeline, label: str) -> Snapshot:
    """The edit in work as it is now."""
    model, work = pipeline.model, pipeline.work
    content, ready = edit_bytes(model.edit, ""), bool(model.edit_ready)
    margin = pipeline.config.region.margin
    losses = tuple(losses_of(pipeline.config.run_dir, model.edit.info.id))
    watch, words, seconds = work.settling.watch, work.standing.words, pipeline.clock.seconds_of("edit")
    return Snapshot(label, content, work.done, ready, watch, words, margin, losses, seconds)


def restore(pipeline: BlendingPipeline, snapshot: Snapshot) -> None:
    """Make the edit in work what it was; it is not trained until it is started."""
    model, work, config = pipeline.model, pipeline.work, pipeline.config
    work.standing.running = False
    edit, was_ready = model.edit, bool(model.edit_ready)
    now = edit.info
    edit.load_state_dict(edit_from_bytes(snapshot.content).to(edit.region.lower.device).state_dict())
    was, edit.info = edit.info.id, replace(edit.info, id=now.id)
    model.layers.call_in_work(was)  # a deletion gave it another, by which looks and its own file did not know it
    if was_ready == snapshot.ready:  # nor was it deleted: how it is shown and called is not what is taken back
        edit.info = looking_as(edit.info, now)
    model.edit_ready.fill_(snapshot.ready)
    pipeline.restart_edit(at=snapshot.step)  # first: what guides the edit would refuse prompts that are empty
    if snapshot.step > 0:
        pipeline.clock.times |= {"edit_seconds": snapshot.seconds, "edit_steps": snapshot.step}
    watch = snapshot.watch or Watch()
    work.settling.watch = watch  # says whether it is done: then it keeps the words that it was made by
    asked = snapshot.asked or words_of(edit.info)
    config.operations = asked.operations  # type: ignore[assignment]
    if snapshot.ready:
        config.region.threshold = round(edit.region.shape.threshold, 6)  # as it was said: it is stored in float32
        config.region.margin = snapshot.margin
    pipeline.take_texts(asked.source_text, asked.target_text)
    work.settling.watch = watch  # other words would let it forget
    replace_losses(config.run_dir, edit.info.id, snapshot.losses)


class History:
    """Undo and redo.

    Example:
        >>> history = History()
        >>> history.remember(Snapshot("reset", b"before", 10, True))
        >>> history.undo(Snapshot("", b"after", 0, True)).content
        b'before'
        >>> history.redo(Snapshot("", b"before", 10, True)).content
        b'after'
        >>> history.redo(Snapshot("", b"after", 0, True)) is None
        True
    """

    def __init__(self, depth: int = DEPTH) -> None:
        self._depth = depth
        self._past: List[Snapshot] = []
        self._future: List[Snapshot] = []

    @property
    def last(self) -> Optional[str]:
        """What an undo would take back."""
        return self._past[-1].label if self._past else None

    @property
    def next(self) -> Optional[str]:
        """What a redo would do again."""
        return self._future[-1].label if self._future else None

    def remember(self, before: Snapshot) -> None:
        """Keep what is about to be changed; what was taken back before can then not be done again."""
        self._past = [*self._past, before][-self._depth :]
        self._future = []

    def undo(self, now: Snapshot) -> Optional[Snapshot]:
        """The state before the last change; None where there is none."""
        if not self._past:
            return None
        before = self._past.pop()
        self._future.append(now._replace(label=before.label))
        return before

    def redo(self, now: Snapshot) -> Optional[Snapshot]:
        """The state that the last undo left; None where there is none."""
        if not self._future:
            return None
        after = self._future.pop()
        self._past.append(now._replace(label=after.label))
        return after

    def clear(self) -> None:
        """Forget everything: another edit is in work."""
        self._past, self._future = [], []
