"""The embedded models behind the same two doors as the real ones: what the edit relies on, on pictures made here."""

from __future__ import annotations

import warnings
from typing import Tuple

import pytest
import torch
from torch import Tensor

from blending_nerf_ns.demo.measure import hsv, hue_of_text
from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.guidance import embedded, templates
from blending_nerf_ns.guidance.clip import load_clip
from blending_nerf_ns.guidance.losses import global_loss
from blending_nerf_ns.guidance.palette import painted_over, palette, score_colors
from blending_nerf_ns.localization.clipseg import load_clipseg

COLOURS = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.75, 0.15),
    "blue": (0.1, 0.2, 0.9),
    "yellow": (0.95, 0.85, 0.1),
    "purple": (0.55, 0.15, 0.75),
}


def paint_ball(
    image: Tensor, color: Tuple[float, float, float], row: float, column: float, radius: float
) -> Tuple[Tensor, Tensor]:
    """A shaded ball painted into an image [3, H, W]; places in shares of the side. Also the pixels it covers [H, W]."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in image.shape[1:]), indexing="ij")
    dx, dy = (x - column) / radius, (y - row) / radius
    depth = (1 - dx**2 - dy**2).clamp_min(0).sqrt()
    light = 0.45 + 0.55 * (-0.4 * dx - 0.5 * dy + 0.75 * depth).clamp_min(0)
    inside = dx**2 + dy**2 < 1
    return torch.where(inside, torch.tensor(color)[:, None, None] * light, image), inside


def floor(size: int = 64) -> Tensor:
    """A plain, gray, slightly shaded background [3, H, W]."""
    return (0.55 + 0.1 * torch.linspace(0, 1, size))[None, :, None].expand(3, size, size)


def test_clip_reads_colours():
    guide = load_clip("embedded")
    assert guide.templates == templates.EMBEDDED
    texts = torch.stack([guide.encode_prompt(f"a {name} ball") for name in COLOURS])
    pictures = torch.stack([paint_ball(floor(96), rgb, 0.5, 0.5, 0.28)[0] for rgb in COLOURS.values()])
    assert (guide.encode_images(pictures) @ texts.T).argmax(-1).tolist() == list(range(len(COLOURS)))


@pytest.mark.parametrize("name", COLOURS)
def test_an_edit_that_starts_from_the_colour_that_was_tried_ends_in_the_target(name: str) -> None:
    """As an edit does: try plain colours outright, then follow the gradient. From gray the gradient alone ends elsewhere."""
    guide = load_clip("embedded")
    source, target = guide.encode_prompt("a gray ball"), guide.encode_prompt(f"a {name} ball")
    picture, inside = paint_ball(floor(), (0.5, 0.5, 0.5), 0.5, 0.5, 0.3)
    light = paint_ball(floor(), (1.0, 1.0, 1.0), 0.5, 0.5, 0.3)[0]
    coverage, colors = inside[None, None].float(), palette()
    before = guide.encode_images(picture[None])
    tried = score_colors(guide, painted_over(picture[None], coverage), before, colors, source, target)
    paint = torch.logit(colors[int(tried.argmin())].clamp(0.05, 0.95)).view(3, 1, 1).requires_grad_()
    optimizer = torch.optim.Adam([paint], lr=0.2)
    original = float(global_loss(guide.encode_images(picture[None]), target))
    loss = torch.tensor(original)
    for _ in range(25):
        ball = torch.where(inside, paint.sigmoid() * light, light)
        loss = global_loss(guide.encode_images(ball[None]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < original - 0.25
    wanted = hue_of_text(f"a {name} ball")
    assert wanted is not None
    hue, saturation, _ = hsv(paint.detach().sigmoid().view(1, 1, 3).numpy())[0, 0]
    assert saturation > 0.25 and abs((hue - wanted + 180.0) % 360.0 - 180.0) <= 40.0, f"{name}: hue {hue}, not {wanted}"


def test_unknown_words_are_named():
    guide = load_clip("embedded")
    with pytest.warns(GuidanceWarning, match=r"does not know 'fox', 'zebra' in the prompt 'a red fox and a zebra'"):
        guide.encode_prompt("a red fox and a zebra")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in ("a red ball", "a purple toy"):
            guide.encode_prompt(text)  # in all of its templates, too
    with pytest.warns(GuidanceWarning, match=f"longer than the {guide.context_length} tokens"):
        guide.encode_text(["a red ball on a table and " * 8])


def test_clipseg_finds_the_object_that_is_asked_for():
    localizer = load_clipseg("embedded")
    assert localizer.templates == templates.EMBEDDED
    picture, left = paint_ball(floor(96), COLOURS["red"], 0.55, 0.28, 0.2)
    picture, right = paint_ball(picture, COLOURS["blue"], 0.55, 0.74, 0.2)
    image = picture.permute(1, 2, 0)
    red, blue = (localizer.probability(image, f"a {name} ball") for name in ("red", "blue"))
    assert red.shape == (96, 96)
    assert red[left].mean() > red[right].mean() + 0.3
    assert blue[right].mean() > blue[left].mean() + 0.3
    assert red[~(left | right)].mean() < 0.2


def test_clipseg_names_unknown_words():
    with pytest.warns(GuidanceWarning, match="does not know 'zebra'"):
        load_clipseg("embedded").probability(torch.rand(16, 16, 3), "a red zebra")


def test_missing_weights_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(embedded, "EMBEDDED_DIR", tmp_path)
    for name, file in (("embedded", "mini_clip"), ("embedded-judge", "mini_judge")):
        (tmp_path / f"{file}.json").touch()
        with pytest.raises(
            BlendingNerfError, match=rf"{file}\.safetensors, a part of the embedded guidance, is missing"
        ):
            load_clip(name)
    monkeypatch.setattr(embedded, "mini_clipseg_path", lambda: tmp_path)
    with pytest.raises(BlendingNerfError, match="a part of the embedded guidance, is missing: install"):
        load_clipseg("embedded")
