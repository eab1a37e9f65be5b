"""Steps back: what an edit was before something was done to it, kept as edit files are."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

if TYPE_CHECKING:
    from blending_nerf_ns.training.settling import Watch
    from blending_nerf_ns.training.standing import Words

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
