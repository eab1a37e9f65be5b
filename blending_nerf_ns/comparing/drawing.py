"""Drawn scenes of the table: photographed by drawing them, and drawn again as a perfect edit would leave them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blending_nerf_ns.demo.capture import CaptureShape, write_capture
from blending_nerf_ns.procedural.scene import Scene


@dataclass(frozen=True)
class Drawing:
    """A scene that is photographed by drawing it."""

    scene: Scene
    subject: int = 0
    """Index of the object that every held-out photo shows well."""
    shape: CaptureShape = field(default_factory=CaptureShape)
    perfect: Mapping[str, Scene] = field(default_factory=dict)
    """By the name of an edit: the scene with that edit made."""

    def write(self, folder: Path) -> None:
        """Photograph it into a folder."""
        write_capture(folder, self.scene, self.subject, self.shape)

    def fingerprint(self, edit: str | None = None) -> str:
        """Tells what is drawn from other drawings: the photos, and an edit of them where one is named."""
        drawn = (self.scene, self.shape, *((self.subject,) if edit is None else (self.perfect[edit],)))
        with np.printoptions(threshold=sys.maxsize, precision=6, suppress=True):
            return hashlib.sha256(repr(drawn).encode()).hexdigest()[:12]
