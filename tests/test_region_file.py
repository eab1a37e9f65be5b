"""A region on disk: what is written is what is read, and what is no region says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from blending_nerf_ns.edits.region import Region, region_from_probability
from blending_nerf_ns.edits.shape import FREE, SEEN, RegionShape
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.file import load_region, save_region


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
