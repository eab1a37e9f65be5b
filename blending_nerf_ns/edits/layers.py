"""The list of layers: frozen edits, and the place of the one in work among them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import List, Tuple

import torch
from torch import Tensor, nn

from blending_nerf_ns.edits.edit import Edit, build_edit
from blending_nerf_ns.edits.layer import pack, unpack
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.rendering.blending import AS_TRAINED, Strengths


def new_id() -> str:
    """An id that no other layer has."""
    return uuid.uuid4().hex[:8]


class Layers(nn.Module):
    """Frozen edits by id and the order of all, the lowest first. The edit in work is not held here, but has a place.

    Args:
        in_work: the edit in work, with an id.
        use_cuda: whether tinycudann may be used.
    """

    def __init__(self, in_work: Edit, use_cuda: bool = False) -> None:
        super().__init__()
        self.frozen = nn.ModuleDict()
        self.order: List[str] = [in_work.info.id]
        self._in_work, self._use_cuda = (in_work,), use_cuda  # in a tuple: it is another module's part

    @property
    def in_work(self) -> Edit:
        """The edit that trains."""
        return self._in_work[0]

    def __getitem__(self, id: str) -> Edit:
        """A layer by its id.

        Raises:
            BlendingNerfError: there is none.
        """
        if id == self.in_work.info.id:
            return self.in_work
        if id not in self.frozen:
            raise BlendingNerfError(f"there is no layer {id!r}; there are {', '.join(self.order)}")
        found = self.frozen[id]
        assert isinstance(found, Edit)
        return found

    def all(self) -> List[Edit]:
        """Every layer, the lowest first."""
        return [self[id] for id in self.order]

    def beneath(self) -> List[Tuple[Edit, Strengths]]:
        """What the edit in work is made on: the layers under it, with the strengths that are shown."""
        under = self.order[: self.order.index(self.in_work.info.id)]
        return [(self[id], self[id].info.shown) for id in under if not self[id].info.shown.all_off]

    def add(self, edit: Edit) -> None:
        """Put a frozen edit under the one in work. One with an id that is taken gets another."""
        if not edit.info.id.isalnum() or edit.info.id in self.order:
            edit.info = replace(edit.info, id=new_id())
        self.frozen[edit.info.id] = edit.requires_grad_(False).eval().to(self.in_work.region.lower.device)
        self.order.insert(self.order.index(self.in_work.info.id), edit.info.id)

    def freeze_copy(self) -> Edit:
        """Keep the edit in work as it is now: a frozen copy takes its id and its place, and it gets a new id on top.

        The caller resets the edit in work.
        """
        done = self.in_work
        copy = build_edit(done.description, self._use_cuda).to(done.region.lower.device)
        copy.load_state_dict(done.state_dict())
        self.frozen[done.info.id] = copy
        done.info = replace(done.info, id=new_id(), name="", strengths=AS_TRAINED, visible=True)
        self.order.append(done.info.id)
        return copy

    def renew(self) -> None:
        """The edit in work is another from here on, at the same place: with an id that no look and no file knows."""
        self.call_in_work(new_id())

    def call_in_work(self, id: str) -> None:
        """Give the edit in work this id, at the same place; where a frozen layer has it, it keeps its own."""
        if id in self.frozen:
            return
        old = self.in_work.info.id
        self.in_work.info = replace(self.in_work.info, id=id)
        self.order = [id if other == old else other for other in self.order]

    def remove(self, id: str) -> None:
        """Take a frozen layer out.

        Raises:
            BlendingNerfError: it is not there, or it is the one in work.
        """
        if id == self.in_work.info.id:
            raise BlendingNerfError("this layer is in work: reset it, or start a new layer first")
        self[id]
        self.order = [other for other in self.order if other != id]  # first: the panel reads this from another thread
        del self.frozen[id]

    def move(self, id: str, by: int) -> None:
        """Move a layer up (or, with a negative number, down) in the order, as far as there is room."""
        place, order = self.order.index(self[id].info.id), list(self.order)
        order.insert(max(0, min(len(order) - 1, place + by)), order.pop(place))
        self.order = order

    def arrange(self, order: List[str]) -> None:
        """Put the layers into this order, the lowest first.

        Raises:
            BlendingNerfError: these are not the layers that there are.
        """
        if sorted(order) != sorted(self.order):
            raise BlendingNerfError(
                f"the layers are {', '.join(self.order)}; an order of {', '.join(order)} misses some"
            )
        self.order = list(order)

    def get_extra_state(self) -> Tensor:
        """The order, for the checkpoint."""
        return pack({"order": self.order})

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse."""
        self.order = list(unpack(state)["order"])

    def make_room(self, state: Mapping[str, Tensor], prefix: str) -> None:
        """Hold layers of the kinds that a state dict has, so that it fits.

        Args:
            state: of a model that holds this under `prefix`.
            prefix: "_model.layers."
        """
        start, end = f"{prefix}frozen.", "._extra_state"
        ids = [key[len(start) : -len(end)] for key in state if key.startswith(start) and key.endswith(end)]
        device = self.in_work.region.lower.device
        self.frozen = nn.ModuleDict(
            {id: build_edit(unpack(state[f"{start}{id}{end}"]), self._use_cuda).to(device) for id in ids}
        )


@torch.no_grad()
def clear(edit: Edit) -> None:
    """Back to no edit: an empty region, a field that does nothing, random like a new one."""
    fresh = build_edit(edit.description)
    edit.region.load_state_dict(type(edit.region)(edit.region.resolution).state_dict())
    edit.field.load_state_dict(fresh.field.to(edit.region.lower.device).state_dict())
