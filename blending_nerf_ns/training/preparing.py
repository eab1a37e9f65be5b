"""What an edit needs before its first step: the guide, the region, a start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Optional

import torch
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils.rich_utils import CONSOLE

from blending_nerf_ns.bases.weights import fingerprint
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.build import build_region, warn_unseen
from blending_nerf_ns.localization.clearing import CLEARING_VIEWS, TAKEN_ALONG, clear_surroundings, takes_along
from blending_nerf_ns.localization.config import RegionConfig
from blending_nerf_ns.localization.file import other_base_hint, other_operations_hint
from blending_nerf_ns.localization.keeping import Search, keep_region
from blending_nerf_ns.localization.views import FrozenScene
from blending_nerf_ns.model import BlendingModel
from blending_nerf_ns.training.beginning import choose_start
from blending_nerf_ns.training.checking import check_region, room_hint
from blending_nerf_ns.training.editing import EditTraining
from blending_nerf_ns.training.loss_record import rewind
from blending_nerf_ns.training.team import Team

if TYPE_CHECKING:
    from blending_nerf_ns.guidance.clip import ClipGuide
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig


class Preparation:
    """Gets the edit in work ready, as often as its words or its place change; the guide is loaded once.

    Args:
        config: whose words, region and guidance count at the time of a call.
        model: with a frozen base.
        photos: the training images.
        team: the processes that train the edit together; the first one decides.
        device: where to run.
    """

    def __init__(
        self,
        config: BlendingPipelineConfig,
        model: BlendingModel,
        photos: InputDataset,
        team: Team,
        device: torch.device,
    ) -> None:
        self._config, self._model, self._photos, self._team, self._device = config, model, photos, team, device
        self._guide: Optional[ClipGuide] = None

    def find_region(self) -> float:
        """Find the region of the edit in work and spread its field over it.

        Returns:
            Seconds that it took, now or when it was found.
        """
        config, model = self._config, self._model
        check_region(config)
        hint = room_hint(config.region.grow, config.operations)
        if hint:
            self._team.say(hint)
        if config.region.source.strip() == "file" and config.region.file is not None:
            base = fingerprint(model.base.state_dict())
            for hint in (
                other_operations_hint(config.region.file, config.operations),
                other_base_hint(config.region.file, base),
            ):
                if hint:
                    self._team.say(hint, style="yellow")
        started = time.perf_counter()
        search = self.search()
        scene = FrozenScene(model.beneath, search.cameras, model.config.eval_num_rays_per_chunk)
        found = keep_region(
            config.region,
            search,
            lambda: build_region(
                config.region, scene, config.source_text, search.resolution, self._load_guide, search.images
            ),
        )
        warn_unseen(found.covered, config.operations)
        if found.region.resolution != model.edit.region.resolution:  # only a file may have another
            raise BlendingNerfError(
                f"this run's regions have {model.edit.region.resolution} voxels a side, that of {config.region.file} has "
                f"{found.region.resolution}: make it by `blending-nerf region --resolution {model.edit.region.resolution}`"
            )
        model.edit.region.load_state_dict(found.region.state_dict())
        # after the search, which is kept for other operations too
        model.edit.region.take_shape(**config.region.room_for(config.operations))
        model.edit.fit_field_to_region()
        model.edit_ready.fill_(True)  # last: what is interrupted before is looked for again
        model.version += 1
        return found.seconds_before or time.perf_counter() - started

    def search(self) -> Search:
        """What the region of the edit in work depends on."""
        config, model = self._config, self._model
        under = model.layers.beneath()
        weights = dict(model.scene.state_dict())
        for number, (edit, _) in enumerate(under):
            weights |= {f"{number}.{name}": value for name, value in edit.state_dict().items()}
        rendering = [model.config.base]
        if under:
            rendering += [model.config.edit_samples_per_ray, *(strengths for _, strengths in under)]
        return Search(
            text=config.source_text,
            guide=config.guidance.model,
            pretrained=config.guidance.pretrained,
            resolution=model.config.region_resolution,
            scene=repr(rendering),
            weights=weights,
            cameras=self._photos.cameras.to(self._device),
            images=self._photos.image_filenames,
        )

    def training(self, done: int) -> EditTraining:
        """The training of the edit in work, whose region is there.

        Args:
            done: steps of it that are behind.
        """
        config, model = self._config, self._model
        texts = config.source_text, config.target_text
        editing = EditTraining(
            config.guidance, model, self._photos.cameras, self._load_guide(), *texts, config.seed, self._team
        )
        precision = editing.choose_precision()
        if config.guidance.mixed_precision and self._team.leads:
            CONSOLE.print(f"The guide reads in {precision}.")
        if model.edit.field.untouched:
            along = self._team.leads and takes_along(config.region, config.operations)
            cleared = along and clear_place(editing, config.region)
            chosen = choose_start(editing) if self._team.leads else ""
            self.follow_leader()
            if self._team.leads:
                if cleared:
                    CONSOLE.print(TAKEN_ALONG)
                CONSOLE.print(f"What the guide likes best to start from: {chosen}.")
        elif config.guidance.weight_shading == 0.0:
            model.edit.field.keep_light(0.0)
        if self._team.leads:
            rewind(config.run_dir, model.edit.info.id, done)
        return editing

    def load_guide(self) -> None:
        """Load the guide, and find out that there is something to guide towards, before minutes are spent on a region."""
        if not self._config.target_text.strip():
            raise BlendingNerfError('there is nothing to edit towards: give --pipeline.target-text "a blue chair"')
        self._load_guide()

    def follow_leader(self) -> None:
        """Take the edit in work as the first process has it."""
        if self._team.size > 1:
            edit = self._model.edit
            edit.load_state_dict(self._team.take_from_leader(edit.state_dict(), self._device))
            if not self._team.leads:
                self._model.edit_ready.fill_(True)
                self._model.version += 1

    def _load_guide(self) -> ClipGuide:
        if self._guide is None:
            from blending_nerf_ns.guidance.clip import load_clip

            guidance = self._config.guidance
            self._guide = load_clip(guidance.model, guidance.pretrained, str(self._device))
        return self._guide


def clear_place(editing: EditTraining, region: RegionConfig) -> bool:
    """Look, on the guide's own views, what a removal that has not begun takes along; whether it does, see `clear_surroundings`.

    Args:
        editing: of an edit that `takes_along`.
        region: as it is configured.
    """
    model = editing.model
    model.make_room(**region.room_for(model.edit.info.operations))
    sizes = model.config.edit_samples_per_ray, model.config.eval_num_rays_per_chunk
    cleared = clear_surroundings(model.beneath, model.edit, editing.pool.cameras[:CLEARING_VIEWS], *sizes)
    model.version += cleared  # the views are aimed at the region
    return cleared
