"""The command `blending-nerf`: what can be done with a run from a shell, without training and without a viewer."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import Any, Callable, Optional, Union

import tyro
from typing_extensions import Annotated

from blending_nerf_ns.commands import edits
from blending_nerf_ns.commands.compare import compare
from blending_nerf_ns.commands.evaluate import evaluate
from blending_nerf_ns.commands.like import looking_as, usual_settings
from blending_nerf_ns.commands.look import look
from blending_nerf_ns.commands.region import show_region
from blending_nerf_ns.errors import BlendingNerfError, plainly

EDITS = "List a run's layers; save, apply and remove them; say what an edit file holds."
COMMANDS = {
    "region": show_region,
    "edits": (EDITS, edits.COMMANDS),
    "look": look,
    "evaluate": evaluate,
    "compare": compare,
}


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point; what the user can put right, or the disk refuses, is said in one line and ends with status 1.

    Args:
        arguments: of the command line; those of this process if none are given.
    """
    if arguments is None:  # a process of its own
        warnings.showwarning = plainly(warnings.showwarning)
        leave_out_old_calls()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # a table has arrows, which not every terminal's encoding has
        arguments = sys.argv[1:]
    try:
        commands = COMMANDS
        if arguments[:1] == ["region"]:
            commands = {**COMMANDS, "region": looking_as(show_region, usual_settings(arguments))}
        tyro.cli(choice(commands), prog="blending-nerf", args=arguments)
    except (BlendingNerfError, OSError) as error:
        sys.exit(f"blending-nerf: {error}")


def leave_out_old_calls() -> None:
    """Say nothing of nerfstudio's calls that torch will drop one day: dozens of lines, and nothing that a user could put right."""
    if not sys.warnoptions:  # who runs python -W wants to see
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(nerfstudio|torch)\.")
        warnings.filterwarnings("ignore", message="Using a non-tuple sequence", module=r"nerfstudio\.")


def choice(commands: Mapping[str, Callable | tuple[str, Mapping[str, Callable]]]) -> Any:
    """A type that tyro reads as "one of these commands"; a description and further commands are a group of them."""
    options = []
    for name, command in commands.items():
        if isinstance(command, tuple):
            description, group = command[0], choice(command[1])
            marker = tyro.conf.subcommand(name, description=description, constructor_factory=lambda group=group: group)
        else:
            marker = tyro.conf.subcommand(name, constructor=command)
        options.append(Annotated[Any, marker])
    return Union[tuple(options)]
