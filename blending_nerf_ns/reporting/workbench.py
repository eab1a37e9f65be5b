"""Measures several edits of one run alike: from the same views, by the same judge and the same masks."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.closeups import close_ups
from blending_nerf_ns.localization.reading import rivals
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.reporting.judge import Judge, read_texts
from blending_nerf_ns.reporting.measuring import Case, Figure, Yardstick, measure
from blending_nerf_ns.reporting.opening import FinishedRun
from blending_nerf_ns.reporting.pictures import OwnRegion, Pictures, own_region, surface_points
from blending_nerf_ns.reporting.subject import Masks
from blending_nerf_ns.reporting.views import Views

IN_REGION = 0.5
"""A pixel counts as our own region's where its ray meets this weight of the region, in free space too: additions stand there."""
SAME_TEXT = 1e-6
"""Texts whose features' cosine is as near to 1 are read alike."""
MOST_POINTS = 20_000
"""Pixels whose surface points the Chamfer distance takes."""


class Measured(NamedTuple):
    """What a bench says of an edit."""

    figures: Dict[str, Figure]
    pool: List[str]
    """Prompts of R-precision, the target first; empty without a judge."""
    warnings: List[str]
    """What the judge cannot read of them."""


class Bench:
    """Everything by which edits are measured.

    Args:
        run: whose edits they are.
        views: from where.
        plain: the base alone from there.
        judge: who scores.
        yardstick: what all figures have in common.
        masks: where the edits belong, if that is known.
        prompts: pool of R-precision; without any, the source text and texts that are false where the target is true.
    """

    def __init__(
        self,
        run: FinishedRun,
        views: Views,
        plain: Pictures,
        judge: Judge,
        yardstick: Yardstick,
        masks: Optional[Masks],
        prompts: Sequence[str],
    ) -> None:
        self.run, self.views, self.plain, self.judge = run, views, plain, judge
        self.yardstick, self.masks, self.prompts = yardstick, masks, list(prompts)
        self._before = judge.look(plain.original)
        self._close_before = self._close_up(plain.original)
        self._regions: Dict[str, OwnRegion] = {}
        self._asked = every_nth(plain.depth, MOST_POINTS)

    def of(self, masks: Optional[Masks], no_mask: Optional[str] = None) -> Bench:
        """The same bench for edits that belong elsewhere; or why nobody knows where."""
        other = copy.copy(self)
        other.masks, other.yardstick = masks, replace(self.yardstick, no_mask=no_mask)
        other._close_before = other._close_up(self.plain.original)
        return other

    def measure(self, layers: List[Edit], pictures: Pictures, source: str, target: str) -> Measured:
        """All figures of some layers.

        Args:
            layers: that are on in the pictures; none of a method without layers.
            pictures: of the bench's views.
            source, target: texts of the edit.
        """
        base, device = self.run.model.base, self.run.model.device

        def in_region(points: Tensor) -> Tensor:
            at = base.to_grid(points.to(device, torch.float32))
            return torch.stack([edit.region.weight_at(at) > 0 for edit in layers]).any(dim=0).cpu()

        pool, texts, warned = read_pool(self.judge, source, target, self.prompts)
        cameras, plain = self.views.cameras, self.plain
        case = Case(
            pictures=pictures,
            before=self._before,
            after=self.judge.look(pictures.edited),
            source=None if texts is None else texts[0],
            pool=None if texts is None else texts[1:],
            original_surface=surface_points(cameras, plain, self._asked),
            edited_surface=surface_points(cameras, pictures, self._asked),
            mask=self.masks and self.masks.room,
            subject=self.masks and self.masks.subject,
            close_before=self._close_before,
            close_after=self._close_up(pictures.edited),
            own=self.region(layers).silhouette >= IN_REGION if layers else None,
            in_region=in_region,
            recolors=all(set(edit.info.operations) == {"change"} for edit in layers),
        )
        return Measured(measure(case, self.yardstick), pool if self.judge.clip is not None else [], warned)

    def _close_up(self, pictures: Tensor) -> Optional[Tensor]:
        return (
            None
            if self.masks is None
            else look_close(self.judge, pictures, self.masks.subject, self.yardstick.dilation)
        )

    def region(self, layers: List[Edit]) -> OwnRegion:
        """The layers' regions together, from the bench's views."""
        assert isinstance(self.run.model, BlendingModel), "only a blend has layers"
        for edit in layers:
            if edit.info.id not in self._regions:
                self._regions[edit.info.id] = own_region(self.run.model, edit, self.views.cameras)
        return functools.reduce(OwnRegion.joined, (self._regions[edit.info.id] for edit in layers))


def prompt_pool(judge: Judge, source: str, target: str, prompts: Sequence[str]) -> List[str]:
    """Texts of R-precision, the target first: those given, else the source and what is false where the target is true."""
    told = prompts or (source, *([] if judge.clip is None else rivals(target, judge.clip.embedded)))
    return list(dict.fromkeys([target, *told]))


def read_pool(
    judge: Judge, source: str, target: str, prompts: Sequence[str]
) -> Tuple[List[str], Optional[Float[Tensor, "texts features"]], List[str]]:
    """The texts of R-precision that a judge tells apart, the target first; its features of the source and of these, None without a judge;
    and what it cannot read of them.
    """
    pool = prompt_pool(judge, source, target, prompts)
    texts, warned = read_texts(judge, [source, *pool])
    if texts is not None:
        apart = told_apart(texts[1:])
        pool, texts = [pool[index] for index in apart], torch.cat([texts[:1], texts[1:][apart]])
    return pool, texts, warned


def told_apart(texts: Float[Tensor, "texts features"]) -> List[int]:
    """Which texts say something that none before them does: of "a blue ball" and "A blue ball" a judge reads one, which would win against
    itself half of the time.

    Args:
        texts: features of length 1.

    Example:
        >>> told_apart(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
        [0, 1]
    """
    same = (texts @ texts.T > 1.0 - SAME_TEXT).tril(-1)
    return [index for index, row in enumerate(same.tolist()) if not any(row)]


def look_close(
    judge: Judge,
    pictures: Float[Tensor, "views height width 3"],
    subject: Bool[Tensor, "views height width"],
    dilation: int,
) -> Optional[Float[Tensor, "seen features"]]:
    """What a judge sees in close-ups of a subject; None without a judge."""
    if judge.clip is None:
        return None
    return judge.look(close_ups(pictures, subject, dilation=dilation, size=judge.clip.image_size))


def read_prompts(path: Optional[Path]) -> List[str]:
    """One prompt a line; empty lines and lines that begin with # do not count.

    Raises:
        BlendingNerfError: no such file, or fewer than two prompts in it.
    """
    if path is None:
        return []
    if not path.is_file():
        raise BlendingNerfError(f"there is no prompts file {path}")
    try:
        lines = [
            line.strip() for line in path.read_text("utf-8-sig").splitlines()
        ]  # an editor may begin it with a mark
    except UnicodeDecodeError as error:
        raise BlendingNerfError(f"{path} is no text in UTF-8: {error}") from error
    prompts = [line for line in lines if line and not line.startswith("#")]
    if len(set(prompts)) < 2:
        raise BlendingNerfError(f"{path} holds {len(set(prompts))} prompts, wanted 2 or more, one a line")
    return prompts


def every_nth(pixels: Tensor, most: int) -> Bool[Tensor, "*pixels"]:
    """An even choice of at most so many elements."""
    chosen = torch.zeros(pixels.numel(), dtype=torch.bool)
    chosen[:: max(1, -(-pixels.numel() // most))] = True
    return chosen.view(pixels.shape)
