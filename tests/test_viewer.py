"""ns-viewer on a run of ours: it serves, its panel shows prompts and blend ratios, and these act on the picture."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tiny_run import BIN, run_of, train, write_tiny_capture
from viser_client import ViserClient, free_port

pytestmark = pytest.mark.slow

RATIOS = ("Blend ratio: add", "Blend ratio: remove", "Blend ratio: change")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny capture and a run on it whose region is everywhere: a base of a few steps is mostly fog."""
    folder = tmp_path_factory.mktemp("viewer")
    write_tiny_capture(folder / "capture")
    train(folder, "whole", "--pipeline.region.box-size", 3, 3, 3)
    return folder


def test_the_panel_steers_the_picture(folder: Path) -> None:
    port, log = free_port(), folder / "viewer.log"
    command = [BIN / "ns-viewer", "--load-config", run_of(folder, "whole") / "config.yml"]
    command += ["--viewer.websocket-port", str(port), "--viewer.websocket-host", "127.0.0.1"]
    with log.open("w") as out:
        server = subprocess.Popen(
            list(map(str, command)), cwd=folder, stdout=out, stderr=out, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    try:
        client = ViserClient(port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert page.status == 200 and b"<html" in page.read().lower()
        assert client.listen(lambda: set(RATIOS) <= set(client.elements)), sorted(client.elements)
        assert client.elements["Source text"]["value"] == "a red ball"
        assert client.elements["Target text"]["value"] == "a blue ball"
        assert client.elements["Target text"]["disabled"], "without a trainer a prompt cannot be changed"
        assert [client.elements[name]["value"] for name in RATIOS] == [1.0, 1.0, 1.0]
        assert "Layer: on" in client.elements and "Layer: delete" not in client.elements, (
            "it would be back in the next command"
        )

        client.move("Max res", 64)  # a picture of 512 pixels takes longer than a test should wait
        client.look((0.5, 0.3, 0.3))
        edited = client.settle()
        for name in RATIOS:
            client.move(name, 0.0)
        original = client.settle()
        assert np.abs(edited - original).max() > 0.02, "the sliders act on the picture"
        for name in RATIOS:
            client.move(name, 1.0)
        assert np.abs(client.settle() - edited).mean() < 0.5 * np.abs(edited - original).mean(), "and back"
        client.close()
    except Exception:
        print(log.read_text()[-4000:])
        raise
    finally:
        server.terminate()
        server.wait(20)
