"""Where an edit starts: from plain beginnings that are tried outright, before any gradient is followed (ours).

A guide's gradient is local. From a hint of a colour it was seen to lead back to none, from a hint of a removal to holes that only
a guide takes for nothing, and from a hint of density to fog. So the region in one colour, the object taken away, a ball beside it,
and a ball or a box in its place are looked at first, as far as the edit may do that; the field starts from just what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Optional

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from blending_nerf_ns.edits.field import EditField
from blending_nerf_ns.edits.seeds import Seed, seeds_beside, seeds_in_place
from blending_nerf_ns.edits.shape import FREE
from blending_nerf_ns.edits.solids import voxel_positions
from blending_nerf_ns.guidance.crops import as_image, crop
from blending_nerf_ns.guidance.frames import share_of_frames
from blending_nerf_ns.guidance.losses import directional_loss, global_loss
from blending_nerf_ns.guidance.palette import STRENGTH, Painter, best_color, painted_between, painted_over, palette
from blending_nerf_ns.rendering.shading import mean_light, shading
from blending_nerf_ns.training.crop_sets import place_crops
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.placed import claimed, is_empty, look_into, placed_solids

START_VIEWS = 6
"""Views on which a colour and a removal are tried."""
BALL_VIEWS = 3
"""Of these, on how many balls and boxes are tried, of which there are several; the best of them and its rivals then on all. Three views
were seen to like the larger of two balls better by 0.07 in two seeds, and twelve either of them by 0.01."""
AS_GLAD = 0.05
"""Difference of two losses that says nothing: the guide's of one solid differs by as much between three views and six. Of two balls in an
object's place that it likes equally the smaller one leaves more of what is around as it was; one in its place is what was asked for
rather than one beside it, see `preferred`."""
OF_ITS_GAIN = 0.5
"""Share of what the best gains over the original that such a difference may be at most: where that is little, the smaller one may have
none of it."""
TRIAL_GRAYS = (0.3, 0.7)
"""In which a solid is rendered: what it looks like in any colour follows. Near black and white a field's colours do not follow so straight."""
FRAME_CELLS = 24
"""Places along each side of a region's grid that are looked for in the photos' frames."""


class Beginning(NamedTuple):
    """Something that an edit may start from."""

    loss: float
    """Of the guide: global and directional, lower is better."""
    words: str
    """What it is, for people."""
    begin: Callable[[], None]
    """Makes the field start so."""


class Place(NamedTuple):
    """A solid that an edit may start from."""

    where: str
    """For people."""
    seed: Seed
    instead: bool
    """Whether it fills the object's place, or all of a solid that was placed where nothing is."""


def rivals(best: Place, places: Sequence[Place]) -> list[Place]:
    """Which of some solids are looked at once more beside the best, on all views: those that are preferred where they are as good.

    They are in the object's place, too, and of its shape; beside one that is not, all that are.
    """
    alike = [one for one in places if one.instead and (one.seed.power == best.seed.power or not best.instead)]
    return alike if best.instead else [best, *alike]


def preferred(tries: Sequence[tuple[float, Place]], before: float) -> Place:
    """Of rivals the best, or one that is as good (`AS_GLAD`) and leaves less of what was to go, or more of the rest.

    An edit that may remove is asked for something instead, and a guide that sees a ball beside an object may be as glad of it. Of
    one shape in the object's place the smaller one is taken.

    Args:
        tries: the guide's loss of each, and it.
        before: its loss of the original.
    """
    lowest = min(loss for loss, _ in tries)
    most = lowest + min(AS_GLAD, max(0.0, OF_ITS_GAIN * (before - lowest)))
    near = [one for one in tries if one[0] <= most]
    near = [one for one in near if one[1].instead] or near
    shape = min(near, key=lambda one: one[0])[1].seed.power
    return min(
        (place for _, place in near if place.seed.power == shape), key=lambda place: float(place.seed.radii.prod())
    )


@torch.no_grad()
def choose_start(editing: EditTraining) -> str:
    """Let the field start from what the guide likes best; call before the first step.

    Returns:
        What that is, for people. Where nothing is liked better than the original, the field does nothing yet.
    """
    if editing.keeps_shading:
        editing.model.edit.field.keep_light(object_light(editing))
    best = min(beginnings(editing), key=lambda one: one.loss)
    best.begin()
    return best.words


def beginnings(editing: EditTraining) -> Iterator[Beginning]:
    """What there is to start from, the original first; the field is left as it was."""
    field, operations = editing.model.edit.field, set(editing.model.edit.info.operations)
    views = _Views(editing, START_VIEWS)
    yield Beginning(views.loss(views.before), "the original", lambda: None)
    if "change" in operations:
        color, loss = views.best_color(views.recoloured(field.kept_light))
        yield Beginning(loss, f"one colour, {_said(color)}", partial(field.start_from_color, color, STRENGTH))
    if "remove" in operations:
        with field.left_as_it_is():
            field.start_from_removal()
            loss = views.loss(editing.guide.encode_images(views.crops(map(editing.picture, views.views))))
        yield Beginning(loss, "the object taken away", field.start_from_removal)
    if "add" in operations:
        few, places = _Views(editing, BALL_VIEWS), solids_to_try(editing)

        def tried(seen: _Views, place: Place) -> tuple[float, Float[Tensor, "3"]]:
            """The guide's loss of a solid in its best colour, and that colour."""
            with field.left_as_it_is():
                shown = []
                for gray in TRIAL_GRAYS:
                    _start_from_solid(field, place, operations, place.seed.center.new_full((3,), gray))
                    shown.append(seen.crops(map(editing.picture, seen.views)))
                color, loss = seen.best_color(painted_between(shown[0], shown[1], TRIAL_GRAYS))
            return loss, color

        if not places:
            return
        losses = [tried(few, place)[0] for place in places]
        best = places[losses.index(min(losses))]
        again = [(*tried(views, place), place) for place in rivals(best, places)]
        place = preferred([(loss, one) for loss, _, one in again], views.loss(views.before))
        loss, color = next((loss, color) for loss, color, one in again if one is place)
        solid = "a ball" if place.seed.power == 2.0 else "a box"
        words = f"{solid} {place.where}, {_said(color)}"
        yield Beginning(loss, words, partial(_start_from_solid, field, place, operations, color))


def solids_to_try(editing: EditTraining) -> list[Place]:
    """What may be added at first: balls beside the object; in its place, where it may be removed or was never there, a ball or a box."""
    region, pool = editing.model.edit.region, editing.pool
    removes, solid = "remove" in editing.model.edit.info.operations, placed_solids(region)
    air, empty = None, False
    if bool(solid.any()):
        views = (pool[index] for index in range(min(START_VIEWS, len(pool))))
        seen = look_into(region, editing.model.unedited, views)
        # what may remove has the object's place: in a box that was placed around one, air is beside it
        air = None if removes and not is_empty(solid, seen) else solid & (seen == FREE)
        empty = is_empty(claimed(region), seen)
    places = []
    if not empty:
        seeds = seeds_beside(region, shown_by_photos(editing), air)
        places = [Place("beside the object", seed, False) for seed in seeds]
    if empty or removes:
        where = "where nothing is" if empty else "in its place"
        places += [Place(where, seed, True) for seed in seeds_in_place(region, None if empty else air)]
    return places


def object_light(editing: EditTraining) -> Float[Tensor, ""]:
    """Mean luminance of what is edited, in some guidance views."""
    views = [editing.pool[index] for index in range(min(START_VIEWS, len(editing.pool)))]
    shown = [(view.original.reshape(-1, 3), view.coverage.reshape(-1)) for view in views]
    return mean_light(*(torch.cat(part) for part in zip(*shown, strict=True)))


def shown_by_photos(editing: EditTraining) -> Float[Tensor, "z y x"]:
    """Share of the photos in whose frame each voxel of the region's grid lies."""
    region = editing.model.edit.region
    places = voxel_positions(region.lower, region.upper, FRAME_CELLS, editing.model.base.contracted)
    shares = share_of_frames(editing.photos, places)
    return interpolate(shares[None, None], size=tuple(region.weight.shape), mode="trilinear")[0, 0]


def _start_from_solid(field: EditField, place: Place, operations: Iterable[str], color: Float[Tensor, "3"]) -> None:
    field.start_from_solid(place.seed, color, in_place=place.instead)
    if place.instead and "remove" in operations:
        field.start_from_removal()


def _said(color: Float[Tensor, "3"]) -> str:
    return f"{' '.join(f'{value:.2f}' for value in color.tolist())} (RGB)"


class _Views:
    """Some guidance views, and crops of them that the guide is shown: the whole, and a part of each."""

    def __init__(self, editing: EditTraining, count: int) -> None:
        self._editing = editing
        self.views = [editing.pool[index] for index in range(min(count, len(editing.pool)))]
        generator = torch.Generator().manual_seed(editing.seed)
        self._boxes = [place_crops(view, 2, editing.adds, generator) for view in self.views]
        self._originals = self.crops(view.original for view in self.views)
        self.before = editing.guide.encode_images(self._originals)

    def crops(self, pictures: Iterable[Float[Tensor, "height width channels"]]) -> Float[Tensor, "crops channels s s"]:
        """The same crops of some pictures of the views."""
        size = self._editing.guide.image_size
        return torch.cat([crop(as_image(one), box, size) for one, box in zip(pictures, self._boxes, strict=True)])

    def loss(self, after: Float[Tensor, "crops features"]) -> float:
        """The guide's loss of edited crops; of the originals themselves it is that of no change."""
        source, target = self._editing.source, self._editing.target
        return float(global_loss(after, target) + directional_loss(self.before, after, source, target))

    def recoloured(self, light: Optional[Float[Tensor, ""]]) -> Painter:
        """What is edited in other colours; beside a luminance it keeps its light and shade."""
        covered = self.crops(view.coverage[..., None] for view in self.views)
        shade = None if light is None else shading(self._originals.permute(0, 2, 3, 1), light)
        return painted_over(self._originals, covered, shade)

    def best_color(self, paint: Painter) -> tuple[Float[Tensor, "3"], float]:
        """The colour in which the crops are best, and the guide's loss."""
        editing = self._editing
        color, loss = best_color(editing.guide, paint, self.before, palette(), editing.source, editing.target)
        return color.to(editing.model.device), float(loss)
