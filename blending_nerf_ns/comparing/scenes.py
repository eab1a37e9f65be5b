"""The scenes of the table: the demo's, which is drawn, and any capture with a file that says its masks and edits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from blending_nerf_ns.comparing.cases import REGION_PLACES, EditCase, SceneCase, edit_of
from blending_nerf_ns.comparing.drawing import Drawing
from blending_nerf_ns.demo.capture import CaptureShape, demo_capture_scene, object_folder
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.procedural.scene import Scene, primitive

DEMO = "demo"
PARTS = {"name", "masks", "train_flags", "edits", "development"}
"""Of a scene's file."""
YELLOW = (0.90, 0.80, 0.10)
DEMO_EDITS = (
    EditCase("recolour", "a red ball", "a blue ball", ("change",)),
    EditCase(
        "add",
        "a red cube",
        "a green ball on top of a red cube",
        ("add",),
        {"grow": "up", "margin-distance": "0.15"},
        room="above",
    ),
    EditCase("remove", "a green donut", "an empty floor", ("remove",)),
    EditCase("replace", "a red ball", "a yellow cube", room="around"),
)


def demo_edited() -> Dict[str, Scene]:
    """The demo's scene with each of its edits made."""
    scene = demo_capture_scene()
    ball, cube, cone, donut = scene.things
    side = cube.parts[0].size
    top, radius = 2.0 * side[2], 0.8 * side[2]
    green_ball = primitive("ball", "green", donut.rgb, (*cube.parts[0].centre[:2], top + radius), (radius,) * 3)
    place = (*ball.parts[0].centre[:2], side[2])
    yellow_cube = primitive("cube", "yellow", YELLOW, place, side, cube.parts[0].rotation)
    edited = {
        "recolour": (replace(ball, colour="blue", rgb=cone.rgb), cube, cone, donut),
        "add": (ball, cube, cone, donut, green_ball),
        "remove": (ball, cube, cone),
        "replace": (yellow_cube, cube, cone, donut),
    }
    return {name: replace(scene, things=things) for name, things in edited.items()}


def demo_case(edits: Sequence[EditCase] = DEMO_EDITS) -> SceneCase:
    """The demo's scene; its ground truth is known from everywhere, and what its own edits would be."""
    own = {edit.name for edit in edits if edit in DEMO_EDITS}
    perfect = {name: scene for name, scene in demo_edited().items() if name in own}
    return SceneCase(DEMO, tuple(edits), drawing=Drawing(demo_capture_scene(), perfect=perfect), masks=("demo",))


def drawn_case(
    name: str, scene: Scene, subject: int, edits: Sequence[EditCase], shape: Optional[CaptureShape] = None
) -> SceneCase:
    """Another drawn scene, whose ground truth lies beside its photos.

    Args:
        name: of the scene.
        scene: what is photographed.
        subject: index of the object that all edits are of.
        edits: of it.
        shape: how many photos, from where.
    """
    masks = object_folder(Path("{capture}"), scene.things[subject])
    drawing = Drawing(scene, subject, shape or CaptureShape())
    return SceneCase(name, tuple(edits), drawing=drawing, masks=("images", str(masks)))


def read_scene(file: Path, captures: Mapping[str, Path]) -> SceneCase:
    """A scene from its file.

    Args:
        file: JSON: {"name": "mic", "masks": ["alpha"], "train_flags": [...], "edits": [{"name": "recolour", "source_text": ...,
            "target_text": ..., "operations": [...], "region": {"margin": "0.1"}, "room": "above"}, ...]}. Files that masks and
            regions name lie beside it.
        captures: where the captures lie, by the scenes' names: a scene's file says nothing of the disk it is on.

    Raises:
        BlendingNerfError: no such file, not of this form, or a capture that is not named or not there.
    """
    try:
        content: Any = json.loads(file.read_text())
        if unknown := sorted(set(content) - PARTS):
            raise ValueError(f"no scene has {', '.join(map(repr, unknown))}; there are {', '.join(sorted(PARTS))}")
        name, edits = str(content["name"]), tuple(_placed(edit_of(values), file.parent) for values in content["edits"])
        masks, flags = (words_of(content, name, usual) for name, usual in (("masks", ["none"]), ("train_flags", [])))
    except OSError as error:
        raise BlendingNerfError(f"there is no scene {file}: name {DEMO}, or a scene's JSON file") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BlendingNerfError(f"{file} is no scene: {error!r}; wanted name, masks and edits") from error
    if name not in captures:
        raise BlendingNerfError(f"the scene {name} needs its capture: add --data {name}=FOLDER")
    if not captures[name].exists():
        raise BlendingNerfError(f"the capture of {name}, {captures[name]}, is not there")
    if not captures[name].is_dir():
        raise BlendingNerfError(f"the capture of {name}, {captures[name]}, is a file: name the folder that it lies in")
    beside = tuple(str((file.parent / word).resolve()) if i else word for i, word in enumerate(masks))
    return SceneCase(
        name,
        edits,
        captures[name].resolve(),
        masks=beside,
        train_flags=flags,
        development=bool(content.get("development", False)),
    )


def _placed(edit: EditCase, folder: Path) -> EditCase:
    """The edit with what its region is read from, in full."""
    found = {name: str((folder / edit.region[name]).resolve()) for name in REGION_PLACES if name in edit.region}
    return replace(edit, region={**edit.region, **found})


def words_of(content: Mapping[str, Any], name: str, usual: List[str]) -> Tuple[str, ...]:
    """A list of words in a scene's file.

    Raises:
        TypeError: it is no list; of a string each letter would be one.
    """
    words = content.get(name, usual)
    if not isinstance(words, list):
        raise TypeError(f"{name} is {words!r}, wanted a list")
    return tuple(str(word) for word in words)


def read_scenes(names: Sequence[str], data: Sequence[str]) -> List[SceneCase]:
    """Scenes as the command line names them.

    Args:
        names: "demo", or scenes' files.
        data: "NAME=FOLDER" for each scene that is not drawn, and for no other.
    """
    wrong = [word for word in data if not all(word.partition("="))]
    if wrong:
        raise BlendingNerfError(f"--data {wrong[0]}: wanted NAME=FOLDER")
    captures = {name: Path(folder).expanduser() for name, _, folder in (word.partition("=") for word in data)}
    scenes = [demo_case() if name == DEMO else read_scene(Path(name), captures) for name in names]
    if unasked := sorted(captures.keys() - {scene.name for scene in scenes if scene.drawing is None}):
        raise BlendingNerfError(
            f"--data {unasked[0]}={captures[unasked[0]]}: no scene of that name that has photos is asked for; add its file to --scenes"
        )
    return scenes
