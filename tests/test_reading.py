"""What the guide is shown of a part, and that it is shown no more than it needs."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, List, Tuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_localization_text import BALL, CUBE, scene
from torch import Tensor

from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.localization import reading, text
from blending_nerf_ns.localization.reading import LOOKS, UNLIKELIEST, read_parts
from blending_nerf_ns.localization.views import close_cameras, render_part, render_view

BALLS = (BALL - 0.45, BALL + 0.45)
CUBES = (CUBE - 0.45, CUBE + 0.45)


def test_a_part_is_seen_as_in_the_whole_view_and_the_rest_is_painted_over() -> None:
    views = scene()
    cameras = close_cameras(views, BALLS, 2, 48)
    whole, part = render_view(views, cameras, 0).picture, render_part(views, cameras, 0, BALLS)
    seen = (part - whole).abs().amax(-1) < 1e-5
    assert 0.1 < float(seen.float().mean()) < 0.9
    assert torch.equal(part[0, 0], part[-1, -1]) and torch.equal(part[0, 0], part[0, -1]), "the corners see none of it"
    beside = whole[~seen].mean(0)  # nearly all that is not the ball
    assert torch.allclose(part[0, 0], beside, atol=0.03)


def test_a_box_that_fills_the_view_leaves_nothing_to_paint() -> None:
    views = scene()
    cameras = close_cameras(views, BALLS, 1, 16)
    lower, upper = views.base.grid_box
    everything = (20 * lower, 20 * upper)  # the floor goes on beyond the grid
    assert torch.allclose(render_part(views, cameras, 0, everything), render_view(views, cameras, 0).picture, atol=1e-3)


def test_few_rays_are_rendered_beside_a_part() -> None:
    views, rays = scene(), []
    render = views.base.render

    def counting(bundle: Any) -> Any:
        rays.append(len(bundle))
        return render(bundle)

    cameras = close_cameras(views, BALLS, 1, 48)
    views.base = SimpleNamespace(  # type: ignore[assignment]
        render=counting, to_grid=views.base.to_grid, contracted=views.base.contracted
    )
    render_part(views, cameras, 0, BALLS)
    assert 0.3 * 48**2 < sum(rays) < 0.85 * 48**2


def test_the_guide_stops_looking_where_no_view_could_change_its_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: List[int] = []

    def render(views: Any, cameras: Any, index: int, box: Any) -> Tensor:
        looked.append(index)
        return render_part(views, cameras, index, box)

    monkeypatch.setattr(reading, "render_part", render)
    guide = load_clip("embedded", None, "cpu")
    all_looks = read_parts(scene(), guide, [BALLS, CUBES], "a red ball")
    assert len(looked) == 2 * LOOKS
    looked.clear()
    fewer = read_parts(scene(), guide, [BALLS, CUBES], "a red ball", text._no_doubt)
    assert len(looked) < 2 * LOOKS and fewer[0] > fewer[1] and all_looks[0] > all_looks[1]


def test_the_guide_goes_on_while_a_view_could_change_its_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    """One part looks right in the first view only."""
    right, wrong = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    answers = iter([torch.stack([right, wrong]), *[torch.stack([wrong, right])] * 5])
    guide: Any = SimpleNamespace(
        image_size=8,
        embedded=False,
        encode_images=lambda pictures: next(answers),
        encode_prompt=lambda said: right if said == "a cat" else wrong,
    )
    monkeypatch.setattr(reading, "reading_in", lambda *_, **__: nullcontext())
    monkeypatch.setattr(reading, "close_cameras", lambda *_: range(6))
    monkeypatch.setattr(reading, "render_part", lambda *_: torch.zeros(8, 8, 3))
    nowhere: Any = SimpleNamespace(timed=lambda name: nullcontext())
    first, second = read_parts(nowhere, guide, [BALLS, CUBES], "a cat", text._no_doubt)
    assert second > first


@st.composite
def readings(draw: st.DrawFn) -> List[Tuple[float, ...]]:
    """Log-likelihoods of one to three parts in all views."""
    value = st.floats(UNLIKELIEST, 0.0)
    return draw(st.lists(st.tuples(*[value] * LOOKS), min_size=1, max_size=3))


@given(readings())
def test_what_is_beyond_doubt_early_is_what_all_views_say(parts: List[Tuple[float, ...]]) -> None:
    means = [sum(part) / LOOKS for part in parts]
    for seen in range(1, LOOKS):
        known = [sum(part[:seen]) / LOOKS for part in parts]
        lowest = [value + UNLIKELIEST * (LOOKS - seen) / LOOKS for value in known]
        if text._no_doubt(lowest, known):
            early = max(range(len(parts)), key=lambda part: sum(parts[part][:seen]))
            assert early == max(range(len(parts)), key=means.__getitem__)
            assert means[early] >= text.DOUBTFUL - 1e-9
