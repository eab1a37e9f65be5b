"""What a user does to a run, without a viewer and without a trainer: wishes, steps back, the status in words."""

from __future__ import annotations

import sys
import threading

import torch

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.overlay import wipe
from blending_nerf_ns.steering.history import DEPTH, History, Snapshot
from blending_nerf_ns.steering.status import Status
from blending_nerf_ns.steering.wishes import Wishes
from blending_nerf_ns.viewer.edit_folder import describe


def test_of_a_storm_only_the_last_wish_is_granted_and_none_is_lost() -> None:
    wishes, done = Wishes(), []

    def storm(name: str) -> None:
        for i in range(1000):
            wishes.ask(name, lambda i=i: done.append((name, i)))

    threads = [threading.Thread(target=storm, args=(name,)) for name in ("add", "change")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        wishes.grant()
    wishes.grant()
    for name in ("add", "change"):
        mine = [i for other, i in done if other == name]
        assert mine == sorted(mine) and mine[-1] == 999


def test_a_wish_that_is_wrong_is_said_once_and_the_next_one_is_granted() -> None:
    wishes, said, done = Wishes(), [], []
    wishes.on_error = said.append

    def wrong() -> None:
        raise BlendingNerfError("there is no such layer")

    wishes.ask("layer", wrong)
    wishes.ask("crop box", lambda: done.append(1))
    wishes.grant()
    wishes.grant()
    assert done == [1] and said == ["layer: there is no such layer"]


def test_a_gpu_that_is_full_ends_a_wish_and_not_the_next_one() -> None:
    wishes, said, done = Wishes(), [], []
    wishes.on_error = said.append

    def large() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    wishes.ask("loading an edit", large)
    wishes.ask("strength", lambda: done.append(wishes.pending))
    assert wishes.pending
    wishes.grant()
    assert done == [True] and said == ["loading an edit: CUDA out of memory"] and not wishes.pending


def test_a_wish_is_not_interrupted_by_the_viewers_trace() -> None:
    wishes, done = Wishes(), []

    def wish() -> None:
        done.append(1)
        done.append(2)

    def interrupt(frame, event, argument):
        if event == "line" and done:
            raise KeyboardInterrupt
        return interrupt

    wishes.ask("two things", wish)
    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        wishes.grant()
        assert sys.gettrace() is interrupt
    finally:
        sys.settrace(before)
        done_then = list(done)
    assert done_then == [1, 2]


def snapshot(name: str) -> Snapshot:
    return Snapshot(name, name.encode(), 0, True)


def test_undo_and_redo() -> None:
    history = History()
    assert history.last is None and history.undo(snapshot("now")) is None and history.redo(snapshot("now")) is None
    history.remember(snapshot("a"))
    history.remember(snapshot("b"))
    back = history.undo(snapshot("c"))
    assert back is not None and back.content == b"b" and history.next == "b" and history.last == "a"
    again = history.redo(snapshot("b"))
    assert again is not None and again.content == b"c" and history.next is None and history.last == "b"
    history.undo(snapshot("c"))
    history.remember(snapshot("d"))
    assert history.next is None, "what was taken back cannot be done again after something else"
    for i in range(3 * DEPTH):
        history.remember(snapshot(str(i)))
    steps = 0
    while history.undo(snapshot("x")) is not None:
        steps += 1
    assert steps == DEPTH


def test_the_status_in_words() -> None:
    status = Status(
        stage="edit", step=50, steps=200, seconds_left=125.0, similarity=0.312, similarity_start=0.2, changed=0.5
    )
    words = describe(status)
    assert (
        "Step 50 of 200, 2:05 left." in words and "0.312 (0.200 at the start)" in words and "recoloured 50 %" in words
    )
    assert "left" not in describe(Status(stage="done", step=200, steps=200, seconds_left=3.0))
    assert describe(Status(stage="paused", message="nothing was found")).endswith("*nothing was found*")


def test_the_wipe_by_hand() -> None:
    left, right = torch.zeros(1, 4, 3), torch.full((1, 4, 3), 0.5)
    assert wipe(left, right, 0.5)[0, :, 0].tolist() == [0.0, 0.0, 1.0, 0.5]
    assert torch.equal(wipe(left, right, 0.0), right) and torch.equal(wipe(left, right, 1.0), left)
    assert torch.equal(wipe(left, right, -3.0), right)


def test_what_a_user_holds_is_not_written_back_until_it_had_time_to_be_taken_over(monkeypatch) -> None:
    from types import SimpleNamespace

    from nerfstudio.viewer.viewer_elements import ViewerSlider

    from blending_nerf_ns.viewer import folder as module

    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    panel = module.Folder()
    slider = panel.put(ViewerSlider("Blend ratio", 1.0, 0.0, 1.5))
    handle = SimpleNamespace(value=1.0)
    slider.gui_handle = handle  # type: ignore[assignment]
    panel.write(slider, value=1.0)
    handle.value = 0.4  # dragged
    panel.moved(slider)
    panel.write(slider, value=0.8)  # an earlier move is granted late
    assert handle.value == 0.4
    panel.write(slider, value=0.4)
    now[0] += module.HAND_SECONDS + 1
    panel.write(slider, value=0.4)
    assert handle.value == 0.4
    panel.write(slider, value=1.0)  # something else than the hand moved it: an undo
    assert handle.value == 1.0
    handle.value = 0.0  # and what is refused
    panel.moved(slider)
    panel.write(slider, value=1.0)
    assert handle.value == 0.0
    now[0] += module.HAND_SECONDS + 1
    panel.write(slider, value=1.0)
    assert handle.value == 1.0, "shows as it is again"
    handle.value = 0.2  # during a search, which may take minutes
    panel.moved(slider)
    now[0] += 100 * module.HAND_SECONDS
    panel.waits = True
    panel.write(slider, value=1.0)
    assert handle.value == 0.2, "what the next click says is all that is seen"
    panel.waits = False
    panel.write(slider, value=1.0)
    assert handle.value == 1.0


def test_what_is_typed_and_not_applied_stands_until_it_is(monkeypatch) -> None:
    from types import SimpleNamespace

    from nerfstudio.viewer.viewer_elements import ViewerText

    from blending_nerf_ns.viewer import folder as module

    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    panel = module.Folder()
    text = panel.put(ViewerText("Target text", "a blue ball"))
    handle = SimpleNamespace(value="a blue ball")
    text.gui_handle = handle  # type: ignore[assignment]
    panel.write(text, value="a blue ball")
    handle.value = "a green ball"  # typed
    panel.moved(text)
    now[0] += 100 * module.HAND_SECONDS
    for state in ("a blue ball", "", "a yellow donut"):  # an undo, a new layer, another's edit
        panel.write(text, value=state)
        assert handle.value == "a green ball"
    panel.write(text, value="a green ball")  # applied
    panel.write(text, value="a blue ball")  # and undone
    assert handle.value == "a blue ball"

    handle.value = "half a word"
    panel.moved(text)
    panel.let_go(text)
    panel.write(text, value="a blue ball")
    assert handle.value == "a blue ball"


def test_what_is_ticked_again_stays_ticked() -> None:
    from types import SimpleNamespace

    from nerfstudio.viewer.viewer_elements import ViewerCheckbox

    from blending_nerf_ns.viewer.folder import Folder

    panel = Folder()
    box = panel.put(ViewerCheckbox("Find the region again", False))
    box.gui_handle = SimpleNamespace(value=True)  # type: ignore[assignment]
    panel._in_hand[id(box)] = 20.0
    panel.switch_off(box, pressed=10.0)
    assert box.gui_handle.value, "it was ticked for the next time, after the press that was taken"
    panel.switch_off(box, pressed=30.0)
    assert not box.gui_handle.value


def test_what_the_panel_writes_is_nobodys_wish() -> None:
    """Through a real server, since viser calls an element's callbacks for what Python writes as well."""
    from types import SimpleNamespace

    from nerfstudio.viewer.viewer_elements import ViewerSlider, ViewerText
    from viser import ViserServer
    from viser_client import ViserClient, free_port

    from blending_nerf_ns.viewer.folder import Folder
    from blending_nerf_ns.viewer.panel import PanelControl

    port, asked, pictures = free_port(), [], []
    server = ViserServer(host="127.0.0.1", port=port, verbose=False)
    try:
        folder = Folder()
        hook = lambda element: asked.append(element.value)  # noqa: E731
        slider = folder.put(ViewerSlider("Blend ratio", 1.0, 0.0, 1.5, cb_hook=hook))
        text = folder.put(ViewerText("Target text", ""))
        for element in (slider, text):
            element.install(server)
        session = SimpleNamespace(refresh=lambda: None, picture=(), asked=False)
        viewer = SimpleNamespace(viser_server=server, trainer=None, render_statemachines={})
        viewer._trigger_rerender = lambda: pictures.append(1)
        control = PanelControl(session, [folder])  # type: ignore[arg-type]
        control._setup(viewer)  # type: ignore[arg-type]
        client = ViserClient(port)
        assert client.listen(lambda: {"Blend ratio", "Target text"} <= set(client.elements))
        client.look((1.0, 1.0, 1.0))  # viser knows a client from its first camera on
        assert client.listen(lambda: bool(server.get_clients()))

        folder.write(slider, value=0.5)  # by the panel's own hand
        folder.write(text, value="a blue ball")
        assert client.listen(lambda: client.elements["Target text"]["value"] == "a blue ball")
        client.move("Blend ratio", 0.75)
        assert client.listen(lambda: bool(pictures))
        assert asked == [0.75] and slider.value == 0.75
        client.move("Target text", "a green ball")
        assert client.listen(lambda: text.value == "a green ball")
        folder.write(text, value="a red ball")
        client.move("Blend ratio", 1.0)
        assert client.listen(lambda: asked == [0.75, 1.0])
        assert text.value == "a green ball" and len(pictures) == 2, "no picture for what is only typed"
        assert control._thread is not None and control._thread.is_alive()
        control.end()
        client.close()
    finally:
        server.stop()


def test_the_panels_thread_survives_a_layer_that_goes_while_it_is_read() -> None:
    from types import SimpleNamespace

    from blending_nerf_ns.viewer.folder import Folder
    from blending_nerf_ns.viewer.panel import PanelControl

    class Unlucky(Folder):
        times = 0

        def refresh(self) -> None:
            self.times += 1
            if self.times == 1:
                raise BlendingNerfError("there is no layer 'gone'")

    folder = Unlucky()
    control = PanelControl(SimpleNamespace(refresh=lambda: None, asked=False), [folder])  # type: ignore[arg-type]
    control.refresh()
    control.refresh()
    assert folder.times == 2
