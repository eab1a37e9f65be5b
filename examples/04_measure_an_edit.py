"""Figures and a contact sheet of any finished edit, on the capture's held-out views.

    python examples/04_measure_an_edit.py RUN/config.yml --target "a green toy" --output sheet.png

The hue is measured in the region's core (the object alone, without any room around it) as the original shows it, and outside of it;
PSNR outside the grown region and outside the core. The region is our own, that of the uppermost layer, so these figures say what
happened inside it, not whether it was the right one.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import tyro
from nerfstudio.data.datasets.base_dataset import InputDataset
from tqdm import tqdm

from blending_nerf_ns.demo.measure import hue_fraction, hue_of_text, mean_psnr, psnr_outside
from blending_nerf_ns.errors import BlendingNerfError, in_one_line
from blending_nerf_ns.reporting.opening import open_finished
from blending_nerf_ns.reporting.sheet import contact_sheet
from blending_nerf_ns.runs.atomic import writable


@dataclass
class Measurement:
    """What to measure."""

    config: Annotated[Path, tyro.conf.Positional]
    """config.yml of a run of blending-nerf. It can run code: name only runs that you trust."""
    target: str
    """Text whose colour word is looked for, "a green toy"."""
    output: Path = Path("sheet.png")
    """Contact sheet to write."""
    views: int = 6
    """Held-out views, spread over all of them."""


@in_one_line()
def main(measurement: Measurement) -> None:
    """Render, measure, write the sheet, print the figures as JSON."""
    writable(measurement.output.parent)
    run = open_finished(measurement.config, None)
    model, data = run.blended, cast(InputDataset, run.pipeline.datamanager.eval_dataset)
    chosen = np.linspace(0, len(data) - 1, min(measurement.views, len(data))).round().astype(int)
    shown: dict[str, list[np.ndarray]] = {
        name: [] for name in ("photo", "original", "edited", "overlay", "added", "removed", "changed", "core", "grown")
    }
    names = {"original": "original", "edited": "rgb", "overlay": "region_overlay"}
    for index in tqdm(chosen, desc="Views"):
        camera = data.cameras[index : index + 1].to(model.device)
        outputs = model.get_outputs_for_camera(camera)
        for name in ("original", "edited", "overlay", "added", "removed", "changed"):
            shown[name].append(outputs[names.get(name, name)].cpu().numpy())
        shown["grown"].append(outputs["region"][..., 0].cpu().numpy() > 0)
        photo = model.base.renderer_rgb.blend_background(data[index]["image"].to(model.device))
        shown["photo"].append(photo.cpu().numpy())
    before = model.edit.region.shape
    core = before.of_object._replace(soft_edge=0.0, grow="all", attached=False)
    model.edit.region.reshape(**core._asdict())
    model.set_strengths(0.0, 0.0, 0.0)
    for index in tqdm(chosen, desc="Core"):
        camera = data.cameras[index : index + 1].to(model.device)
        shown["core"].append(model.get_outputs_for_camera(camera)["region"][..., 0].cpu().numpy() > 0.5)
    model.edit.region.reshape(**before._asdict())

    sizes = {picture.shape[:2] for picture in shown["edited"]}
    if len(sizes) > 1:
        raise BlendingNerfError(f"the held-out photos have several sizes ({sizes}): one sheet cannot show them")
    stacks = {name: np.stack(pictures) for name, pictures in shown.items()}
    columns = ("photo", "original", "edited", "overlay", "added", "removed", "changed")
    contact_sheet({name: stacks[name] for name in columns}, [f"view {i}" for i in chosen]).save(measurement.output)
    hue = hue_of_text(measurement.target)
    figures = {
        "views": len(chosen),
        "base_psnr": mean_psnr(stacks["original"], stacks["photo"]),
        "core_share": float(stacks["core"].mean()),
        "target_hue_fraction_before": hue_fraction(stacks["original"], stacks["core"], hue),
        "target_hue_fraction": hue_fraction(stacks["edited"], stacks["core"], hue),
        "outside_target_hue_before": hue_fraction(stacks["original"], ~stacks["core"], hue),
        "outside_target_hue": hue_fraction(stacks["edited"], ~stacks["core"], hue),
        "psnr_outside": psnr_outside(stacks["edited"], stacks["original"], stacks["grown"]),
        "psnr_outside_core": psnr_outside(stacks["edited"], stacks["original"], stacks["core"]),
        **{f"mean_{name}": float(stacks[name].mean()) for name in ("added", "removed", "changed")},
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(tyro.cli(Measurement))
