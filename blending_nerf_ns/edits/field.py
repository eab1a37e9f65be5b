"""The editable field g_phi: a hash grid over the region's box, with view direction."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Optional, Type

import torch
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.field_components.encodings import SHEncoding
from nerfstudio.field_components.mlp import MLP
from torch import Tensor, nn

from blending_nerf_ns.edits.activations import (
    ALL_REMOVED,
    NO_EDIT,
    NO_EDIT_DENSITY,
    NO_EDIT_FOG,
    STRETCH,
    density_of,
    is_no_edit,
    share_removed,
)
from blending_nerf_ns.edits.networks import FieldNetworks
from blending_nerf_ns.edits.soft_solid import NO_END, SHARP, SOFTNESS, Seed, SoftSolid, soft_solid
from blending_nerf_ns.encoding.hash_grid import FastHashEncoding
from blending_nerf_ns.encoding.implementation import resolve_implementation

FIRST_COLORS = (0.05, 0.95)
"""Between these a field starts: beyond, its colours come out of a sigmoid that is too flat there to learn another."""
QUIET = 0.1
"""What is left of the drawn weights behind ratios and density, which begin nearly the same everywhere."""


@dataclass
class EditFieldConfig(InstantiateConfig):
    """Size of the editable field. It covers the region's box only, so it is small."""

    _target: Type = field(default_factory=lambda: EditField)
    """Target class to instantiate."""
    num_levels: int = 8
    """Levels of the hash grid."""
    base_res: int = 8
    """Coarsest resolution, in cells along the region's box."""
    max_res: int = 256
    """Finest resolution, in cells along the region's box."""
    log2_hashmap_size: int = 15
    """Log2 of the entries per level."""
    features_per_level: int = 4
    """Features per entry."""
    hidden_dim: int = 32
    """Width of the two small networks behind the grid."""
    density_scale: float = 10.0
    """Density that an activation of 1 stands for, in units of 1 / (longest side of the region's box)."""
    seed_reach: float = 1.3
    """An addition that starts from a ball beside the object grows this far from that one's centre at most, in radii: 1.3 is the end of
    its soft edge, inf wherever the region reaches."""
    implementation: Literal["auto", "tcnn", "torch"] = "auto"
    """tinycudann where it imports and a GPU is used, else torch; or one of the two by name."""


class FieldOutputs(NamedTuple):
    """The editable field at some points."""

    density: Float[Tensor, " points"]
    rgb: Float[Tensor, "points 3"]
    density_ratio: Float[Tensor, " points"]
    color_ratio: Float[Tensor, " points"]


class EditField(nn.Module):
    """Density, colour and the two blend ratios of an edit, in the region's box.

    Args:
        config: sizes.
        use_cuda: whether tinycudann may be chosen by `implementation="auto"`.
    """

    implementation: Literal["tcnn", "torch"]
    """What it runs on."""
    lower: Tensor
    upper: Tensor
    first_color: Tensor
    """Colour that training starts from, in (0, 1)."""
    seed: Tensor
    """The soft solid that its density starts from, see `Seed`; radii 0: none."""
    seed_reach: Tensor
    """How far from that there may be density, in radii: a guide that had a ball on top of a microphone was as glad of red specks at its
    foot. `NO_END` where it takes the object's place, and in fields that were made before there was such an end."""
    softness: Tensor
    """Width of that solid's edge, see `SOFTNESS` and `SHARP`; no field was made sharp before 2026-11-30."""
    stretch: Tensor
    """Of the removed share, see `STRETCH`; 1 in fields that were made before it was more."""
    fog: Tensor
    """What is taken off its density's activation, see `NO_EDIT_FOG`; 0 in fields that were made before it was."""
    light: Tensor
    """Mean luminance of what it recolours, which keeps its light and shade beside that; 0: it takes the field's colour flat, as in
    fields that were made before, and where all is black and there is no shade to keep."""
    open_levels: Tensor

    def __init__(self, config: EditFieldConfig, use_cuda: bool = False) -> None:
        super().__init__()
        self.config = config
        implementation = self.implementation = resolve_implementation(config.implementation, use_cuda)
        self.grid = FastHashEncoding(
            num_levels=config.num_levels,
            min_res=config.base_res,
            max_res=config.max_res,
            log2_hashmap_size=config.log2_hashmap_size,
            features_per_level=config.features_per_level,
            implementation=implementation,
        )
        features = config.num_levels * config.features_per_level
        self.trunk = MLP(
            in_dim=features,
            num_layers=2,
            layer_width=config.hidden_dim,
            out_dim=config.hidden_dim,
            activation=nn.ReLU(),
            out_activation=nn.ReLU(),
            implementation=implementation,
        )
        self.shape_head = nn.Linear(config.hidden_dim, 3)
        self.direction = SHEncoding(levels=3, implementation="torch")
        self.color_head = MLP(
            in_dim=config.hidden_dim + self.direction.get_out_dim(),
            num_layers=2,
            layer_width=config.hidden_dim,
            out_dim=3,
            activation=nn.ReLU(),
            out_activation=None,
            implementation=implementation,
        )
        self.register_buffer("lower", -torch.ones(3))
        self.register_buffer("upper", torch.ones(3))
        self.register_buffer("first_color", torch.full((3,), 0.5))
        self.register_buffer("seed", torch.zeros(7))
        self.register_buffer("seed_reach", torch.tensor(min(config.seed_reach, NO_END)))
        self.register_buffer("softness", torch.tensor(SOFTNESS))
        self.register_buffer("stretch", torch.tensor(STRETCH))
        self.register_buffer("fog", torch.tensor(NO_EDIT_FOG))
        self.register_buffer("light", torch.tensor(0.0))
        self._forget()
        self.register_buffer("open_levels", torch.tensor(float(config.num_levels)))
        with torch.no_grad():  # no edit yet: small ratios, almost no density
            self.shape_head.weight.mul_(QUIET)
            self.shape_head.bias.copy_(torch.tensor(NO_EDIT))

    @property
    def untouched(self) -> bool:
        """Whether no training step, no first colour and no solid changed it since it was made."""
        return is_no_edit(self.shape_head.bias.detach(), self.seed)

    @contextmanager
    def left_as_it_is(self) -> Iterator[None]:
        """Whatever is tried within, the field is afterwards as it was; so it is after an interrupt, which saves the run."""
        kept = copy.deepcopy(self.state_dict())
        try:
            yield
        finally:
            self.load_state_dict(kept)

    def set_box(self, lower: Float[Tensor, "3"], upper: Float[Tensor, "3"]) -> None:
        """Put the grid over this box of grid coordinates."""
        self.lower.copy_(lower)
        self.upper.copy_(upper)

    @torch.no_grad()
    def start_from_color(self, color: Float[Tensor, "3"], ratio: float) -> None:
        """Let the field start as a plain colour that replaces this share of the original's, in (0, 1)."""
        self.first_color.copy_(color.clamp(*FIRST_COLORS))
        self.shape_head.bias[2] = math.log(ratio / (1.0 - ratio))

    @torch.no_grad()
    def start_from_solid(self, seed: Seed, color: Float[Tensor, "3"], in_place: bool = False) -> None:
        """Let the field start with a soft solid of density in a plain colour; training goes on from there.

        Args:
            seed: the solid.
            color: its colour.
            in_place: whether it takes the object's place, whose bounding box is all the room that it has; else it stays near itself.
        """
        self.seed.copy_(torch.cat([seed.center, seed.radii, seed.center.new_tensor([seed.power])]))
        self.seed_reach.fill_(NO_END if in_place else min(self.config.seed_reach, NO_END))
        self.softness.fill_(SHARP if in_place else SOFTNESS)
        self._forget()
        self.first_color.copy_(color.clamp(*FIRST_COLORS))

    @torch.no_grad()
    def start_from_removal(self) -> None:
        """Let the field start by taking the original's density away, everywhere in the region."""
        self.shape_head.bias[1] = ALL_REMOVED

    @property
    def starts_removed(self) -> bool:
        """Whether it started by taking the original's density away."""
        return float(self.shape_head.bias[1].detach()) == ALL_REMOVED

    @torch.no_grad()
    def keep_light(self, light: float | Float[Tensor, ""]) -> None:
        """Let what is recoloured keep its light and shade, grain and print.

        Args:
            light: mean luminance of what is recoloured, see `mean_light`.
        """
        self.light.fill_(light)
        self._forget()

    @property
    def kept_light(self) -> Optional[Float[Tensor, ""]]:
        """The luminance beside which what is recoloured keeps its light and shade; None where it does not."""
        if self._lit is None:
            self._lit = bool(self.light > 0.0)
        return self.light if self._lit else None

    def _forget(self) -> None:
        """What was asked of its buffers once is asked again: a GPU is waited for, so not in every step."""
        self._seeded: Optional[bool] = None
        self._lit: Optional[bool] = None

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._forget()  # last: a viewer's panel may ask in between

    def features(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points hidden"]:
        """Features at points in grid coordinates; levels that are not open yet are 0 (coarse to fine)."""
        return self.trunk(self._encoded(points) * self._gate()).float()

    def _encoded(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points features"]:
        unit = ((points - self.lower) / (self.upper - self.lower)).clamp(0.0, 1.0)
        return self.grid(unit).float()

    def _gate(self) -> Float[Tensor, " features"]:
        level = torch.arange(self.config.num_levels, device=self.open_levels.device)
        return (self.open_levels - level).clamp(0.0, 1.0).repeat_interleave(self.config.features_per_level)

    def look_along(self, directions: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays view"]:
        """What the colour depends on besides the place, for each unit viewing direction in scene coordinates."""
        return self.direction((directions + 1.0) / 2.0).float()

    def forward(
        self,
        points: Float[Tensor, "points 3"],
        views: Float[Tensor, "rays view"],
        rays: Optional[Int[Tensor, " points"]] = None,
    ) -> FieldOutputs:
        """Evaluate the field.

        Args:
            points: grid coordinates.
            views: see `look_along`.
            rays: along which of them each point is seen; None: there is one for each point.
        """
        if not len(points):  # tinycudann refuses to be asked for none
            return FieldOutputs(*(value[:0] for value in self(self.lower[None], views.new_zeros(1, views.shape[-1]))))
        start = None
        if self.has_seed:
            start = soft_solid(points, self.solid, -NO_EDIT_DENSITY, self.seed_reach, self.softness)
        shape, offset = self._read(points, views, rays)
        density, density_ratio, color_ratio = self._activated(shape, start)
        rgb = torch.sigmoid(torch.logit(self.first_color * (1.0 if start is None else start.shade)) + offset)
        return FieldOutputs(density, rgb, density_ratio, color_ratio)

    def tint(self, points: Float[Tensor, "points 3"], views: Float[Tensor, "points view"]) -> Float[Tensor, "points 3"]:
        """How far its colour was moved from the one that it started from, in light and shade; before the sigmoid."""
        return self._read(points, views, None)[1]

    def _read(self, points: Tensor, views: Tensor, rays: Optional[Tensor]) -> tuple[Tensor, Tensor]:
        networks = FieldNetworks(self.trunk, self.shape_head, self.color_head)
        return networks.read(self._encoded(points), self._gate(), views, rays)

    def density_ratio(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Only the share of the original density that is removed."""
        if not len(points):
            return self.density_ratio(self.lower[None])[:0]
        return self._activated(self.shape_head(self.features(points)))[1]

    @property
    def solid(self) -> Seed:
        """What its density started from; radii 0: no solid."""
        return Seed(self.seed[:3], self.seed[3:6], self.seed[6])

    @property
    def has_seed(self) -> bool:
        """Whether its density started from a solid."""
        if self._seeded is None:
            self._seeded = bool((self.seed[3:6] > 0.0).all())
        return self._seeded

    def _activated(self, shape: Tensor, start: Optional[SoftSolid] = None) -> tuple[Tensor, Tensor, Tensor]:
        density, density_ratio, color_ratio = shape.unbind(dim=-1)
        scale = self.config.density_scale / (self.upper - self.lower).max()
        added = density_of(density, self.fog, start)
        return scale * added, share_removed(density_ratio, self.stretch), torch.sigmoid(color_ratio)
