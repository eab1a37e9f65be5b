"""From a text to a region on a drawn scene, with the embedded localiser and guide: real networks, exact geometry."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from blending_nerf_ns.demo.capture import demo_capture_scene, orbit_pose, spiral
from blending_nerf_ns.errors import BlendingNerfError, NothingFound
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.localization import views
from blending_nerf_ns.localization.alternatives import other_texts
from blending_nerf_ns.localization.build import FoundRegion, build_region
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.parts import nearest_part
from blending_nerf_ns.localization.views import FrozenScene, close_cameras, even_cameras, look
from blending_nerf_ns.procedural.base import ProceduralBase, square_photographs
from blending_nerf_ns.procedural.render import render
from blending_nerf_ns.procedural.scene import Scene, primitive

pytestmark = pytest.mark.slow

SIZE, FOCAL, VIEWS = 64, 77.0, 12
BALL, CUBE = torch.tensor([0.75, 0.65, 0.45]), torch.tensor([-0.75, 0.70, 0.38])
CONFIG = RegionConfig(threshold=0.4, views=8, close_ups=4, image_size=SIZE)


def poses() -> torch.Tensor:
    directions = spiral(VIEWS, 25.0, 65.0, 0.3)
    return torch.tensor(np.stack([orbit_pose(a, e, 4.0)[:3] for a, e in directions]), dtype=torch.float32)


def scene(drawn: Scene | None = None) -> FrozenScene:
    return FrozenScene(ProceduralBase(drawn or demo_capture_scene()), square_photographs(poses(), FOCAL, SIZE))


def found(text: str = "", images: tuple[Path, ...] = (), drawn: Scene | None = None, **changes) -> FoundRegion:
    guide = load_clip("embedded", None, "cpu")
    return build_region(replace(CONFIG, **changes), scene(drawn), text, 48, lambda: guide, images)


def weight(region: FoundRegion, place: torch.Tensor) -> float:
    return float(region.region.weight_at(place[None])[0])


def test_a_text_finds_the_ball_and_not_the_cube_of_its_colour() -> None:
    region = found("a red ball")
    assert weight(region, BALL) > 0.9 and weight(region, CUBE) == 0.0
    assert 0.4 < region.highest <= 1.0 and 0.0 < region.covered < 0.3
    assert {"render", "localize", "fuse"} <= set(region.seconds)


def test_seconds_of_a_part_are_not_those_of_what_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 4.0, 6.0])  # parts begin, render begins and ends, parts end
    monkeypatch.setattr(views.time, "perf_counter", lambda: next(moments))
    looked_at = scene()
    with looked_at.timed("parts"), looked_at.timed("render"):
        pass
    assert dict(looked_at.seconds) == {"render": 3.0, "parts": 3.0}


def test_the_part_nearest_to_a_point_wins() -> None:
    region = found("a red toy", keep="nearest", point=tuple(CUBE.tolist()))
    assert weight(region, CUBE) > 0.9 and weight(region, BALL) == 0.0


def test_text_and_solids() -> None:
    away = {"sphere_center": tuple(BALL.tolist()), "sphere_radius": 0.7}
    both = found("a red toy", source="text & sphere", keep="all", **away)
    assert weight(both, BALL) > 0.9 and weight(both, CUBE) == 0.0
    other = found("a red toy", source="text - sphere", keep="all", **away)
    assert weight(other, BALL) == 0.0 and weight(other, CUBE) > 0.9
    either = found("a red ball", source="text | box", box_center=(0.0, 0.0, 1.2), box_size=(0.4, 0.4, 0.4))
    assert weight(either, BALL) > 0.9 and weight(either, torch.tensor([0.0, 0.0, 1.2])) > 0.9


RED = (0.85, 0.1, 0.1)
TWO = (0.9, 0.7, 0.45), (-0.9, -0.7, 0.4)
"""Centres of two red balls, and with their heights their radii."""


@pytest.mark.parametrize("keep", ["best", "largest"])
@pytest.mark.parametrize(
    ("around", "source"), [(0, "text & box"), (1, "text & box"), (0, "text - box"), (1, "text - box")]
)
def test_of_two_alike_the_one_that_a_box_leaves_is_found(around: int, source: str, keep: str) -> None:
    balls = tuple(primitive("ball", "red", RED, centre, (centre[2],) * 3) for centre in TWO)
    drawn = replace(demo_capture_scene(), things=balls)
    region = found(
        "a red ball", drawn=drawn, source=source, keep=keep, box_center=TWO[around], box_size=(1.2, 1.2, 1.2)
    )
    wanted = around if "&" in source else 1 - around
    there, elsewhere = (torch.tensor(TWO[which]) for which in (wanted, 1 - wanted))
    assert weight(region, there) > 0.9 and weight(region, elsewhere) == 0.0


@pytest.mark.parametrize("keep", ["nearest", "best", "largest"])
def test_a_little_of_an_object_is_found_where_a_box_leaves_only_that(keep: str) -> None:
    """The top of a ball, and a slab through it that is thinner than the voxels by which parts are told apart."""
    balls = tuple(primitive("ball", "red", RED, centre, (centre[2],) * 3) for centre in TWO)
    drawn = replace(demo_capture_scene(), things=balls)
    x, y, z = TWO[0]
    for height, thick in ((2 * z, 0.3), (z, 0.03)):
        box: dict[str, Any] = {"box_center": (x, y, height), "box_size": (1.2, 1.2, thick), "point": (x, y, height)}
        region = found("a red ball", drawn=drawn, source="text & box", keep=keep, **box)
        top = torch.tensor([x, y, height - 0.05 if height > z else z])
        assert weight(region, top) > 0.9
        assert weight(region, torch.tensor([x, y, height - 0.5 * thick - 0.1])) == 0.0
        assert weight(region, torch.tensor(TWO[1])) == 0.0


def test_masks_that_mark_nothing_are_what_is_told(tmp_path: Path) -> None:
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    for folder in (photos, masks):
        folder.mkdir()
        for number in range(VIEWS):
            Image.new("L", (SIZE, SIZE)).save(folder / f"{number}.png")
    with pytest.raises(NothingFound, match="the masks mark nothing") as error:
        found("a red ball", tuple(sorted(photos.iterdir())), source="text & masks", masks=masks)
    assert "was not found" not in str(error.value), "the ball is there"


def test_words_that_the_localiser_does_not_know_are_no_alternatives() -> None:
    with pytest.raises(NothingFound, match=r"'a purple walnut' was not found.*finds instead"):
        found("a purple walnut", threshold=0.99)


def photograph(folder: Path, drawn: Scene, thing: int) -> tuple[Path, ...]:
    """Photos in `images`, and masks of an object in every other one of them in `masks`."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    images = []
    for number, pose in enumerate(poses().numpy()):
        rgb, ids = render(drawn, pose, FOCAL, FOCAL, SIZE / 2, SIZE / 2, SIZE, SIZE, 1)
        images.append(folder / "images" / f"{number}.png")
        Image.fromarray((255 * rgb).astype(np.uint8)).save(images[-1])
        if number % 2 == 0:
            Image.fromarray(np.where(ids == thing, 255, 0).astype(np.uint8)).save(folder / "masks" / f"{number}.png")
    return tuple(images)


def test_masks_of_some_images(tmp_path: Path) -> None:
    images = photograph(tmp_path, demo_capture_scene(), 1)
    region = found("", images, source="masks", masks=tmp_path / "masks")
    assert weight(region, CUBE) > 0.9 and weight(region, BALL) == 0.0
    with pytest.raises(BlendingNerfError, match="no folder is named"):
        found("", images, source="masks")


def test_blank_masks_take_no_place_of_those_that_mark(tmp_path: Path) -> None:
    """A folder for a whole capture has many: the object is out of view in most photos."""
    images = photograph(tmp_path, demo_capture_scene(), 1)
    _, spread = even_cameras(scene(), 4, SIZE, range(VIEWS))  # which would be taken of all
    for number, image in enumerate(images):
        if number in spread or number % 2:
            Image.new("L", (SIZE, SIZE)).save(tmp_path / "masks" / image.name)
    region = found("", images, source="masks", masks=tmp_path / "masks", views=4)
    assert weight(region, CUBE) > 0.9 and weight(region, BALL) == 0.0


@pytest.mark.parametrize("source", ["text & masks", "masks & text", "text - masks"])
@pytest.mark.parametrize("marked", [0, 1])
def test_of_two_alike_the_one_that_masks_mark_is_found(marked: int, source: str, tmp_path: Path) -> None:
    balls = tuple(primitive("ball", "red", RED, centre, (centre[2],) * 3) for centre in TWO)
    drawn = replace(demo_capture_scene(), things=balls)
    images = photograph(tmp_path, drawn, marked)
    keep = "all" if "-" in source else "best"  # which is taken away is known only after it has been found
    region = found("a red ball", images, drawn, source=source, keep=keep, masks=tmp_path / "masks")
    wanted = marked if "&" in source else 1 - marked
    there, elsewhere = (torch.tensor(TWO[which]) for which in (wanted, 1 - wanted))
    assert weight(region, there) > 0.9 and weight(region, elsewhere) == 0.0


def test_what_is_not_there_is_an_error_with_the_maximum_and_alternatives() -> None:
    with pytest.raises(NothingFound, match=r"was not found.*threshold.*finds instead") as error:
        found("a yellow cylinder", threshold=0.97)
    assert (
        "the highest probability" in str(error.value)
        and str(error.value).count("0.") + str(error.value).count("1.0") >= 4
    )


def test_an_empty_text_and_one_too_long() -> None:
    with pytest.raises(BlendingNerfError, match="source text is empty"):
        found(" ")
    with pytest.raises(BlendingNerfError, match=r"makes \d+ tokens.*at most 24"):
        found("a red ball " * 10)


def test_a_region_of_nearly_everything_is_called_a_global_edit(capsys: pytest.CaptureFixture[str]) -> None:
    region = found("", source="box", box_size=(6.0, 6.0, 6.0), margin=0.0)
    assert region.covered > 0.95 and "global edit" in " ".join(capsys.readouterr().out.split())


def test_a_map_that_is_no_number_is_refused() -> None:
    views = scene()
    cameras, _ = even_cameras(views, 1, SIZE)
    with pytest.raises(BlendingNerfError, match="NaN"):
        look(views, cameras, lambda pictures, _: [torch.full(pictures[0].shape[:2], torch.nan)], "Broken")


def test_other_texts_are_shorter_and_never_the_same() -> None:
    assert other_texts("a small wooden chair", embedded=False) == [
        "a wooden chair", "a chair", "small", "wooden", "chair", "an object",
    ]  # fmt: skip
    said = ["a wooden chair", "small", "wooden", "an object"]
    assert other_texts("a small wooden chair", embedded=True)[:4] == said, "of a chair alone nothing would be read"
    assert "a ball" in other_texts("chair", embedded=True) and "a ball" not in other_texts("a ball", embedded=True)


def test_the_nearest_part_is_the_one_that_holds_the_point() -> None:
    parts = [(torch.zeros(3), torch.ones(3)), (torch.full((3,), 2.0), torch.full((3,), 3.0))]
    assert nearest_part(parts, torch.full((3,), 0.9)) == 0 and nearest_part(parts, torch.full((3,), 1.8)) == 1
    inside_both = [(torch.zeros(3), torch.full((3,), 9.0)), (torch.full((3,), 1.0), torch.full((3,), 2.0))]
    assert nearest_part(inside_both, torch.full((3,), 1.4)) == 1, "the smaller part around it"


def test_close_ups_look_at_the_box_and_views_are_spread() -> None:
    views = scene()
    cameras = close_cameras(views, (BALL - 0.45, BALL + 0.45), 3, 32)
    towards = torch.nn.functional.normalize(BALL - cameras.camera_to_worlds[:, :, 3], dim=-1)
    assert float((-cameras.camera_to_worlds[:, :, 2] * towards).sum(-1).min()) > 0.999
    chosen, numbers = even_cameras(views, 4, 32, among=[1, 3, 5, 7, 9])
    assert len(chosen) == 4 and set(numbers) <= {1, 3, 5, 7, 9} and int(chosen.width[0]) == 32


def test_what_does_not_look_like_the_text_is_refused() -> None:
    """Nothing purple is in the scene: whatever a low threshold marks, the guide denies."""
    with pytest.raises(NothingFound, match=r"'a purple cone' was not found.*denies.*finds instead"):
        found("a purple cone", threshold=0.05, keep="best")


def test_objects_that_run_together_in_wide_views_are_told_apart_from_nearby(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A red donut leans over to the red cone: a coarse grid has them as one part."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "examples"))
    scenes, measure = import_module("localiser.scenes"), import_module("localiser.measure")
    score = measure.solve(scenes.make_puzzle(502), RegionConfig(threshold=0.4), load_clip("embedded", None, "cpu"))
    assert "1 of them do not belong" in " ".join(capsys.readouterr().out.split())
    assert score.core > 0.7 and score.distractors < 0.05
