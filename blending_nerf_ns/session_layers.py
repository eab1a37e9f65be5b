"""What a person does with the layers and edit files of a run while it lives; asked for in any thread, like the rest of a session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.file import SUFFIX, load_edit, save_edit
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.look import look_of, write_look
from blending_nerf_ns.rendering.blending import AS_TRAINED

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline
    from blending_nerf_ns.session import Session


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
            if not bool(self._model.edit_ready):
                raise BlendingNerfError("the edit in work is empty: use it, instead of another on top")
            kept = self._model.layers.freeze_copy()
            self._session.running = False
            self._session.restart(keep_region=False)
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

        self._model.wishes.ask(f"layer {id} {'/'.join(changes)}", do)

    def move(self, id: str, by: int) -> None:
        """Move a layer up or down."""

        def do() -> None:
            self._model.layers.move(id, by)
            self._model.version += 1

        self._session.ask_each("order of layers", do)

    def delete(self, id: str) -> None:
        """Take a frozen layer out; the edit in work is reset instead."""

        def do() -> None:
            edit = self._model.edit
            if id == edit.info.id:
                self._session.remember("deletion")
                self._session.running = False
                self._session.restart(keep_region=False)
                self._pipeline.take_texts("", "")
                edit.info = replace(edit.info, strengths=AS_TRAINED, visible=True)
                return
            self._model.layers.remove(id)
            self._model.version += 1

        self._session.ask_each("deletion", do)

    def save(self, id: str, path: Optional[Path] = None) -> None:
        """Write a layer as an edit file: by default `edits/NAME.edit.safetensors` in the run's folder."""

        def do() -> None:
            edit = self._model.layers[id]
            name = "_".join((edit.info.name or edit.info.id).split())
            file = path or self._folder / "edits" / f"{name}{SUFFIX}"
            save_edit(edit, self._base, file)
            self._session.say(f"Saved {file} ({file.stat().st_size / 1e6:.1f} MB).")

        self._model.wishes.ask("saving an edit", do, each=True)

    def load(self, path: Path, any_base: bool = False) -> None:
        """Put an edit file on as a layer under the edit in work."""

        def do() -> None:
            edit = load_edit(path, self._base, any_base, self._model.device.type == "cuda")
            self._model.layers.add(edit)
            self._model.version += 1
            self._session.say(f"Loaded layer {edit.info.name!r}.")

        self._session.ask_each("loading an edit", do)

    def save_look(self) -> None:
        """Keep order, switches and strengths beside config.yml: every ns-* command shows the run so."""

        def do() -> None:
            self._session.say(f"Saved {write_look(look_of(self._model.layers, self.fade), self._folder)}.")

        self._model.wishes.ask("saving the look", do)

    @property
    def _folder(self) -> Path:
        folder = self._pipeline.config.run_dir
        if folder is None:
            raise BlendingNerfError("this run has no folder to save to")
        return folder

    @property
    def _base(self) -> str:
        return fingerprint(self._model.base.state_dict())
