"""Steps back, edit files, and the look that every ns-* command shows."""

from __future__ import annotations

from pathlib import Path

from nerfstudio.viewer.viewer_elements import ViewerButton, ViewerCheckbox, ViewerText

from blending_nerf_ns.steering.session import Session
from blending_nerf_ns.viewer.folder import Folder


class FilesFolder(Folder):
    """Undo, redo, save, load.

    Args:
        session: is steered.
        training: whether there is a trainer.
    """

    def __init__(self, session: Session, training: bool) -> None:
        super().__init__()
        self._session, self._training = session, training
        if training:
            self._undo = self.put(ViewerButton("Undo", cb_hook=lambda _: session.undo()))
            self._redo = self.put(ViewerButton("Redo", cb_hook=lambda _: session.redo()))
        self._file = self.put(ViewerText("Edit file", "", hint="NAME.edit.safetensors; empty: in the run's folder."))
        self.put(ViewerButton("Save the uppermost layer", cb_hook=lambda _: self._save()))
        self.put(ViewerButton("Load as a layer", cb_hook=lambda _: self._load()))
        self._any = self.put(ViewerCheckbox("Of any base", False, hint="Load edits of other bases too."))
        hint = "A camera path's times scale the strengths; see examples/06 for a path that has some."
        self._fade = self.put(ViewerCheckbox("Fade in videos", False, cb_hook=self._set_fade, hint=hint))
        self.put(ViewerButton("Save look", cb_hook=lambda _: session.layers.save_look()))

    def _path(self) -> Path | None:
        return Path(self._file.value).expanduser() if self._file.value.strip() else None

    def _save(self) -> None:
        self._session.layers.save_uppermost(self._path())

    def _load(self) -> None:
        path = self._path()
        if path is None:
            self._session.say("Name the edit file that is to be loaded.")
        else:
            self._session.layers.load(path, self._any.value)

    def _set_fade(self, box: ViewerCheckbox) -> None:
        self._session.layers.fade = bool(box.value)

    def refresh(self) -> None:
        """What can be taken back, and whether the look fades."""
        self.write(self._fade, value=self._session.layers.fade)
        if self._training:
            self.write(self._undo, disabled=self._session.history.last is None)
            self.write(self._redo, disabled=self._session.history.next is None)
