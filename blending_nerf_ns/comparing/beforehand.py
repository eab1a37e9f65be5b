"""What can be said before hours are spent: which edits ns-train would refuse, and what their evaluation would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, List

import tyro

from blending_nerf_ns.comparing.asking import BASE_ALONE, base_flags, edit_flags, how_to_evaluate, join_flags
from blending_nerf_ns.comparing.cases import DRAWN, Cell, SceneCase, Workplace
from blending_nerf_ns.comparing.places import ANYWHERE, fill_flags
from blending_nerf_ns.comparing.scoring import parse_options
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.reporting.subject import parse_masks, read_polygons
from blending_nerf_ns.reporting.views import called
from blending_nerf_ns.reporting.workbench import read_prompts


def check_measures(cells: Sequence[Cell], place: Workplace) -> None:
    """Say before hours are spent what their evaluation would refuse.

    Raises:
        BlendingNerfError: flags, masks, prompts or a judge that are not understood, or not there.
    """
    options = parse_options(place.evaluate_flags)
    read_prompts(options.prompts_file)
    for cell in {cell.scene.name: cell for cell in cells}.values():
        scene = cell.scene
        asked = parse_options(how_to_evaluate(cell, place))
        kind, path = parse_masks(asked.masks, asked.views)
        if kind == "polygons" and path is not None:
            _check_outlined(scene, path, asked.views)
        elif kind == "images" and path is not None and scene.drawing is None and not path.is_dir():
            raise BlendingNerfError(f"the masks of {scene.name}, {path}, are not there")
    if cells:
        from blending_nerf_ns.guidance.clip import load_clip

        load_clip(options.judge.model, options.judge.pretrained)


def _check_outlined(scene: SceneCase, path: Path, views: str) -> None:
    """Photos are outlined by their names, and of those that are looked at, where the capture says which these are."""
    outlined = read_polygons(path)
    listed = scene.capture / "transforms.json" if scene.capture is not None else None
    if listed is None or not listed.is_file():
        return
    try:
        content = json.loads(listed.read_text())
        split = content.get(f"{views}_filenames") or [frame["file_path"] for frame in content["frames"]]
        photos = [Path(name) for name in split]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # ns-train says what is wrong with it
    if outlined and photos and not any(called(name, photos) for name in outlined):
        raise BlendingNerfError(
            f"{path} outlines {', '.join(outlined)}, and {scene.name} has no {views} photo of these names"
        )


def check_trainings(cells: Sequence[Cell], place: Workplace) -> None:
    """Say before a base is trained what ns-train would refuse once it is.

    Raises:
        BlendingNerfError: flags that it does not understand, prompts or a region that no edit can be made with, models that there are
            not, or that cannot be fetched; with the edit and the method.
    """
    for scene in {cell.scene.name: cell.scene for cell in cells if cell.method.name != DRAWN}.values():
        try:
            _read_flags(place.base_config, join_flags(*base_flags(scene, place), BASE_ALONE))
        except BlendingNerfError as error:
            raise BlendingNerfError(f"{scene.name}, its base: {error}") from error
    fetched = set()
    one_of_each = {cell.experiment: cell for cell in cells if cell.method.trained}  # a seed is as good as another
    for cell in one_of_each.values():
        try:
            pipeline = told_to_train(cell, place).pipeline
            _check_pipeline(pipeline)
            region = getattr(pipeline, "region", None)
            localizer = region.localizer if region is not None and region.reads("text") else None
            models = pipeline.guidance.model, pipeline.guidance.pretrained, localizer
            if models not in fetched:
                _fetch(pipeline)
            fetched.add(models)
        except BlendingNerfError as error:
            raise BlendingNerfError(f"{cell.scene.name}, {cell.edit.name}, by {cell.method.name}: {error}") from error


def told_to_train(cell: Cell, place: Workplace) -> Any:
    """The configuration that ns-train makes of a cell's flags.

    Raises:
        BlendingNerfError: a flag that there is not, or a value that is none of its.
    """
    own = fill_flags(cell.method.flags, ANYWHERE)
    return _read_flags(cell.method.config, join_flags(edit_flags(cell), cell.scene.train_flags, place.train_flags, own))


def _read_flags(method: str, flags: List[str]) -> Any:
    """As ns-train reads them."""
    from nerfstudio.configs.method_configs import all_methods

    usual = deepcopy(all_methods[method])
    try:
        config, unknown = tyro.cli(
            type(usual), default=usual, args=flags, console_outputs=False, return_unknown_args=True
        )
    except SystemExit as error:
        raise BlendingNerfError(f"ns-train {method} does not understand {' '.join(flags)}") from error
    if unknown:
        raise BlendingNerfError(f"ns-train {method} does not know {' '.join(unknown)}")
    return config


def _check_pipeline(pipeline: Any) -> None:
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
    from blending_nerf_ns.training.checking import check_edit, check_finetuning

    if isinstance(pipeline, BlendingPipelineConfig):
        check_edit(pipeline)
    else:
        check_finetuning(pipeline)


def _fetch(pipeline: Any) -> None:
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
    from blending_nerf_ns.training.checking import fetch_guide, fetch_models

    if isinstance(pipeline, BlendingPipelineConfig):
        fetch_models(pipeline)
    else:
        fetch_guide(pipeline)
