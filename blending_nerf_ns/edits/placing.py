"""The viewer's crop box as the region of an edit, before or after it was trained."""

from __future__ import annotations

from typing import Optional

import torch
from nerfstudio.data.scene_box import OrientedBox

from blending_nerf_ns.bases.base import Base
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.edits.solids import region_from_solid, solid_box
from blending_nerf_ns.errors import BlendingNerfError


def move_region_to(edit: Edit, box: OrientedBox, base: Base, shape: Optional[RegionShape] = None) -> None:
    """Let an edit act in the viewer's crop box.

    Args:
        edit: with a region or without one. The field of one that has begun stays where it is.
        box: in scene coordinates.
        base: what it is made on.
        shape: how a first region is cut; None where there is one.

    Raises:
        BlendingNerfError: the box lies outside the scene, or where the edit's field is not.
    """
    region, field = edit.region, edit.field
    solid = solid_box("the crop box", box.T.float().cpu(), box.S.float().cpu(), box.R.float().cpu())
    made = region_from_solid(solid, base.grid_box, base.contracted, region.resolution, shape or region.shape)
    lower, upper = (corner.to(region.lower) for corner in made.bounds())
    begun = not field.untouched
    if begun and bool((torch.minimum(upper, field.upper) <= torch.maximum(lower, field.lower)).any()):
        raise BlendingNerfError("the crop box lies beside what this edit was made for; start another edit in it")
    region.load_state_dict(made.state_dict())
    if not begun:
        edit.fit_field_to_region()
