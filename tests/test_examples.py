"""The numbered scripts of examples/: what they say of what they cannot use. On a real run they are in test_evaluate.py."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from blending_nerf_ns.reporting.catalogue import METRICS

SMALL = ("--num-views", "4", "--image-size", "32", "--sweep-views", "2", "--shown-views", "2")
TEXT_FIGURES = [name for name, metric in METRICS.items() if metric.group == METRICS["r_precision"].group]
MASK_FIGURES = [name for name, metric in METRICS.items() if metric.group == METRICS["psnr_outside"].group]


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
