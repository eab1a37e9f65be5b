"""Stacked edits: the fold by hand, and its properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blending_nerf_ns.rendering.blending import BlendedSamples, EditSamples, Strengths, blend
from blending_nerf_ns.rendering.compositing import composite_blend
from blending_nerf_ns.rendering.folding import (
    Folded,
    Layer,
    accumulated_removal,
    fold,
    fold_together,
    keep_no_more,
    pixels_of,
    unedited,
)
from blending_nerf_ns.rendering.intervals import merge_intervals, take, take_nearest

RED, GREEN, BLUE = (torch.tensor([[c]]) for c in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]))
ONE = torch.ones(1, 1)
EDGES = torch.tensor([[0.0, 1.0]])


def edit(rgb: torch.Tensor, density: float = 0.0, removes: float = 0.0, changes: float = 0.0) -> EditSamples:
    return EditSamples(density * ONE, rgb, removes * ONE, changes * ONE, ONE)


def scene(density: float = 2.0) -> Folded:
    return unedited(EDGES, density * ONE, RED, torch.zeros(1, 3))


def inner(folded: Folded) -> BlendedSamples:
    """The sub-interval of some length."""
    place = int((folded.edges[0, 1:] - folded.edges[0, :-1]).argmax())
    return BlendedSamples(*(value[:, place] for value in folded.blended))


def test_two_recolourings_by_hand() -> None:
    once = fold(scene(), EDGES, edit(GREEN, changes=0.5), Strengths())
    twice = fold(once, EDGES, edit(BLUE, changes=0.5), Strengths())
    assert inner(twice).rgb[0].tolist() == [0.25, 0.25, 0.5]
    assert inner(twice).changed.item() == 0.75 and inner(twice).kept.item() == 2.0
    # of what the edits made, a third is green and two thirds are blue: 0.25 : 0.5
    shown = twice.edit_rgb[0, int((twice.edges[0, 1:] - twice.edges[0, :-1]).argmax())]
    assert torch.allclose(shown, torch.tensor([0.0, 1 / 3, 2 / 3]))


def test_what_one_adds_the_next_recolours_and_takes_away_by_hand() -> None:
    added = fold(scene(0.0), EDGES, edit(GREEN, density=4.0), Strengths())
    thinned = fold(added, EDGES, edit(BLUE, removes=0.75, changes=0.5), Strengths())
    samples = inner(thinned)
    assert samples.density.item() == 1.0 and samples.added.item() == 1.0 and samples.kept.item() == 0.0
    assert samples.rgb[0].tolist() == [0.0, 0.5, 0.5]
    pixels = pixels_of(thinned)
    assert pixels.added.item() == pytest.approx(1.0 - math.exp(-1.0)) and pixels.changed.item() == 0.0
    assert accumulated_removal(thinned.original, thinned.blended.removed, thinned.edges).item() == 0.0


def test_two_removals_by_hand() -> None:
    half = edit(GREEN, removes=0.5)
    folded = fold(fold(scene(2.0), EDGES, half, Strengths()), EDGES, half, Strengths())
    assert inner(folded).removed.item() == 0.75 and inner(folded).density.item() == 0.5
    gone = accumulated_removal(folded.original, folded.blended.removed, folded.edges)
    assert gone.item() == pytest.approx(0.75 * (1.0 - math.exp(-2.0)))


def random_edit(generator: torch.Generator, rays: int, count: int) -> tuple[torch.Tensor, EditSamples]:
    edges = torch.rand(rays, count + 1, generator=generator).mul(5.0).sort(dim=-1).values

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(rays, count, *shape, generator=generator)

    region = draw() * (draw() > 0.4)
    return edges, EditSamples(6.0 * draw(), draw(3), draw(), draw(), region)


def random_scene(generator: torch.Generator, rays: int) -> Folded:
    edges = torch.rand(rays, 8, generator=generator).mul(5.0).sort(dim=-1).values
    density, rgb = 4.0 * torch.rand(rays, 7, generator=generator), torch.rand(rays, 7, 3, generator=generator)
    return unedited(edges, density, rgb, torch.rand(rays, 3, generator=generator))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.tuples(*[st.floats(0.0, 1.5)] * 3))
def test_one_edit_is_blended_as_ever(seed: int, strengths: tuple[float, float, float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    below = random_scene(generator, 5)
    edges, samples = random_edit(generator, 5, 4)
    merged, (of_base, of_edit) = merge_intervals([below.edges, edges])
    own = EditSamples(*(take(value, of_edit) for value in samples))._replace(rgb=take_nearest(samples.rgb, of_edit))
    base = below.blended
    expected = blend(take(base.density, of_base), take_nearest(base.rgb, of_base), own, Strengths(*strengths))
    folded = fold(below, edges, samples, Strengths(*strengths))
    for name, value in expected._asdict().items():
        assert torch.allclose(getattr(folded.blended, name), value, atol=1e-6), name
    wanted = composite_blend(expected, own.rgb, merged, below.background)
    for name, value in pixels_of(folded)._asdict().items():
        assert torch.allclose(value, getattr(wanted, name), atol=1e-5), name


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_the_first_edits_short_way_is_the_way_of_all(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    below = random_scene(generator, 5)
    edges, samples = random_edit(generator, 5, 4)
    short, long = (pixels_of(fold(below._replace(untouched=way), edges, samples, Strengths())) for way in (True, False))
    for name, value in short._asdict().items():
        assert torch.allclose(value, getattr(long, name), atol=1e-6), name


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans(), st.integers(0, 4))
def test_edits_folded_together_are_those_folded_one_by_one(seed: int, edited: bool, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    below = random_scene(generator, 6)
    if edited:
        below = fold(below, *random_edit(generator, 6, 3), Strengths())
    layers = [
        Layer(*random_edit(generator, 6, 2 + i), Strengths(*torch.rand(3, generator=generator).tolist()))
        for i in range(count)
    ]
    together, one_by_one = fold_together(below, layers), below
    for layer in layers:
        one_by_one = fold(one_by_one, *layer)
    assert torch.equal(together.edges, one_by_one.edges) and together.untouched == (not edited and count == 0)
    for name, value in pixels_of(one_by_one)._asdict().items():
        assert torch.allclose(getattr(pixels_of(together), name), value, atol=1e-5), name


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 2))
def test_a_layer_that_is_off_or_elsewhere_changes_nothing(seed: int, place: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    below = random_scene(generator, 6)
    layers = [random_edit(generator, 6, 3) for _ in range(3)]
    without, with_it = below, below
    for i, (edges, samples) in enumerate(layers):
        if i != place:
            without = fold(without, edges, samples, Strengths())
            with_it = fold(with_it, edges, samples, Strengths())
            continue
        with_it = fold(with_it, edges, samples, Strengths(0.0, 0.0, 0.0))
        elsewhere = samples._replace(region=torch.zeros_like(samples.region))
        with_it = fold(with_it, edges[:, :1].expand_as(edges), elsewhere, Strengths())
    one, two = pixels_of(without), pixels_of(with_it)
    for name in ("rgb", "accumulation", "added", "changed", "edit_rgb"):
        assert torch.allclose(getattr(one, name), getattr(two, name), atol=1e-5), name


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 2]), st.integers(0, 1))
def test_the_opacities_of_a_stack_are_shares_and_grow_with_each_strength(seed: int, operation: int, place: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    below = random_scene(generator, 4)
    layers = [random_edit(generator, 4, 3) for _ in range(2)]
    amounts = []
    for strength in (0.0, 0.4, 0.8):
        folded = below
        for i, (edges, samples) in enumerate(layers):
            only = [0.0, 0.0, 0.0]
            only[operation] = strength if i == place else 0.5
            folded = fold(folded, edges, samples, Strengths(*only))
        pixels = pixels_of(folded)
        removed = accumulated_removal(folded.original, folded.blended.removed, folded.edges)
        amount = (pixels.added, removed, pixels.changed)[operation]
        assert bool((amount >= -1e-6).all()) and bool((amount <= 1.0 + 1e-6).all())
        assert torch.allclose(folded.blended.density, folded.blended.kept + folded.blended.added, atol=1e-5)
        amounts.append(amount)
    assert bool((amounts[1] >= amounts[0] - 1e-6).all()) and bool((amounts[2] >= amounts[1] - 1e-6).all())


def test_what_sticks_out_of_a_region_goes_with_the_middle_of_its_interval() -> None:
    """One interval from 0 to 4; the region reaches from 1 to 3, with a soft edge up to 2 in which half is removed."""
    long, one = torch.tensor([[0.0, 4.0]]), torch.ones(1, 2)
    removal = EditSamples(0 * one, torch.zeros(1, 2, 3), torch.tensor([[0.5, 1.0]]), 0 * one, one)
    whole = unedited(long, 2.0 * ONE, RED, torch.zeros(1, 3))
    folded = fold(whole, torch.tensor([[1.0, 2.0, 3.0]]), removal, Strengths())
    assert density_at(folded, 0.5, 1.5, 2.5, 3.5) == [2.0, 1.0, 0.0, 2.0]
    assert density_at(keep_no_more(folded, long, torch.zeros(1, 1)), 0.5, 1.5, 2.5, 3.5) == [0.0, 0.0, 0.0, 0.0]
    assert density_at(keep_no_more(folded, long, 0.75 * ONE), 0.5, 1.5, 2.5, 3.5) == [1.5, 1.0, 0.0, 1.5]
    kept = keep_no_more(folded, long, ONE)
    assert all(torch.equal(a, b) for a, b in zip(kept.blended, folded.blended, strict=True)), "all may stay"


def test_what_was_added_keeps_its_density_and_colour_when_the_scene_goes() -> None:
    folded = fold(scene(2.0), EDGES, edit(BLUE, density=2.0), Strengths())
    assert inner(folded).rgb[0].tolist() == [0.5, 0.0, 0.5]
    half, none = (inner(keep_no_more(folded, EDGES, share * ONE)) for share in (0.5, 0.0))
    assert (half.density.item(), half.kept.item(), half.added.item()) == (3.0, 1.0, 2.0)
    assert half.rgb[0].tolist() == pytest.approx([1 / 3, 0.0, 2 / 3])
    assert none.density.item() == 2.0 and none.rgb[0].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("lower", [edit(GREEN, changes=1.0), edit(GREEN, density=1.0)], ids=["recoloured", "added"])
@pytest.mark.parametrize(
    "upper",
    [edit(BLUE, density=3.0), edit(BLUE, changes=0.5), edit(BLUE, density=3.0, changes=0.5), edit(BLUE, removes=0.5)],
    ids=["added", "recoloured", "both", "removed"],
)
def test_in_a_stack_too_what_was_added_keeps_its_colour_when_the_scene_goes(share, lower, upper) -> None:
    """As if there had been less of the scene from the beginning."""
    whole, thin = (
        fold(fold(scene(4.0 * s), EDGES, lower, Strengths()), EDGES, upper, Strengths()) for s in (1.0, share)
    )
    stays = share * (0.5 if upper.density_ratio.any() else 1.0)  # of the scene's own density
    cut, truth = inner(keep_no_more(whole, EDGES, stays * ONE)), inner(thin)
    assert torch.allclose(cut.density, truth.density)
    assert torch.allclose(cut.rgb, truth.rgb, atol=1e-6) or float(truth.density) == 0.0


def density_at(folded: Folded, *distances: float) -> list[float]:
    place = torch.searchsorted(folded.edges[0].contiguous(), torch.tensor(distances), right=True) - 1
    return folded.blended.density[0, place].tolist()
