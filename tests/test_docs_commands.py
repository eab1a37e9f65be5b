"""The commands that the pages show are taken as they stand there: parsed by what they call, and not run."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tyro
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion
from nerfstudio.scripts.render import Commands
from nerfstudio.scripts.viewer.run_viewer import RunViewer
from test_docs import PAGES, ROOT, name_of

from blending_nerf_ns import cli
from blending_nerf_ns.commands.like import looking_as, method_asked_for, usual_settings
from blending_nerf_ns.guidance.embedded import unknown_words

FENCED = re.compile(r"```bash\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"(?<!`)`((?:blending-nerf|ns-train|ns-render|ns-viewer) [^`]*)`(?!`)")
THEIRS: dict[str, Any] = {"ns-train": AnnotatedBaseConfigUnion, "ns-render": Commands, "ns-viewer": RunViewer}
"""nerfstudio's commands by name, and what they parse."""
LEFT_OPEN = ("…", "...", "METHOD")
"""A command with one of these is a part of one."""


def commands_of(text: str) -> Iterator[list[str]]:
    """Words of every whole command of a page: those in boxes, and those in a sentence that name a run or a capture."""
    boxed = [line for box in FENCED.findall(text) for line in box.replace("\\\n", " ").splitlines()]
    told = [" ".join(one.split()) for one in INLINE.findall(text) if " RUN" in one or "--data " in one]
    for line in [*boxed, *told]:
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and words[0] in ("blending-nerf", *THEIRS) and not any(mark in part for mark in LEFT_OPEN):
                yield words


ALL = [(name_of(page), words) for page in PAGES for words in commands_of(page.read_text())]


def idle(command: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(command)
    def nothing(*_: Any, **__: Any) -> None:
        return None

    return nothing


def parse(words: list[str]) -> None:
    """Raises SystemExit where the command would be refused."""
    if words[0] in THEIRS:
        tyro.cli(THEIRS[words[0]], args=words[1:], console_outputs=False)
        return
    known: dict[str, Any] = dict(cli.COMMANDS)
    if words[1] == "region":
        known["region"] = looking_as(cli.show_region, usual_settings(words[1:]))
    stubs = {
        name: (one[0], {key: idle(value) for key, value in one[1].items()}) if isinstance(one, tuple) else idle(one)
        for name, one in known.items()
    }
    tyro.cli(cli.choice(stubs), prog="blending-nerf", args=words[1:], console_outputs=False)


@pytest.mark.parametrize(("page", "words"), ALL, ids=[f"{page}: {' '.join(words)[:60]}" for page, words in ALL])
def test_a_command_is_taken_as_it_stands(page: str, words: list[str]) -> None:
    parse(words)


def small(words: list[str]) -> bool:
    """Whether the small models read its texts."""
    if words[0] == "ns-train":
        return words[1].endswith("-cpu")
    return words[:2] == ["blending-nerf", "region"] and method_asked_for(words[1:]) is None


def test_texts_of_commands_that_look_with_the_small_models_are_in_their_words() -> None:
    texts = [
        (page, words[at + 1])
        for page, words in ALL
        if small(words)
        for at, word in enumerate(words)
        if word.split(".")[-1] in ("source-text", "target-text", "--source-text", "--target-text")
    ]
    assert len(texts) >= 2
    assert not [(page, text) for page, text in texts if unknown_words(text)]


def test_pages_have_commands_and_a_wrong_one_is_found_out() -> None:
    assert len(ALL) > 20 and {words[0] for _, words in ALL} == {"blending-nerf", *THEIRS}
    assert {page for page, _ in ALL} >= {"README.md", "docs/regions.md", "docs/measuring.md", "docs/layers.md"}
    text = (ROOT / "docs" / "layers.md").read_text()
    assert ["blending-nerf", "look", "RUN", "--change", "0.5"] in list(commands_of(text))
    for wrong in (
        "blending-nerf region --run RUN",
        "blending-nerf look RUN --half",
        "ns-train blending-nerf --data a --pipeline.word b",
        "ns-render interpolate --load-config RUN --pose-sauce train",
    ):
        with pytest.raises(SystemExit):
            parse(shlex.split(wrong))
