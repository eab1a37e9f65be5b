"""The viewer's page in a real browser: a person types two sentences, starts the edit, watches it and moves the sliders.

`make screenshots` walks the same way through the demo's scene and puts the README's pictures into docs/.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from browser import ViewerPage, difference, find_browser, open_viewer, running
from PIL import Image
from tiny_run import BIN, TINY_FLAGS, write_tiny_capture
from viser_client import ViserClient, free_port

from blending_nerf_ns.demo.capture import CaptureShape, demo_capture_scene, find_subject, write_capture
from blending_nerf_ns.demo.run import QUICK_BASE

pytestmark = pytest.mark.slow

RATIOS = ("Blend ratio: add", "Blend ratio: remove", "Blend ratio: change")
SOURCE, TARGET = "a red ball", "a blue ball"
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""Folder for the README's pictures, of a scene that one can recognise; without it a tiny one of fog has to do."""
TITLE = 51
"""Height of the page's title in pixels."""
SIZE = 256 if SCREENSHOTS else 64
"""Of the pictures, in pixels."""
PATIENCE = 900.0 if SCREENSHOTS else 240.0


def test_an_edit_is_typed_started_watched_and_faded_in_the_browser(tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    find_browser()  # skips before the training starts
    pictures = Path(SCREENSHOTS).resolve() if SCREENSHOTS else tmp_path
    flags = demo_flags(tmp_path) if SCREENSHOTS else tiny_flags(tmp_path)
    port = free_port()
    where = ("--data", "capture", "--output-dir", "out", "--experiment-name", "page", "--timestamp", "browser")
    address = ("--vis", "viewer", "--viewer.websocket-port", port, "--viewer.websocket-host", "127.0.0.1")
    command = (BIN / "ns-train", "blending-nerf-cpu", *where, *flags, *address)
    with (
        running(*command, cwd=tmp_path, log=tmp_path / "train.log", port=port),
        open_viewer(port, height=1000, patience=PATIENCE) as viewer,
    ):
        viewer.type_number("Max res", SIZE)  # first: 512 pixels hold up the training and the test
        viewer.wait_for("Source text", "Target text", *RATIOS)
        viewer.press("Hide Train Cams")
        walk_through_nerfstudios_part(viewer)
        edit_and_fade(viewer, pictures)
        if not SCREENSHOTS:
            type_and_undo(viewer)
            client = ViserClient(port)  # a second visitor sees what reached Python
            assert client.listen(lambda: client.elements.get("Target text", {}).get("value") == "a green ball")
            client.close()
        assert not viewer.errors


def tiny_flags(folder: Path) -> tuple[object, ...]:
    """A capture in `folder`, and flags for a run on it that takes seconds."""
    write_tiny_capture(folder / "capture")
    tiny = TINY_FLAGS[TINY_FLAGS.index("--machine.device-type") :]  # what comes before it is for runs without a viewer
    # a region that is everywhere: a base of a few steps is mostly fog
    region = ("--pipeline.region.box-size", 3, 3, 3)
    # an edit that nobody can overlook: the page scales and shifts its picture by a pixel from one look to the next
    bold = ("--optimizers.edit-field.optimizer.lr", 0.03)
    return (*tiny, *region, *bold, "--pipeline.base-steps", 300, "--pipeline.edit-steps", 60)


def demo_flags(folder: Path) -> tuple[object, ...]:
    """The demo's capture in `folder`, and its flags for ns-train."""
    scene = demo_capture_scene()
    write_capture(folder / "capture", scene, find_subject(scene, SOURCE), CaptureShape())
    return (*QUICK_BASE, "--machine.device-type", "cpu", "--pipeline.operations", "change")


def walk_through_nerfstudios_part(viewer: ViewerPage) -> None:
    """What nerfstudio's own panel offers works beside ours."""
    viewer.open_tab("Render")
    assert not viewer.row("Target text").is_visible()
    viewer.open_tab("Control")
    viewer.wait_until(lambda: viewer.text("Output type") == "rgb" and viewer.disabled("Colormap"))
    viewer.choose("Output type", "depth")
    viewer.wait_for("Normalize")
    assert not viewer.disabled("Colormap")
    viewer.choose("Output type", "rgb")
    viewer.check("Enable", within="Split Screen")
    viewer.wait_for("Split percentage")
    viewer.check("Enable", False, within="Split Screen")
    for folder in ("Split Screen", "Crop Viewport", "Render Options"):
        viewer.set_folder(folder, False)
    assert not viewer.row("Max res").is_visible()


def edit_and_fade(viewer: ViewerPage, pictures: Path) -> None:
    """From the original to the finished edit, and back by the sliders."""
    viewer.wait_for_words("Waiting: write what is there")
    assert (viewer.text("Source text"), viewer.text("Target text")) == ("", "")
    if SCREENSHOTS:
        turn_to_the_objects(viewer)
    original = viewer.settle(SIZE, patience=PATIENCE)
    viewer.type_text("Source text", SOURCE)
    viewer.type_text("Target text", TARGET)
    save(viewer, pictures / "viewer_original.png")

    viewer.press("Start")
    viewer.wait_for_words("The edit is being trained")
    viewer.wait_until(lambda: edit_step(viewer) > 0, PATIENCE)
    reached = edit_step(viewer)
    viewer.wait_until(lambda: edit_step(viewer) > reached)
    viewer.wait_for_words("The edit is done")
    viewer.wait_for_words("Similarity to the target")
    edited = viewer.settle(SIZE, patience=PATIENCE)
    save(viewer, pictures / "viewer_edited.png")
    assert difference(edited, original) > 0.1, "the edit shows"

    ratios = [name for name in RATIOS if not viewer.disabled(name)]
    assert ratios and [viewer.number(name) for name in ratios] == [1.0] * len(ratios)
    whole = difference(edited, original)
    viewer.drag_slider(ratios[-1], 0.5)
    viewer.wait_until(lambda: difference(viewer.picture(), edited) > 0.01, PATIENCE)  # a slider acts on the picture
    for name in ratios:
        viewer.drag_slider(name, 0.0)
    viewer.wait_until(
        lambda: difference(viewer.picture(), original) < 0.3 * whole, PATIENCE
    )  # at 0 the original is back
    assert difference(viewer.settle(SIZE, patience=PATIENCE), original) < 0.3 * whole, "and stays"
    assert [viewer.number(name) for name in ratios] == [0.0] * len(ratios), "they stay where they were dragged to"
    for name in ratios:
        viewer.drag_slider(name, 1.0)
    viewer.wait_until(lambda: difference(viewer.picture(), edited) < 0.3 * whole, PATIENCE)  # and back

    viewer.set_folder("Render Options", True)
    viewer.choose("Output type", "compare")
    viewer.slider("Compare at").scroll_into_view_if_needed()
    viewer.wait_until(lambda: difference(viewer.picture(), edited) > 0.02, PATIENCE)  # half of it is the original's
    viewer.settle(SIZE, patience=PATIENCE)
    save(viewer, pictures / "viewer_compare.png")
    viewer.choose("Output type", "rgb")


def type_and_undo(viewer: ViewerPage) -> None:
    """What is typed and not applied outlives a change of the state behind it."""
    viewer.type_text("Target text", "a green ball")
    viewer.press("Undo")  # of the prompts: the edit that Start took them for
    viewer.wait_for_words("Waiting: write what is there")
    viewer.wait_until(lambda: viewer.text("Source text") == "")
    assert viewer.text("Target text") == "a green ball"


def edit_step(viewer: ViewerPage) -> int:
    """How far the edit is, by the status line."""
    shown = viewer.page.get_by_text(re.compile(r"Step \d+ of \d+")).first.inner_text()
    found = re.search(r"Step (\d+) of", shown)
    assert found is not None, shown
    return int(found[1])


def turn_to_the_objects(viewer: ViewerPage) -> None:
    """The page opens with a look at the middle of the cameras, and the objects stand below that."""
    mouse = viewer.page.mouse
    mouse.move(440, 900)
    mouse.down(button="right")
    mouse.move(440, 420, steps=8)
    mouse.up(button="right")
    mouse.wheel(0, -150)


def save(viewer: ViewerPage, path: Path) -> None:
    """Write the page as a small PNG: without its title, whose logo is on the internet, and in 256 colours."""
    page = Image.open(io.BytesIO(viewer.page.screenshot())).convert("RGB")
    page = page.crop((0, TITLE, *page.size))
    page.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
