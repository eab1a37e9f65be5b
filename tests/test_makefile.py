"""`make` sees what is wrong with an environment before anything is run in it; only what it would do is looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What make reads, and an environment that it takes for up to date."""
    folder = tmp_path / "clone"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
        os.utime(folder / name, (1.0, 1.0))
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / ".venv" / ".installed").write_text(str(folder.resolve()))
    return folder


def would_do(folder: Path) -> str:
    command = ["make", "-n", "install", f"PYTHON={sys.executable}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GNUMAKE"))}
    env["LC_ALL"] = "C"
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=env).stdout


def test_an_environment_that_is_up_to_date_stays(clone: Path) -> None:
    assert "Nothing to be done" in would_do(clone)
    os.utime(clone / "pyproject.toml")
    said = would_do(clone)
    assert "requirements-dev.lock" in said and "-m venv" not in said


def test_one_that_was_moved_or_copied_is_made_anew(clone: Path) -> None:
    moved = clone.rename(clone.with_name("moved"))
    said = would_do(moved)
    assert "-m venv --clear" in said and "requirements-dev.lock" in said, (
        "its programs are another clone's, or nobody's"
    )
    assert (moved / ".venv" / "bin" / "python").exists(), "it was only asked what would be done"


def test_one_that_another_clone_made_and_this_one_links_to_stays(clone: Path) -> None:
    other = clone.with_name("other")
    other.mkdir()
    for name in ("Makefile", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy2(clone / name, other)
    (other / ".venv").symlink_to(clone / ".venv")
    assert "Nothing to be done" in would_do(other)
    os.utime(other / "pyproject.toml")
    said = would_do(other)
    assert "-m venv" not in said and "printf '%s' \"\" >" in said, "it does not say that it is its own"


def test_one_whose_python_has_gone_is_made_anew(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(clone / "uninstalled")
    said = would_do(clone)
    assert "-m venv --clear" in said and "requirements-dev.lock" in said


def test_one_of_before_which_does_not_say_where_it_was_made_stays(clone: Path) -> None:
    (clone / ".venv" / ".installed").write_text("")
    assert "Nothing to be done" in would_do(clone)


def fake_python(clone: Path, fails_on: str) -> Path:
    """In the clone's environment, which is to be filled anew: it writes down what it is asked for."""
    python, log = clone / ".venv" / "bin" / "python", clone / "asked.log"
    python.unlink()
    python.write_text(
        f'#!/bin/sh\necho "$*" >> "{log}"\ncase "$*" in {fails_on}) exit 2;; esac\necho /usr/bin/ffmpeg\n'
    )
    python.chmod(0o755)
    (clone / ".venv" / ".installed").unlink()
    return log


def install(clone: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GNUMAKE"))}
    command = ["make", "install", f"PYTHON={sys.executable}"]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, env=env)


def test_where_uv_fails_pip_installs_all_of_it(clone: Path) -> None:
    """As in a home that cannot be written to, where uv has no place for its cache."""
    log = fake_python(clone, '"-m uv pip"*')
    assert install(clone).returncode == 0
    asked = log.read_text().splitlines()
    assert [line for line in asked if line.startswith("-m pip install") and line.endswith("--editable .")]
    assert [line for line in asked if line.startswith("-m pip install") and line.endswith("-r requirements-dev.lock")]


def test_an_environment_of_another_python_is_not_filled(clone: Path) -> None:
    log = fake_python(clone, '"-c import sys"*')
    done = install(clone)
    assert done.returncode != 0 and "not 3.10 to 3.12: make clean" in done.stderr and "install" not in log.read_text()
