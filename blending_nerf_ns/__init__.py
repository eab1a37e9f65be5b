"""Blending-NeRF for nerfstudio: change one thing in a captured scene by naming it, and leave the rest alone."""

from pathlib import Path

if not (Path(__file__).parent / "method_configs").is_dir():  # in a clone the folder lies beside the package
    __path__.append(str(Path(__file__).parent.parent))
