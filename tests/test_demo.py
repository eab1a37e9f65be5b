"""The demo's pieces, each with the real thing behind it: nerfstudio's data parser, its camera paths, files on disk."""

from __future__ import annotations

import gzip
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blending_nerf_ns.demo.__main__ import parse
from blending_nerf_ns.demo.capture import (
    CaptureShape,
    demo_capture_scene,
    find_subject,
    held_out_views,
    object_name,
    read_mask,
    write_capture,
)
from blending_nerf_ns.demo.commands import environment, run
from blending_nerf_ns.demo.path import camera_path, orbit, to_nerfstudio
from blending_nerf_ns.demo.report import (
    PICTURES,
    demo_sheet,
    masks,
    pick_distractor,
    picture_figures,
    read_held_out,
)
from blending_nerf_ns.demo.run import MARKER, Demo, run_demo, start_afresh
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.reporting.sheet import contact_sheet, sheet_size

SCENE = demo_capture_scene()
SMALL = CaptureShape(size=24, train_views=5, held_out_views=3)


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "capture"
    write_capture(folder, SCENE, find_subject(SCENE, "a red ball"), SMALL)
    return folder


def parse_split(capture: Path, split: str):
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    return NerfstudioDataParserConfig(data=capture).setup().get_dataparser_outputs(split=split)


# -- the capture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a red ball", "red ball"),
        ("the red sphere", "red ball"),
        ("a green donut", "green donut"),
        ("the torus", "green donut"),
        ("something blue", "blue cone"),
        ("a green toy", "green donut"),
        ("a red box", "red cube"),
    ],
)
def test_the_subject_is_the_object_that_the_source_text_names(text, name):
    assert object_name(SCENE.things[find_subject(SCENE, text)]) == name


@pytest.mark.parametrize(("text", "problem"), [("a red thing", "several"), ("a blue ball", "none"), ("a fox", "none")])
def test_a_source_text_that_names_no_single_object_lists_them(text, problem):
    with pytest.raises(BlendingNerfError, match=f"{problem}.*a red ball, a red cube, a blue cone, a green donut"):
        find_subject(SCENE, text)


def test_defaults_are_what_the_demo_promises():
    shape = CaptureShape()
    assert shape.size >= 96
    assert shape.train_views >= 60
    assert shape.held_out_views >= 12
    assert shape.smallest_share >= 0.03
    assert Demo().video_frames == 60


def test_every_object_is_well_seen_from_some_held_out_cameras():
    shape = CaptureShape(size=48, held_out_views=12)
    for subject in range(len(SCENE.things)):
        assert len(held_out_views(SCENE, subject, shape)) == 12


def test_cameras_that_are_too_far_are_refused():
    with pytest.raises(BlendingNerfError, match=r"from no side the red ball covers 3%.*nearer than 20"):
        held_out_views(SCENE, 0, CaptureShape(size=48, distance=20.0))


def test_nerfstudio_reads_the_capture(capture):
    train, test = parse_split(capture, "train"), parse_split(capture, "test")
    assert [f.name for f in train.image_filenames] == [f"train_{i:03d}.png" for i in range(5)]
    assert [f.name for f in test.image_filenames] == [f"test_{i:03d}.png" for i in range(3)]
    assert parse_split(capture, "val").image_filenames == test.image_filenames
    assert train.mask_filenames is None
    assert float(train.cameras.fx[0]) == pytest.approx(12 / math.tan(math.radians(22.5)))
    assert (int(train.cameras.width[0]), int(train.cameras.height[0])) == (24, 24)


def test_masks_tell_the_objects_apart(capture):
    for view in ("train_000", "test_002"):
        seen = np.stack([read_mask(capture, thing, view) for thing in SCENE.things])
        assert seen.sum(0).max() == 1
        assert seen[0].mean() > 0.02  # the ball; a mask of 24 pixels is coarser than the check that chose the view
        photo = np.asarray(Image.open(capture / "images" / f"{view}.png"), dtype=float)
        ball = photo[seen[0]].mean(0)
        assert ball[0] > 2 * max(ball[1:])


# -- the video's path -----------------------------------------------------------------------------------------------


def save_transforms(outputs, folder: Path) -> None:
    outputs.save_dataparser_transform(folder / "dataparser_transforms.json")


def test_poses_arrive_where_nerfstudio_puts_the_capture(capture, tmp_path):
    outputs = parse_split(capture, "train")
    frames = json.loads((capture / "transforms.json").read_text())["frames"]
    for i in range(5):
        pose = np.array(frames[i]["transform_matrix"])
        moved = to_nerfstudio(pose, outputs.dataparser_transform.numpy(), outputs.dataparser_scale)
        np.testing.assert_allclose(moved[:3], outputs.cameras.camera_to_worlds[i].numpy(), atol=1e-5)


def test_nerfstudio_reads_the_camera_path(capture, tmp_path):
    from nerfstudio.cameras.camera_paths import get_path_from_json

    outputs = parse_split(capture, "train")
    save_transforms(outputs, tmp_path)
    shape = CaptureShape(size=24)
    cameras = get_path_from_json(json.loads(json.dumps(camera_path(tmp_path, shape, size=24, frames=6))))
    assert len(cameras) == 6
    assert float(cameras.fx[0]) == pytest.approx(shape.focal, rel=1e-5)
    assert cameras.times is None  # a time would scale strengths that depend on it
    expected = to_nerfstudio(orbit(6, 4.0)[2], outputs.dataparser_transform.numpy(), outputs.dataparser_scale)
    np.testing.assert_allclose(cameras.camera_to_worlds[2].numpy(), expected[:3], atol=1e-5)


# -- contact sheet and figures --------------------------------------------------------------------------------------


def test_contact_sheet_has_its_size_and_its_pictures():
    red, amount = np.zeros((2, 8, 8, 3)), np.ones((2, 8, 8, 1))
    red[..., 0] = 1.0
    sheet = contact_sheet({"original": red, "added": amount}, ["000", "005"], cell=16)
    assert sheet.size == sheet_size(2, 2, 16)
    pixels = np.asarray(sheet)
    assert (pixels == [255, 0, 0]).all(-1).sum() == 2 * 16 * 16
    brightest = pixels[28 + 8, 52 + 16 + 4 + 8]
    assert brightest.sum() > 2.3 * 255


def test_contact_sheet_keeps_a_pictures_proportions():
    """An upright photo has paper at its sides, in a column of amounts as well, and nothing is stretched."""
    upright, amount, wide = np.zeros((16, 8, 3)), np.zeros((16, 8, 1)), np.zeros((4, 8, 3))
    pixels = np.asarray(contact_sheet({"original": [upright, wide], "added": [amount, amount]}, ["0", "1"], cell=16))
    cells = [pixels[28 + y : 28 + y + 16, 52 + x : 52 + x + 16].max(-1) for y in (0, 20) for x in (0, 20)]
    upright_cell = np.full((16, 16), 255)
    upright_cell[:, 4:12] = 0
    wide_cell = np.full((16, 16), 255)
    wide_cell[4:12] = 0
    amount_cell = np.where(upright_cell == 0, 4, 255)  # inferno begins a little above black
    for cell, expected in zip(cells, (upright_cell, amount_cell, wide_cell, amount_cell), strict=True):
        np.testing.assert_array_equal(cell, expected)


def test_contact_sheet_refuses_a_column_of_another_length():
    with pytest.raises(ValueError, match="'added' has 1 pictures for 2 rows"):
        contact_sheet({"added": np.zeros((1, 8, 8, 1))}, ["0", "1"])


@pytest.fixture
def renders(capture, tmp_path) -> Path:
    """What ns-render would write if the base were perfect and the ball were painted in pure blue."""
    for i in range(3):
        name = f"test_{i:03d}"
        photo = np.asarray(Image.open(capture / "images" / f"{name}.png"), dtype=np.float32) / 255
        ball = read_mask(capture, SCENE.things[0], name)
        arrays = {output: np.where(ball, 0.5, 0.0)[..., None].astype(np.float32) for output in PICTURES[2:]}
        arrays |= {"original": photo, "rgb": np.where(ball[..., None], np.array([0.1, 0.2, 0.9], np.float32), photo)}
        for output, values in arrays.items():
            folder = tmp_path / "test" / f"raw-{output}"
            folder.mkdir(parents=True, exist_ok=True)
            with gzip.GzipFile(folder / f"{name}.npy.gz", "wb") as file:
                np.save(file, values)
    return tmp_path


def test_figures_of_a_perfect_edit(capture, renders):
    views = read_held_out(capture, renders)
    assert views.names == ["test_000", "test_001", "test_002"]
    ball, cube = (masks(capture, SCENE, i, views.names) for i in (0, 1))
    figures = picture_figures(views, ball, cube, "a blue ball")
    assert figures["base_psnr"] == 99.0
    assert figures["target_hue_fraction"] == 1.0
    assert figures["target_hue_fraction_before"] == 0.0
    assert figures["distractor_hue_fraction"] == {"before": 0.0, "after": 0.0}
    assert figures["psnr_outside"] == 99.0
    assert figures["mean_changed"] == pytest.approx(0.5 * ball.mean())
    assert demo_sheet(views).size == sheet_size(3, 6, 144)


def test_a_target_without_a_hue_has_no_hue_fraction(capture, renders):
    views = read_held_out(capture, renders)
    ball = masks(capture, SCENE, 0, views.names)
    figures = picture_figures(views, ball, ball, "a white ball")
    assert figures["target_hue_fraction"] is None
    assert figures["distractor_hue_fraction"] == {"before": None, "after": None}


def test_the_distractor_is_never_the_subject():
    names = [object_name(SCENE.things[pick_distractor(SCENE, i)]) for i in range(4)]
    assert names == ["red cube", "red ball", "red cube", "red cube"]


# -- running --------------------------------------------------------------------------------------------------------


def test_starting_afresh_empties_only_a_demo_folder(tmp_path):
    folder = tmp_path / "demo"
    start_afresh(folder)
    (folder / "old.txt").write_text("from the run before")
    start_afresh(folder)
    assert [f.name for f in folder.iterdir()] == [MARKER]

    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "holiday.png").touch()
    with pytest.raises(BlendingNerfError, match="no demo wrote"):
        start_afresh(mine)
    assert (mine / "holiday.png").exists()
    (tmp_path / "link").symlink_to(folder)
    start_afresh(tmp_path / "link")
    assert [f.name for f in folder.iterdir()] == [MARKER] and (tmp_path / "link").is_symlink()
    with pytest.raises(BlendingNerfError, match="is a file; name a folder"):
        start_afresh(mine / "holiday.png")


def test_starting_afresh_leaves_the_folder_itself_where_it_is(tmp_path, monkeypatch):
    """Something may be mounted there, or somebody be in it."""
    folder = tmp_path / "demo"
    start_afresh(folder)
    (folder / "run" / "deep").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path)
    place = folder.stat().st_ino
    monkeypatch.chdir(folder)
    start_afresh(Path())
    assert [f.name for f in folder.iterdir()] == [MARKER] and folder.stat().st_ino == place and tmp_path.exists()


def test_what_cannot_be_emptied_is_said(tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    start_afresh(folder)
    (folder / "old.txt").touch()

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(BlendingNerfError, match=r"cannot be made or emptied .*old.txt.*--output"):
        start_afresh(folder)


def test_a_program_whose_python_has_gone_is_said(tmp_path):
    program = tmp_path / "ns-train"
    program.write_text("#!/nowhere/python\n")
    program.chmod(0o755)
    with pytest.raises(BlendingNerfError, match=r"cannot be run .*moved"):
        run([str(program)], {})


@pytest.mark.parametrize(("target", "said"), [("A red ball", "are both"), (" ", "^--target is empty")])
def test_words_that_ns_train_would_refuse_do_not_cost_the_demo_before(tmp_path, target, said):
    start_afresh(tmp_path / "demo")
    film = tmp_path / "demo" / "before_after.mp4"
    film.write_bytes(b"of yesterday")
    with pytest.raises(BlendingNerfError, match=said):
        run_demo(Demo(source="a red ball", target=target, output=tmp_path / "demo"))
    assert film.read_bytes() == b"of yesterday"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"method": "blending-nerf-cppu"}, "--method blending-nerf-cppu"), ({"video_size": 0}, "--video-size 0")],
)
def test_flags_that_cannot_work_do_not_cost_the_demo_before(tmp_path, wrong, said):
    start_afresh(tmp_path / "demo")
    film = tmp_path / "demo" / "before_after.mp4"
    film.write_bytes(b"of yesterday")
    with pytest.raises(BlendingNerfError, match=said):
        run_demo(Demo(output=tmp_path / "demo", **wrong))
    assert film.read_bytes() == b"of yesterday"


def test_an_unknown_object_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(BlendingNerfError, match="name one of them"):
        run_demo(Demo(source="a fox", output=tmp_path / "demo"))
    assert not (tmp_path / "demo").exists()


def test_a_command_that_fails_says_which(tmp_path, capfd):
    with pytest.raises(BlendingNerfError, match="status 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"], environment(tmp_path / "bin"))
    assert "SystemExit(3)" in capfd.readouterr().out


def test_commands_find_an_ffmpeg(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    found = shutil.which("ffmpeg", path=environment(tmp_path / "bin")["PATH"])
    assert found is not None
    assert Path(found) == (tmp_path / "bin").resolve() / "ffmpeg"
    before = Path(found).lstat().st_mtime_ns
    environment(tmp_path / "bin")
    assert Path(found).lstat().st_mtime_ns == before, "another process may be running it"


def test_command_line():
    demo = parse(["--source", "a green donut", "--target", "an orange donut", "--", "--pipeline.edit-steps", "20"])
    assert (demo.source, demo.target) == ("a green donut", "an orange donut")
    assert demo.output == Path("outputs/demo")
    assert parse([]) == Demo()  # an option left out is the default, none of its own
    assert demo.train_arguments == ("--pipeline.edit-steps", "20")
