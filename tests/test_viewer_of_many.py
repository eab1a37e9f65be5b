"""Several pages of one viewer: all see the same elements, any of them may be closed at any moment. Real server, real clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.viewer.render_state_machine import RenderAction, RenderStateMachine
from nerfstudio.viewer.utils import CameraState
from open_run import done_pipeline, grant
from viser import ViserServer
from viser_client import ViserClient, free_port

from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.viewer import stack_folder
from blending_nerf_ns.viewer.files_folder import FilesFolder
from blending_nerf_ns.viewer.panel import PanelControl
from blending_nerf_ns.viewer.region_folder import RegionFolder
from blending_nerf_ns.viewer.stack_folder import StackFolder


class Desk(NamedTuple):
    """A done edit with the layers "first" and "second" below it, and the panel that two pages show."""

    run: BlendingPipeline
    stack: StackFolder
    region: RegionFolder
    control: PanelControl
    viewer: Any
    one: ViserClient
    two: ViserClient

    def strengths(self) -> dict[str, float]:
        return {edit.info.name: edit.info.strengths.add for edit in self.run.model.layers.all()}

    def pick(self, who: ViserClient, name: str) -> None:
        label = next(label for label in self.stack._shown_labels if name in label)
        before = self.stack._in_hand.get(id(self.stack._list))
        who.move("Layer", label)
        wait_for(lambda: self.stack._in_hand.get(id(self.stack._list)) != before)
        assert self.stack._list.value == label


def wait_for(something: Callable[[], bool], patience: float = 10.0) -> None:
    """What a client sends is handled in a thread of the server's."""
    deadline = time.monotonic() + patience
    while not something():
        assert time.monotonic() < deadline, "the server heard nothing of it"
        time.sleep(0.01)


@pytest.fixture
def desk(capture: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    run = done_pipeline(capture)
    for name in ("first", "second"):
        layer = run.model.layers.freeze_copy()
        layer.info = replace(layer.info, name=name)
    port = free_port()
    server = ViserServer(host="127.0.0.1", port=port, verbose=False)
    stack, region, files = (
        StackFolder(run.session, True),
        RegionFolder(run.session, True),
        FilesFolder(run.session, True),
    )
    control = PanelControl(run.session, [stack, region, files])
    for folder in (stack, region, files):
        for element, _ in folder.hooks:
            element.install(server)
    viewer = SimpleNamespace(
        viser_server=server,
        trainer=None,
        train_lock=threading.RLock(),
        render_statemachines={},
        control_panel=SimpleNamespace(crop_viewport=False, crop_obb=None),
        _trigger_rerender=lambda: None,
    )
    monkeypatch.setattr(PanelControl, "_keep_fresh", lambda _: None)  # here the tests say when
    control._setup(viewer)  # type: ignore[arg-type]
    region.crop._setup(viewer)  # type: ignore[arg-type]
    pages = []
    for number in (1, 2):
        page = ViserClient(port)
        page.look((1.0, 1.0, 1.0))
        assert page.listen(lambda page=page: {"Layer", "Save look"} <= set(page.elements))
        wait_for(lambda number=number: len(server.get_clients()) == number)
        pages.append(page)
    control.refresh()
    yield Desk(run, stack, region, control, viewer, *pages)
    server.stop()


def test_what_one_picks_while_the_list_is_written_for_another_stays_picked(desk: Desk) -> None:
    desk.pick(desk.one, "first")
    desk.control.refresh()
    second = next(edit for edit in desk.run.model.layers.all() if edit.info.name == "second")
    desk.run.session.layers.change(second.info.id, visible=False)  # its label is another then
    desk.pick(desk.two, "second")
    grant(desk.run)
    desk.control.refresh()
    assert desk.stack._chosen is second, "delete would have deleted the first"


def test_an_entry_that_is_not_in_the_list_any_more_leaves_no_dead_buttons(desk: Desk) -> None:
    desk.pick(desk.one, "second")
    desk.control.refresh()
    old, second = desk.stack._list.value, desk.stack._chosen
    assert second is not None
    desk.run.session.layers.change(second.info.id, visible=False)
    grant(desk.run)
    desk.control.refresh()
    desk.two.move("Layer", old)  # over a slow line
    wait_for(lambda: desk.stack._list.value == old)
    desk.control.refresh()
    assert desk.stack._chosen is second and desk.stack._list.value in desk.stack._shown_labels


def drag(desk: Desk, who: ViserClient, value: float) -> None:
    who.move("Blend ratio: add", value)
    wait_for(lambda: desk.stack._ratios["add"].value == value and desk.run.session.asked)
    grant(desk.run)


def test_a_drag_stays_with_the_layer_that_it_began_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_folder, "HAND_SECONDS", 600.0)
    desk.pick(desk.one, "second")
    drag(desk, desk.one, 0.8)
    desk.pick(desk.two, "first")
    drag(desk, desk.two, 0.5)  # the same slider, on the other layer
    drag(desk, desk.one, 0.7)
    assert desk.strengths()["second"] == pytest.approx(0.7) and desk.strengths()["first"] == pytest.approx(0.5)


def test_a_drag_that_begins_later_is_of_the_layer_that_is_chosen_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_folder, "HAND_SECONDS", -1.0)
    desk.pick(desk.one, "second")
    drag(desk, desk.one, 0.8)
    desk.pick(desk.two, "first")
    drag(desk, desk.one, 0.7)
    assert desk.strengths()["second"] == pytest.approx(0.8) and desk.strengths()["first"] == pytest.approx(0.7)


def test_who_picks_another_layer_drags_that_one_at_once(desk: Desk) -> None:
    for name, value in (("second", 0.8), ("first", 0.6)):
        desk.pick(desk.one, name)
        drag(desk, desk.one, value)
    assert desk.strengths()["second"] == pytest.approx(0.8) and desk.strengths()["first"] == pytest.approx(0.6)


def test_the_crop_box_that_is_taken_is_the_one_on_the_screen(desk: Desk) -> None:
    shown = desk.viewer.control_panel
    desk.one.click("Region: take the crop box")
    wait_for(lambda: desk.run.session.asked)
    assert "crop is off" in grant(desk.run)
    shown.crop_viewport = True
    shown.crop_obb = OrientedBox.from_params((-0.1, 0.0, 0.0), (0.0, 0.0, 0.0), (0.3, 0.3, 0.3))
    desk.one.click("Region: take the crop box")
    wait_for(lambda: desk.run.session.asked)
    shown.crop_viewport = False  # by the other page, before it is granted; and no picture was made
    assert grant(desk.run) == ""
    assert float(torch.stack(desk.run.model.edit.region.bounds()).mean(0)[0]) == pytest.approx(-0.1, abs=0.05)


def test_what_was_asked_for_before_the_last_page_was_closed_is_done(desk: Desk) -> None:
    desk.run.session.layers.change(desk.run.model.edit.info.id, add=0.5)
    desk.control.grant_for_nobody()
    assert desk.run.session.asked, "as long as a page is open its picture does it"
    for page in (desk.one, desk.two):
        page.close()
    wait_for(lambda: not desk.viewer.viser_server.get_clients())
    busy = threading.Thread(target=lambda: (desk.viewer.train_lock.acquire(), held.set(), go.wait()))
    held, go = threading.Event(), threading.Event()
    busy.start()
    held.wait()
    desk.control.grant_for_nobody()  # a step is on: it is not waited for
    assert desk.run.session.asked
    go.set()
    busy.join()
    desk.viewer.train_lock = threading.RLock()
    desk.control.grant_for_nobody()
    assert not desk.run.session.asked and desk.run.model.edit.info.strengths.add == 0.5


def test_a_wish_that_fails_for_nobody_leaves_the_panel_alive(desk: Desk) -> None:
    def fail() -> None:
        raise ValueError("not so")

    for page in (desk.one, desk.two):
        page.close()
    wait_for(lambda: not desk.viewer.viser_server.get_clients())
    desk.run.model.wishes.ask("wrong", fail)
    desk.control.grant_for_nobody()
    assert desk.run.session.status.message == "not so" and desk.viewer.train_lock.acquire(blocking=False)


def test_a_run_that_ends_waits_for_what_the_panel_is_at(desk: Desk) -> None:
    at_it, go, done = threading.Event(), threading.Event(), []
    desk.control._thread = threading.Thread(target=lambda: (at_it.set(), go.wait(), done.append(1)))
    desk.control._thread.start()
    at_it.wait()
    threading.Timer(0.2, go.set).start()
    desk.control.end()
    assert done


def test_a_button_that_fails_says_so(desk: Desk) -> None:
    desk.one.move("Edit file", "~nobody-of-this-name/x.edit.safetensors")
    desk.one.click("Load as a layer")
    wait_for(lambda: desk.run.session.status.message.startswith("Load as a layer: "))


def test_a_picture_that_a_gpu_is_too_full_for_does_not_end_its_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nerfstudio.models.base_model import Model

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Model, "get_outputs_for_camera", full)
        page = RenderStateMachine(rendering(desk), 10.0, SimpleNamespace())  # type: ignore[arg-type]
        page.start()
        page.action(RenderAction("move", a_camera()))
        wait_for(lambda: "no picture: CUDA out of memory" in desk.run.session.status.message)
        with pytest.raises(torch.OutOfMemoryError):  # a command is told by the error itself
            desk.run.model.get_outputs_for_camera(SimpleNamespace(times=None))  # type: ignore[arg-type]
    pictures: list[Any] = []
    monkeypatch.setattr(page, "_send_output_to_viewer", lambda outputs, **_: pictures.append(outputs))
    page.action(RenderAction("move", a_camera()))
    wait_for(lambda: bool(pictures))
    page.running = False
    page.join()


def rendering(desk: Desk) -> Any:
    """What a page's thread asks of nerfstudio's viewer."""
    return SimpleNamespace(
        ready=True,
        control_panel=SimpleNamespace(crop_viewport=False, max_res=8, layer_depth=False),
        render_tab_state=SimpleNamespace(preview_render=False),
        include_time=False,
        train_lock=threading.RLock(),
        train_util=0.5,
        trainer=None,
        step=0,
        get_model=lambda: desk.run.model,
        get_camera_state=lambda _: a_camera(),
    )


def a_camera() -> CameraState:
    pose = torch.eye(4)[:3]
    pose[2, 3] = 1.0
    return CameraState(fov=1.0, aspect=1.0, c2w=pose, camera_type=CameraType.PERSPECTIVE, idx=0)
