"""What an installation consists of: the wheel's names, the editable install, entry points that load light."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
METHOD_GROUP = "nerfstudio.method_configs"
METHODS = (
    *(
        "blending-nerf",
        "blending-nerf-small",
        "blending-nerf-cpu",
        "blending-nerf-unfrozen-cpu",
        "blending-nerf-resampled-cpu",
    ),
    *("clip-nerf-finetune", "clip-nerf-finetune-cpu"),
)
# a fresh interpreter that imports nerfstudio's trainer takes most of this file's time
LIGHT_IMPORT = """
import json, sys
from importlib.metadata import entry_points
import nerfstudio.plugins.types  # what any plugin must import; it brings viser along through nerfstudio's trainer
before = set(sys.modules)
names = [e.load().config.method_name for e in entry_points(group="nerfstudio.method_configs") if "blending" in e.value]
import torch
heavy = ("open_clip", "transformers", "viser", "timm", "lpips", "torchvision.models", "gsplat", "clip")
new = set(sys.modules) - before
print(json.dumps({
    "names": names,
    "heavy": sorted(m for m in new if any(m == h or m.startswith(h + ".") for h in heavy)),
    "cuda": torch.cuda.is_initialized(),
}))
"""


@pytest.fixture(scope="module")
def source_tree(tmp_path_factory) -> Path:
    """A copy of what a wheel is built from, so that the build leaves nothing in the working tree."""
    tree = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("blending_nerf_ns", "method_configs", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    return tree


def build(tree: Path, hook: str) -> Path:
    """Build with the declared backend, in this environment (needs no network)."""
    command = f"import setuptools.build_meta as b; print(b.{hook}({str(tree / 'dist')!r}))"
    done = subprocess.run([sys.executable, "-c", command], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tree / "dist" / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(source_tree) -> Path:
    return build(source_tree, "build_wheel")


def run_isolated(code: str) -> str:
    """Run in an interpreter without this environment's site-packages, so that only what the code adds is found."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_package_is_listed():
    found = {"blending_nerf_ns.method_configs"}
    shipped = ("*.py", "*.safetensors")  # setuptools takes a folder of data for a package, too
    for file in (file for kind in shipped for file in (ROOT / "blending_nerf_ns").rglob(kind)):
        found.add(".".join(file.parent.relative_to(ROOT).parts))
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"])
    assert listed == found, "keep [tool.setuptools] packages in pyproject.toml in step with the folders"


def test_wheel_holds_the_package_and_no_generic_top_level_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names} == {
        "blending_nerf_ns",
        f"blending_nerf_ns-{PYPROJECT['project']['version']}.dist-info",
    }
    assert "blending_nerf_ns/method_configs/__init__.py" in names
    assert "blending_nerf_ns/py.typed" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not [n for n in names if "/tests/" in n or "__pycache__" in n]


def test_wheel_holds_every_embedded_file(wheel):
    """Weights, configs and model cards are no Python files; a wheel drops them unless told."""
    names = set(zipfile.ZipFile(wheel).namelist())
    embedded = ROOT / "blending_nerf_ns" / "guidance" / "embedded"
    wanted = {
        f.relative_to(ROOT).as_posix() for f in embedded.rglob("*") if f.is_file() and "__pycache__" not in f.parts
    }
    assert wanted <= names, sorted(wanted - names)


def test_method_configs_is_found_in_an_installed_wheel(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    out = run_isolated(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from importlib.util import find_spec\n"
        "print(find_spec('blending_nerf_ns.method_configs').origin, find_spec('method_configs'))"
    )
    assert out.split() == [str(tmp_path / "blending_nerf_ns" / "method_configs" / "__init__.py"), "None"]


def test_method_configs_is_found_in_an_editable_install(source_tree, tmp_path):
    zipfile.ZipFile(build(source_tree, "build_editable")).extractall(tmp_path)
    out = run_isolated(
        f"import site; site.addsitedir({str(tmp_path)!r})\n"
        "from importlib.util import find_spec\n"
        "print(find_spec('blending_nerf_ns.method_configs').origin, find_spec('method_configs'))"
    )
    assert out.split() == [str(source_tree / "method_configs" / "__init__.py"), "None"]


def test_method_configs_is_found_in_a_clone_that_is_not_installed(source_tree):
    """Which Python takes the package from, where somebody runs `python -m` in it, whatever is installed."""
    out = run_isolated(
        f"import sys; sys.path.insert(0, {str(source_tree)!r})\n"
        "import blending_nerf_ns.method_configs as found\n"
        "print(found.__file__)"
    )
    assert out.split() == [str(source_tree / "method_configs" / "__init__.py")]


def test_methods_are_registered():
    installed = {e.name for e in entry_points(group=METHOD_GROUP)}
    assert set(METHODS) <= installed, "run `make install` after a change of the entry points"


def test_entry_points_load_light():
    """An import error or a heavy import in any plugin hits every ns-* command, whatever the method."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", LIGHT_IMPORT], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    assert sorted(seen["names"]) == sorted(METHODS)
    assert seen["heavy"] == []
    assert seen["cuda"] is False


def test_lock_names_no_index_and_pins_everything():
    lines = (ROOT / "requirements-dev.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 100
    for line in pins:
        assert "://" not in line and not line.startswith("-"), line
        assert re.match(r"^[A-Za-z0-9_.\-\[\]]+==\S+( ; .+)?$", line), line


def test_lock_holds_every_direct_dependency():
    lock = {re.split(r"[=\[]", line)[0].lower() for line in (ROOT / "requirements-dev.lock").read_text().splitlines()}
    project = PYPROJECT["project"]
    for requirement in project["dependencies"] + project["optional-dependencies"]["dev"]:
        name = re.match(r"[A-Za-z0-9_\-]+", requirement)
        assert name and name.group().replace("_", "-").lower() in lock, requirement
