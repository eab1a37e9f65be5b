"""`blending-nerf look` on a run's folder, and what ns-render then shows."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_on_disk import LOWER, UPPER, commanded, refused, said, write_run
from test_layers import two_layers
from tiny_run import run, run_of, train, write_tiny_capture

from blending_nerf_ns.edits.file import read_edit_header
from blending_nerf_ns.runs.look import read_look

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "06_fade_an_edit_in.py"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a frozen layer, and one in work on it."""
    monkeypatch.setenv("COLUMNS", "200")
    return write_run(tmp_path / "run", two_layers())


def array(path: Path) -> np.ndarray:
    """A float picture that ns-render wrote."""
    with gzip.open(path) as file:
        return np.load(file)


def test_a_look_changes_strengths_of_one_layer_or_of_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "look", folder)
    assert LOWER in text and not (folder / "look.json").exists(), "without an option it only says"
    assert said(capsys, "look", folder, "--change", 0.5).count("change 0.5") == 2
    commanded("look", folder, "--layer", LOWER, "--add", 2, "--remove", 0)
    look = read_look(folder)
    assert look is not None and [tuple(info.strengths) for info in look.layers] == [(2, 0, 0.5), (1, 1, 0.5)]
    before = (folder / "look.json").read_text()
    assert "add 2, remove 0, change 0.5" in said(capsys, "look", folder)
    assert (folder / "look.json").read_text() == before


def test_a_look_switches_orders_and_fades(folder: Path) -> None:
    commanded("look", folder, "--hide", LOWER, UPPER, "--order", UPPER, LOWER)
    commanded("look", folder, "--show", UPPER, "--fade")
    look = read_look(folder)
    assert look is not None and look.fade
    assert [(info.name, info.visible) for info in look.layers] == [(UPPER, True), (LOWER, False)]
    commanded("look", folder, "--change", 0.5)
    assert read_look(folder).fade, "it stays"  # type: ignore[union-attr]
    commanded("look", folder, "--no-fade")
    assert not read_look(folder).fade  # type: ignore[union-attr]


def test_reset_forgets_the_look(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commanded("look", folder, "--hide", LOWER, "--order", UPPER, LOWER, "--fade", "--change", 0)
    text = said(capsys, "look", folder, "--reset")
    assert not (folder / "look.json").exists()
    rows = text.partition("the lowest first")[2]
    assert "off" not in rows and "change 0" not in rows and 0 < rows.index(LOWER) < rows.index(UPPER)
    commanded("look", folder, "--reset")
    commanded("look", folder, "--hide", LOWER, "--fade")
    commanded("look", folder, "--reset", "--change", 0.5)
    look = read_look(folder)
    assert look is not None and not look.fade and all(info.visible for info in look.layers)
    assert [info.strengths.change for info in look.layers] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--change", "11"), "strength change is 11.0; it must lie in"),
        (("--layer", "hat", "--add", "1"), "no layer is called 'hat'"),
        (("--layer", LOWER), "--layer goes with --add, --remove or --change"),
        (("--show", LOWER, "--hide", LOWER), "'a blue ball' cannot be shown and hidden at once"),
        (("--order", LOWER), "must name each layer once, the lowest first; they are 'a blue ball' ("),
        (("--order", LOWER, LOWER, UPPER), "must name each layer once"),
    ],
)
def test_what_a_look_refuses(folder: Path, options: tuple[str, ...], message: str) -> None:
    assert message in refused("look", folder, *options)
    assert not (folder / "look.json").exists()


def test_a_look_that_is_none_is_not_overwritten(folder: Path) -> None:
    (folder / "look.json").write_text("{}")
    assert "is no look" in refused("look", folder, "--change", 0.5)
    assert (folder / "look.json").read_text() == "{}"


def test_the_example_gives_times_to_a_path_from_the_viewer(folder: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("fade_an_edit_in", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    saved = {"fps": 24, "camera_path": [{"fov": 50, "render_time": 9.0}, {"fov": 60}, {"fov": 70}]}
    (tmp_path / "saved.json").write_text(json.dumps(saved))
    example.main(example.Fade(folder, tmp_path / "fade.json", path=tmp_path / "saved.json"))
    path = json.loads((tmp_path / "fade.json").read_text())
    assert [(frame["fov"], frame["render_time"]) for frame in path["camera_path"]] == [(50, 0), (60, 0.5), (70, 1)]
    assert path["fps"] == 24 and read_look(folder).fade  # type: ignore[union-attr]


# -- a real run -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ns_render_shows_what_the_commands_say(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path / "capture")
    train(tmp_path, "whole", "--pipeline.region.box-size", 3, 3, 3, "--pipeline.operations", "change")
    config = run_of(tmp_path, "whole") / "config.yml"

    def rendered(name: str) -> tuple[np.ndarray, np.ndarray]:
        names = ("raw-rgb", "raw-original")
        run("ns-render", "dataset", "--load-config", config, "--output-path", name, "--split", "test",
            "--rendered-output-names", *names, cwd=tmp_path)  # fmt: skip
        found = [sorted((tmp_path / name / "test" / output).glob("*.npy.gz")) for output in names]
        edited, original = (np.stack([array(path) for path in paths]) for paths in found)
        return edited, original

    def frames(name: str) -> list[np.ndarray]:
        """The edited picture beside the original, frame by frame."""
        run("ns-render", "camera-path", "--load-config", config, "--camera-path-filename", "fade.json", "--output-path",
            name, "--output-format", "images", "--image-format", "png", "--rendered-output-names", "rgb", "original",
            cwd=tmp_path)  # fmt: skip
        return [np.asarray(Image.open(path)) for path in sorted((tmp_path / name).glob("*.png"))]

    run("blending-nerf", "edits", "save", config, LOWER, "--output", "ball.edit.safetensors", cwd=tmp_path)
    assert read_edit_header(tmp_path / "ball.edit.safetensors").description["info"]["name"] == LOWER
    run("blending-nerf", "look", config, "--change", 0, cwd=tmp_path)
    edited, original = rendered("off")
    assert float(np.abs(edited - original).max()) <= 1e-5
    run("blending-nerf", "look", config, "--reset", cwd=tmp_path)
    edited, original = rendered("on")
    once = float(np.abs(edited - original).mean())
    assert float(np.abs(edited - original).max()) > 1e-3

    run("blending-nerf", "edits", "apply", config, "ball.edit.safetensors", cwd=tmp_path)
    edited, again = rendered("twice")
    assert np.array_equal(original, again)
    assert float(np.abs(edited - original).mean()) > 1.1 * once, "the same edit on top of itself shows more"

    done = subprocess.run(
        [sys.executable, EXAMPLE, config, "--frames", "3", "--stops", "2", "--size", "24"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and f"ns-render camera-path --load-config {config}" in done.stdout, done.stderr
    path = json.loads((tmp_path / "fade.json").read_text())
    assert [frame["render_time"] for frame in path["camera_path"]] == [0.0, 0.5, 1.0]
    faded = frames("faded")
    run("blending-nerf", "look", config, "--no-fade", cwd=tmp_path)
    full = frames("full")
    assert len(faded) == len(full) == 3 and faded[0].shape == (24, 48, 3)
    assert np.array_equal(faded[0][:, :24], faded[0][:, 24:]), "the first frame is the original"
    assert np.array_equal(faded[2], full[2]), "the last one is the whole edit"
    assert not np.array_equal(full[0], faded[0]) and not np.array_equal(full[1], faded[1])
