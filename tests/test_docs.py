"""The pages for users name files and flags that there are."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from nerfstudio.configs.method_configs import all_methods, method_configs
from nerfstudio.engine.trainer import TrainerConfig

from method_configs.baselines import clip_nerf_finetune
from method_configs.blending_nerf import blending_nerf

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
PIPELINES = [
    cast(TrainerConfig, config).pipeline
    for config in (blending_nerf.config, clip_nerf_finetune.config, method_configs["nerfacto"])
]
"""Of the methods whose flags the pages name."""
FLAG = re.compile(r"--pipeline\.([a-z][a-z0-9.-]*[a-z0-9])")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    local = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if not link.startswith("http")]
    assert not [link for link in local if link and not (page.parent / link).exists()]


def has_flag(config: object, flag: str) -> bool:
    """Whether a configuration has a field of this name, or below one."""
    name, _, rest = flag.partition(".")
    name = name.replace("-", "_")
    if not is_dataclass(config) or name not in {field.name for field in fields(config)}:
        return False
    return has_flag(getattr(config, name), rest) if rest else True


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_flags_are_those_of_the_method(page: Path) -> None:
    named = set(FLAG.findall(page.read_text()))
    assert not [flag for flag in named if not any(has_flag(pipeline, flag) for pipeline in PIPELINES)]


def test_the_readme_leads_to_every_page() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text()))
    assert not [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in linked]


def test_a_flag_that_is_none_is_found_out() -> None:
    assert has_flag(blending_nerf.config.pipeline, "model.edit-field.seed-reach")
    assert not has_flag(blending_nerf.config.pipeline, "model.edit-field.seed-rich")
    assert not has_flag(blending_nerf.config.pipeline, "region.grow.up")


def test_the_methods_that_score_by_the_small_judge_are_those_that_the_page_names() -> None:
    """docs/measuring.md: those for a CPU."""
    assert "methods whose name ends with `-cpu` name `embedded-judge`" in (ROOT / "docs" / "measuring.md").read_text()
    pipelines: dict[str, Any] = {name: getattr(config, "pipeline", None) for name, config in all_methods.items()}
    judges = {name: one.judge_model for name, one in pipelines.items() if hasattr(one, "judge_model")}
    assert len(judges) >= 6
    assert judges == {name: "embedded-judge" if name.endswith("-cpu") else "" for name in judges}
