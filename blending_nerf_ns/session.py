"""What a person does with a run while it lives: start, pause, reset, undo, layers, files. Nothing here knows a widget.

The viewer's threads call these methods; they only ask (see `wishes`). What takes seconds (finding a region) is an errand for the
training loop, for a picture can be interrupted and a loop cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Tuple

from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.edits.edit import Edit
from blending_nerf_ns.edits.file import SUFFIX, edit_bytes, edit_from_bytes, load_edit, save_edit
from blending_nerf_ns.edits.history import History, Snapshot
from blending_nerf_ns.edits.layers import clear
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.config import GuidanceConfig, budgets
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.look import look_of, write_look
from blending_nerf_ns.rendering.blending import AS_TRAINED

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline


@dataclass
class Status:
    """What goes on, in numbers and one sentence."""

    stage: str = "starting"
    """starting, base, region, edit, paused, done, or viewing (no trainer)."""
    step: int = 0
    steps: int = 0
    seconds_left: Optional[float] = None
    similarity: Optional[float] = None
    """Of the pictures to the target text now..."""
    similarity_start: Optional[float] = None
    """...and of the originals."""
    added: float = 0.0
    removed: float = 0.0
    changed: float = 0.0
    message: str = ""
    """The last thing that went wrong or was done."""


class Session:
    """Steers a pipeline.

    Args:
        pipeline: whose edit in work, layers and files are meant.
    """

    def __init__(self, pipeline: BlendingPipeline) -> None:
        self._pipeline, self._model = pipeline, pipeline.model
        self.history = History()
        self.status = Status()
        self.waits = False
        """Whether the run waits for its user where there is nothing to train, instead of ending."""
        self.running = True
        """Whether the edit may train."""
        self.fade = False
        """Whether the look that is saved lets camera paths fade the edits in."""
        self._errand: Optional[Callable[[], None]] = None
        self._model.wishes.on_error = self.say

    def say(self, message: str) -> None:
        """Tell the user something."""
        from nerfstudio.utils.rich_utils import CONSOLE

        CONSOLE.print(message)
        self.status.message = message

    # -- what the panel shows -----------------------------------------------------------------------------------

    @property
    def texts(self) -> Tuple[str, str]:
        """Source and target text of the edit in work."""
        info = self._model.edit.info
        return info.source_text, info.target_text

    @property
    def operations(self) -> Tuple[str, ...]:
        """What the edit in work may do."""
        return self._model.edit.info.operations

    @property
    def guidance(self) -> GuidanceConfig:
        """Budgets and weights; a change acts from the next step on."""
        return self._pipeline.config.guidance

    @property
    def budgets(self) -> Tuple[float, float, float]:
        """What the edit in work may add, remove and recolour for free, in [0, 1]."""
        return budgets(self.guidance, self.operations, self._model.edit.field.has_seed)

    @property
    def region(self) -> RegionConfig:
        """Settings by which the next region is found."""
        return self._pipeline.config.region

    def refresh(self) -> None:
        """Bring the status up to date."""
        self._pipeline.tell(self.status)

    @property
    def picture(self) -> Tuple[object, ...]:
        """Changes whenever the picture does for another reason than a widget that was moved."""
        return self.status.stage, self.status.step, self._model.version

    @property
    def in_work(self) -> Edit:
        """The layer that trains."""
        return self._model.edit

    def layers(self) -> List[Edit]:
        """All layers, the lowest first."""
        return self._model.layers.all()

    # -- training -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Train the edit in work: on from where it stands, or another round where it was done."""

        def do() -> None:
            self.running = True
            if self._pipeline.edit_done:
                self._remember("another round")
                self._pipeline.restart_edit()
            self._wake()

        self._ask("start or pause", do)

    def pause(self) -> None:
        """Let the edit stand after the step that is on."""

        def do() -> None:
            self.running = False

        self._ask("start or pause", do)

    def find_region(self) -> None:
        """Find the region by the words and settings of now, without training; its field starts afresh.

        Where nothing is found the edit stays as it is.
        """

        def do() -> None:
            self._errand = self._find_region
            self._wake()

        self._ask("find the region", do)

    def set_texts(self, source: str, target: str, new_region: bool = False, restart: bool = False) -> None:
        """Other prompts.

        Args:
            source: what is there now.
            target: what it should become.
            new_region: find the region again by the new source text.
            restart: the field starts again from no edit; else it keeps its weights.
        """

        def take() -> None:
            before = self._snapshot("prompts")
            self._pipeline.take_texts(source, target)
            self.history.remember(before)
            if restart or new_region:
                self._restart(keep_region=not new_region)
            if new_region and self.running:
                self._wake()
            self._keep()

        self._ask("prompts", take)

    def set_operations(self, operations: tuple[str, ...]) -> None:
        """What the edit may do from now on; at least one."""

        def take() -> None:
            if not operations:
                raise BlendingNerfError("choose at least one of add, remove and change")
            self._pipeline.config.operations = operations  # type: ignore[assignment]
            self._pipeline.take_texts(*self._pipeline.texts)
            self._keep()

        self._ask("operations", take)

    def cut_region(self, **changes: float) -> None:
        """Another threshold, margin, ... of the region, live."""
        for name, value in changes.items():
            setattr(self.region, name, value)
        self._model.want_region(**changes)

    def take_crop_box(self) -> None:
        """The viewer's crop box becomes the region."""

        def do() -> None:
            before = self._snapshot("crop box")
            self._model.take_crop_box(self.region.shape())
            self.history.remember(before)

        self._ask_each("crop box", do)

    def compare_at(self, position: float) -> None:
        """Where the output `compare` passes from the original to the edited picture, as a share of its width."""
        self._model.compare_at = position

    def reset(self) -> None:
        """Back to no edit, in the same region, until it is started again."""

        def do() -> None:
            self._remember("reset")
            self.running = False
            self._restart(keep_region=True)

        self._ask_each("reset", do)

    # -- steps back ---------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back the last reset, change of prompts or training; what is restored is not trained until it is started."""
        self._ask_each("undo", lambda: self._restore(self.history.undo(self._snapshot("")), "nothing to undo"))

    def redo(self) -> None:
        """Do again what was taken back."""
        self._ask_each("redo", lambda: self._restore(self.history.redo(self._snapshot("")), "nothing to redo"))

    def _snapshot(self, label: str) -> Snapshot:
        pipeline, model = self._pipeline, self._model
        step, ready = int(pipeline.progress[1]), bool(model.edit_ready)
        return Snapshot(label, edit_bytes(model.edit, ""), step, ready, pipeline.settling.watch)

    def _remember(self, label: str) -> None:
        self.history.remember(self._snapshot(label))

    def _restore(self, snapshot: Optional[Snapshot], otherwise: str) -> None:
        if snapshot is None:
            raise BlendingNerfError(otherwise)
        self.running = False
        edit = self._model.edit
        place = edit.info.id
        edit.load_state_dict(edit_from_bytes(snapshot.content).to(edit.region.lower.device).state_dict())
        edit.info = replace(edit.info, id=place)
        self._model.edit_ready.fill_(snapshot.ready)
        self._pipeline.restart_edit(at=snapshot.step)  # first: what guides the edit would refuse prompts that are empty
        self._pipeline.config.operations = edit.info.operations  # type: ignore[assignment]
        self._pipeline.take_texts(edit.info.source_text, edit.info.target_text)
        if snapshot.watch is not None:
            self._pipeline.settling.watch = snapshot.watch

    def _restart(self, keep_region: bool) -> None:
        model = self._model
        region = {name: value.clone() for name, value in model.edit.region.state_dict().items()}
        clear(model.edit)
        keep_region = keep_region and bool(model.edit_ready)
        if keep_region:
            model.edit.region.load_state_dict(region)
            model.edit.fit_field_to_region()
        model.edit_ready.fill_(keep_region)
        self._pipeline.restart_edit()

    # -- layers and files ---------------------------------------------------------------------------------------

    def new_layer(self) -> None:
        """Keep the edit in work as a layer and begin another on top of it."""

        def do() -> None:
            if not bool(self._model.edit_ready):
                raise BlendingNerfError("the edit in work is empty: use it, instead of another on top")
            kept = self._model.layers.freeze_copy()
            self.running = False
            self._restart(keep_region=False)
            self._pipeline.take_texts("", "")  # a resume would go on to make the same again, on top
            self.history.clear()
            self.say(f"Layer {kept.info.name!r} is kept; the next edit is made on top of it.")

        self._ask_each("new layer", do)

    def change_layer(self, id: str, **changes: object) -> None:
        """Set `name` or `visible` of a layer, or its strengths `add`, `remove`, `change`."""

        def do() -> None:
            edit = self._model.layers[id]
            said = {name: value for name, value in changes.items() if name in ("name", "visible")}
            strengths = {name: float(value) for name, value in changes.items() if name not in said}  # type: ignore[arg-type]
            edit.info = replace(edit.info, **said).with_strengths(**strengths)  # type: ignore[arg-type]
            self._model.version += edit is not self._model.edit

        self._ask(f"layer {id} {'/'.join(changes)}", do)

    def move_layer(self, id: str, by: int) -> None:
        """Move a layer up or down."""

        def do() -> None:
            self._model.layers.move(id, by)
            self._model.version += 1

        self._ask_each("order of layers", do)

    def delete_layer(self, id: str) -> None:
        """Take a frozen layer out; the edit in work is reset instead."""

        def do() -> None:
            edit = self._model.edit
            if id == edit.info.id:
                self._remember("deletion")
                self.running = False
                self._restart(keep_region=False)
                self._pipeline.take_texts("", "")
                edit.info = replace(edit.info, strengths=AS_TRAINED, visible=True)
                return
            self._model.layers.remove(id)
            self._model.version += 1

        self._ask_each("deletion", do)

    def save_edit(self, id: str, path: Optional[Path] = None) -> None:
        """Write a layer as an edit file: by default `edits/NAME.edit.safetensors` in the run's folder."""

        def do() -> None:
            edit = self._model.layers[id]
            name = "_".join((edit.info.name or edit.info.id).split())
            file = path or self._folder / "edits" / f"{name}{SUFFIX}"
            save_edit(edit, self._base, file)
            self.say(f"Saved {file} ({file.stat().st_size / 1e6:.1f} MB).")

        self._model.wishes.ask("saving an edit", do, each=True)

    def load_edit(self, path: Path, any_base: bool = False) -> None:
        """Put an edit file on as a layer under the edit in work."""

        def do() -> None:
            edit = load_edit(path, self._base, any_base, self._model.device.type == "cuda")
            self._model.layers.add(edit)
            self._model.version += 1
            self.say(f"Loaded layer {edit.info.name!r}.")

        self._ask_each("loading an edit", do)

    def save_look(self) -> None:
        """Keep order, switches and strengths beside config.yml: every ns-* command shows the run so."""

        def do() -> None:
            self.say(f"Saved {write_look(look_of(self._model.layers, self.fade), self._folder)}.")

        self._ask("saving the look", do)

    @property
    def _folder(self) -> Path:
        folder = self._pipeline.config.run_dir
        if folder is None:
            raise BlendingNerfError("this run has no folder to save to")
        return folder

    @property
    def _base(self) -> str:
        return fingerprint(self._model.base.state_dict())

    # -- the training loop's side -------------------------------------------------------------------------------

    def run_errand(self) -> None:
        """Do what takes long, if anything. In the training loop only."""
        errand, self._errand = self._errand, None
        if errand is not None:
            self.attempt(errand)

    def attempt(self, do: Callable[[], None]) -> bool:
        """Do something that a user may have asked wrongly. Where nobody waits the error ends the run; else it is said.

        Returns:
            Whether it was done.
        """
        try:
            do()
        except (BlendingNerfError, OSError) as error:
            if not self.waits:
                raise
            self.running = False
            self.say(str(error))
            return False
        return True

    def _find_region(self) -> None:
        self.running = False
        before = self._snapshot("region") if bool(self._model.edit_ready) else None
        self._pipeline.find_region()
        if before is not None:
            self.history.remember(before)
        self._restart(keep_region=True)

    def _ask(self, name: str, do: Callable[[], None]) -> None:
        self._model.wishes.ask(name, do)

    def _ask_each(self, name: str, do: Callable[[], None]) -> None:
        """Ask for something that comes on top of what was asked before, and is kept."""

        def done() -> None:
            do()
            self._keep()

        self._model.wishes.ask(name, done, each=True)

    def _keep(self) -> None:
        """A run that sleeps because there is nothing to train wakes, and saves itself before it sleeps again."""
        if self._pipeline.stage == "done":
            self._wake()

    def _wake(self) -> None:
        trainer = self._pipeline.trainer
        if trainer is not None and trainer.training_state == "paused":
            trainer.training_state = "training"
