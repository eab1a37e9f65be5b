"""The editor in nerfstudio's viewer: four folders, one thread that writes them, and callbacks that never wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, List, Optional

from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerElement, ViewerText
from torch import nn
from viser import GuiButtonHandle, GuiEvent, GuiInputHandle

from blending_nerf_ns.compat import forgive_gone_clients
from blending_nerf_ns.steering.session import Session
from blending_nerf_ns.viewer.edit_folder import EditFolder
from blending_nerf_ns.viewer.files_folder import FilesFolder
from blending_nerf_ns.viewer.folder import Folder
from blending_nerf_ns.viewer.region_folder import RegionFolder
from blending_nerf_ns.viewer.stack_folder import StackFolder

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer

REFRESH_SECONDS = 0.4
END_SECONDS = 10.0
"""A run that ends waits at most so long for the panel to have done what it is at."""


class EditPanel(nn.Module):
    """What a person sees beside the picture. nerfstudio shows the folders in alphabetical order.

    Args:
        session: is steered.
        training: whether there is a trainer.
    """

    def __init__(self, session: Session, training: bool) -> None:
        super().__init__()
        self.Region = RegionFolder(session, training)
        self.Edit = EditFolder(session, training, before_search=self.Region.take_source)
        self.Stack = StackFolder(session, training)
        files = FilesFolder(session, training)
        self.add_module("Undo and files", files)  # the folder's title
        folders: List[Folder] = [self.Edit, self.Region, self.Stack, files]
        self.control = PanelControl(session, folders)


class PanelControl(ViewerControl):
    """Takes the panel over once the viewer has built it.

    nerfstudio runs each callback under the training's lock, where it waits for a running picture or step: 15 s were seen
    from slider to picture. Ours only set plain state, so they need no lock. And nerfstudio does not pass on who moved an
    element: what the panel itself writes would come back as its user's wish.

    Args:
        session: whose state is shown.
        folders: of the panel.
    """

    def __init__(self, session: Session, folders: List[Folder]) -> None:
        self._session, self._folders = session, folders
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        forgive_gone_clients(viewer)
        for folder in self._folders:
            for element, hook in folder.hooks:
                element.cb_hook = lambda _: None
                self._listen(folder, element, hook)
        self._thread = threading.Thread(target=self._keep_fresh, daemon=True, name="panel")
        self._thread.start()

    def _listen(self, folder: Folder, element: ViewerElement, hook: Callable[[Any], Any]) -> None:
        def moved(event: GuiEvent[Any]) -> None:
            if event.client is None:
                return
            folder.moved(element, event.client.client_id)
            try:
                hook(element)
            except Exception as error:  # else only the terminal has it, and a button seems dead
                self._session.say(f"{element.name}: {error}")
                raise
            if not isinstance(element, ViewerText):  # what is typed shows when it is applied
                self.viewer._trigger_rerender()

        if isinstance(element.gui_handle, GuiButtonHandle):
            element.gui_handle.on_click(moved)
        elif isinstance(element.gui_handle, GuiInputHandle):
            element.gui_handle.on_update(moved)

    def _keep_fresh(self) -> None:
        """The one thread that writes widgets, and asks for a picture where no widget was moved but something changed."""
        shown = self._session.picture
        while not self._ended.wait(REFRESH_SECONDS):
            self.refresh()
            self._show_training_state()
            self.grant_for_nobody()
            if self._session.picture != shown:
                shown = self._session.picture
                with suppress(KeyError, RuntimeError):  # a page was closed just now
                    self.viewer._trigger_rerender()

    def grant_for_nobody(self) -> None:
        """What was asked for just before the last page was closed: in a run that sleeps no picture and no step would do it."""
        if not self._session.asked or self.viewer.viser_server.get_clients():
            return
        lock = self.viewer.train_lock or threading.Lock()
        if lock.acquire(blocking=False):  # else whoever holds it trains, and a step grants, too
            try:
                self._session.grant()
            except Exception as error:  # this thread is the only one that writes widgets
                CONSOLE.print_exception()
                self._session.say(str(error))
            finally:
                lock.release()

    def end(self) -> None:
        """Write no widget and grant nothing any more, once what is under way is done, which is waited for a while. A run ends by this: it
        reads tensors, for which a GPU is waited, and is saved."""
        self._ended.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(END_SECONDS)

    def refresh(self) -> None:
        """Show the present state once. A layer may come or go while it is read: then the next time shows it."""
        with suppress(KeyError, RuntimeError, ValueError):
            asked = self._session.asked  # first: what is granted from here on is seen below
            self._session.refresh()
            for folder in self._folders:
                folder.waits = asked
                folder.refresh()

    def _show_training_state(self) -> None:
        """nerfstudio's own pause and resume buttons toggle blindly; the session pauses and wakes the training as well."""
        trainer = self.viewer.trainer
        if trainer is None:
            return
        training = trainer.training_state == "training"
        for button, visible in ((self.viewer.pause_train, training), (self.viewer.resume_train, not training)):
            if button.visible != visible:
                button.visible = visible
