"""From where a report looks: between the training cameras, or where photos were taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from tiny_run import ring

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.reporting.build import choose_views, told_of, trained_on
from blending_nerf_ns.reporting.options import ReportOptions
from blending_nerf_ns.reporting.views import find_view, novel_views, path_order, photo_views, view_gaps


def files(count: int) -> list[Path]:
    return [Path(f"images/photo_{i}.png") for i in range(count)]


def test_novel_views_lie_between_training_cameras_and_look_at_the_same_thing() -> None:
    training = ring(24)
    views = novel_views(training, 6, longest=8)
    assert views.files is None and len(views.names) == len(views.cameras) == 6 and views.size == (8, 8)
    poses, known = views.cameras.camera_to_worlds, training.camera_to_worlds
    gaps = torch.cdist(poses[:, :, 3], known[:, :, 3])
    assert float(gaps.min()) > 0.05, "none is a training view"
    assert float(poses[:, :, 3].norm(dim=-1).min()) > 1.2, "none cuts through the scene"
    towards = -poses[:, :, 3] / poses[:, :, 3].norm(dim=-1, keepdim=True)
    assert float((-poses[:, :, 2] * towards).sum(-1).min()) > 0.99
    assert torch.allclose(poses[:, :, :3].transpose(1, 2) @ poses[:, :, :3], torch.eye(3).expand(6, 3, 3), atol=1e-5)
    assert float(views.cameras.fx[0]) == pytest.approx(8.0), "the lens shrinks with the picture"


def test_novel_views_are_at_most_as_many_as_cameras_and_never_twice_the_same() -> None:
    views = novel_views(ring(5), 12, longest=64)
    assert len(views.names) == 5 and views.size == (12, 12)
    gaps = torch.cdist(views.cameras.camera_to_worlds[:, :, 3], views.cameras.camera_to_worlds[:, :, 3])
    assert float((gaps + torch.eye(5)).min()) > 0.1
    with pytest.raises(BlendingNerfError, match="1 training camera"):
        novel_views(ring(1), 4, 64)


def test_a_place_that_was_photographed_twice_is_one() -> None:
    """With another exposure, say."""
    once = ring(8)
    views = novel_views(once[torch.arange(8).repeat(2)], 12, longest=64).cameras.camera_to_worlds[:, :, 3]
    assert len(views) == 8 and float(torch.cdist(views, once.camera_to_worlds[:, :, 3]).min()) > 0.05
    assert float((torch.cdist(views, views) + torch.eye(8)).min()) > 0.05
    with pytest.raises(BlendingNerfError, match=r"3 training camera\(s\) at 1 place\(s\)"):
        novel_views(once[torch.tensor([2, 2, 2])], 4, 64)


def test_photo_views_are_spread_and_follow_a_path() -> None:
    views = photo_views("test", ring(9)[torch.tensor([0, 5, 1, 6, 2, 7, 3, 8, 4])], files(9), 9, 64)
    gaps = view_gaps(views.cameras.camera_to_worlds)
    assert torch.allclose(gaps.diagonal(1), gaps.diagonal(1).min().expand(8), rtol=1e-4), "each next to the one before"
    assert views.files is not None and [file.stem for file in views.files] == views.names
    some = photo_views("test", ring(9), files(9), 2, 64)
    assert sorted(some.names) == ["photo_0", "photo_8"]
    named = photo_views("train", ring(9), files(9), 12, 64, only=["images/photo_3.jpg", "photo_5"])
    assert sorted(named.names) == ["photo_3", "photo_5"]
    assert sorted(path_order(ring(4).camera_to_worlds)) == [0, 1, 2, 3]


def test_a_name_with_dots_is_one_without_its_ending_too() -> None:
    photos = [Path("images/frame.png"), Path("images/frame.1.png"), Path("images/1305.17.png")]
    for name, wanted in (("frame", 0), ("frame.png", 0), ("frame.1", 1), ("images/frame.1.png", 1), ("1305.17", 2)):
        assert find_view(name, photos, "test") == wanted
    with pytest.raises(BlendingNerfError, match="0 of the 3"):
        find_view("1305", photos, "test")


def test_a_view_that_is_not_there_is_refused() -> None:
    with pytest.raises(BlendingNerfError, match=r"0 of the 3 test views are called 'other.png'.*photo_0"):
        find_view("other.png", files(3), "test")
    with pytest.raises(BlendingNerfError, match="no test views"):
        photo_views("test", ring(2), [], 2, 64)


def test_of_portrait_and_landscape_the_more_frequent_is_chosen_and_that_is_said() -> None:
    mixed = ring(5)
    mixed.width, mixed.height = (
        torch.tensor([[12], [16], [12], [16], [12]]),
        torch.tensor([[16], [12], [16], [12], [16]]),
    )
    views = photo_views("test", mixed, files(5), 4, 64)
    assert sorted(views.names) == ["photo_0", "photo_2", "photo_4"] and views.size == (16, 12) and views.left_out == 2
    run: Any = Photographed(train=[Path("other.png")], test=files(5))
    assert told_of(views, run) == ["2 of the test photos are left out: they have another shape than 12 x 16."]
    only = photo_views("test", mixed, files(5), 4, 64, ["photo_1.png", "photo_3.png", "photo_4.png"])
    assert sorted(only.names) == ["photo_1", "photo_3"] and only.left_out == 1
    assert told_of(photo_views("test", ring(5), files(5), 4, 64), run) == []


@pytest.mark.parametrize("sizes", [((1080, 720), (1200, 800)), ((6000, 4000), (3000, 2000)), ((1006, 756), (503, 378))])
def test_photos_of_one_shape_have_one_size_and_no_pixel_is_lost(sizes: tuple[tuple[int, int], ...]) -> None:
    """In float32 1080 * (192 / 1080) is a little less than 192."""
    cameras = ring(2)
    cameras.width, cameras.height = (torch.tensor([[size[axis]] for size in sizes]) for axis in (0, 1))
    views = photo_views("test", cameras, files(2), 2, 192)
    assert len(views.names) == 2 and views.left_out == 0 and views.size[1] == 192


class Photographed:
    """A run, as far as its photos go."""

    def __init__(self, train: list[Path], test: list[Path]) -> None:
        self._files = {"train": train, "test": test}

    def photos(self, kind: str) -> tuple[Cameras, list[Path]]:
        return ring(len(self._files[kind])), self._files[kind]


def test_an_outline_file_may_hold_photos_of_both_splits() -> None:
    run: Any = Photographed(train=files(6)[:4], test=files(6)[4:])
    options = ReportOptions(views="test")
    assert choose_views(run, options, {"photo_1.png": [], "photo_4.png": []}).names == ["photo_4"]
    with pytest.raises(BlendingNerfError, match=r"0 of the 2 test views are called 'photo_1\.png'"):
        choose_views(run, options, {"photo_1.png": []})


def test_photos_that_were_trained_on_are_not_held_out() -> None:
    """nerfstudio's `--eval-mode all` has all photos in both splits."""
    for train, said in ((files(6), ["2 of the 2 test photos were trained on: they are not held out."]), (files(4), [])):
        run: Any = Photographed(train=train, test=files(6)[4:])
        assert trained_on(choose_views(run, ReportOptions(views="test"), None), run) == said
        assert trained_on(choose_views(run, ReportOptions(views="train"), None), run) == []
