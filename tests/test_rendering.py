"""Blending, splitting and compositing: numbers worked out by hand."""

import math

import numpy as np
import torch

from blending_nerf_ns.rendering.blending import EditSamples, Strengths, blend
from blending_nerf_ns.rendering.compositing import (
    BlendedPixels,
    composite,
    composite_blend,
    median_depth,
    render_weights,
    transmittance_at,
)
from blending_nerf_ns.rendering.intervals import merge_intervals, take, take_nearest

LN2 = math.log(2.0)  # a density that lets half the light through on an interval of length 1
RED, GREEN, BLUE, WHITE = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]
EDGES, BACKGROUND = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([BLUE])
BASE = torch.tensor([[LN2, LN2]]), torch.tensor([[RED, GREEN]])


def edit(density=(0.0, 0.0), rgb=(WHITE, WHITE), density_ratio=(0.0, 0.0), color_ratio=(0.0, 0.0), region=(1.0, 1.0)):
    return EditSamples(*(torch.tensor([values]) for values in (density, rgb, density_ratio, color_ratio, region)))


def see(samples: EditSamples, strengths=Strengths()) -> BlendedPixels:  # noqa: B008
    """The hand-made base, edited, over a blue background."""
    return composite_blend(blend(*BASE, samples, strengths), samples.rgb, EDGES, BACKGROUND)


def close(value, expected, atol=1e-6):
    np.testing.assert_allclose(value.detach(), expected, rtol=0, atol=atol)


class TestByHand:
    """Two intervals of length 1 that halve the light, red before green, over blue: weights 1/2 and 1/4, 1/4 is left."""

    def test_no_edit(self):
        pixel = see(edit())
        close(pixel.rgb, [[0.5, 0.25, 0.25]])
        close(pixel.accumulation, [0.75])
        close(pixel.depth, [0.5])  # half the light is gone in the first interval
        close(torch.stack([pixel.added, pixel.changed, pixel.edit_accumulation]), [[0.0], [0.0], [0.0]])

    def test_remove(self):
        samples = edit(density_ratio=(1.0, 0.0))
        pixel = see(samples)
        close(pixel.rgb, [[0.0, 0.5, 0.5]])  # green moves to the front
        close(pixel.accumulation, [0.5])
        close(pixel.depth, [1.5])
        assert blend(*BASE, samples).removed.tolist() == [[1.0, 0.0]]

    def test_remove_half(self):
        pixel = see(edit(density_ratio=(0.5, 0.5)))
        # each interval passes 1/sqrt(2): weights 0.292893 and 0.207107, a half is left
        close(pixel.rgb, [[0.292893, 0.207107, 0.5]])

    def test_add(self):
        # white of the same density joins the red: together they pass a quarter, and share what they show
        pixel = see(edit(density=(LN2, 0.0)))
        close(pixel.rgb, [[0.75, 0.375 + 0.125, 0.375 + 0.125]])  # 3/4 pink, 1/8 green, 1/8 blue
        close(pixel.accumulation, [0.875])
        close(pixel.added, [0.375])
        close(pixel.edit_rgb, [[0.5, 0.5, 0.5]])
        close(pixel.edit_accumulation, [0.5])

    def test_change(self):
        # half of the green's colour becomes blue
        pixel = see(edit(rgb=(WHITE, BLUE), color_ratio=(0.0, 0.5)))
        close(pixel.rgb, [[0.5, 0.125, 0.125 + 0.25]])
        close(pixel.changed, [0.125])
        close(pixel.edit_accumulation, [1 - math.sqrt(0.5)])  # density ln2 / 2 alone
        close(pixel.edit_rgb, [[0.0, 0.0, 1 - math.sqrt(0.5)]])

    def test_all_three_at_once(self):
        # front: half kept (ln2 / 2), all of it recoloured to white, and ln2 / 2 of white added: density ln2, all white
        pixel = see(edit(density=(LN2 / 2, 0.0), density_ratio=(0.5, 0.0), color_ratio=(1.0, 0.0)))
        close(pixel.rgb, [[0.5, 0.5 + 0.25, 0.5 + 0.25]])
        close(pixel.added, [0.25])
        close(pixel.changed, [0.25])
        close(pixel.edit_accumulation, [0.5])

    def test_region_and_strength_scale_an_edit_up_to_all_of_it(self):
        samples = edit(density=(2.0, 2.0), density_ratio=(0.5, 0.5), color_ratio=(0.25, 0.25), region=(0.5, 0.0))
        blended = blend(*BASE, samples, Strengths(add=3.0, remove=2.0, change=1.0))
        close(blended.added, [[3.0, 0.0]])
        close(blended.removed, [[0.5, 0.0]])
        close(blended.changed, [[0.125, 0.0]])
        blended = blend(*BASE, samples, Strengths(add=0.0, remove=8.0, change=100.0))
        close(blended.removed, [[1.0, 0.0]])
        close(blended.changed, [[1.0, 0.0]])

    def test_a_colour_stays_a_colour_where_nothing_is_left(self):
        samples = edit(rgb=(BLUE, BLUE), density_ratio=(1.0, 1.0), color_ratio=(0.25, 0.0))
        blended = blend(*BASE, samples)
        assert not blended.density.any()
        close(blended.rgb, [[[0.75, 0.0, 0.25], GREEN]])

    def test_the_background_is_the_bases_and_no_edit_moves_it(self):
        close(see(edit(density_ratio=(1.0, 1.0), color_ratio=(1.0, 1.0))).rgb, [BLUE])

    def test_weights_of_a_wall(self):
        # opaque: whatever is behind it gets nothing
        close(render_weights(torch.tensor([[0.0, 1e9, 1.0]]), torch.ones(1, 3)), [[0.0, 1.0, 0.0]])
        close(render_weights(torch.tensor([[LN2, 2 * LN2]]), torch.tensor([[1.0, 0.5]])), [[0.5, 0.25]])

    def test_a_long_last_interval_leaves_the_weights_before_it_alone(self):
        # nerfacto's last interval reaches to the far plane: its optical depth is thousands
        for last in (1e3, 1e5, 1e8):
            close(render_weights(torch.tensor([[LN2, last]]), torch.ones(1, 2)), [[0.5, 0.5]])

    def test_light_that_comes_as_far(self):
        edges, density = torch.tensor([[1.0, 2.0, 4.0, 1e6]]), torch.tensor([[LN2, 0.0, 1e6]])
        places = torch.tensor([[0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 1e7]])
        close(transmittance_at(places, edges, density), [[1.0, 1.0, 0.5**0.5, 0.5, 0.5, 0.5, 0.0, 0.0]])

    def test_median_depth(self):
        middle = torch.tensor([[1.0, 2.0, 3.0]])
        assert median_depth(torch.tensor([[0.3, 0.3, 0.3]]), middle) == 2.0
        assert median_depth(torch.tensor([[0.1, 0.1, 0.1]]), middle) == 3.0

    def test_composite(self):
        close(composite(torch.tensor([[0.25, 0.5]]), torch.tensor([[RED, GREEN]]), BACKGROUND), [[0.25, 0.5, 0.25]])

    def test_an_edit_can_start_from_nothing(self):
        """Where there is next to no density, the picture already says what more of it would show: its own white."""
        samples = edit()._replace(density=torch.full((1, 2), 1e-4).requires_grad_())
        pixel = composite_blend(blend(torch.zeros(1, 2), BASE[1], samples), samples.rgb, EDGES, torch.zeros(1, 3))
        pixel.rgb.sum().backward()
        assert samples.density.grad is not None
        close(samples.density.grad, [[3.0, 3.0]], atol=0.01)


class TestSplitByHand:
    def test_gaps_and_intervals_outside(self):
        # the base reaches from 1 to 3, the edit from 0 to 2 and, apart from it by a far away ray, behind the base
        base = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
        over = torch.tensor([[0.0, 1.5, 2.0], [4.0, 5.0, 6.0]])
        edges, (of_base, of_over) = merge_intervals([base, over])
        close(edges, [[0.0, 1.0, 1.5, 2.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
        solid = edges.diff(dim=-1) > 0
        assert of_base[solid].tolist() == [-1, 0, 0, 1, 0, 1, -1, -1, -1]
        assert of_over[solid].tolist() == [0, 0, 1, -1, -1, -1, -1, 0, 1]

    def test_values_of_parents_and_of_orphans(self):
        index, values = torch.tensor([[-1, 0, 1, 1]]), torch.tensor([[2.0, 3.0]])
        assert take(values, index).tolist() == [[0.0, 2.0, 3.0, 3.0]]
        assert take_nearest(values, index).tolist() == [[2.0, 2.0, 3.0, 3.0]]
        colors = torch.tensor([[RED, GREEN]])
        assert take(colors, index).tolist() == [[[0.0, 0.0, 0.0], RED, GREEN, GREEN]]
        assert take_nearest(colors, index).tolist() == [[RED, RED, GREEN, GREEN]]

    def test_a_density_that_grows_in_front_of_everything(self):
        # added white in [-1, 0] lets half of the picture by hand through
        edges, (of_base, of_edit) = merge_intervals([EDGES, torch.tensor([[-1.0, 0.0]])])
        nothing, inside = torch.zeros(1, 4), torch.ones(1, 4)
        white = take(torch.ones(1, 1, 3), of_edit)
        added = EditSamples(take(torch.tensor([[LN2]]), of_edit), white, nothing, nothing, inside)
        density, rgb = take(BASE[0], of_base), take_nearest(BASE[1], of_base)
        blended = blend(density, rgb, added)
        pixel = composite_blend(blended, added.rgb, edges, BACKGROUND)
        close(pixel.rgb, [[0.5 + 0.25, 0.5 + 0.125, 0.5 + 0.125]])
        close(pixel.added, [0.5])
