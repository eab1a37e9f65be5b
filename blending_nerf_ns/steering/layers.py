"""What a person does with the layers and edit files of a run while it lives; asked for in any thread, like the rest of a session."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.file import SUFFIX, check_name, load_edit, read_edit_header, save_edit
from blending_nerf_ns.edits.layer import LayerInfo
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.blending import AS_TRAINED
from blending_nerf_ns.runs.look import look_of, look_stamp, read_look, rewrite_look, write_look

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline
    from blending_nerf_ns.steering.session import Session

LONGEST_NAME = 50
"""Characters of a layer's name in its file's: of any script these are below the 255 bytes that file systems take."""


class SessionLayers:
    """The stack of a session's run: order, switches, strengths, and the files that layers come from and go to.

    Args:
        session: whose steps back and messages these are.
        pipeline: whose layers are meant.
    """

    def __init__(self, session: Session, pipeline: BlendingPipeline) -> None:
        self._session, self._pipeline, self._model = session, pipeline, pipeline.model
        self.fade = False
        """Whether the look that is saved lets camera paths fade the edits in."""
        self.look_known: Optional[int] = None
        """The look in the run's folder that this run has read or written (`look_stamp`); another one was said by others, later."""
        self.moved_at = 0
        """When a layer was last moved, switched or renamed here, in nanoseconds."""

    def all(self) -> List[Edit]:
        """All layers, the lowest first."""
        return self._model.layers.all()

    @property
    def in_work(self) -> Edit:
        """The layer that trains."""
        return self._model.edit

    def new(self) -> None:
        """Keep the edit in work as a layer and begin another on top of it."""

        def do() -> None:
            if not self._model.edit_is_made:
                raise BlendingNerfError("the edit in work is empty: use it, instead of another on top")
            kept = self._model.layers.freeze_copy()
            self._session.running = False
            self._session.restart(keep_region=False)
            if self._pipeline.work.texts == (kept.info.source_text, kept.info.target_text):
                self._pipeline.take_texts("", "")  # a resume would go on to make the same again, on top
            self._session.history.clear()
            self._session.say(f"Layer {kept.info.name!r} is kept; the next edit is made on top of it.")

        self._session.ask_each("new layer", do)

    def change(self, id: str, **changes: object) -> None:
        """Set `name` or `visible` of a layer, or its strengths `add`, `remove`, `change`."""

        def do() -> None:
            edit = self._model.layers[id]
            said = {name: value for name, value in changes.items() if name in ("name", "visible")}
            strengths = {name: float(value) for name, value in changes.items() if name not in said}  # type: ignore[arg-type]
            edit.info = replace(edit.info, **said).with_strengths(**strengths)  # type: ignore[arg-type]
            self._model.version += edit is not self._model.edit
            self.moved_at = time.time_ns()

        self._model.wishes.ask(f"layer {id} {'/'.join(changes)}", do)

    def move(self, id: str, by: int) -> None:
        """Move a layer up or down."""

        def do() -> None:
            self._model.layers.move(id, by)
            self._model.version += 1
            self.moved_at = time.time_ns()

        self._session.ask_each("order of layers", do)

    def delete(self, id: str) -> None:
        """Take a frozen layer out; the edit in work is reset instead."""

        def do() -> None:
            edit = self._model.edit
            if id == edit.info.id:
                self._session.remember("deletion")
                self._session.running = False
                self._session.restart(keep_region=False)
                edit.info = replace(edit.info, name="", strengths=AS_TRAINED, visible=True)
                self._model.layers.renew()
                self._pipeline.take_texts("", "")
                return
            name = self._model.layers[id].info.name
            self._model.layers.remove(id)
            self._model.version += 1
            self._session.history.clear()  # or an undo takes back what was done before that, to another edit
            try:
                self._forget_in_look(id)
            except (BlendingNerfError, OSError) as error:  # it may be another's, or no whole one
                self._session.say(f"Layer {name!r} is deleted for good; look.json still names it: {error}")
            else:
                self._session.say(f"Layer {name!r} is deleted for good.")

        self._session.ask_each("deletion", do)

    def save(self, id: str, path: Optional[Path] = None) -> None:
        """Write a layer as an edit file: by default `edits/NAME.edit.safetensors` in the run's folder."""
        self._model.wishes.ask("saving an edit", lambda: self._write(self._model.layers[id], path), each=True)

    def save_uppermost(self, path: Optional[Path] = None) -> None:
        """The same of the uppermost layer that does something."""
        self._model.wishes.ask("saving an edit", lambda: self._write(self._uppermost, path), each=True)

    def _write(self, edit: Edit, path: Optional[Path]) -> None:
        file = path or self._own_file(edit.info)
        check_name(file)
        replaced = _edit_in(file)
        if replaced is not None and not _is_of(replaced, edit.info):
            raise BlendingNerfError(f"{file} holds another edit, {replaced.name!r}: name another file, or none")
        save_edit(edit, self._base, file)
        instead = " in place of what was there" if replaced is not None else ""
        self._session.say(f"Saved {file}{instead} ({file.stat().st_size / 1e6:.1f} MB).")

    def load(self, path: Path, any_base: bool = False) -> None:
        """Put an edit file on as a layer under the edit in work."""

        def do() -> None:
            edit = load_edit(path, self._base, any_base, self._model.device.type == "cuda")
            of_work = edit.info.id == self.in_work.info.id and self._model.edit_is_made
            twice = of_work or edit.info.id in self._model.layers.frozen
            self._model.layers.add(edit)
            self._model.version += 1
            kept = (
                ""
                if self._pipeline.test_mode == "val"
                else " for as long as this viewer is open; `edits apply` keeps it"
            )
            also = " It was already: what is on acts twice." if twice else ""
            self._session.say(f"Loaded layer {edit.info.name!r}{kept}.{also}")

        self._session.ask_each("loading an edit", do)

    def save_look(self) -> None:
        """Keep order, switches and strengths beside config.yml: every ns-* command shows the run so."""

        def do() -> None:
            self._session.say(f"Saved {write_look(look_of(self._model.layers, self.fade), self._folder)}.")
            self.look_known = look_stamp(self._folder)

        self._model.wishes.ask("saving the look", do)

    def _forget_in_look(self, id: str) -> None:
        """Take a layer out of the look that is saved: every command would name it in vain."""
        folder = self._pipeline.config.run_dir
        look = read_look(folder)
        if folder is None or look is None or all(info.id != id for info in look.layers):
            return
        rewrite_look(replace(look, layers=tuple(info for info in look.layers if info.id != id)), folder)

    @property
    def _uppermost(self) -> Edit:
        """The uppermost layer that does something.

        Raises:
            BlendingNerfError: there is none.
        """
        filled = [edit for edit in self.all() if edit is not self.in_work or self._model.edit_is_made]
        if not filled:
            raise BlendingNerfError("there is no edit yet")
        return filled[-1]

    def _own_file(self, info: LayerInfo) -> Path:
        """A file in the run's folder by the layer's name; by its id, and a number, as well where another edit has taken that."""
        name = re.sub(r"[^\w.,()+-]+", "_", info.name)[:LONGEST_NAME].strip("._") or info.id
        names = chain([name, f"{name}_{info.id}"], (f"{name}_{info.id}_{number}" for number in count(2)))
        files = (self._folder / "edits" / f"{one}{SUFFIX}" for one in names)
        return next(file for file in files if (there := _edit_in(file)) is None or _is_of(there, info))

    @property
    def _folder(self) -> Path:
        folder = self._pipeline.config.run_dir
        if folder is None:
            raise BlendingNerfError("this run has no folder to save to")
        return folder

    @property
    def _base(self) -> str:
        return fingerprint(self._model.base.state_dict())


def _is_of(there: LayerInfo, info: LayerInfo) -> bool:
    """Whether a file's edit is a layer's of before: one that was reset and has other words since has its id and is another."""
    return (there.id, there.source_text, there.target_text) == (info.id, info.source_text, info.target_text)


def _edit_in(file: Path) -> Optional[LayerInfo]:
    """What an edit file holds; None where there is no file."""
    return LayerInfo.from_dict(read_edit_header(file).description.get("info")) if file.exists() else None
