"""A region on disk: what is written is what is read, and what is no region says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from safetensors.torch import save_file

from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import FREE, SEEN, RegionShape
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.build import FoundRegion
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import load_region, save_region
from blending_nerf_ns.localization.keeping import keep_region, region_key


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
    with pytest.raises(BlendingNerfError, match="there is no region file None"):
        load_region(None)
    save_file({"weights": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 20)
    for name in ("other", "broken"):
        with pytest.raises(BlendingNerfError, match="is no region that"):
            load_region(tmp_path / f"{name}.safetensors")


# -- kept for the next edit ------------------------------------------------------------------------------------------


def test_what_was_looked_for_before_is_taken_and_anything_else_is_looked_for(tmp_path: Path) -> None:
    searches = []

    def look(config: RegionConfig, text: str = "a ball", weight: float = 0.0, focal: float = 8.0) -> FoundRegion:
        def find() -> FoundRegion:
            searches.append(text)
            return FoundRegion(some_region(), 0.9, 0.1, {"render": 2.0})

        cameras = Cameras(torch.eye(4)[None, :3], focal, focal, 4.0, 4.0, 8, 8)
        return keep_region(config, [text, 16], {"weight": torch.tensor([weight])}, cameras, find)

    config = RegionConfig(kept=tmp_path / "kept")
    first, again = look(config), look(config)
    assert len(searches) == 1 and first.earlier == 0.0 < again.earlier < 5.0
    assert (again.highest, again.covered, again.seconds) == (0.9, 0.1, {"render": 2.0})
    for name, value in first.region.state_dict().items():
        assert torch.equal(again.region.state_dict()[name], value), name
    look(config, text="a cube")
    look(config, weight=1.0)
    look(config, focal=9.0)
    look(replace(config, threshold=0.3))
    assert len(searches) == 5
    look(replace(config, kept=None))
    look(replace(config, source="box"))
    look(replace(config, source="box"))
    assert len(searches) == 8, "not kept: no folder, and solids"


def test_other_masks_are_looked_at(tmp_path: Path) -> None:
    cameras = Cameras(torch.eye(4)[None, :3], 8.0, 8.0, 4.0, 4.0, 8, 8)
    config = RegionConfig(source="masks", masks=tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    before = region_key(config, [], {}, cameras)
    assert region_key(config, [], {}, cameras) == before
    Image.new("L", (16, 8)).save(tmp_path / "b.png")
    assert region_key(config, [], {}, cameras) != before
    with pytest.raises(BlendingNerfError, match="there is no mask folder"):
        region_key(replace(config, masks=tmp_path / "none"), [], {}, cameras)
