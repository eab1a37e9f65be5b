"""Where an edit may act, as the command line says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Literal, Optional, Tuple

from blending_nerf_ns.edits.shape import DEFAULT_SHAPE, RegionShape
from blending_nerf_ns.edits.solids import Solid, oriented_box, sphere
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.combine import parse_sources
from blending_nerf_ns.localization.file import load_region
from blending_nerf_ns.localization.masks import mask_files

READ_BY = {"box_center": "box", "box_size": "box", "box_rotation": "box", "sphere_center": "sphere"}
READ_BY |= {"sphere_radius": "sphere", "masks": "masks", "file": "file"}
"""Which source reads a setting that the others do not."""


@dataclass
class RegionConfig:
    """Where an edit may act."""

    source: str = "text"
    """Where the region comes from: "text" (the source text, found in the pictures by CLIPSeg), "masks" (images), "box",
    "sphere", or several of them with | (either), & (both) and - (but not) between them, read from left to right:
    "text & box". "file" takes a region that `blending-nerf region` wrote."""
    localizer: str = "embedded"
    """CLIPSeg: a hub name ("CIDAS/clipseg-rd64-refined"), a local folder, or "embedded"."""
    views: int = 16
    """Training views that the localiser looks at, spread evenly."""
    close_ups: int = 8
    """More views, zoomed at what the first ones found: small objects are cut out more sharply."""
    image_size: int = 96
    """Longer side of these views, in pixels."""
    threshold: float = 0.5
    """A surface with at least this probability belongs to the region, in (0, 1]."""
    margin: Optional[float] = None
    """How far the region grows into free space, as a share of its diagonal; if not given, 0.05, for additions need room and what is
    removed has haze around it; where an edit may only recolour 0, for all that there is to recolour there is haze."""
    margin_distance: float = 0.0
    """The same in scene units, in addition."""
    grow: Optional[Literal["all", "up", "box"]] = None
    """Where to: in all directions; only upwards, for "a hat", and not under the object itself; or in all directions from the
    object's bounding box, for another shape of its size. If not given, that where an edit may add and remove, and in all directions
    from the object where it may not."""
    soft_edge: float = 0.03
    """Over this further share of the diagonal the region fades out."""
    margin_over_surfaces: Optional[bool] = None
    """Whether the margin takes neighbouring surfaces along; if not given, no, but an edit that only removes looks whether its place is
    the clearer without what hangs together with the object: a shadow may go with what threw it (`localization/clearing.py`)."""
    change_in_margin: Optional[bool] = None
    """Whether colours may change in the margin, too; if not given, on the object alone, for around it there is haze. Not so where the
    margin takes surfaces along, nor where an edit may only recolour: whoever gives that a margin wants it recoloured."""
    keep: Literal["all", "largest", "best", "nearest"] = "best"
    """Which of several separate parts to keep: all, the largest, the one that the guide reads best as the source text when
    it looks at each from nearby, or the one nearest to `point`."""
    point: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    """A place on the part that is meant, in scene coordinates."""
    masks: Optional[Path] = None
    """Folder of mask images, named as the training images and of their proportions; some of them will do. White is the object."""
    box_center: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Centre of the box, in scene coordinates (those of the viewer's crop box)."""
    box_size: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Lengths of the box's sides."""
    box_rotation: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Euler angles of the box in degrees, about x, y, z."""
    sphere_center: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Centre of the sphere, in scene coordinates."""
    sphere_radius: float = 0.5
    """Its radius."""
    file: Optional[Path] = None
    """The region.safetensors of `blending-nerf region`, cut as it was written: threshold and margins are that command's to take."""
    kept: Optional[Path] = None
    """Folder where regions are kept that took a search; where the same was looked for in the same base before, its region is
    taken from there. For several edits of one thing."""

    def reads(self, source: str) -> bool:
        """Whether one of the sources is this one; raises BlendingNerfError where they are not understood."""
        return self.source.strip() != "file" and source in [name for _, name in parse_sources(self.source)]

    def unread(self, name: str) -> str:
        """Why one of these settings changes nothing beside the others; empty where it does.

        Example:
            >>> RegionConfig().unread("box_size")
            "the region's source is 'text', which does not read it: say --pipeline.region.source box."
            >>> RegionConfig(source="text & box").unread("box_size"), RegionConfig().unread("threshold")
            ('', '')
        """
        if name == "point" and self.keep != "nearest":
            return (
                f"of several parts {self.keep!r} is kept, which does not read it: say --pipeline.region.keep nearest."
            )
        source = READ_BY.get(name)
        if source is None or source == self.source.strip() or self.reads(source):
            return ""
        return f"the region's source is {self.source!r}, which does not read it: say --pipeline.region.source {source}."

    def check(self) -> None:
        """Say what cannot work before anything is trained or rendered.

        Raises:
            BlendingNerfError: sources that are not understood, a value out of range, no such folder or file, ...
        """
        self.shape().checked()
        for name, least in (("views", 1), ("image_size", 8), ("close_ups", 0)):
            if getattr(self, name) < least:
                raise BlendingNerfError(f"the region's {name} must be at least {least}, not {getattr(self, name)}")
        if self.source.strip() == "file":
            load_region(self.file)
            return
        for _, source in parse_sources(self.source):
            if source == "masks":
                if self.masks is None:
                    raise BlendingNerfError(
                        "the region's source is masks, but no folder is named: give --pipeline.region.masks"
                    )
                mask_files(self.masks)
            if source in ("box", "sphere"):
                self.solid(source)

    def solid(self, source: str) -> Solid:
        """The solid that "box" or "sphere" stands for."""
        if source == "box":
            return oriented_box(self.box_center, self.box_size, self.box_rotation)
        return sphere(self.sphere_center, self.sphere_radius)

    def room_for(self, operations: Iterable[str]) -> Dict[str, Any]:
        """What of a region's shape these operations decide; nothing of what the user or a file has said.

        Example:
            >>> RegionConfig().room_for(["change"])
            {'attached': False, 'margin': 0.0, 'margin_over_surfaces': False, 'change_in_margin': True, 'grow': 'all'}
            >>> RegionConfig(margin=0.2, margin_over_surfaces=False).room_for(["add", "remove"])
            {'attached': False, 'change_in_margin': False, 'grow': 'box'}
        """
        recolors = set(operations) == {"change"}
        room = {
            "margin": 0.0 if recolors else DEFAULT_SHAPE.margin,
            "margin_over_surfaces": False,
            "change_in_margin": recolors or bool(self.margin_over_surfaces),
            "grow": "box" if {"add", "remove"} <= set(operations) else "all",
        }
        if self.source.strip() == "file":
            return {}
        return {"attached": False} | {name: value for name, value in room.items() if getattr(self, name) is None}

    def shape(self) -> RegionShape:
        """How the region is cut."""
        return RegionShape(
            threshold=self.threshold,
            margin=DEFAULT_SHAPE.margin if self.margin is None else self.margin,
            soft_edge=self.soft_edge,
            margin_over_surfaces=bool(self.margin_over_surfaces),
            keep="largest" if self.keep == "largest" else "all",
            margin_distance=self.margin_distance,
            grow=self.grow or DEFAULT_SHAPE.grow,
            change_in_margin=bool(
                self.margin_over_surfaces if self.change_in_margin is None else self.change_in_margin
            ),
        )
