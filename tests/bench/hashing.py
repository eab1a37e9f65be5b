"""Our hash grid against nerfstudio's, where its torch version would run."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import torch
from nerfstudio.field_components.encodings import HashEncoding

from blending_nerf_ns.encoding.hash_grid import FastHashEncoding, fused_kernel

from .scene import BenchScene
from .table import Figure
from .timing import in_turns


def measure_hashing(scene: BenchScene, rounds: int, points: int = 1 << 15) -> List[Figure]:
    """`hash_grid_ours_over_nerfstudios`: forward, and forward with backward, of a grid of the base's size.

    Args:
        scene: whose base says how large the grid is.
        rounds: of the comparison.
        points: in each call, drawn in the unit cube.
    """
    config = scene.config.model.base
    sizes: Dict[str, Any] = {
        "num_levels": config.num_levels,
        "min_res": config.base_res,
        "max_res": config.max_res,
        "log2_hashmap_size": config.log2_hashmap_size,
        "features_per_level": config.features_per_level,
    }
    grids = {
        "theirs": HashEncoding(**sizes, implementation="torch"),
        "ours": FastHashEncoding(**sizes, implementation="torch"),
    }
    grids["ours"].load_state_dict(grids["theirs"].state_dict())
    places = torch.rand(points, 3, device=scene.device)
    calls: Dict[str, Callable[[], object]] = {}
    for name, grid in grids.items():
        grid.to(scene.device)
        calls[f"{name} forward"] = lambda grid=grid: _forward(grid, places)
        calls[f"{name} both"] = lambda grid=grid: grid(places).sum().backward()
    times = in_turns("Hash grids", calls, rounds, scene.device)
    ours = "in one kernel" if fused_kernel(scene.device) is not None else "in torch"
    note = f"the same features; ours {ours}"
    return [
        Figure(
            "hash_grid_ours_over_nerfstudios",
            times.ratio(f"ours {what}", f"theirs {what}"),
            part,
            times.spread(f"ours {what}", f"theirs {what}"),
            note,
        )
        for what, part in (("forward", "forward"), ("both", "forward_and_backward"))
    ]


@torch.no_grad()
def _forward(grid: HashEncoding, places: torch.Tensor) -> torch.Tensor:
    return grid(places)
