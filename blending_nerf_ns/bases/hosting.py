"""A nerfstudio model that is built on a base: what nerfstudio's trainer and commands ask of any model, the base answers."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple, Union

from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.model_components.renderers import RGBRenderer
from nerfstudio.models.base_model import Model
from nerfstudio.utils.external import TCNN_EXISTS
from torch import Tensor

from blending_nerf_ns.bases.loading import BaseRun, check_same_capture
from blending_nerf_ns.bases.nerfacto import NerfactoBase
from blending_nerf_ns.bases.weights import load_base_state
from blending_nerf_ns.errors import BlendingNerfError


class BaseHost(Model):
    """Has a base; a subclass says what is made of it.

    Args:
        config: with `base`, its configuration, and `base_num_images`, its training images (0: as many as the capture has).
    """

    config: Any
    base: NerfactoBase

    def populate_modules(self) -> None:
        """Build the base."""
        super().populate_modules()
        self.collider = None  # the base brings its own
        if self.config.base.implementation == "tcnn" and not TCNN_EXISTS:
            self.config.base.implementation = "torch"  # nerfstudio would do the same, but config.yml would not say so
        # config.yml is to say it: the run is opened all the same when its capture has lost a photo, or gained one
        self.config.base_num_images = self.config.base_num_images or self.num_train_data
        self.base = self.build_base()

    def show_learned_cameras(self) -> None:
        """Let ns-export find the poses that were learned with the base, where there are any, and one for each photo of this capture.

        Not in training: nerfstudio's viewer would move all its frustums in every step.
        """
        learned = self.config.base.camera_optimizer.mode != "off"
        if learned and self.config.base_num_images == self.num_train_data:
            # not as a module: checkpoints would have it twice
            object.__setattr__(self, "camera_optimizer", self.base.camera_optimizer)

    def build_base(self) -> NerfactoBase:
        """A base as it is configured, untrained."""
        return self.config.base.setup(
            scene_box=self.scene_box,
            num_train_data=self.config.base_num_images,
            metadata=self.kwargs.get("metadata"),
            device=str(self.kwargs.get("device", "cpu")),
        )

    def freeze_base(self) -> None:
        """From here on the base is what it is."""
        raise NotImplementedError

    def take_base(self, run: BaseRun, capture: DataparserOutputs) -> str:
        """Take the trained base of another run, frozen.

        Args:
            run: that run.
            capture: this one's, which must be that one's.

        Returns:
            What was taken, in one sentence.
        """
        check_same_capture(run, capture)
        load_base_state(self.base, run.state)
        self.freeze_base()
        return f"Base: {run.config_path} (step {run.step}, fingerprint {run.fingerprint}), frozen."

    def check_photos(self) -> None:
        """A base that is still being trained goes on with as many photos: it may learn something of each.

        Raises:
            BlendingNerfError: there are more or fewer.
        """
        learned = self.config.base_num_images
        if learned != self.num_train_data:
            raise BlendingNerfError(
                f"cannot resume: the base is being trained on {learned} photos, and this capture has {self.num_train_data}; "
                "give it the same ones, or begin a new run"
            )

    def train_base(
        self, rays: Union[RayBundle, Cameras], batch: Dict[str, Any]
    ) -> Tuple[Dict[str, Any], Dict[str, Tensor], Dict[str, Tensor]]:
        """One step of the base's own training: its outputs, losses and metrics, as a pipeline of nerfstudio returns them.

        Args:
            rays: of the batch.
            batch: pixels of the photos, as nerfstudio's data manager gives them.
        """
        outputs = self.base(rays)
        metrics = self.base.get_metrics_dict(outputs, batch)
        return outputs, self.base.get_loss_dict(outputs, batch, metrics), metrics

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> List[TrainingCallback]:
        """The base's own callbacks; the pipeline runs them in the base's stage only."""
        return self.base.get_training_callbacks(training_callback_attributes)

    @property
    def renderer_rgb(self) -> RGBRenderer:
        """ns-export asks the model for its renderer."""
        return self.base.renderer_rgb

    def get_rgba_image(self, outputs: Dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """A picture with alpha, for ns-export: nerfstudio's own finds the opacity by the name, and there are pictures beside `rgb`.

        Only before a random background there is any transparency; it is the edited scene's, and where something was taken away, the
        original's colours are brighter than it allows.
        """
        shown = {"rgb": outputs[output_name], "accumulation": outputs["accumulation"]}
        return super().get_rgba_image(shown).clamp(0.0, 1.0)

    def get_metrics_dict(self, outputs: Any, batch: Any) -> Dict[str, Tensor]:
        """PSNR of the original against the photo."""
        return {"psnr": self.base.psnr(outputs["original"], self.photo(batch))}

    def photo(self, batch: Any) -> Tensor:
        """The photo of an evaluation batch, before the base's background where it is transparent."""
        return self.base.renderer_rgb.blend_background(batch["image"].to(self.device))
