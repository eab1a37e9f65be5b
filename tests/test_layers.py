"""Layers: a stack of edits renders as their fold, survives checkpoints and files, and leaves each other alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import rays_towards_middle, region_from_box, tiny_model

from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.file import edit_bytes, edit_from_bytes, load_edit, read_edit_header, save_edit
from blending_nerf_ns.edits.layer import LayerInfo
from blending_nerf_ns.edits.layers import clear
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.rendering.blending import Strengths
from blending_nerf_ns.runs.look import Look, apply_look, look_of, read_look, shown_by, write_look


def two_layers(operations: tuple[str, ...] = ("add", "remove", "change")) -> BlendingModel:
    """A frozen layer in the middle, and one in work that overlaps a part of it."""
    model = tiny_model(operations=operations)
    model.describe("a red ball", "a blue ball", operations)
    model.layers.freeze_copy()
    model.describe("a green donut", "a yellow donut", operations)
    place = {"grid_box": model.base.grid_box, "contracted": model.base.contracted, "resolution": 24}
    region = region_from_box((0.3, 0.1, 0.0), (0.5, 0.4, 0.5), **place)
    model.edit.region.load_state_dict(region.state_dict())
    model.edit.fit_field_to_region()
    with torch.no_grad():
        for parameter in model.edit.field.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


def show(model: BlendingModel, *on: str) -> torch.Tensor:
    """The picture with only these layers on."""
    for edit in model.layers.all():
        edit.info = replace(edit.info, visible=edit.info.name in on)
    return model(rays_towards_middle(150))["rgb"]


def alone(edit: Edit) -> BlendingModel:
    """The same base with this edit only."""
    model = tiny_model()
    place = model.edit.info.id
    model.edit.load_state_dict(edit.state_dict())
    model.edit.info = replace(edit.info, id=place, visible=True)
    return model


@torch.no_grad()
def test_a_frozen_copy_looks_as_the_edit_did_and_an_empty_layer_on_top_changes_nothing() -> None:
    model = tiny_model()
    before = model(rays_towards_middle(150))
    model.layers.freeze_copy()
    clear(model.edit)
    model.edit_ready.fill_(False)
    after = model(rays_towards_middle(150))
    for name in ("rgb", "added", "removed", "changed", "depth", "accumulation"):
        assert torch.allclose(before[name], after[name], atol=1e-6), name
    assert float(after["region"].max()) == 0.0, "the region shown is that of the edit in work"
    assert len(model.layers.order) == 2 and model.layers.order[1] == model.edit.info.id


@torch.no_grad()
def test_one_layer_switched_off_leaves_the_other_alone() -> None:
    model = two_layers()
    lower, upper = model.layers.all()
    assert (lower.info.name, upper.info.name) == ("a blue ball", "a yellow donut")
    both, only_lower, only_upper = (
        show(model, *on) for on in (("a blue ball", "a yellow donut"), ("a blue ball",), ("a yellow donut",))
    )
    nothing = show(model)
    assert torch.equal(nothing, model.base(rays_towards_middle(150))["rgb"])
    for edit, picture in ((lower, only_lower), (upper, only_upper)):
        assert torch.allclose(alone(edit)(rays_towards_middle(150))["rgb"], picture, atol=1e-6)
    assert not torch.allclose(both, only_lower, atol=1e-3) and not torch.allclose(both, only_upper, atol=1e-3)


@torch.no_grad()
def test_what_is_beneath_is_a_base_and_the_edit_in_work_on_it_is_the_stack() -> None:
    model = two_layers(operations=("add", "change"))  # without removal no ray is sampled anew
    rays = rays_towards_middle(150)
    beneath = model.beneath.render(rays)
    assert torch.allclose(beneath.outputs["rgb"], show(model, "a blue ball"), atol=1e-6)
    show(model, "a blue ball", "a yellow donut")
    met = model.intersect(rays)
    samples = type(beneath.samples)(*(value[met.rays] for value in beneath.samples))
    proposal = beneath.proposal.among(met.rays)
    pixels, _ = model.blend(rays[met.rays], samples, proposal, met, model.edit.info.trained)
    assert torch.allclose(pixels.rgb.clamp(0, 1), model(rays)["rgb"][met.rays], atol=1e-5)
    idle, removed = model.blend(rays[met.rays], samples, proposal, met, Strengths(0.0, 0.0, 0.0))
    assert torch.allclose(idle.rgb.clamp(0, 1), beneath.outputs["rgb"][met.rays], atol=1e-5)
    assert float(removed.max()) == 0.0


@torch.no_grad()
def test_rays_that_miss_every_region_are_the_base_bit_for_bit() -> None:
    model, rays = two_layers(), rays_towards_middle(200, spread=1.2)
    outputs, base = model(rays), model.base(rays_towards_middle(200, spread=1.2))
    beneath = model.beneath.render(rays_towards_middle(200, spread=1.2)).outputs
    missed = (outputs["added"] + outputs["removed"] + outputs["changed"])[:, 0] == 0.0
    assert 20 < int(missed.sum()) < 190
    for name in ("rgb", "depth", "accumulation"):
        assert torch.equal(outputs[name][missed], base[name][missed]), name
        assert torch.equal(beneath[name][missed], base[name][missed]), name


def test_training_a_layer_leaves_the_others_as_they_are() -> None:
    model = two_layers()
    lower = model.layers.all()[0]
    before = {name: value.clone() for name, value in lower.state_dict().items()}
    assert all(not parameter.requires_grad for parameter in lower.parameters())
    groups = model.get_param_groups()
    held = {id(parameter) for group in groups.values() for parameter in group}
    assert not held & {id(parameter) for parameter in lower.parameters()}
    optimizer = torch.optim.Adam(groups["edit_field"], 0.1)
    rays = rays_towards_middle(100)
    model(rays)["rgb"].square().mean().backward()
    optimizer.step()
    assert all(parameter.grad is None for parameter in lower.parameters())
    assert all(torch.equal(value, before[name]) for name, value in lower.state_dict().items())


@torch.no_grad()
def test_a_checkpoint_brings_all_layers_their_order_and_what_is_said_of_them() -> None:
    model = two_layers()
    model.set_strengths(change=0.3)
    model.layers.move(model.edit.info.id, -1)
    picture = model(rays_towards_middle(150))["rgb"]
    other = tiny_model(seed=5)
    other.layers.make_room(model.state_dict(), "layers.")
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(rays_towards_middle(150))["rgb"], picture)
    assert other.layers.order == model.layers.order and other.edit.info == model.edit.info
    assert [edit.info for edit in other.layers.all()] == [edit.info for edit in model.layers.all()]
    # a model with more layers than the checkpoint loses them
    one = tiny_model(seed=3)
    model.layers.make_room(one.state_dict(), "layers.")
    model.load_state_dict(one.state_dict())
    assert len(model.layers.order) == 1


def test_the_list_of_layers() -> None:
    model = two_layers()
    layers = model.layers
    lower, upper = layers.order
    layers.move(lower, +1)
    assert layers.order == [upper, lower] and model.beneath is model.base
    layers.move(lower, +5)
    layers.move(lower, -5)
    assert layers.order == [lower, upper]
    with pytest.raises(BlendingNerfError, match="in work"):
        layers.remove(upper)
    with pytest.raises(BlendingNerfError, match="misses some"):
        layers.arrange([upper])
    layers.remove(lower)
    assert layers.order == [upper] and not layers.frozen
    with pytest.raises(BlendingNerfError, match="there is no layer"):
        layers.remove(lower)


@torch.no_grad()
def test_an_edit_file_holds_the_edit_small_and_without_pickle(tmp_path: Path) -> None:
    model = two_layers()
    base = fingerprint(model.base.state_dict())
    path = tmp_path / "donut.edit.safetensors"
    save_edit(model.edit, base, path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name], "no partial file is left"
    header = read_edit_header(path)
    assert header.base == base and header.description["info"]["target_text"] == "a yellow donut"
    edit = load_edit(path, base)
    assert edit.info == model.edit.info and torch.equal(edit.region.weight, model.edit.region.weight)
    picture = show(model, "a yellow donut")
    loaded = alone(edit)
    assert torch.allclose(loaded(rays_towards_middle(150))["rgb"], picture, atol=5e-3), "float16 is all that is lost"
    again = edit_from_bytes(edit_bytes(edit, base))
    for name, value in edit.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), f"{name} changes when it is stored a second time"


def test_an_edit_of_another_base_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    model, path = tiny_model(), tmp_path / "ball.edit.safetensors"
    save_edit(model.edit, "1111aaaa", path)
    with pytest.raises(BlendingNerfError, match=r"base 1111aaaa, and this one is 2222bbbb.*--any-base"):
        load_edit(path, "2222bbbb")
    assert isinstance(load_edit(path, "2222bbbb", any_base=True), Edit)


@pytest.mark.parametrize(
    "damage", ["truncated", "another format", "no file", "a tensor is missing", "a later choice", "no number"]
)
def test_a_broken_edit_file_is_refused_with_its_name(tmp_path: Path, damage: str) -> None:
    model, path = tiny_model(), tmp_path / "ball.edit.safetensors"
    save_edit(model.edit, "b", path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "another format":
        path.write_bytes(path.read_bytes().replace(b"blending-nerf edit 1", b"blending-nerf edit 9"))
    elif damage == "no file":
        path.unlink()
    else:
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file

        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        tensors = load_file(path)
        if damage == "a later choice":
            tensors["region.settings"][RegionShape._fields.index("keep")] = 9.0
        elif damage == "no number":
            tensors["region.lower"][0] = torch.nan
        else:
            tensors.pop("field.shape_head.bias")
        save_file(tensors, path, metadata=metadata)
    with pytest.raises(BlendingNerfError, match=r"ball\.edit\.safetensors"):
        load_edit(path, "b")


def test_a_look_is_kept_beside_the_run_and_shown_again(tmp_path: Path) -> None:
    model = two_layers()
    lower, upper = model.layers.all()
    lower.info = replace(lower.info.with_strengths(change=0.5), visible=False)
    model.layers.move(lower.info.id, +1)
    assert read_look(tmp_path) is None and read_look(None) is None
    write_look(look_of(model.layers, fade=True), tmp_path)
    wanted = [edit.info for edit in model.layers.all()]
    lower.info = replace(lower.info.with_strengths(change=1.0), visible=True, name="other")
    model.layers.move(lower.info.id, -1)
    look = read_look(tmp_path)
    assert look is not None and look.fade
    apply_look(look, model.layers)
    assert [edit.info for edit in model.layers.all()] == wanted
    assert lower.info.source_text == "a red ball", "a look says nothing of the words"


def test_a_look_bears_layers_that_came_or_went(capsys: pytest.CaptureFixture[str]) -> None:
    model = two_layers()
    lower, upper = model.layers.order
    gone = LayerInfo(id="gone", name="a hat")
    apply_look(Look((model.edit.info, gone)), model.layers)
    assert model.layers.order == [lower, upper], "what nothing lies under stays there"
    assert "a hat" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("looked", "trained", "shown"),
    [
        ("b", "ab", "ab"),  # a was loaded under the edit in work, after the look was saved
        ("ab", "abc", "abc"),
        ("ba", "abc", "bca"),  # c was made on b
        ("ca", "abc", "cab"),
        ("", "abc", "abc"),
        ("abc", "c", "c"),
    ],
)
def test_what_a_look_does_not_know_lies_on_what_it_was_made_on(looked: str, trained: str, shown: str) -> None:
    look = Look(tuple(LayerInfo(id=id, name=id, visible=False) for id in looked))
    infos = shown_by(look, [LayerInfo(id=id) for id in trained])
    assert "".join(info.id for info in infos) == shown
    assert [info.visible for info in infos] == [info.id not in looked for info in infos]


def test_a_look_has_the_names_that_a_user_gave(tmp_path: Path) -> None:
    mine, follows = (
        LayerInfo(id=name or "x", name=name or "a blue ball", target_text="a blue ball") for name in ("mine", "")
    )
    write_look(Look((mine, follows)), tmp_path)
    now = [replace(info, name="a green ball", target_text="a green ball") for info in (mine, follows)]
    infos = shown_by(read_look(tmp_path), now)
    assert [(info.name, info.called) for info in infos] == [("mine", "mine"), ("a green ball", "")]


def test_a_file_that_is_no_look_is_refused(tmp_path: Path) -> None:
    for content in (
        "{",
        "[]",
        '{"format": "else"}',
        '{"format": "blending-nerf look 1", "layers": [{"strengths": {"add": -1}}]}',
    ):
        (tmp_path / "look.json").write_text(content)
        with pytest.raises(BlendingNerfError, match="is no look"):
            read_look(tmp_path)


def test_strengths_are_checked() -> None:
    info = LayerInfo(operations=("change",))
    assert info.with_strengths(change=0.5, add=None).shown == Strengths(0.0, 0.0, 0.5)
    assert replace(info, visible=False).shown.all_off and info.trained == Strengths(0.0, 0.0, 1.0)
    for wrong in ({"change": -0.1}, {"change": float("nan")}, {"change": 11.0}, {"paint": 1.0}):
        with pytest.raises(BlendingNerfError):
            info.with_strengths(**wrong)
    assert LayerInfo.from_dict(info.to_dict()) == info


@torch.no_grad()
def test_a_look_that_fades_scales_all_strengths_by_the_frames_time() -> None:
    model = two_layers()
    model.fades = True
    pictures = []
    for time in (0.0, 0.5, 1.0, None):
        rays = rays_towards_middle(150)
        rays.times = None if time is None else torch.full((150, 1), time)
        pictures.append(model(rays))
    assert torch.equal(pictures[0]["rgb"], pictures[0]["original"])
    assert torch.equal(pictures[2]["rgb"], pictures[3]["rgb"])
    for name in ("added", "removed"):  # what is recoloured may be hidden by what is added
        low, half, full = (picture[name] for picture in pictures[:3])
        assert bool((half >= low - 1e-6).all()) and bool((full >= half - 1e-6).all()), name
    model.fades = False
    still = rays_towards_middle(150)
    still.times = torch.zeros(150, 1)
    assert torch.equal(model(still)["rgb"], pictures[3]["rgb"]), "the viewer's time is always 0"
