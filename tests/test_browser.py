"""The viewer's page in a real browser: the panel is there during ns-train, and typing and dragging act on the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import difference, find_browser, open_viewer, running, wait_for_text
from tiny_run import BIN, EDIT_STEPS, TINY_FLAGS, write_tiny_capture
from viser_client import ViserClient, free_port

pytestmark = pytest.mark.slow

RATIOS = ("Blend ratio: add", "Blend ratio: remove", "Blend ratio: change")


def test_the_panel_steers_the_picture_of_a_training(tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    find_browser()  # skips before the training starts
    write_tiny_capture(tmp_path / "capture")
    port = free_port()
    where = ("--data", "capture", "--output-dir", "out", "--experiment-name", "tiny", "--timestamp", "browser")
    texts = ("--pipeline.source-text", "a red ball", "--pipeline.target-text", "a blue ball")
    # a region that is everywhere: a base of a few steps is mostly fog
    viewer_flags = (
        "--vis",
        "viewer",
        "--viewer.quit-on-train-completion",
        "False",
        "--pipeline.region.box-size",
        3,
        3,
        3,
    )
    address = ("--viewer.websocket-port", port, "--viewer.websocket-host", "127.0.0.1")
    command = (BIN / "ns-train", "blending-nerf-cpu", *where, *texts, *TINY_FLAGS, *viewer_flags, *address)
    with running(*command, cwd=tmp_path, log=tmp_path / "train.log", port=port) as log, open_viewer(port) as viewer:
        viewer.type_number("Max res", 64)  # first: pictures of 512 pixels hold up the training and the test
        viewer.wait_for("Source text", "Target text", *RATIOS)
        assert (viewer.text("Source text"), viewer.text("Target text")) == ("a red ball", "a blue ball")
        assert [viewer.number(name) for name in RATIOS] == [1.0, 1.0, 1.0]
        viewer.press("Hide Train Cams")

        viewer.open_tab("Render")
        assert not viewer.row("Target text").is_visible()
        viewer.open_tab("Control")
        viewer.set_folder("Custom Elements", False)
        assert not viewer.row("Target text").is_visible()
        viewer.set_folder("Custom Elements", True)

        viewer.wait_until(lambda: viewer.text("Output type") == "rgb" and viewer.disabled("Colormap"))
        viewer.choose("Output type", "depth")
        viewer.wait_for("Normalize")
        assert not viewer.disabled("Colormap")
        viewer.choose("Output type", "rgb")
        viewer.check("Enable", within="Split Screen")
        viewer.wait_for("Split percentage")
        viewer.check("Enable", False, within="Split Screen")

        viewer.type_text("Target text", "a green ball")
        assert viewer.text("Target text") == "a green ball"

        wait_for_text(log, f" {EDIT_STEPS}/{EDIT_STEPS} [")  # of the bar: with a viewer a run need not end
        edited = viewer.settle()
        viewer.screenshot(tmp_path / "edited.png")
        for name in RATIOS:
            viewer.drag_slider(name, 0.0)
        original = viewer.settle()
        assert [viewer.number(name) for name in RATIOS] == [0.0, 0.0, 0.0], "they stay where they were dragged to"
        viewer.screenshot(tmp_path / "original.png")
        assert difference(edited, original) > 0.02, "the sliders act on the picture"
        for name in RATIOS:
            viewer.drag_slider(name, 1.0)
        assert difference(edited, viewer.settle()) < 0.5 * difference(edited, original), "and back"
        assert not viewer.errors

        client = ViserClient(port)  # a second visitor sees what reached Python
        assert client.listen(lambda: client.elements.get("Target text", {}).get("value") == "a green ball")
        client.close()
