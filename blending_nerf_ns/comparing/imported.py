"""Imports what the commands of a table need; what cannot be imported is left to the command, which says why."""

from contextlib import suppress
from importlib import import_module

MODULES = (
    "nerfstudio.scripts.train",
    "blending_nerf_ns.training.preparing",
    "blending_nerf_ns.guidance.clip",
    "blending_nerf_ns.reporting.build",
    "blending_nerf_ns.reporting.page",
    "open_clip",
    "transformers.models.clipseg.modeling_clipseg",
)

for name in MODULES:
    with suppress(Exception):
        import_module(name)
