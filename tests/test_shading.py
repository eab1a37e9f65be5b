"""What is recoloured keeps its light and shade, where an edit may do nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_beginning import guiding
from test_edit_field import small_field

from blending_nerf_ns.edits.field import EditField
from blending_nerf_ns.rendering.blending import EditSamples, Strengths
from blending_nerf_ns.rendering.folding import Folded, Layer, fold_together, pixels_of, unedited
from blending_nerf_ns.rendering.shading import luminance, mean_light, shaded, shading
from blending_nerf_ns.training.beginning import choose_start, object_light

EDGES = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
ONE = torch.ones(2, 1)
DARK_AND_BRIGHT = torch.tensor([[[0.1, 0.1, 0.1]], [[0.7, 0.7, 0.7]]])
"""Two rays that see a surface of mean luminance 0.3, half as bright as that and twice as bright (each with 0.1 added)."""
LIGHT = torch.tensor(0.3)
PAINT = torch.tensor([0.2, 0.4, 0.0])


def dense(rgb: torch.Tensor) -> Folded:
    return unedited(EDGES, 50.0 * ONE, rgb, torch.zeros(2, 3))


def painting(changes: float = 1.0, density: float = 0.0, region: float = 1.0) -> EditSamples:
    return EditSamples(density * ONE, PAINT.expand(2, 1, 3), 0 * ONE, changes * ONE, region * ONE)


def test_luminance_and_its_mean_by_hand() -> None:
    assert luminance(torch.eye(3)).tolist() == pytest.approx([0.2126, 0.7152, 0.0722])
    # (0.1 + 0.1) and (0.7 + 0.1): the geometric mean is 0.4; weighed three to one it is 0.2 ** 0.75 * 0.8 ** 0.25
    surface = DARK_AND_BRIGHT[:, 0]
    assert mean_light(surface, torch.ones(2)).item() == pytest.approx(0.3)
    weighed = mean_light(surface, torch.tensor([3.0, 1.0])).item()
    assert weighed == pytest.approx(0.2**0.75 * 0.8**0.25 - 0.1)
    assert mean_light(surface, torch.zeros(2)).item() == 0.0, "nothing is there"
    assert shading(surface, LIGHT).tolist() == pytest.approx([0.5, 2.0])
    assert shaded(torch.tensor([0.0, 0.6, 0.2]), torch.tensor(2.0)).tolist() == pytest.approx([0.0, 1.0, 0.4])


def test_what_is_recoloured_is_as_bright_as_it_was_beside_the_rest() -> None:
    flat = pixels_of(fold_together(dense(DARK_AND_BRIGHT), [Layer(EDGES, painting(), Strengths())]))
    assert torch.allclose(flat.rgb, PAINT.expand(2, 3), atol=1e-5)
    lit = pixels_of(fold_together(dense(DARK_AND_BRIGHT), [Layer(EDGES, painting(), Strengths(), LIGHT)]))
    assert torch.allclose(lit.rgb, torch.stack([0.5 * PAINT, 2.0 * PAINT]), atol=1e-5)
    assert torch.allclose(lit.edit_rgb, lit.rgb, atol=1e-5), "the edit alone shows what it is in the scene"
    half = pixels_of(fold_together(dense(DARK_AND_BRIGHT), [Layer(EDGES, painting(0.5), Strengths(), LIGHT)]))
    assert torch.allclose(half.rgb, 0.5 * (DARK_AND_BRIGHT[:, 0] + lit.rgb), atol=1e-5)


def test_what_is_added_has_the_edits_own_colour() -> None:
    empty = unedited(EDGES, 0 * ONE, DARK_AND_BRIGHT, torch.zeros(2, 3))
    lit = pixels_of(fold_together(empty, [Layer(EDGES, painting(density=50.0), Strengths(), LIGHT)]))
    assert torch.allclose(lit.rgb, PAINT.expand(2, 3), atol=1e-5) and torch.allclose(lit.edit_rgb, lit.rgb, atol=1e-5)


def test_a_second_recolouring_keeps_the_shade_of_the_first() -> None:
    layer = Layer(EDGES, painting(), Strengths(), LIGHT)
    twice = pixels_of(fold_together(dense(DARK_AND_BRIGHT), [layer, layer._replace(light=luminance(PAINT))]))
    ratio = luminance(twice.rgb)[1] / luminance(twice.rgb)[0]
    beside = shading(torch.stack([0.5 * PAINT, 2.0 * PAINT]), luminance(PAINT))
    assert ratio.item() == pytest.approx(float(beside[1] / beside[0]), rel=1e-4) and ratio > 2.0


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.01, 1.0))
def test_where_nothing_is_recoloured_the_original_is_there_bit_for_bit(seed: int, light: float) -> None:
    rgb = torch.rand(2, 1, 3, generator=torch.Generator().manual_seed(seed))
    for samples, strengths in ((painting(region=0.0), Strengths()), (painting(), Strengths(0.0, 0.0, 0.0))):
        folded = fold_together(dense(rgb), [Layer(EDGES, samples, strengths, torch.tensor(light))])
        assert torch.equal(folded.blended.rgb, rgb.expand_as(folded.blended.rgb))


# -- fields ---------------------------------------------------------------------------------------------------------


def test_a_field_keeps_light_once_it_is_told_which() -> None:
    field = small_field()
    assert field.kept_light is None, "colours are flat"
    field.keep_light(0.3)
    kept = field.kept_light
    assert kept is not None and kept.item() == pytest.approx(0.3)
    again = EditField(field.config)
    again.load_state_dict(field.state_dict())
    assert again.kept_light is not None and again.kept_light.item() == pytest.approx(0.3)


def test_only_what_does_nothing_but_recolour_keeps_light() -> None:
    editing = guiding(("change",))
    choose_start(editing)
    kept = editing.model.edit.field.kept_light
    assert kept is not None and torch.equal(kept, object_light(editing)) and 0.0 < kept.item() < 1.0
    patterned = guiding(("change",))
    patterned.config.weight_shading = 0.0
    for other in (patterned, guiding(("add", "change")), guiding(("remove", "change"))):
        choose_start(other)
        assert other.model.edit.field.kept_light is None, other.model.edit.info.operations
