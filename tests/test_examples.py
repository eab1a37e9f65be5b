"""The numbered scripts of examples/: what they say of what they cannot use. On a real run they are in test_evaluate.py."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from blending_nerf_ns.demo.run import start_afresh
from blending_nerf_ns.errors import BlendingNerfError


def example(name: str) -> dict[str, Any]:
    """What a numbered script of examples/ defines."""
    (script,) = (Path(__file__).parent.parent / "examples").glob(f"{name}_*.py")
    return runpy.run_path(str(script))


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("02", lambda it: it["Question"]("nowhere.jpg"), "there is no picture nowhere.jpg"),
        ("03", lambda it: it["Sweep"](Path("nowhere")), "nowhere"),
        ("04", lambda it: it["Measurement"](Path("nowhere"), "a blue ball"), "nowhere"),
        ("06", lambda it: it["Fade"](Path("nowhere")), "nowhere"),
        ("06", lambda it: it["Fade"](Path("nowhere"), stops=1), "--stops 1"),
        ("08", lambda it: it["BeforeAndAfter"]((Path("nowhere"),)), "nowhere"),
        ("08", lambda it: it["BeforeAndAfter"](()), "at least one run"),
    ],
)
def test_examples_say_in_one_line_what_they_cannot_use(
    name: str, asked: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = example(name)
    with pytest.raises(SystemExit, match=f"blending-nerf: .*{message}"):
        script["main"](asked(script))


def test_a_second_edit_is_another_and_leaves_the_demo_where_it_is(tmp_path: Path) -> None:
    script, demo = example("07"), tmp_path / "all" / "demo"
    for output in (demo, demo.parent):
        start_afresh(output)
        demo.mkdir(exist_ok=True)
        (demo / "report.json").write_text(json.dumps({"source": "a red ball", "target": "a blue ball"}))
        with pytest.raises(BlendingNerfError, match="would empty the demo"):
            script["main"](script["SecondEdit"](demo=demo, output=output))
        assert (demo / "report.json").exists()
        shutil.rmtree(demo.parent)
    demo.mkdir(parents=True)
    (demo / "report.json").write_text(json.dumps({"source": "a green donut", "target": "a yellow donut"}))
    with pytest.raises(BlendingNerfError, match="the demo's own edit is 'a green donut' -> 'a yellow donut'"):
        script["main"](script["SecondEdit"](demo=demo, output=tmp_path / "two"))
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("name", "asked"), [("03", "Sweep"), ("04", "Measurement"), ("06", "Fade"), ("08", "BeforeAndAfter")]
)
def test_examples_make_the_folder_that_they_write_to_before_they_render(name: str, asked: str, tmp_path: Path) -> None:
    script, output = example(name), tmp_path / "new" / "picture.png"
    run = (tmp_path / "nowhere",) if name == "08" else tmp_path / "nowhere"
    more = {"target": "a blue ball"} if name == "04" else {}
    with pytest.raises(SystemExit, match="nowhere"):
        script["main"](script[asked](run, output=output, **more))
    assert output.parent.is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit, match="file is a file; name a folder"):
        script["main"](script[asked](run, output=tmp_path / "file" / "picture.png", **more))
