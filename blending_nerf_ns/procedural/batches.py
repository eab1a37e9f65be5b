"""Training pictures: a stock of traced scenes in new colours, textures and light, cropped, blurred and noised."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Dict, NamedTuple, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from blending_nerf_ns.procedural import words
from blending_nerf_ns.procedural.captions import Facts
from blending_nerf_ns.procedural.framing import bounds_of, cut, visible_facts
from blending_nerf_ns.procedural.render import FINISH_GLOSS
from blending_nerf_ns.procedural.sampling import ACCENTS
from blending_nerf_ns.procedural.shading import Look, shade
from blending_nerf_ns.procedural.stock import MAX_THINGS, Stock
from blending_nerf_ns.procedural.trace import FIRST_PART, GROUND


@dataclass(frozen=True)
class Batch:
    """B pictures and what is true of them."""

    images: Float[Tensor, "B 3 S S"]
    """RGB in [0, 1]."""
    masks: Float[Tensor, "B K S S"]
    """Coverage of each object, in [0, 1]."""
    facing: Float[Tensor, "B 2 S S"]
    """Cosines of the objects' surfaces to the camera and to the sky, in [-1, 1]; 0 beside the objects."""
    facts: Facts


class Colours(NamedTuple):
    """What the objects of B scenes wear."""

    colour: Int[Tensor, "B K"]
    """Index into words.COLOUR_NAMES."""
    finish: Int[Tensor, "B K"]
    """Index into words.FINISHES."""
    rgb: Float[Tensor, "B K 1+ACCENTS 3"]
    """Main colour first, then accents."""


def _pool(size: int = 4096) -> Tuple[ndarray, ndarray]:
    """Colours drawn beforehand, one by one being slow: [12, size, 3] named, [2, size, 3] of finishes."""
    rng = np.random.default_rng(0)
    named = np.array([[words.sample_rgb(name, rng) for _ in range(size)] for name in words.COLOUR_NAMES])
    finished = np.array(
        [[colorsys.hsv_to_rgb(*words.sample_hsv(r, rng)) for _ in range(size)] for r in words.FINISH_HSV.values()]
    )
    return named, finished


class Painter:
    """Draws batches from a stock.

    Example:
        >>> painter = Painter(load_stock(folder), texture_bank(2000, 128, seed=0), seed=0)
        >>> batch = painter.draw(128)
    """

    def __init__(self, stock: Stock, bank: UInt8[ndarray, "textures size size 3"], seed: int, size: int = 64):
        self.stock, self.size = stock, size
        self.ease = 0.0
        """0: the full difficulty; towards 1: closer crops, plainer backgrounds, less noise. A start for training."""
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.bank_shape = bank.shape
        self.texels = torch.from_numpy(bank).view(-1, 3)
        self.named, self.finished = _pool()

    def draw(self, count: int, views: int = 1) -> Batch:
        """Pictures of `count` random scenes of the stock, `views` crops of each."""
        return self.paint(np.sort(self.rng.integers(0, len(self.stock), count)), views)

    def paint(self, index: ndarray, views: int = 1) -> Batch:
        """The given scenes of the stock in new looks; shading is the costly part, so several crops may share one."""
        rows = self.stock.rows(index)
        colours = self.draw_colours(len(index))
        layers = self.layers(rows, colours).repeat(views, 1, 1, 1)
        layers, shares = cut(layers, self.aim(layers[:, -MAX_THINGS:]), self.size)
        return self.batch(rows, colours, layers, shares)

    def layers(self, rows: Dict[str, Tensor], colours: Colours) -> Float[Tensor, "B layers side side"]:
        """Scenes in full size, in a new look apart from their colours: RGB, `facing` and `masks` of a Batch."""
        surface = rows["surface"].long()
        owner = rows["owner"].long()
        look = self._look(rows, owner, colours.finish, colours.rgb)
        picture = shade(surface, rows["position"], rows["normal"], rows["shadow"], look)
        self._composite(picture, surface)
        per_pixel = owner.gather(1, surface)
        masks = (per_pixel[:, None] == torch.arange(MAX_THINGS)[:, None]).float()
        facing = self._facing(rows, per_pixel >= 0)
        layers = torch.cat([picture.transpose(1, 2), facing, masks], 1)
        return layers.unflatten(-1, (self.stock.size, self.stock.size))

    def batch(self, rows: Dict[str, Tensor], colours: Colours, layers: Tensor, shares: Tensor) -> Batch:
        """Photograph crops and say what is true of them.

        Args:
            rows: of the scenes.
            colours: of the scenes' objects.
            layers: [views * B, ...] crops: of every scene the first, then of every scene the second, ...
            shares: visible shares of the objects, see `cut`.
        """
        views = len(layers) // len(rows["shape"])
        shape, on = (rows[name].long().repeat(views, 1) for name in ("shape", "on"))
        colour, finish = colours.colour.repeat(views, 1), colours.finish.repeat(views, 1)
        picture, facing, masks = layers.split([3, 2, MAX_THINGS], 1)
        facts = visible_facts(shape, on, colour, finish, masks, shares)
        return Batch(self._photograph(picture.contiguous()), masks, facing, facts)

    @staticmethod
    def _facing(rows: Dict[str, Tensor], on_object: Tensor) -> Tensor:
        """Cosines [B, 2, N] of surfaces to the camera and to the sky: they tell shapes apart and survive flips."""
        towards = F.normalize(rows["camera"][:, None] - rows["position"], dim=-1)
        cosines = torch.stack([(rows["normal"] * towards).sum(-1), rows["normal"][..., 2]], 1)
        return cosines * on_object[:, None]

    # ------------------------------------------------------------------------------------------------------ appearance

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator) * (high - low) + low

    def draw_colours(self, count: int) -> Colours:
        """New colours of all objects of some scenes."""
        rng, shape = self.rng, (count, MAX_THINGS)
        finish = np.where(rng.random(shape) < 0.62, 0, rng.integers(0, len(words.FINISHES), shape))
        colour = rng.integers(0, len(words.COLOUR_NAMES), shape)
        pick = rng.integers(0, self.named.shape[1], (*shape, 1 + ACCENTS))
        which = np.concatenate([colour[..., None], rng.integers(0, len(words.COLOUR_NAMES), (*shape, ACCENTS))], -1)
        rgb = self.named[which, pick]
        for i, (name, named) in enumerate(words.FINISH_COLOUR.items()):
            mine = finish == words.FINISHES.index(name)
            colour[mine] = words.COLOUR_NAMES.index(named)
            rgb[mine, 0] = self.finished[i][pick[mine][:, 0]]
        dim = rng.random(shape) < 0.4  # often an accent is a darker shade of the main colour
        rgb[dim, -1] = rgb[dim, 0] * rng.uniform(0.3, 0.8, (int(dim.sum()), 1))
        return Colours(torch.from_numpy(colour), torch.from_numpy(finish), torch.from_numpy(rgb).float())

    def _look(self, rows: Dict[str, Tensor], owner: Tensor, finish: Tensor, rgb: Tensor) -> Look:
        count, rng = len(owner), self.rng
        batch = torch.arange(count)[:, None]
        thing = owner.clamp_min(0)
        of_label = finish[batch, thing]
        table = torch.tensor([FINISH_GLOSS.get(name, FINISH_GLOSS["plain"]) for name in words.FINISHES])
        gloss = table[finish]
        loose = (gloss[..., 0] == FINISH_GLOSS["plain"][0]).float()  # ordinary surfaces shine more or less
        gloss[..., 0] += loose * self._uniform(-0.15, 0.3, *loose.shape)
        gloss[..., 1] *= self._uniform(0.5, 1.6, *loose.shape)
        gloss = gloss[batch, thing]
        direct = self._uniform(0.2, 0.85, count, 1)
        strength = self._uniform(0.85, 1.2, count, 1)
        textures, size = self.bank_shape[0] // 2, self.bank_shape[1]
        chosen = rng.integers(0, textures, (count, 2)) * 2 + [0, 1]
        gain = self._uniform(0.65, 1.25, count, 2, 1) * (1 + self._uniform(-0.2, 0.2, count, 2, 3))
        negative = self._uniform(0, 1, count, 2, 1) < 0.15
        gain = torch.where(negative, -gain, gain)
        repeats = torch.exp(torch.stack([self._uniform(0, 1.0, count), self._uniform(-2.3, -0.2, count)], 1))
        return Look(
            palette=rgb[batch, thing, rows["role"].long().clamp_max(ACCENTS)],
            finish=of_label,
            gloss=gloss[..., 0],
            sharpness=gloss[..., 1],
            tinted=gloss[..., 2],
            light=rows["light"],
            light_colour=strength * direct * (1 + self._uniform(-0.07, 0.07, count, 3)),
            ambient=strength * (1.05 - 0.75 * direct) * (1 + self._uniform(-0.05, 0.05, count, 3)),
            shadow=self._uniform(0.3, 0.9, count),
            camera=rows["camera"],
            texels=self.texels,
            start=torch.from_numpy(chosen * size * size),
            extent=torch.full((count, 2, 2), size),
            repeats=repeats,
            offset=self._uniform(0, 1, count, 2, 2),
            gain=gain,
            bias=torch.where(negative, 1.0, 0.0) + self._uniform(-0.08, 0.08, count, 2, 3),
        )

    def _composite(self, picture: Tensor, surface: Tensor) -> None:
        """Put some of the pictures' objects on flat or noisy backgrounds, as guidance does (in place)."""
        count, pixels = surface.shape
        chosen = (self._uniform(0, 1, count) < 0.25 + 0.55 * self.ease).nonzero()[:, 0]
        if len(chosen) == 0:
            return
        n, side = len(chosen), self.stock.size
        flat = self._uniform(0, 1, n, 3, 1, 1)
        kind = self._uniform(0, 1, n)
        flat[kind < 0.15], flat[kind > 0.85] = 0.0, 1.0
        cells = int(self.rng.choice([2, 4, 12, 48]))
        noise = self._uniform(0, 1, n, 3, cells, cells)
        mode = "nearest" if self.rng.random() < 0.3 else "bilinear"
        noise = F.interpolate(noise, (side, side), mode=mode)
        noisy = (self._uniform(0, 1, n) < 0.45).float().view(n, 1, 1, 1) * self._uniform(0.2, 1, n, 1, 1, 1)
        new = (flat + (noise - flat) * noisy).flatten(2).transpose(1, 2)
        last = torch.where(self._uniform(0, 1, n) < 0.65, GROUND, GROUND - 1)[:, None]
        keep = (surface[chosen] > last)[..., None]
        picture[chosen] = torch.where(keep, picture[chosen], new)

    # ------------------------------------------------------------------------------------------- crops and photographs

    def aim(self, masks: Float[Tensor, "B K side side"]) -> Float[Tensor, "B 2 3"]:
        """Random zooms: the whole view, a crop about one of the objects, or anywhere; as `affine_grid` takes them."""
        count, side = len(masks), masks.shape[-1]
        score = self._uniform(0, 1, *masks.shape[:2]) * (masks.sum((-1, -2)) > 0.002 * side * side)
        mask = masks[torch.arange(count), score.argmax(1)] > 0
        bounds = bounds_of(mask)
        extent = (bounds[..., 1] - bounds[..., 0]).amax(1) / 2
        near = extent * torch.exp(self._uniform(np.log(0.75), np.log(2.8 - 1.2 * self.ease), count))
        anywhere = self._uniform(0.4, 1, count)
        whole = self._uniform(0.85, 1, count)
        mode = self._uniform(0, 1, count)
        has = score.amax(1) > 0
        focus = (mode < 0.6 + 0.3 * self.ease) & has
        half = torch.where(focus, near, torch.where(mode < 0.85 + 0.1 * self.ease, whole, anywhere)).clamp(0.22, 1.0)
        jitter = self._uniform(-0.5, 0.5, count, 2) * half[:, None]
        centre = torch.where(focus[:, None], bounds.mean(-1) + jitter, self._uniform(-1, 1, count, 2))
        room = (1 - half)[:, None]
        centre = torch.maximum(torch.minimum(centre, room), -room)
        stretch = torch.exp(self._uniform(-0.12, 0.12, count))
        flip = torch.where(self._uniform(0, 1, count) < 0.5, -1.0, 1.0)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = half * flip * stretch.clamp_max(1), half / stretch.clamp_min(1)
        theta[:, :, 2] = centre
        return theta

    def _photograph(self, images: Tensor) -> Tensor:
        """What cameras and blurry NeRFs do to a picture: blur, exposure, white balance, contrast, noise."""
        count = len(images)
        for share, kernel in ((0.3, (1, 2, 1)), (0.15, (1, 4, 6, 4, 1)), (0.08, (1, 1, 1, 1, 1))):
            chosen = (self._uniform(0, 1, count) < share * (1 - 0.8 * self.ease)).nonzero()[:, 0]
            if len(chosen):
                k = torch.tensor(kernel, dtype=torch.float32) / sum(kernel)
                pad = len(kernel) // 2
                patch = F.pad(images[chosen].flatten(0, 1)[:, None], (pad,) * 4, mode="replicate")
                patch = F.conv2d(F.conv2d(patch, k.view(1, 1, 1, -1)), k.view(1, 1, -1, 1))
                images[chosen] = patch.view(-1, *images.shape[1:])
        gain = self._uniform(0.85, 1.15, count, 1, 1, 1) * (1 + self._uniform(-0.05, 0.05, count, 3, 1, 1))
        contrast = self._uniform(0.85, 1.12, count, 1, 1, 1)
        images = (images * gain - 0.5) * contrast + 0.5
        level = self._uniform(-0.06, 0.06, count, 1, 1, 1).clamp_min(0) * (1 - 0.8 * self.ease)
        images = images + torch.randn(images.shape, generator=self.generator) * level
        return images.clamp_(0, 1)


assert FIRST_PART == 2  # textures are picked by surface label: 0 surroundings, 1 ground
