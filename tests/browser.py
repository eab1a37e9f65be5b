"""nerfstudio's viewer in a real browser: find the panel's elements by their labels, use them, and look at the page.

What the functions rely on in viser 0.2.7's page: a labelled element is a row `div.mantine-Flex-root` with a `<label>` on
the left; its `for` names the element, except a text input's. All tabs are in the page, the closed ones hidden, and so are
closed folders. The camera moves with W A S D Q E and the arrow keys wherever the focus is outside an input: sliders are
dragged, not keyed. One sender, throttled to 50 ms, serves all elements and keeps only the latest message.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # a container's root has none
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),  # WebGL without a GPU
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the page asks nerf.studio for a logo
]
# Counted by the page, which may be slow: a dragged slider moves in the next frame, and what the sender holds back after
# that leaves in 50 ms. What another element sends sooner would replace it.
SENT = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 120))))"


def find_browser() -> str:
    """Path of a browser that starts; skips the test where there is none."""
    for name in BROWSERS:
        path = shutil.which(name)
        if path is None:
            continue
        # Ubuntu's chromium-browser may be a note that asks for snap
        if subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0:
            return path
    pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on PATH and starts (Debian: apt-get install chromium)")


@contextlib.contextmanager
def running(
    *command: object, cwd: Path, log: Path, port: int, patience: float = 180.0, threads: int = 1
) -> Iterator[Path]:
    """Run a command that serves on a port, from when it answers there; yields the log, and ends it whatever happens.

    Args:
        command: program and arguments.
        cwd: its working directory.
        log: file for its output, whose end is printed if the caller fails.
        port: on 127.0.0.1.
        patience: seconds to wait for the port.
        threads: of torch's; tests run beside each other and take one each.
    """
    bin_folder = Path(str(command[0])).parent
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "TERM": "dumb",
    }
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment.get('PATH', '')}"
    with log.open("w") as out:
        server = subprocess.Popen(
            list(map(str, command)), cwd=cwd, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + patience
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None, f"{command[0]} ended with {server.returncode} before it served"
            assert time.monotonic() < deadline, f"nothing on port {port} after {patience:.0f} s"
            time.sleep(0.5)
        yield log
    except BaseException:
        print(log.read_text(errors="replace")[-4000:])
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(20)


def wait_for_text(log: Path, text: str, patience: float = 120.0) -> None:
    """Wait until a file, such as the log of `running`, has a text in it."""
    deadline = time.monotonic() + patience
    while text not in log.read_text(errors="replace"):
        assert time.monotonic() < deadline, f"no {text!r} in {log} after {patience:.0f} s"
        time.sleep(0.2)


@contextlib.contextmanager
def open_viewer(port: int, width: int = 1200, height: int = 900, patience: float = 60.0) -> Iterator[ViewerPage]:
    """The viewer's page in a headless browser, with its panel there; skips where playwright or a browser is missing.

    Args:
        port: of a viewer on 127.0.0.1 that already answers.
        width: of the window in pixels; the panel takes 320 of them.
        height: of the window in pixels.
        patience: seconds that each wait for something on the page may take.
    """
    with empty_page(width, height) as page:
        page.set_default_timeout(1000.0 * patience)
        viewer = ViewerPage(page)
        page.goto(f"http://127.0.0.1:{port}/", wait_until="domcontentloaded")
        viewer.wait_for_words("Resolution:")
        viewer.wait_for("Max res")
        yield viewer


@contextlib.contextmanager
def empty_page(width: int, height: int) -> Iterator[Page]:
    """A page of a headless browser that shows nothing yet; skips where playwright or a browser is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = find_browser()
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


class ViewerPage:
    """The page of nerfstudio's viewer. Labels are matched whole and only where they can be seen: in the open tab and
    open folders. `within`, a folder's label, tells two elements with the same label apart.

    Args:
        page: playwright's page, for what has no function here.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        """Exceptions that the page's own scripts did not catch."""
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    # ---- finding

    def wait_for(self, *labels: str) -> None:
        """Wait until every labelled element is to be seen; the server builds the panel after it begins to answer."""
        for label in labels:
            self.row(label).wait_for()

    def wait_for_words(self, words: str) -> None:
        """Wait until words are to be seen anywhere on the page, such as in a status line."""
        self.page.get_by_text(words).locator("visible=true").first.wait_for()

    def wait_until(self, condition: Callable[[], bool], patience: float = 60.0) -> None:
        """Wait until something holds, which may take the server a picture or two."""
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to hold in {patience:.0f} s"
            self.page.wait_for_timeout(100)

    def folder(self, label: str) -> Locator:
        """The frame of a folder, with its title and what is in it; "Custom Elements" has the plugin's folders."""
        title = self.page.locator(".mantine-Paper-root > .mantine-Paper-root", has_text=_whole(label))
        return title.locator("visible=true").locator("xpath=..")

    def row(self, label: str, within: str | None = None) -> Locator:
        """The row of an element that has its label on the left: everything but buttons, folders and text."""
        scope = self.page if within is None else self.folder(within)
        named = scope.locator("label", has_text=_whole(label)).locator("visible=true")
        return named.locator("xpath=ancestor::div[contains(@class, 'mantine-Flex-root')][1]")

    def field(self, label: str, within: str | None = None) -> Locator:
        """The input of a text, number or dropdown; a slider's number input; the first of a vector's three."""
        return self.row(label, within).locator(".mantine-Input-input").first

    def slider(self, label: str, within: str | None = None) -> Locator:
        """The thumb of a slider; it has aria-valuenow, aria-valuemin and aria-valuemax."""
        return self.row(label, within).get_by_role("slider")

    def button(self, label: str, within: str | None = None) -> Locator:
        """A button; for one of a button group, use `row(group).get_by_role("button", name=...)`."""
        scope = self.page if within is None else self.folder(within)
        return scope.get_by_role("button", name=label, exact=True)

    # ---- reading

    def number(self, label: str, within: str | None = None) -> float:
        """Value of a slider or of a number input."""
        return float(self.field(label, within).input_value())

    def text(self, label: str, within: str | None = None) -> str:
        """Value of a text input or a dropdown."""
        return self.field(label, within).input_value()

    def disabled(self, label: str, within: str | None = None) -> bool:
        """Whether a labelled element is greyed out. (viser leaves the number input of a disabled slider as it is.)"""
        return self.row(label, within).locator("[data-disabled=true], :disabled").count() > 0

    def resolution(self) -> str:
        """Size of the last picture that nerfstudio sent, as its panel says: "66x64", and "0x0" before the first."""
        stats = self.page.get_by_text("Resolution:").first.inner_text()
        found = re.search(r"(\d+)\D(\d+)\s*px", stats)
        assert found is not None, stats
        return f"{found[1]}x{found[2]}"

    # ---- using

    def type_text(self, label: str, text: str, within: str | None = None) -> None:
        """Replace the text of a text input, at one go as pasting does.

        Typed key by key, each key is a message. viser handles messages in a pool of threads, where under load an older
        text can overtake a newer one.
        """
        field = self.field(label, within)
        field.fill(text)
        self._sent(field)

    def type_number(self, label: str, value: float, within: str | None = None) -> None:
        """Replace the number of a number input, or the one beside a slider."""
        field = self.field(label, within)
        field.fill(f"{value:g}")
        self._sent(field)

    def drag_slider(self, label: str, value: float, within: str | None = None) -> None:
        """Drag the thumb of a slider to a value with the mouse, and check that it comes to stand there.

        The server may still write another value afterwards: look at `number` again once things have settled.
        """
        thumb = self.slider(label, within)
        thumb.scroll_into_view_if_needed()
        low, high = (float(thumb.get_attribute(f"aria-value{end}") or "nan") for end in ("min", "max"))
        here = thumb.bounding_box()
        track = self.row(label, within).locator(".mantine-Slider-trackContainer").bounding_box()
        assert here is not None and track is not None
        mouse, y = self.page.mouse, here["y"] + here["height"] / 2
        mouse.move(here["x"] + here["width"] / 2, y)
        mouse.down()
        mouse.move(track["x"] + track["width"] * (value - low) / (high - low), y, steps=5)
        mouse.up()
        self._sent()
        reached, pixel = self.number(label, within), (high - low) / track["width"]
        assert abs(reached - value) <= 3 * pixel, f"{label!r} stands at {reached:g} instead of {value:g}"

    def choose(self, label: str, option: str, within: str | None = None) -> None:
        """Choose an option of a dropdown."""
        field = self.field(label, within)
        field.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self._sent(field)

    def check(self, label: str, on: bool = True, within: str | None = None) -> None:
        """Set or clear a checkbox."""
        self.row(label, within).get_by_role("checkbox").set_checked(on)
        self._sent()

    def press(self, label: str, within: str | None = None) -> None:
        """Click a button."""
        self.button(label, within).click()
        self._sent()

    def open_tab(self, label: str) -> None:
        """Bring a tab of the panel to the front: Control, Render or Export."""
        tab = self.page.get_by_role("tab", name=label, exact=True)
        tab.click()
        self.page.wait_for_function("tab => tab.getAttribute('aria-selected') === 'true'", arg=tab.element_handle())

    def set_folder(self, label: str, opened: bool = True) -> None:
        """Open or close a folder by a click on its title."""
        title = self.folder(label).locator("> .mantine-Paper-root")
        content = self.folder(label).locator("> div").nth(1)
        if content.is_visible() != opened:
            title.click()
            content.wait_for(state="visible" if opened else "hidden")
        self.page.wait_for_timeout(300)  # mantine unfolds it in 200 ms, and everything below moves

    # ---- looking

    def screenshot(self, path: Path) -> Path:
        """Write the whole window to a PNG file."""
        self.page.screenshot(path=path)
        return path

    def picture(self) -> np.ndarray:
        """The 3D area as a screenshot shows it, (H, W, 3) in 0..1."""
        box = self.page.locator("canvas[data-engine]").bounding_box()
        assert box is not None
        left, top = np.ceil([box["x"], box["y"]])
        right, bottom = np.floor([box["x"] + box["width"], box["y"] + box["height"]])
        clip = {"x": float(left), "y": float(top), "width": float(right - left), "height": float(bottom - top)}
        png = self.page.screenshot(clip=clip)  # pyright: ignore[reportArgumentType]
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float) / 255.0

    def settle(self, size: int = 0, quiet: float = 4.0, patience: float = 120.0) -> np.ndarray:
        """The 3D area once neither it nor the resolution has changed for `quiet` seconds; then it is the full picture.

        Args:
            size: longer side of the full picture, where a slow machine may take longer than `quiet` from the reduced to it.
            quiet: seconds without a change.
            patience: seconds to wait for that.
        """
        deadline = time.monotonic() + patience
        seen, shown, since = self.picture(), self.resolution(), time.monotonic()
        while time.monotonic() < deadline:
            self.page.wait_for_timeout(300)
            picture, new = self.picture(), self.resolution()
            if new != shown or difference(picture, seen) > 1 / 255:
                seen, shown, since = picture, new, time.monotonic()
            elif max(map(int, shown.split("x"))) >= max(size, 1) and time.monotonic() - since >= quiet:
                return picture
        raise AssertionError(f"the picture ({shown}) did not come to rest in {patience:.0f} s")

    def _sent(self, field: Locator | None = None) -> None:
        """Let go of an element, and give its message time to leave before another replaces it."""
        if field is not None:
            field.blur()
        self.page.mouse.move(5, 5)  # off the element: its hint would cover others
        self.page.evaluate(SENT)


def difference(one: np.ndarray, other: np.ndarray, block: int = 16) -> float:
    """Largest difference of two pictures among the means of their blocks: the page lowers and raises its raster with the
    frame rate, which thin lines show."""
    assert one.shape == other.shape, (one.shape, other.shape)
    height, width = (size // block * block for size in one.shape[:2])
    blocks = (one - other)[:height, :width].reshape(height // block, block, width // block, block, 3)
    return float(np.abs(blocks.mean(axis=(1, 3))).max())


def _whole(label: str) -> re.Pattern[str]:
    """Matches an element whose text is this label; nerfstudio puts spaces behind some to make them unique."""
    return re.compile(rf"^\s*{re.escape(label.strip())}\s*$")
