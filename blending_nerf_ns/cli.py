"""The command `blending-nerf`: what can be done with a run from a shell, without training and without a viewer."""

from __future__ import annotations

import sys

from tyro.extras import subcommand_cli_from_dict

from blending_nerf_ns.commands.region import show_region
from blending_nerf_ns.errors import BlendingNerfError

COMMANDS = {"region": show_region}


def main() -> None:
    """Entry point; what the user can put right is said in one line and ends with status 1."""
    try:
        subcommand_cli_from_dict(COMMANDS, prog="blending-nerf")
    except BlendingNerfError as error:
        sys.exit(f"blending-nerf: {error}")
