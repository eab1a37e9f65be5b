"""A viewer's base remembers its last pictures: the same numbers, without rendering them again."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.model_components.renderers import background_color_override_context
from tiny_run import tiny_model

from blending_nerf_ns.bases.memory import MOST_PICTURES
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.reporting.pictures import own_region, render_pictures

SIZE = 12


def camera(away: float = 1.5, size: int = SIZE) -> Cameras:
    pose = torch.eye(4)[None, :3].clone()
    pose[0, 2, 3] = away
    return Cameras(pose, fx=1.0 * size, fy=1.0 * size, cx=size / 2, cy=size / 2, width=size, height=size)


@pytest.fixture
def model() -> BlendingModel:
    return tiny_model()


@pytest.fixture
def rendered(model: BlendingModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the chunks that the base itself rendered."""
    lengths: list[int] = []
    render = model.base.render

    def counted(bundle):
        lengths.append(len(bundle))
        return render(bundle)

    monkeypatch.setattr(model.base, "render", counted)
    return lengths


def picture(model: BlendingModel, view: Cameras) -> dict[str, torch.Tensor]:
    return model.get_outputs_for_camera(view)


def test_a_slider_moves_the_edit_alone(model: BlendingModel, rendered: list[int]) -> None:
    fresh = {change: picture(at_strength(model, change), camera()) for change in (1.0, 0.25)}
    rendered.clear()
    model.seen.most_bytes = 1 << 26
    for change in (1.0, 0.25, 1.0):
        again = picture(at_strength(model, change), camera())
        assert all(torch.equal(again[name], value) for name, value in fresh[change].items())
    assert rendered == [64, 64, 16], "twelve by twelve pixels, once"


def at_strength(model: BlendingModel, change: float) -> BlendingModel:
    model.set_strengths(change=change)
    return model


def test_another_camera_size_or_background_is_another_picture(model: BlendingModel, rendered: list[int]) -> None:
    model.seen.most_bytes = 1 << 26
    for view in (camera(), camera(1.6), camera(size=6), camera()):
        picture(model, view)
    assert rendered == [64, 64, 16, 64, 64, 16, 36]
    with background_color_override_context(torch.tensor([1.0, 0.0, 0.0])):
        red = picture(model, camera())
    assert len(rendered) == 10 and not torch.equal(red["original"], picture(model, camera())["original"])
    assert len(rendered) == 10


def test_few_pictures_are_remembered_however_small(model: BlendingModel, rendered: list[int]) -> None:
    model.seen.most_bytes = 1 << 26
    for number in range(MOST_PICTURES + 2):
        picture(model, camera(1.6 + 0.1 * number, size=6))
    assert len(rendered) == MOST_PICTURES + 2 and len(model.seen._pictures) == MOST_PICTURES
    picture(model, camera(1.6, size=6))
    assert len(rendered) == MOST_PICTURES + 3, "the oldest is forgotten"


def test_no_more_is_remembered_than_may_be(model: BlendingModel, rendered: list[int]) -> None:
    model.seen.most_bytes = 1 << 26
    picture(model, camera())
    of_one = model.seen._held
    model.seen.most_bytes = int(1.5 * of_one)
    picture(model, camera(1.6))
    assert 0 < model.seen._held <= 1.5 * of_one
    rendered.clear()
    picture(model, camera(1.6))
    assert rendered == [], "the newest stays"
    model.seen.most_bytes = of_one // 2
    model.seen._pictures.clear()
    rendered.clear()
    for _ in range(2):
        picture(model, camera())
    assert rendered == [64, 64, 16, 64, 16], "what does not fit is rendered each time"


def test_other_chunks_and_a_base_in_training_are_rendered(model: BlendingModel, rendered: list[int]) -> None:
    model.seen.most_bytes = 1 << 26
    picture(model, camera())
    model.config.eval_num_rays_per_chunk = 100
    picture(model, camera())
    assert rendered == [64, 64, 16, 100, 44]
    model.base_frozen.fill_(False)
    picture(model, camera())
    assert rendered[5:] == [100, 44], "it changes with every step"


def test_who_looks_again_and_again_gets_more_memory_for_a_while(model: BlendingModel, rendered: list[int]) -> None:
    cameras = [camera(1.0 + 0.1 * number, size=6) for number in range(6)]
    views = Cameras(torch.cat([one.camera_to_worlds for one in cameras]), 6.0, 6.0, 3.0, 3.0, 6, 6)
    with model.seen.remembering(1 << 26):
        for change in (1.0, 0.5):
            pictures = render_pictures(at_strength(model, change), views, "", bar=False)
        own = own_region(model, model.edit, views)
        assert rendered == [36] * 6, "each view once"
        of_six = model.seen._held
    again = own_region(model, model.edit, views)
    assert torch.equal(own.share, again.share) and torch.equal(own.silhouette, again.silhouette)
    assert torch.equal(pictures.original, render_pictures(model, views, "", bar=False).original)
    assert model.seen._held == model.seen.most_bytes == 0

    rendered.clear()
    with model.seen.remembering(of_six // 2):
        for _ in range(3):
            render_pictures(model, views, "", bar=False)
    assert rendered == [36] * (6 + 3 + 3), "what came first stays"
