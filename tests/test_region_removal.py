"""A solid ball on a floor is found in analytic views and removed: nothing opaque may be left of it, at no depth."""

import pytest
import torch
from test_fusion import (
    BALL,
    CENTRE,
    CONTRACTED_SCENE,
    RADIUS,
    SCENE,
    VIEWS,
    evidence,
    foggy,
    fuse,
    identity,
    sharp,
    view,
)

from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.edits.shape import SEEN
from blending_nerf_ns.encoding.contraction import contract
from blending_nerf_ns.rendering.blending import EditSamples, blend
from blending_nerf_ns.rendering.compositing import render_weights

DENSITY = 200.0
"""Of the ball, per unit: 5 mm stop two thirds of the light. It has a diameter of 600 mm."""
STEPS = 240
MOST_LEFT = 0.02


def opacity_left(region, to_grid):
    """Mean accumulation of the ball's own density along all the rays that hit it, where the region's share is removed."""
    left = []
    for number in range(VIEWS):
        origins, directions, depth, met = view(number)
        hits = met == BALL
        origins, directions, enter = origins[hits], directions[hits], depth[hits]
        leave = 2 * ((CENTRE - origins) * directions).sum(-1) - enter
        edges = enter[:, None] + (leave - enter)[:, None] * torch.linspace(0, 1, STEPS + 1)
        positions = origins[:, None] + 0.5 * (edges[:, 1:] + edges[:, :-1])[..., None] * directions[:, None]
        density, colour = torch.full(positions.shape[:2], DENSITY), torch.zeros_like(positions)
        ones = torch.ones_like(density)
        removal = EditSamples(
            torch.zeros_like(density), colour, ones, ones, region=region.weight_at(to_grid(positions))
        )
        left.append(render_weights(blend(density, colour, removal).kept, edges.diff(dim=-1)).sum(-1))
    return float(torch.cat(left).mean())


def visible_shell(region):
    """The same region without what no view saw."""
    shell = Region(region.resolution)
    shell.load_state_dict(region.state_dict())
    shell.weight *= (region.state == SEEN) & (region.probability >= region.shape.threshold)
    return shell


@pytest.mark.parametrize(("base", "contracted"), [(sharp, False), (foggy, False), (foggy, True)])
def test_of_a_solid_ball_on_a_floor_nothing_is_left(base, contracted):
    to_grid, scene = (contract, CONTRACTED_SCENE) if contracted else (identity, SCENE)
    region = fuse(evidence(base, True, to_grid), scene, to_grid, contracted)
    assert opacity_left(region, to_grid) <= MOST_LEFT
    # the views' own surface is not enough: what is hidden has to go, too
    assert opacity_left(visible_shell(region), to_grid) > 0.3
    assert opacity_left(Region(region.resolution), to_grid) > 0.95
    # the floor pays for it only where the ball hangs over it
    floor = torch.cat([torch.rand(20000, 2) * 1.8 - 0.9, torch.zeros(20000, 1)], -1)
    beside = floor[(floor - CENTRE)[:, :2].norm(dim=-1) > 0.75 * RADIUS]
    assert (region.weight_at(to_grid(beside)) == 0).float().mean() > 0.999
