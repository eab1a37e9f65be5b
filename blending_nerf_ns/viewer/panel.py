"""The edit's panel in nerfstudio's viewer: prompts, the region's cut, and the three blend ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nerfstudio.viewer.viewer_elements import ViewerButton, ViewerSlider, ViewerText
from torch import nn

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline


class EditPanel(nn.Module):
    """Prompts, region and strengths. nerfstudio finds these elements by walking the pipeline's modules, so this is one.

    Args:
        pipeline: whose model and edit they steer.
    """

    def __init__(self, pipeline: BlendingPipeline) -> None:
        super().__init__()
        self._owner = (pipeline,)  # in a tuple, so that the pipeline is not taken for a part of its own panel
        config, model = pipeline.config, pipeline.model
        training = pipeline.test_mode == "val"
        note = None if training else "As it was trained: without a trainer a prompt cannot be changed."
        self.source_text = ViewerText("Source text", config.source_text, disabled=not training, hint=note)
        self.target_text = ViewerText("Target text", config.target_text, disabled=not training, hint=note)
        if training:
            self.apply_texts = ViewerButton("Apply target text", cb_hook=self._apply)
        region = config.region
        self.threshold = self._cut("threshold", region.threshold, 0.05, 0.95, "How sure the localiser must be.")
        self.margin = self._cut("margin", region.margin, 0.0, 0.5, "How far it grows, as a share of its diagonal.")
        self.use_crop = ViewerButton("Region: take the crop box", cb_hook=self._use_crop_box)
        self.add = self._ratio("Blend ratio: add", "add", model.config.strength_add, "density that the edit grew")
        self.remove = self._ratio("Blend ratio: remove", "remove", model.config.strength_remove, "density it took away")
        self.change = self._ratio("Blend ratio: change", "change", model.config.strength_change, "colour it replaced")

    def _ratio(self, name: str, operation: str, value: float, meaning: str) -> ViewerSlider:
        (pipeline,) = self._owner
        unused = operation not in pipeline.config.operations
        hint = "This edit does not use it." if unused else f"How much of the {meaning} is shown: 0 off, 1 as trained."

        def moved(element: ViewerSlider) -> None:
            pipeline.model.set_strengths(**{operation: float(element.value)})

        return ViewerSlider(name, value, 0.0, 1.5, step=0.05, cb_hook=moved, disabled=unused, hint=hint)

    def _cut(self, name: str, value: float, low: float, high: float, meaning: str) -> ViewerSlider:
        def moved(element: ViewerSlider) -> None:
            self._owner[0].model.want_region(**{name: float(element.value)})

        hint = f"{meaning} See the output region_overlay; nothing is trained anew."
        low, high = min(low, value), max(high, value)  # viser refuses a value outside its slider
        return ViewerSlider(f"Region: {name}", value, low, high, step=0.01, cb_hook=moved, hint=hint)

    def _use_crop_box(self, _: ViewerButton) -> None:
        self._owner[0].model.want_crop_box()

    def _apply(self, _: ViewerButton) -> None:
        self._owner[0].wanted_texts = (self.source_text.value, self.target_text.value)
