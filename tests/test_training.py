"""The stages' own step counts, what a resume takes over, and one guided step on a tiny model."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Tuple, cast

import numpy as np
import pytest
import torch
import tyro
from PIL import Image
from tiny_nerfacto import write_capture
from tiny_run import clear_field, tiny_model
from typing_extensions import Annotated

from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.edits.file import save_edit
from blending_nerf_ns.edits.layer import LayerInfo
from blending_nerf_ns.edits.region import Region
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.rendering.overlay import region_overlay
from blending_nerf_ns.runs.adopting import describe, flags_given, take_where_default
from blending_nerf_ns.training.checking import check_edit, check_place, room_hint, transparency_hint
from blending_nerf_ns.training.schedule import exponential, set_rate
from blending_nerf_ns.training.view_pool import scene_box_of_region
from method_configs.blending_nerf import blending_nerf_cpu


def test_rates_fall_over_a_stage_and_not_beyond() -> None:
    assert exponential(0, 100, 0.01) == 1.0
    assert exponential(50, 100, 0.01) == pytest.approx(0.1)
    assert exponential(1000, 100, 0.01) == pytest.approx(0.01)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    for factor in (0.1, 0.2):
        set_rate(optimizer, factor)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1), "of the configured rate, not of the last one"


@dataclass
class _Inner:
    steps: int = 10


@dataclass
class _Config:
    text: str = ""
    scale: float = 1.0
    sides: Tuple[float, ...] = (1.0, 1.0)
    inner: _Inner = field(default_factory=_Inner)
    run_dir: Annotated[Optional[Path], tyro.conf.Suppress] = None


def test_a_resume_takes_what_was_not_given_from_the_run_before() -> None:
    given = _Config(text="a new target")
    saved = _Config(text="old", scale=0.25, sides=(2.0, 3.0), inner=_Inner(7), run_dir=Path("before"))
    taken = take_where_default(given, saved, _Config())
    assert given == _Config(text="a new target", scale=0.25, sides=(2.0, 3.0), inner=_Inner(7))
    assert taken == {"scale": 0.25, "sides": (2.0, 3.0), "inner.steps": 7}, "and nothing that no flag can set"


def test_what_the_command_line_names_is_not_taken_even_at_its_default() -> None:
    given = flags_given(
        ["ns-train", "--pipeline.scale=1.0", "--pipeline.inner.steps", "10", "--text", "--vis", "viewer"]
    )
    config, saved = _Config(), _Config(text="old", scale=0.25, inner=_Inner(7))
    assert take_where_default(config, saved, _Config(), given) == {"text": "old"}
    assert config == _Config(text="old", scale=1.0, inner=_Inner(10))


def test_what_a_resume_took_over_is_said_as_flags_and_the_words_come_first() -> None:
    taken = {
        "datamanager.train_num_rays_per_batch": 64,
        "datamanager.pixel_sampler.num_rays_per_batch": 64,
        "model.base.hidden_dim": 16,
        "source_text": "a red ball",
        "operations": ("remove", "change"),
        "region.box_size": (0.5, 0.5, 1.0),
    }
    assert describe(taken).endswith(
        "--pipeline.source-text 'a red ball' --pipeline.operations remove change "
        "--pipeline.region.box-size 0.5 0.5 1.0 --pipeline.datamanager.train-num-rays-per-batch 64"
    )
    assert "--" not in describe({"model.base.hidden_dim": 16}), "the base is taken over whole"


BALL = {"target_text": "a blue ball", "source_text": "a ball"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_text": " "}, "target-text is empty"),
        ({"target_text": "a blue ball"}, "source-text is empty"),
        ({**BALL, "operations": ()}, "choose among"),
        ({**BALL, "operations": ("paint",)}, "paint"),
        ({**BALL, "guidance": GuidanceConfig(views=0)}, "views 0: at least 1"),
        ({**BALL, "guidance": GuidanceConfig(views_per_step=0)}, "views-per-step 0: at least 1"),
        ({**BALL, "guidance": GuidanceConfig(crops=0)}, "crops 0: at least 1"),
        ({**BALL, "guidance": GuidanceConfig(lone_crops=-1)}, "lone-crops -1: at least 0"),
        ({**BALL, "guidance": GuidanceConfig(image_size=0)}, "guidance.image-size 0: at least 8"),
        ({**BALL, "guidance": GuidanceConfig(rays_per_chunk=0)}, "rays-per-chunk 0: at least 1"),
        ({**BALL, "guidance": GuidanceConfig(weight_direction=-1.0)}, "weight-direction -1.0: at least 0"),
        ({**BALL, "guidance": GuidanceConfig(budget_remove=float("nan"))}, "budget-remove nan: at least 0"),
        ({**BALL, "edit_steps": -5}, "edit-steps -5: at least 0"),
        ({**BALL, "base_steps": 0}, "base-steps 0: at least 1"),
        ({**BALL, "target_text": "a ball "}, "are both"),
        ({**BALL, "target_text": "A Ball"}, "are both"),
        (
            {**BALL, "guidance": GuidanceConfig("ViT-B-61", "openai")},
            "has no model 'ViT-B-61'.* Close names: .*ViT-B-16",
        ),
        ({**BALL, "guidance": GuidanceConfig("ViT-B-16", "openia")}, "Did you mean 'openai'"),
        ({**BALL, "guidance": GuidanceConfig("ViT-B-16", "/nowhere/a.safetensors")}, "--pipeline.guidance.pretrained"),
        (
            {**BALL, "judge_model": "ViT-L-41", "judge_pretrained": "openai"},
            "the judge that ns-eval.*--pipeline.judge-pretrained.*has no model 'ViT-L-41'",
        ),
        ({**BALL, "region": RegionConfig(localizer="./nowhere")}, "--pipeline.region.localizer"),
    ],
)
def test_a_useless_edit_is_refused_before_a_base_is_trained(changes: dict, message: str) -> None:
    with pytest.raises(BlendingNerfError, match=message):
        check_edit(BlendingPipelineConfig(**changes))


@pytest.mark.parametrize(
    ("changes", "mode", "times"),
    [
        ({}, "val", 1),
        ({}, "test", 0),
        ({}, "inference", 0),
        ({"resumed": True}, "val", 0),
        ({"target_text": ""}, "val", 0),
        ({"edit_steps": 0}, "val", 0),
    ],
)
def test_models_are_fetched_once_where_a_base_and_then_an_edit_are_trained(
    changes: dict, mode: Any, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(config: BlendingPipelineConfig) -> None:
        asked.append((config.source_text, torch.rand(1)))

    monkeypatch.setattr("blending_nerf_ns.pipeline.fetch_models", fetch)
    write_capture(tmp_path / "capture")
    config = cast(BlendingPipelineConfig, deepcopy(blending_nerf_cpu.config.pipeline))
    cast(Any, config.datamanager).data = tmp_path / "capture"
    config.source_text, config.target_text, config.interactive = "a ball", "a blue ball", True
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    weights = config.setup(device="cpu", test_mode=mode).model.base.state_dict()
    assert len(asked) == times
    monkeypatch.setattr("blending_nerf_ns.pipeline.fetch_models", lambda _: None)
    torch.manual_seed(0)
    again = config.setup(device="cpu", test_mode=mode).model.base.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in weights.items()), "what it draws is not the base's"


@pytest.mark.parametrize("which", ["guide", "localiser"])
def test_models_that_cannot_be_loaded_are_refused_before_a_base_is_trained(which: str, tmp_path: Path) -> None:
    """Their names are fine, and what lies there is no model: as what a broken download leaves."""
    (weights := tmp_path / "weights.safetensors").write_bytes(b"nothing")
    write_capture(tmp_path / "capture")
    config = cast(BlendingPipelineConfig, deepcopy(blending_nerf_cpu.config.pipeline))
    cast(Any, config.datamanager).data = tmp_path / "capture"
    config.source_text, config.target_text = "a ball", "a blue ball"
    if which == "guide":
        config.guidance.model, config.guidance.pretrained = "ViT-B-32", str(weights)
    else:
        config.region.localizer = str(tmp_path)
    check_edit(config)
    with pytest.raises(BlendingNerfError, match=str(weights if which == "guide" else tmp_path)):
        config.setup(device="cpu", test_mode="val")


def test_what_is_not_in_the_scene_is_refused_before_a_base_is_trained(tmp_path: Path) -> None:
    base, images = tiny_model(contracted=False).base, [tmp_path / "photo.png"]
    Image.new("L", (8, 8), 255).save(tmp_path / "other.png")
    region = RegionConfig(source="masks & box", masks=tmp_path)
    config = BlendingPipelineConfig(source_text="a ball", target_text="a blue ball", region=region)
    with pytest.raises(BlendingNerfError, match=r"none of the 1 masks .*is named as a training image"):
        check_place(config, images, base)
    for name in ("photo.png", "other.png"):
        Image.new("L", (8, 8), 255).save(tmp_path / name)
    check_place(config, images, base)
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(BlendingNerfError, match="is 1 of 255"):
        check_place(config, images, base)
    Image.new("L", (8, 8), 255).save(tmp_path / "photo.png")
    region.box_center = (50.0, 0.0, 0.0)
    with pytest.raises(BlendingNerfError, match="lies outside the scene"):
        check_place(config, images, base)


def test_edits_of_a_base_want_that_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = EditField(EditFieldConfig(num_levels=2, log2_hashmap_size=6, hidden_dim=8))
    edit = Edit(Region(16), field, LayerInfo(id="abc"))
    save_edit(edit, "0123", file := tmp_path / "a.edit.safetensors")
    config = BlendingPipelineConfig(source_text="a ball", target_text="a blue ball", edits=(file,))
    with pytest.raises(BlendingNerfError, match="name it with"):
        check_edit(config)
    config.base_run = tmp_path / "config.yml"
    check_edit(config)
    config.base_run, config.edits_of_any_base = None, True
    check_edit(config)
    monkeypatch.setattr("blending_nerf_ns.encoding.implementation.TCNN_EXISTS", False)
    true = edit.description
    for wrong, message in (
        ({"implementation": "tcnn"}, "^implementation 'tcnn' was asked for"),
        ({"hidden_dim": 16}, "a.edit.safetensors"),
    ):  # after the hours of a base it would be refused all the same
        monkeypatch.setattr(Edit, "description", {**true, "field": {**true["field"], **wrong}})
        save_edit(edit, "0123", file)
        with pytest.raises(BlendingNerfError, match=message):
            check_edit(config)


def test_base_run_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    from blending_nerf_ns.bases.loading import read_base_run

    with pytest.raises(BlendingNerfError, match="nowhere"):
        read_base_run(tmp_path / "nowhere" / "config.yml")


def test_overlay_outlines_the_silhouette_and_tints_the_region() -> None:
    rgb = torch.zeros(8, 8, 3)
    silhouette, region = torch.zeros(8, 8, 1), torch.zeros(8, 8, 1)
    silhouette[3:5, 3:5], region[3, 3] = 0.1, 1.0
    out = region_overlay(rgb, region, silhouette)
    assert out[2, 2].tolist() == [1.0, 1.0, 1.0] and out[3, 2].tolist() == [1.0, 1.0, 1.0]
    assert out[3, 3].tolist() == pytest.approx([0.5, 0.275, 0.0])
    assert float(out[0, 0].sum()) == 0.0 and float(out[4, 4].sum()) == 0.0


def test_box_of_a_region_in_a_contracted_scene_is_one_of_the_scene() -> None:
    lower, upper = scene_box_of_region(tiny_model(contracted=True))
    assert bool((lower < torch.tensor([-0.15, -0.25, -0.25])).all()) and bool((lower > -0.6).all())
    assert bool((upper > torch.tensor([0.35, 0.25, 0.25])).all()) and bool((upper < 0.8).all())


def test_a_field_that_starts_from_a_colour_replaces_the_share_that_was_tried() -> None:
    edit = tiny_model().edit
    clear_field(edit)
    field = edit.field
    with torch.no_grad():
        field.shape_head.weight.zero_()
    field.start_from_color(torch.tensor([0.1, 0.3, 0.9]), 0.85)
    points, directions = torch.rand(50, 3) - 0.5, torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
    out = field(points, field.look_along(directions))
    assert torch.allclose(out.color_ratio, torch.full((50,), 0.85), atol=1e-5)
    assert torch.allclose(field.first_color, torch.tensor([0.1, 0.3, 0.9]))
    assert float(out.density_ratio.max()) < 0.1, "nothing is removed"


def test_a_field_knows_whether_anything_was_done_to_it() -> None:
    field = EditField(EditFieldConfig(num_levels=2, max_res=16, log2_hashmap_size=8, implementation="torch"))
    assert field.untouched
    field.start_from_color(torch.tensor([0.1, 0.2, 0.9]), 0.5)
    assert not field.untouched


def test_photos_with_transparent_parts_want_another_background() -> None:
    opaque, transparent = torch.ones(2, 2, 4), torch.zeros(2, 2, 4)
    assert "--pipeline.model.base.background-color white" in (transparency_hint(transparent, "last_sample") or "")
    for photo, background in ((opaque, "last_sample"), (transparent, "white"), (transparent[..., :3], "last_sample")):
        assert transparency_hint(photo, background) is None


def test_that_a_removal_has_no_room_at_its_sides_is_said() -> None:
    assert "--pipeline.operations add" in (room_hint("up", ["add", "remove"]) or "")
    for grow, operations in (("up", ["add"]), ("up", ["change"]), ("box", ["add", "remove"]), (None, ["remove"])):
        assert room_hint(grow, operations) is None
