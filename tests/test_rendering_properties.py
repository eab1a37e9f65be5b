"""Blending, splitting and compositing over random fields: what holds for any, their gradients, and half precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blending_nerf_ns.rendering.blending import BlendedSamples, EditSamples, Strengths, blend
from blending_nerf_ns.rendering.compositing import (
    composite,
    composite_blend,
    render_weights,
    transmittance_at,
)
from blending_nerf_ns.rendering.intervals import merge_intervals, take, take_nearest

OFF = Strengths(0.0, 0.0, 0.0)
RAYS, SAMPLES = 6, 9
seeds = st.integers(0, 2**31 - 1)
strength = st.floats(0.0, 4.0, width=32)


def random_edges(generator, count, low=0.0, high=4.0, dtype=torch.float64):
    return (low + (high - low) * torch.rand(RAYS, count + 1, generator=generator, dtype=dtype)).sort(-1).values


def random_field(seed, count=SAMPLES, dtype=torch.float64):
    """Densities from nothing to a wall, colours, and an edit of all three operations whose region has holes."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(RAYS, count, *shape, generator=generator, dtype=torch.float64)

    def density():
        return 10 ** (6 * rand() - 4) * (rand() > 0.3)

    samples = EditSamples(density(), rand(3), rand(), rand(), rand() * (rand() > 0.3))
    base = density().to(dtype), rand(3).to(dtype)
    return base, EditSamples(*(values.to(dtype) for values in samples)), random_edges(generator, count).to(dtype)


def opacities(base, samples: EditSamples, edges, strengths):
    """E_add, E_remove, E_change of each ray."""
    blended = blend(base[0], base[1], samples, strengths)
    pixel = composite_blend(blended, samples.rgb, edges, torch.zeros(RAYS, 3, dtype=edges.dtype))
    removed = (render_weights(base[0], edges.diff(dim=-1)) * blended.removed).sum(-1)
    return torch.stack([pixel.added, removed, pixel.changed])


class TestProperties:
    @settings(max_examples=40)
    @given(seeds, strength, strength, strength, st.sampled_from([torch.float16, torch.float32, torch.float64]))
    def test_identity_bit_for_bit(self, seed, add, remove, change, dtype):
        base, samples, _ = random_field(seed, dtype=dtype)
        outside = samples._replace(region=torch.zeros_like(samples.region))
        for blended in (blend(*base, samples, OFF), blend(*base, outside, Strengths(add, remove, change))):
            assert torch.equal(blended.density, base[0])
            assert torch.equal(blended.rgb, base[1])
            assert blended.density.dtype == blended.rgb.dtype == dtype
        assert OFF.all_off and not Strengths(0.0, 0.0, 0.1).all_off

    @settings(max_examples=40)
    @given(seeds, strength, strength, strength)
    def test_locality_is_exact(self, seed, add, remove, change):
        base, samples, _ = random_field(seed)
        blended = blend(*base, samples, Strengths(add, remove, change))
        outside = samples.region == 0
        assert torch.equal(blended.density[outside], base[0][outside])
        assert torch.equal(blended.rgb[outside], base[1][outside])
        for amount in (blended.added, blended.removed, blended.changed):
            assert not amount[outside].any()

    @settings(max_examples=40)
    @given(seeds, seeds, strength, strength, strength)
    def test_edits_stack(self, one, two, add, remove, change):
        """A stack is what its light says: emission density * colour is linear in each layer."""
        base, first, _ = random_field(one)
        _, second, _ = random_field(two)
        strengths = Strengths(add, remove, change)
        lower = blend(*base, first, strengths)
        upper = blend(lower.density, lower.rgb, second, strengths)
        density, light = base[0], base[0][..., None] * base[1]
        for layer in (first, second):
            gone = np.clip(remove * layer.region * layer.density_ratio, 0, 1)
            new = np.clip(change * layer.region * layer.color_ratio, 0, 1)[..., None]
            grown = add * layer.region * layer.density
            kept = (1 - gone)[..., None] * light
            light = (
                (1 - new) * kept
                + new * ((1 - gone) * density + 0)[..., None] * layer.rgb
                + grown[..., None] * layer.rgb
            )
            density = (1 - gone) * density + grown
        np.testing.assert_allclose(upper.density, density, rtol=1e-9, atol=0)
        np.testing.assert_allclose(upper.density[..., None] * upper.rgb, light, rtol=1e-6, atol=2e-6)
        # and a layer that is off, or that lies elsewhere, changes nothing above or below another
        for idle in (OFF, strengths):
            elsewhere = second if idle is OFF else second._replace(region=torch.zeros_like(second.region))
            again = blend(lower.density, lower.rgb, elsewhere, idle)
            assert torch.equal(again.density, lower.density) and torch.equal(again.rgb, lower.rgb)

    @settings(max_examples=60)
    @given(seeds, st.tuples(strength, strength, strength), strength, st.integers(0, 2))
    def test_each_opacity_is_monotone_in_its_own_strength(self, seed, others, more, which):
        base, samples, edges = random_field(seed)
        high = list(others)
        high[which] += more
        before = opacities(base, samples, edges, Strengths(*others))[which]
        after = opacities(base, samples, edges, Strengths(*high))[which]
        assert (after >= before - 1e-12).all()

    @settings(max_examples=40)
    @given(seeds, strength, strength, strength, st.sampled_from([torch.float32, torch.float64]))
    def test_everything_that_a_pixel_shows_is_in_its_range(self, seed, add, remove, change, dtype):
        base, samples, edges = random_field(seed, dtype=dtype)
        strengths = Strengths(add, remove, change)
        blended = blend(*base, samples, strengths)
        background = torch.rand(RAYS, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))
        pixel = composite_blend(blended, samples.rgb, edges, background)
        shown = [pixel.rgb, pixel.accumulation, pixel.added, pixel.changed, pixel.edit_rgb, pixel.edit_accumulation]
        shares = [blended.rgb, blended.removed, blended.changed, blended.added_share, blended.kept_share]
        for value in [*shown, *shares, *opacities(base, samples, edges, strengths)]:
            assert value.min() >= -1e-5 and value.max() <= 1 + 1e-5
        assert (pixel.added + pixel.changed <= pixel.accumulation + 1e-5).all()
        assert ((pixel.depth >= edges[:, 0]) & (pixel.depth <= edges[:, -1])).all()

    @settings(max_examples=30)
    @given(seeds, st.integers(1, 12), st.integers(1, 12))
    def test_splitting_changes_nothing(self, seed, base_count, edit_count):
        generator = torch.Generator().manual_seed(seed)
        (density, rgb), _, edges = random_field(seed, base_count)
        split, (of_base, of_edit) = merge_intervals([edges, random_edges(generator, edit_count, -1.0, 5.0)])
        assert (split.diff(dim=-1) >= 0).all()
        assert of_base.shape == of_edit.shape == (RAYS, base_count + edit_count + 1)
        background = torch.rand(RAYS, 3, generator=generator, dtype=torch.float64)

        weights = render_weights(density, edges.diff(dim=-1))
        finer = render_weights(take(density, of_base), split.diff(dim=-1))
        np.testing.assert_allclose(finer.sum(-1), weights.sum(-1), atol=1e-9)
        np.testing.assert_allclose(
            composite(finer, take_nearest(rgb, of_base), background), composite(weights, rgb, background), atol=1e-9
        )
        # each base interval keeps its own weight
        parent = torch.where(of_base < 0, 0, of_base)
        regained = torch.zeros_like(weights).scatter_add_(1, parent, finer)
        np.testing.assert_allclose(regained, weights, atol=1e-9)

    @settings(max_examples=30)
    @given(seeds, st.integers(1, 12), st.integers(1, 12))
    def test_what_a_part_hides_is_the_light_that_it_takes_and_nothing_is_split(self, seed, base_count, edit_count):
        generator = torch.Generator().manual_seed(seed)
        (density, _), _, edges = random_field(seed, base_count)
        own = random_edges(generator, edit_count, -1.0, 5.0)
        split, (of_base, of_edit) = merge_intervals([edges, own])
        finer = render_weights(take(density, of_base), split.diff(dim=-1))
        parent = torch.where(of_edit < 0, edit_count, of_edit)
        hidden = torch.zeros(RAYS, edit_count + 1, dtype=finer.dtype).scatter_add_(1, parent, finer)[:, :-1]
        left = transmittance_at(own, edges, density)
        np.testing.assert_allclose(left[:, :-1] - left[:, 1:], hidden, atol=1e-9)

    @settings(max_examples=30)
    @given(seeds, strength, strength, strength)
    def test_splitting_a_blend_further_changes_no_pixel_and_no_opacity(self, seed, add, remove, change):
        """float32, to 1e-6, the tolerance that the demo's identity leaves room for."""
        (density, rgb), samples, edges = random_field(seed, dtype=torch.float32)
        blended = blend(density, rgb, samples, Strengths(add, remove, change))
        generator = torch.Generator().manual_seed(seed)
        split, (of_base, _) = merge_intervals([edges, random_edges(generator, 7, dtype=torch.float32)])
        finer = BlendedSamples(*(take(values, of_base) for values in blended))
        background = torch.zeros(RAYS, 3)
        one = composite_blend(blended, samples.rgb, edges, background)
        two = composite_blend(finer, take(samples.rgb, of_base), split, background)
        for name in ("rgb", "accumulation", "added", "changed", "edit_rgb", "edit_accumulation"):
            # the optical depth of a wall differs by rounding, its picture does not
            np.testing.assert_allclose(getattr(one, name), getattr(two, name), atol=2e-6, err_msg=name)

    def test_split_and_unsplit_agree_as_numbers_of_nerfstudio_do(self):
        """Against nerfstudio's own quadrature, on the range of densities and on the far plane of nerfacto."""
        generator = torch.Generator().manual_seed(0)
        edges = torch.cat([random_edges(generator, 40, dtype=torch.float32), torch.full((RAYS, 1), 1000.0)], -1)
        density = 10 ** (8 * torch.rand(RAYS, 41, generator=generator) - 4)
        optical = edges.diff(dim=-1) * density
        before = torch.cat([torch.zeros(RAYS, 1), optical[:, :-1].cumsum(-1)], -1)
        np.testing.assert_allclose(
            render_weights(density, edges.diff(dim=-1)), torch.exp(-before) * (1 - torch.exp(-optical)), atol=1e-6
        )


class TestGradients:
    @pytest.mark.parametrize("base_density", [0.0, 1e-30, 1e-7, 1.0, 1e4, 1e8])
    @pytest.mark.parametrize("density", [0.0, 1e-30, 1e-7, 1.0, 1e4, 1e8])
    @pytest.mark.parametrize("ratio", [0.0, 1e-6, 0.5, 1.0])
    def test_finite_from_nothing_to_a_wall(self, base_density, density, ratio):
        generator = torch.Generator().manual_seed(0)
        edges = torch.linspace(0, 2, SAMPLES + 1).expand(RAYS, -1)
        leaves = EditSamples(
            torch.full((RAYS, SAMPLES), density),
            torch.rand(RAYS, SAMPLES, 3, generator=generator),
            *(torch.full((RAYS, SAMPLES), ratio) for _ in range(2)),
            region=torch.rand(RAYS, SAMPLES, generator=generator),
        )
        leaves = EditSamples(*(values.requires_grad_() for values in leaves))
        blended = blend(torch.full((RAYS, SAMPLES), base_density), torch.rand(RAYS, SAMPLES, 3), leaves)
        pixel = composite_blend(blended, leaves.rgb, edges, torch.rand(RAYS, 3))
        total = sum(value.sum() for value in pixel) + blended.removed.sum()
        assert isinstance(total, torch.Tensor) and torch.isfinite(total)
        total.backward()
        for name, values in leaves._asdict().items():
            assert values.grad is not None and torch.isfinite(values.grad).all(), name
            # a share of a wall of 1e8 that is recoloured is as steep as that wall, where clamp's bounds have a slope (torch 2.6)
            assert values.grad.abs().max() < 1e8, name

    def test_they_are_the_derivatives(self):
        """Along a random direction, against central differences in float64."""
        base, samples, edges = random_field(3)
        density, rgb = base[0].clamp(0.01, 3.0), base[1]
        generator = torch.Generator().manual_seed(0)
        leaves = [samples.density.clamp(0.01, 3.0), *(0.1 + 0.8 * values for values in samples[1:4])]
        leaves = [values.requires_grad_() for values in leaves]
        ways = [torch.randn(values.shape, generator=generator, dtype=torch.float64) for values in leaves]

        def total(step):
            moved = EditSamples(*(value + step * way for value, way in zip(leaves, ways)), region=samples.region)
            pixel = composite_blend(blend(density, rgb, moved), moved.rgb, edges, torch.zeros(RAYS, 3).double())
            return pixel.rgb.pow(2).sum() + pixel.edit_rgb.sum() + pixel.added.sum() + 2 * pixel.changed.sum()

        total(0.0).backward()
        slope = sum(float((value.grad * way).sum()) for value, way in zip(leaves, ways) if value.grad is not None)
        with torch.no_grad():
            assert slope == pytest.approx(float(total(1e-5) - total(-1e-5)) / 2e-5, rel=1e-6)


class TestHalf:
    def test_blending_is_computed_in_float32(self):
        (density, rgb), samples, _ = random_field(5, dtype=torch.float16)
        exact = blend(density.float(), rgb.float(), EditSamples(*(values.float() for values in samples)))
        half = blend(density, rgb, samples)
        assert {values.dtype for values in half} == {torch.float16}
        np.testing.assert_allclose(half.density.float(), exact.density, rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(half.rgb.float(), exact.rgb, atol=5e-3)

    def test_a_half_field_composites_to_the_same_pixels(self):
        base, samples, edges = random_field(5)
        base = base[0].clamp_max(1e3), base[1]
        samples = samples._replace(density=samples.density.clamp_max(1e3))
        exact = composite_blend(blend(*base, samples), samples.rgb, edges, torch.zeros(RAYS, 3).double())
        samples = EditSamples(*(values.half() for values in samples))
        half = blend(base[0].half(), base[1].half(), samples)
        pixel = composite_blend(half, samples.rgb, edges.float(), torch.zeros(RAYS, 3))
        np.testing.assert_allclose(pixel.rgb, exact.rgb, atol=0.01)
        np.testing.assert_allclose(pixel.accumulation, exact.accumulation, atol=0.01)
