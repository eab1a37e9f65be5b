"""examples/09_outline_by_hand.py: what a hand outlines is kept photo by photo, and is a mask that `evaluate` takes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_nerfacto import write_capture

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.reporting.subject import read_polygons

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "09_outline_by_hand.py"
TRIANGLE, SQUARE = [(2.0, 2.0), (20.0, 2.0), (2.0, 20.0)], [(14.0, 14.0), (20.0, 14.0), (20.0, 20.0), (14.0, 20.0)]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def photos(script: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    capture = write_capture(tmp_path_factory.mktemp("outlining") / "capture", images=10)
    return script["chosen_photos"](script["Outlining"](capture, split="train", count=3))


def test_each_photo_is_asked_for_once_and_kept_at_once(script, photos: list[Path], tmp_path: Path) -> None:
    assert len({photo.name for photo in photos}) == 3
    output, asked = tmp_path / "outlines.json", []

    def hand(photo: Image.Image, name: str) -> list:
        asked.append(name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return {1: [TRIANGLE], 2: []}.get(len(asked), [TRIANGLE, SQUARE])

    with pytest.raises(KeyboardInterrupt):
        script["outline_all"](photos, output, hand)
    first, second, third = (photo.name for photo in photos)
    assert list(json.loads(output.read_text())) == [first], "and nothing of the photo that was passed over"
    script["outline_all"](photos, output, hand)
    assert asked == [first, second, third, second, third], "only those without an outline again"
    assert read_polygons(output) == {first: [TRIANGLE], second: [TRIANGLE, SQUARE], third: [TRIANGLE, SQUARE]}


def test_outlines_are_drawn_where_they_are(script, photos: list[Path], tmp_path: Path) -> None:
    (output := tmp_path / "outlines.json").write_text(json.dumps({photos[0].name: SQUARE}))
    sheet = np.asarray(script["draw_sheet"](photos, output, tmp_path))
    scale = script["TILE"] // 24
    assert sheet.shape == (24 * scale, 24 * scale, 3), "only the photo that has one"
    marked = np.argwhere((sheet == script["LINE"]).all(-1)) / scale
    assert marked.min(0) == pytest.approx([14, 14], abs=0.2) and marked.max(0) == pytest.approx([20, 20], abs=0.2)


def test_what_cannot_be_outlined_or_drawn_is_told(script, photos: list[Path], tmp_path: Path) -> None:
    (output := tmp_path / "outlines.json").write_text(json.dumps({"other.png": SQUARE}))
    with pytest.raises(BlendingNerfError, match=f"outlines of other.png, and of none of {photos[0].name}"):
        script["draw_sheet"](photos, output, tmp_path)
    with pytest.raises(BlendingNerfError, match=f"several are called {photos[0].name}$"):
        script["outline_all"]([*photos, tmp_path / photos[0].name], output, lambda *_: [TRIANGLE])


def test_where_there_is_no_screen_nobody_is_waited_for(script) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with pytest.raises(BlendingNerfError, match="no window can be opened here"):
        script["check_screen"]()


def test_clicks_become_corners_in_pixels_of_the_photo(script, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.backend_bases import KeyEvent, MouseEvent

    plt.switch_backend("agg")
    figure, axes = plt.subplots()
    monkeypatch.setattr(plt, "subplots", lambda **_: (figure, axes))
    clicks = [*TRIANGLE, (50.0, 50.0)]  # the last is taken back

    canvas = figure.canvas

    def enter() -> None:
        KeyEvent("key_press_event", canvas, "enter")._process()  # type: ignore[attr-defined]

    def outline() -> None:
        for corner in clicks:
            MouseEvent("button_press_event", canvas, *axes.transData.transform(corner), button=1)._process()  # type: ignore[attr-defined]
        MouseEvent("button_press_event", canvas, 0, 0, button=3)._process()  # type: ignore[attr-defined]
        enter()

    person = iter((outline, enter))  # acts when the window listens
    monkeypatch.setattr(canvas, "start_event_loop", lambda timeout=0: next(person)())
    (part,) = script["by_mouse"](Image.new("RGB", (100, 80)), "photo.png")
    assert np.asarray(part) == pytest.approx(np.asarray(TRIANGLE), abs=1e-6)
