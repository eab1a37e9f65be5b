"""A region on disk: what is written is what is read, and what is no region says so."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image
from safetensors.torch import save_file
from tiny_run import tiny_model

from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import FREE, SEEN, RegionShape
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.build import FoundRegion
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import (
    FOUND_ON,
    OPERATIONS_FOR,
    load_region,
    other_base_hint,
    other_operations_hint,
    save_region,
)
from blending_nerf_ns.localization.keeping import Search, _files, keep_region
from blending_nerf_ns.pipeline_config import BlendingPipelineConfig
from blending_nerf_ns.training.preparing import Preparation
from blending_nerf_ns.training.team import present_team


def some_region() -> Region:
    probability = torch.zeros(16, 16, 16)
    probability[5:10, 6:11, 4:9] = torch.linspace(0.3, 1.0, 5)
    state = torch.where(probability > 0, SEEN, FREE).to(torch.uint8)
    shape = RegionShape(threshold=0.45, margin=0.1, soft_edge=0.05, margin_distance=0.02, grow="up")
    return region_from_probability(probability, state, -torch.ones(3), torch.ones(3), shape)


def test_there_and_back(tmp_path: Path) -> None:
    region = some_region()
    save_region(region, tmp_path / "region.safetensors")
    again = load_region(tmp_path / "region.safetensors")
    assert again.shape == region.shape
    for name, value in region.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    again.reshape(threshold=0.9)
    assert float(again.weight.sum()) < float(region.weight.sum())


def test_no_file_and_another_file(tmp_path: Path) -> None:
    with pytest.raises(BlendingNerfError, match="there is no region file"):
        load_region(tmp_path / "nothing.safetensors")
    with pytest.raises(BlendingNerfError, match=r"none is named: give --pipeline\.region\.file"):
        load_region(None)
    save_file({"weights": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 20)
    later = Region(16)
    later.settings[RegionShape._fields.index("keep")] = 9.0  # of a version that knows more choices
    save_region(later, tmp_path / "later.safetensors")
    for name in ("other", "broken", "later"):
        with pytest.raises(BlendingNerfError, match="is no region that"):
            load_region(tmp_path / f"{name}.safetensors")


# -- kept for the next edit ------------------------------------------------------------------------------------------


def a_search(text: str = "a ball", weight: float = 0.0, focal: float = 8.0, guide: str = "embedded") -> Search:
    cameras = Cameras(torch.eye(4)[None, :3], focal, focal, 4.0, 4.0, 8, 8)
    return Search(text, guide, None, 16, "a scene", {"weight": torch.tensor([weight])}, cameras, [Path("photos/a.png")])


def test_what_was_looked_for_before_is_taken_and_anything_else_is_looked_for(tmp_path: Path) -> None:
    searches = []

    def look(config: RegionConfig, search: Search) -> FoundRegion:
        def find() -> FoundRegion:
            searches.append(search.text)
            time.sleep(0.01)
            return FoundRegion(some_region(), 0.9, 0.1, {"render": 2.0})

        return keep_region(config, search, find)

    config = RegionConfig(kept=tmp_path / "kept")
    first, again = look(config, a_search()), look(config, a_search())
    assert len(searches) == 1 and first.seconds_before == 0.0 and again.seconds_before >= 0.01
    assert (again.highest, again.covered, again.seconds) == (0.9, 0.1, {"render": 2.0})
    for name, value in first.region.state_dict().items():
        assert torch.equal(again.region.state_dict()[name], value), name
    for other in (a_search(text="a cube"), a_search(weight=1.0), a_search(focal=9.0), a_search(guide="ViT-B-16")):
        look(config, other)
    look(replace(config, threshold=0.3), a_search())
    assert len(searches) == 6
    look(replace(config, kept=None), a_search())
    look(replace(config, source="box"), a_search())
    look(replace(config, source="box"), a_search())
    assert len(searches) == 9, "not kept: no folder, and solids"


@pytest.mark.parametrize("damage", ["empty", "half", "of nothing found"])
def test_what_was_kept_and_cannot_be_read_is_looked_for_again(tmp_path: Path, damage: str) -> None:
    config = RegionConfig(kept=tmp_path)
    path = tmp_path / f"{a_search().key(config)}.safetensors"
    find = lambda: FoundRegion(some_region(), 0.9, 0.1, {"render": 2.0})  # noqa: E731
    keep_region(config, a_search(), find)
    if damage == "of nothing found":
        save_region(some_region(), path)
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 3000])
    assert keep_region(config, a_search(), find).seconds_before == 0.0, "looked for"
    assert keep_region(config, a_search(), find).seconds_before > 0.0, "and kept again"


def test_other_masks_and_other_weights_in_a_file_are_looked_at(tmp_path: Path) -> None:
    config = RegionConfig(source="masks", masks=tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    before = a_search().key(config)
    assert a_search().key(config) == a_search().key(replace(config, kept=tmp_path)) == before
    Image.new("L", (16, 8)).save(tmp_path / "b.png")
    assert a_search().key(config) != before
    with pytest.raises(BlendingNerfError, match="there is no mask folder"):
        a_search().key(replace(config, masks=tmp_path / "none"))

    weights = tmp_path / "clip.pt"
    weights.write_bytes(b"some")
    before = replace(a_search(), pretrained=str(weights)).key(config)
    weights.write_bytes(b"other")
    assert replace(a_search(), pretrained=str(weights)).key(config) != before


def test_a_region_depends_on_the_edits_beneath_it(tmp_path: Path) -> None:
    model = tiny_model()
    config = BlendingPipelineConfig(source_text="a ball", region=RegionConfig(kept=tmp_path))
    photos = SimpleNamespace(cameras=a_search().cameras, image_filenames=[Path("a.png")])
    preparation = Preparation(config, model, cast(InputDataset, photos), present_team(), torch.device("cpu"))

    def key() -> str:
        return preparation.search().key(config.region)

    alone = key()
    assert key() == alone
    model.layers.freeze_copy()
    under = key()
    assert under != alone, "a layer lies beneath now"
    model.layers.all()[0].info = model.layers.all()[0].info.with_strengths(change=0.5)
    assert key() not in (alone, under)


def test_a_region_says_for_which_operations_it_has_room(tmp_path: Path) -> None:
    region, path = some_region(), tmp_path / "region.safetensors"
    save_region(region, path)
    assert other_operations_hint(path, ["change"]) is None, "nothing says so"
    save_region(region, path, {OPERATIONS_FOR: "add remove change"})
    assert other_operations_hint(path, ["change", "remove", "add"]) is None
    hint = other_operations_hint(path, ["change"])
    assert (
        hint is not None
        and "may add, remove, change, and this one may change: found anew by `blending-nerf region --operations change`"
        in hint
    )


def test_a_region_that_was_found_on_another_base_is_told(tmp_path: Path) -> None:
    region, path = some_region(), tmp_path / "region.safetensors"
    save_region(region, path)
    assert other_base_hint(path, "0123") is None, "nothing says so"
    save_region(region, path, {FOUND_ON: "0123"})
    assert other_base_hint(path, "0123") is None
    assert "was found on another base" in (other_base_hint(path, "4567") or "")


def test_a_model_at_home_is_told_from_another_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "guide.pt").write_bytes(b"weights")
    assert _files("~/guide.pt") == _files(str(tmp_path / "guide.pt")) != []
