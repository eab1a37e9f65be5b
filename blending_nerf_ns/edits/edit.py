"""An edit: a region and a field in it. What a user makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Callable, Dict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from blending_nerf_ns.edits.field import EditField, EditFieldConfig, FieldOutputs
from blending_nerf_ns.edits.intersection import RegionIntervals
from blending_nerf_ns.edits.layer import LayerInfo, pack, unpack
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.blending import EditSamples
from blending_nerf_ns.rendering.compositing import transmittance_at

UNNAMED = LayerInfo()
BLOCK = 8192
"""Points that a CPU takes at a time: cache, and memory of equal sizes. Matrix products round by it, so that another size moves
every figure in its last digits."""


class Edit(nn.Module):
    """A region, the editable field inside it, and what the user says of them.

    Args:
        region: where the edit may act.
        field: what it does there.
        info: its name, words, operations and strengths; they travel with the weights.
    """

    def __init__(self, region: Region, field: EditField, info: LayerInfo = UNNAMED) -> None:
        super().__init__()
        self.region = region
        self.field = field
        self.info = info

    @property
    def description(self) -> Dict[str, Any]:
        """Everything but the tensors, as plain values: enough to build it again (`build_edit`)."""
        sizes = {
            item.name: getattr(self.field.config, item.name)
            for item in fields(EditFieldConfig)
            if item.name != "_target"
        }
        sizes["implementation"] = self.field.implementation  # its weights have other shapes in the other one
        return {"info": self.info.to_dict(), "field": sizes, "resolution": self.region.resolution}

    def get_extra_state(self) -> Tensor:
        """The description, as a tensor, for the checkpoint."""
        return pack(self.description)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse; the sizes were used before, to build this."""
        self.info = LayerInfo.from_dict(unpack(state)["info"])

    @property
    def is_all_removed(self) -> bool:
        """Whether all that the edit may do is to remove, and all is removed: no gradient brings any of it back."""
        return tuple(self.info.operations) == ("remove",) and self.field.starts_removed

    def fit_field_to_region(self) -> None:
        """Spend the field's resolution on the region: call when the region was made or reshaped before training."""
        self.field.set_box(*self.region.bounds())

    def evaluate(self, intervals: RegionIntervals, directions: Float[Tensor, "hits 3"]) -> EditSamples:
        """The editable field on the region's intervals; points of weight 0 are never evaluated."""
        shape = intervals.region.shape
        active = intervals.find_active()
        positions, num_intervals = intervals.positions.flatten(0, 1), shape[1]
        size = BLOCK if positions.device.type == "cpu" else max(1, len(active))
        views = self.field.look_along(directions)
        blocks = [self.field(positions[part], views, part // num_intervals) for part in active.split(size)]
        whole = len(blocks) == 1
        out = blocks[0] if whole else FieldOutputs(*(torch.cat(values) for values in zip(*blocks, strict=True)))
        color_ratio = out.color_ratio
        if "change" in self.info.operations and not self.region.changes_everywhere:
            # blending takes it times the region's weight; so the product is that of the colour's own
            weight = intervals.region.flatten()[active]
            color_ratio = color_ratio * self.region.color_weight_at(positions[active]) / weight

        def spread(values: Tensor, fill: float = 0.0) -> Tensor:
            everywhere = values.new_full((shape.numel(), *values.shape[1:]), fill)
            return everywhere.index_copy_(0, active, values).unflatten(0, shape)

        return EditSamples(
            density=spread(out.density),
            rgb=spread(out.rgb, fill=0.5),
            density_ratio=spread(out.density_ratio),
            color_ratio=spread(color_ratio),
            region=intervals.region,
        )

    def kept_at(
        self, to_grid: Callable[[Tensor], Tensor], strength: float
    ) -> Callable[[Float[Tensor, "rays samples 3"]], Float[Tensor, "rays samples"]]:
        """A function of scene positions: the share of the original density that this edit keeps there."""

        def kept(positions: Tensor) -> Tensor:
            points = to_grid(positions)
            weight = self.region.weight_at(points)
            active = weight > 0
            removed = torch.zeros_like(weight)
            removed[active] = weight[active] * self.field.density_ratio(points[active]).to(weight.dtype)
            return 1.0 - (strength * removed).clamp(0.0, 1.0)

        return kept


def accumulated_region(
    edges: Float[Tensor, "hits m+1"], density: Float[Tensor, "hits m"], intervals: RegionIntervals
) -> Float[Tensor, " hits"]:
    """How much of what a ray sees lies in the region: original weights times the region's weight, in [0, 1].

    Args:
        edges: of the base's intervals on these rays, ascending.
        density: of the base in them.
        intervals: of the edit on the same rays.
    """
    left = transmittance_at(intervals.edges, edges, density)
    # rounding lets as little as 1e-10 more light come through at the end of an interval than at its beginning
    hidden = (left[..., :-1] - left[..., 1:]).clamp_min(0.0)
    return (hidden * intervals.region).sum(dim=-1)


def build_edit(description: Mapping[str, Any], use_cuda: bool = False) -> Edit:
    """An edit of the described sizes, for `load_state_dict`; frozen.

    Raises:
        BlendingNerfError: the description is none.
    """
    try:
        usual = {name: value for name, value in vars(EditFieldConfig()).items() if name != "_target"}
        said = description["field"]
        sizes = {name: type(value)(said[name]) for name, value in usual.items() if name in said}
        info, resolution = LayerInfo.from_dict(description["info"]), int(description["resolution"])
        field = EditField(EditFieldConfig(**sizes), use_cuda)
    except BlendingNerfError:
        raise
    except (
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        OverflowError,
        RuntimeError,
        AssertionError,
    ) as error:  # torch refuses sizes that are negative or enormous, nerfstudio asserts of a grid's
        raise BlendingNerfError(f"this is no description of an edit: {error!r}") from error
    return Edit(Region(resolution), field, info).requires_grad_(False).eval()
