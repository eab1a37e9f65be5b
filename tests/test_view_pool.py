"""The pool of guidance views: what it keeps, and how points of the region are chosen from a view."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from tiny_run import ring, tiny_model

from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.training.crop_sets import CROP_SETS, crop_set
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.team import Team
from blending_nerf_ns.training.view_pool import ROOM, CropSet, ViewPool


def make_pool(count: int, most_bytes: float = float("inf")) -> ViewPool:
    poses = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, -1.2], [0.0, 1.0, 0.0, 0.0]]).repeat(4, 1, 1)
    cameras = Cameras(poses, 14.0, 14.0, 6.0, 6.0, width=12, height=12)
    return ViewPool(tiny_model(), cameras, 12, count, 0, most_bytes)


def test_points_are_chosen_as_if_all_were_gathered() -> None:
    view = make_pool(1)[0]
    gathered = view.intervals.positions[view.intervals.region > 0]
    assert view.num_points == len(gathered) > 100
    assert torch.equal(view.points_in_region(torch.arange(len(gathered))), gathered)


def test_views_beyond_the_memory_are_rendered_again() -> None:
    all_views = [make_pool(3)[index] for index in range(3)]
    one = all_views[0]
    assert one.nbytes > one.intervals.positions.numel() * 4 + one.original.numel() * 4
    pool = make_pool(3, most_bytes=sum(view.nbytes for view in all_views) - 1)
    views = [pool[index] for index in (0, 1)]
    assert pool[0] is views[0], "kept, and drawn last now"
    pool[2]
    assert pool[0] is views[0] and pool[1] is not views[1], "the one that was not drawn for longest made room"
    nothing = make_pool(2, most_bytes=0.0)
    (first, again), other = (nothing[0], nothing[0]), nothing[1]
    assert first is again, "one is always there"
    assert nothing[0] is not first and nothing[1] is not other, "and only one"
    assert torch.equal(nothing[0].original, first.original)


def test_where_something_may_be_added_the_room_is_looked_at_too() -> None:
    view = make_pool(1)[0]
    met = torch.zeros(view.silhouette.numel(), dtype=torch.bool)
    met[view.intervals.rays.cpu()] = True
    bare = met & (view.silhouette.flatten() < ROOM)
    assert bool(bare.any()) and not bool(met.all())
    outline, silhouette = view.outline.flatten(), view.silhouette.flatten()
    assert bool((outline[bare] == ROOM).all()) and ROOM > 0.0
    assert torch.equal(outline[~bare], silhouette[~bare])


def test_a_smaller_view_shows_the_same() -> None:
    pool = make_pool(2)
    large = pool[1]
    pool.resize(6)
    assert pool.size == 6 and pool[1].original.shape == (6, 6, 3)
    assert float(pool[1].coverage.mean()) == pytest.approx(float(large.coverage.mean()), abs=0.05)
    pool.resize(12)
    assert torch.equal(pool[1].original, large.original)


def make_training() -> EditTraining:
    config = GuidanceConfig(views=2, image_size=24, crops=3)
    return EditTraining(
        config, tiny_model(), ring(4, 24), load_clip("embedded"), "a red ball", "a blue ball", 1, Team()
    )


def look(editing: EditTraining, view: int, number: int) -> CropSet:
    return crop_set(editing.pool[view], number, editing.config.crops, editing.adds, editing.guide, seed=7)


def test_what_the_guide_sees_in_the_original_is_asked_once_for_each_set_of_crops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editing, other = make_training(), make_training()
    sets = [look(editing, 0, number) for number in range(CROP_SETS)]
    assert all(crops.boxes.shape == (3, 3) and crops.before.shape[0] == 3 for crops in sets)
    assert len({str(crops.boxes[1:].tolist()) for crops in sets}) == CROP_SETS, "each has crops of its own"
    # another process, or a resumed one, finds the same, whichever it asks for first
    assert torch.equal(look(other, 0, 2).boxes, sets[2].boxes)
    assert torch.equal(look(other, 0, 2).before, sets[2].before)
    assert not torch.equal(look(other, 1, 2).boxes, sets[2].boxes), "another view has others"

    operations = editing.model.edit.info.operations
    editing.model.edit.info = replace(editing.model.edit.info, operations=("change",))
    kept = look(editing, 0, 2)  # without an addition no crop goes to the room around the object
    assert ("add" in operations) == (kept is not sets[2])
    editing.model.edit.info = replace(editing.model.edit.info, operations=operations)

    def refuse(images: torch.Tensor) -> torch.Tensor:
        raise AssertionError(f"{len(images)} pictures were read again")

    monkeypatch.setattr(editing.guide, "encode_images", refuse)
    assert look(editing, 0, 3) is sets[3]
    editing.model.version += 1  # the region has moved
    with pytest.raises(AssertionError, match="3 pictures were read again"):
        look(editing, 0, 3)
