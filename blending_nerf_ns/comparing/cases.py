"""What is compared: edits of scenes, methods that make them, and the cells of their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, get_args

from blending_nerf_ns.comparing.drawing import Drawing
from blending_nerf_ns.comparing.wishes import Wish, wish_of
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.evaluation.masks import Room


@dataclass(frozen=True)
class EditCase:
    """One edit that is asked of every method alike."""

    name: str
    """In file names and the table: "recolour"."""
    source_text: str
    """What is there."""
    target_text: str
    """What it should become."""
    operations: Tuple[str, ...] = OPERATIONS
    """What it takes; only methods that tell operations apart are told."""
    region: Mapping[str, str] = field(default_factory=dict)
    """ns-train's flags of where it is, without their "--pipeline.region.": {"box-size": "0.5 0.5 1"}. Only methods with a
    region are told."""
    room: Room = "none"
    """What it is asked to use beside its subject's pixels (`evaluation.masks.with_room`): change there is no leakage."""
    subject: str = ""
    """Text that names the object in the demo's ground truth, where the source text does not."""

    def __post_init__(self) -> None:
        """Refuse what could not be trained or measured."""
        if self.room not in get_args(Room):
            raise BlendingNerfError(
                f"the edit {self.name!r} has the room {self.room!r}; choose among {', '.join(get_args(Room))}"
            )
        if not self.name or not self.target_text or not set(self.operations) <= set(OPERATIONS) or not self.operations:
            raise BlendingNerfError(
                f"the edit {self.name!r} needs a name, a target text and operations among {OPERATIONS}; it has the target "
                f"{self.target_text!r} and {self.operations}"
            )

    @property
    def wish(self) -> Optional[Wish]:
        """What could be painted of it."""
        return wish_of(self.source_text, self.target_text, self.operations, self.room)


TEXTS = ("name", "source_text", "target_text", "subject")
"""Of an edit."""
REGION_PLACES = ("file", "masks")
"""Of a region's flags, those that name a place on a disk."""


@dataclass(frozen=True)
class SceneCase:
    """A capture and what is done to it."""

    name: str
    """In file names and the table."""
    edits: Tuple[EditCase, ...]
    capture: Optional[Path] = None
    """Its folder; None where it is drawn."""
    drawing: Optional[Drawing] = None
    """What is drawn, where it is."""
    masks: Tuple[str, ...] = ("none",)
    """What `blending-nerf evaluate --masks` is told; a file lies beside the scene's own."""
    train_flags: Tuple[str, ...] = ()
    """ns-train's flags of base and edits alike, such as the photos' scale."""
    development: bool = False
    """Whether it was looked at while the method was made: its figures are then not those of an unseen scene."""

    @property
    def masks_path(self) -> Optional[Path]:
        """The file or folder of the masks; none where they are drawn, or lie in the photos."""
        return Path(self.masks[1]) if len(self.masks) > 1 and self.drawing is None else None

    def find(self, name: str) -> EditCase:
        """An edit by its name; raises BlendingNerfError where there is none."""
        found = [edit for edit in self.edits if edit.name == name]
        if not found:
            raise BlendingNerfError(
                f"the scene {self.name} has no edit {name!r}; it has {', '.join(edit.name for edit in self.edits)}"
            )
        return found[0]


DRAWN, RETOUCHED = "drawn-anew", "retouched"
"""Methods that train nothing: the edit is drawn, or painted into the base's pictures."""


@dataclass(frozen=True)
class Method:
    """A way to make an edit."""

    name: str
    """In file names and the table."""
    config: str
    """ns-train's method; empty where nothing is trained: the edit is drawn."""
    flags: Tuple[str, ...] = ()
    """Of ns-train; they win over the edit's. "{x}" and the like are filled in for each scene (`places`)."""
    has_region: bool = True
    """Whether it knows regions and operations."""

    @property
    def trained(self) -> bool:
        """Whether it trains anything."""
        return bool(self.config)

    def can_make(self, scene: SceneCase, edit: EditCase) -> bool:
        """Whether it makes that edit: what is drawn or painted must be known."""
        if self.name == DRAWN:
            return scene.drawing is not None and edit.name in scene.drawing.perfect
        return self.trained or (scene.masks != ("none",) and edit.wish is not None)


@dataclass(frozen=True)
class Cell:
    """One training run and its figures."""

    scene: SceneCase
    edit: EditCase
    method: Method
    seed: int

    @property
    def experiment(self) -> str:
        """Scene, edit and method, for file names."""
        return f"{self.scene.name}__{self.edit.name}__{self.method.name}"

    @property
    def key(self) -> str:
        """Tells cells apart."""
        return f"{self.experiment}__seed{self.seed}"

    @property
    def settings(self) -> Dict[str, Any]:
        """All that its figures depend on, without any place on a disk."""
        edit = asdict(self.edit)
        if not self.method.has_region:  # it is told of neither
            del edit["region"], edit["operations"]
        return {
            "scene": self.scene.name,
            "development": self.scene.development,
            "masks": [Path(word).name for word in self.scene.masks],
            "edit": edit,
            "method": self.method.name,
            "config": self.method.config,
            "flags": [*self.scene.train_flags, *self.method.flags],
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Workplace:
    """Where cells are run."""

    work: Path
    """Captures, bases, runs and logs: gigabytes."""
    results: Path
    """One JSON file for each cell: kilobytes, may be committed."""
    base_config: str = "blending-nerf-cpu"
    """ns-train's method of the bases, which all methods share."""
    train_flags: Tuple[str, ...] = ()
    """ns-train's flags of every base and every run."""
    base_flags: Tuple[str, ...] = ()
    """Of the bases alone."""
    evaluate_flags: Tuple[str, ...] = field(default=())
    """Of `blending-nerf evaluate`."""


def table_cells(
    scenes: Sequence[SceneCase], edits: Sequence[str], methods: Sequence[Method], seeds: Sequence[int]
) -> List[Cell]:
    """All combinations, seed by seed: a table that is stopped early has few seeds of everything.

    What is drawn anew has no seeds, and an edit that cannot be drawn or painted has no such cell.

    Args:
        scenes: each with its own edits.
        edits: names of those that count; all if none is named.
        methods: what is compared.
        seeds: of each.
    """
    return [
        Cell(scene, edit, method, seed)
        for seed in seeds
        for scene in scenes
        for edit in ([scene.find(name) for name in edits] or scene.edits)
        for method in methods
        if method.can_make(scene, edit) and (method.name != DRAWN or seed == seeds[0])
    ]


def edit_of(values: Mapping[str, Any]) -> EditCase:
    """An edit as a scene's file says it."""
    try:
        plain: Dict[str, Any] = dict(values)
        if "operations" in plain:
            plain["operations"] = tuple(plain["operations"])
        for name in TEXTS:
            if not isinstance(plain.get(name, ""), str):
                raise TypeError(f"{name} is {plain[name]!r}, wanted a text")
        plain["region"] = {str(name): _words(value) for name, value in dict(plain.get("region", {})).items()}
        return EditCase(**plain)
    except (TypeError, ValueError) as error:
        raise BlendingNerfError(f"this is no edit: {values!r} ({error})") from error


def _words(value: Any) -> str:
    """A flag's value as it is typed: of a list, its parts one after the other."""
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
