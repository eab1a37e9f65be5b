"""Where the edit in work may act."""

from __future__ import annotations

from typing import Optional

from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.viewer.viewer_elements import ViewerButton, ViewerControl, ViewerSlider, ViewerText

from blending_nerf_ns.steering.session import Session
from blending_nerf_ns.viewer.folder import Folder


class CropBox(ViewerControl):
    """The viewer's own crop box; nerfstudio hands it its viewer."""

    @property
    def now(self) -> Optional[OrientedBox]:
        """Where it stands on the screen, which the last picture may not show yet; None: the crop is off."""
        panel = self.viewer.control_panel
        return panel.crop_obb if panel.crop_viewport else None


class RegionFolder(Folder):
    """Source, threshold and margin; see the output `region_overlay`.

    Args:
        session: is steered.
        training: whether there is a trainer.
    """

    def __init__(self, session: Session, training: bool) -> None:
        super().__init__()
        self._session, self._training = session, training
        if training:
            hint = "text, masks, box, sphere or file, or combined: text & box - sphere"
            self._source = self.put(ViewerText("Region: source", session.region.settings.source, hint=hint))
            self._find = self.put(ViewerButton("Find the region", cb_hook=lambda _: self._look()))
        self._threshold = self.put(
            self._cut("threshold", session.region.threshold, 0.05, 0.95, "How sure the localiser must be.")
        )
        grows = "How far it grows, as a share of its diagonal."
        self._margin = self.put(self._cut("margin", session.region.margin, 0.0, 0.5, grows))
        self.crop = CropBox()
        self.put(
            ViewerButton("Region: take the crop box", cb_hook=lambda _: session.region.take_crop_box(self.crop.now))
        )

    def take_source(self) -> None:
        """What is typed says where the next region is looked for."""
        self._session.region.settings.source = self._source.value

    def _look(self) -> None:
        self.take_source()
        self._session.region.find()

    def _cut(self, name: str, value: float, low: float, high: float, meaning: str) -> ViewerSlider:
        def moved(element: ViewerSlider) -> None:
            self._session.region.cut(**{name: float(element.value)})

        hint = f"{meaning} See the output region_overlay; nothing is trained anew."
        low, high = min(low, value), max(high, value)  # viser refuses a value outside its slider
        return ViewerSlider(f"Region: {name}", value, low, high, step=0.01, cb_hook=moved, hint=hint)

    def refresh(self) -> None:
        """Finding a region wants a finished base; and what only recolours wants no margin, unless the user does."""
        self.write(self._threshold, value=self._session.region.threshold)
        self.write(self._margin, value=self._session.region.margin)
        if self._training:
            self.write(self._find, disabled=self._session.status.stage in ("starting", "base", "region"))
