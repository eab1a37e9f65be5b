"""`blending-nerf region`: what is not given is the method's or the run's, what is given is the user's."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any

import pytest
import tyro
import yaml
from nerfstudio.configs.method_configs import all_methods

from blending_nerf_ns import cli
from blending_nerf_ns.localization.config import RegionConfig


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command was called with; finding regions is tested elsewhere."""
    calls = []

    def show_region(
        run: Annotated[Path, tyro.conf.Positional],
        source_text: str = "",
        region: RegionConfig = RegionConfig(threshold=0.4),  # noqa: B008
        like: str | None = None,
        resolution: int = 96,
        guide: str = "embedded",
        guide_pretrained: str | None = None,
    ) -> None:
        calls.append({**vars(region), "resolution": resolution, "guide": guide, "pretrained": guide_pretrained})

    monkeypatch.setattr(cli, "show_region", show_region)
    monkeypatch.setitem(cli.COMMANDS, "region", show_region)
    return calls


def test_what_is_not_given_is_the_methods(asked: list[dict[str, Any]]) -> None:
    cli.main(["region", "RUN", "--like", "blending-nerf", "--source-text", "a chair"])
    cli.main(["region", "RUN", "--like=blending-nerf", "--region.threshold", "0.4", "--guide", "ViT-L-14"])
    cli.main(["region", "RUN", "--like", "blending-nerf-cpu"])
    cli.main(["region", "RUN"])
    large, said, small, plain = asked
    assert (large["localizer"], large["threshold"], large["views"]) == ("CIDAS/clipseg-rd64-refined", 0.5, 32)
    assert (large["resolution"], large["guide"], large["pretrained"]) == (128, "ViT-B-16", "laion2b_s34b_b88k")
    assert said == {**large, "threshold": 0.4, "guide": "ViT-L-14"}, "though 0.4 is what the command has without --like"
    assert small == plain and (plain["localizer"], plain["threshold"], plain["resolution"]) == ("embedded", 0.4, 96)


def write_config(folder: Path, method: str, **region: Any) -> Path:
    """The config.yml that ns-train writes for a method."""
    config = copy.deepcopy(all_methods[method])
    for name, value in region.items():
        setattr(config.pipeline.region, name, value)
    folder.mkdir()
    (folder / "config.yml").write_text(yaml.dump(config))
    return folder


def test_a_run_is_looked_at_as_it_looked_itself(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    own = {"localizer": "clipseg/here", "threshold": 0.3, "views": 5, "source": "box", "margin": 0.4}
    run = write_config(tmp_path / "run", "blending-nerf", **own)
    base = write_config(tmp_path / "base", "nerfacto")
    cli.main(["region", str(run)])
    cli.main(["region", "--source-text", "a chair", str(run / "config.yml"), "--region.threshold", "0.6"])
    (run / "config.yml").rename(run / "other.yml")
    cli.main(["region", "--region.point", "0", "-1", "0", "--", str(run / "other.yml")])
    cli.main(["region", str(run / "other.yml"), "--like", "blending-nerf-cpu"])
    cli.main(["region", str(base), "--source-text", str(run / "other.yml")])
    cli.main(["region", "RUN"])
    looked, said, moved, small, plain, usual = asked
    assert (looked["localizer"], looked["threshold"], looked["views"]) == ("clipseg/here", 0.3, 5)
    assert (looked["resolution"], looked["guide"], looked["pretrained"]) == (128, "ViT-B-16", "laion2b_s34b_b88k")
    assert (looked["source"], looked["margin"]) == ("text", None), "where its edit was is not where the next will be"
    assert said == {**looked, "threshold": 0.6}
    assert moved == {**looked, "point": (0.0, -1.0, 0.0)}
    assert small == plain == usual and usual["localizer"] == "embedded"


def test_a_run_that_cannot_be_read_is_told_in_a_line(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("!!python/object:nowhere.Config {}\n")
    (tmp_path / "step-000000010.ckpt").write_bytes(b"\x80\xff\xfe")  # named by mistake
    for named in (tmp_path, tmp_path / "step-000000010.ckpt"):
        with pytest.raises(SystemExit, match="does not read as the configuration of a nerfstudio run"):
            cli.main(["region", str(named)])
    assert not asked


def test_the_command_has_the_cpu_methods_settings() -> None:
    """It says so, and imports no method for it."""
    import inspect

    from blending_nerf_ns.commands.like import settings_of
    from blending_nerf_ns.commands.region import show_region

    defaults = {name: parameter.default for name, parameter in inspect.signature(show_region).parameters.items()}
    for name, value in settings_of("blending-nerf-cpu").items():
        assert defaults[name] == value, name


@pytest.mark.parametrize("name", ["nerfacto", "blending-nrf", ""])
def test_a_method_that_looks_for_nothing_is_refused(name: str, asked: list[dict[str, Any]]) -> None:
    with pytest.raises(SystemExit, match="is one of blending-nerf, blending-nerf-cpu, ") as raised:
        cli.main(["region", "RUN", "--like", name])
    assert f"--like {name}" in str(raised.value) and not asked
