"""Outline the subject on held-out photos by hand: the masks by which an edit of a real capture is measured.

    python examples/09_outline_by_hand.py DATA/toy --output outlines.json
    python examples/09_outline_by_hand.py DATA/toy --output outlines.json --sheet outlines.png    # look at what there is
    blending-nerf evaluate RUN --views test --masks polygons outlines.json

A window shows one photo after the other. Click along the outline (a right click takes the last corner back), press Enter to
close it; outline a further part, or press Enter again for the next photo. What is outlined is kept after each photo, and a photo
that has its outline is not shown again. The masks of examples/scenes/toy.json lie in this form in toy_polygons.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, List, Literal, Optional, Tuple

import numpy as np
import tyro
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image, ImageDraw, ImageOps

from blending_nerf_ns.errors import BlendingNerfError, in_one_line
from blending_nerf_ns.reporting.subject import full_size, read_polygons
from blending_nerf_ns.runs.atomic import replacing

Outline = List[Tuple[float, float]]
Hand = Callable[[Image.Image, str], List[Outline]]
"""Outlines the parts of a subject on a photo with that name."""
TILE, COLUMNS, LINE = 360, 3, (255, 0, 200)
"""Of the sheet: side of a photo in pixels, photos in a row, colour of an outline."""


@dataclass
class Outlining:
    """Which photos."""

    data: Annotated[Path, tyro.conf.Positional]
    """The capture, in nerfstudio's format."""
    output: Path = Path("outlines.json")
    """{photo: [[x, y], ...]} in pixels of the full-size photo; what is there is kept."""
    split: Literal["test", "train"] = "test"
    """Held-out photos, or those that train."""
    count: int = 6
    """How many photos, spread evenly over all of them."""
    sheet: Optional[Path] = None
    """Draw the outlines that there are onto their photos, into this picture, instead of asking for more."""


def chosen_photos(outlining: Outlining) -> List[Path]:
    """Files of the photos that are asked for."""
    parser = NerfstudioDataParserConfig(data=outlining.data, downscale_factor=1).setup()
    photos = sorted(parser.get_dataparser_outputs(outlining.split).image_filenames)
    places = np.linspace(0, len(photos) - 1, min(outlining.count, len(photos))).round().astype(int)
    return [photos[place] for place in places]


def outline_all(photos: List[Path], output: Path, hand: Hand) -> None:
    """Ask for an outline of each photo that has none yet, and keep it; one without a part is asked for again another time."""
    twice = sorted({file.name for file in photos if sum(other.name == file.name for other in photos) > 1})
    if twice:
        raise BlendingNerfError(f"outlines are kept by the photos' names, and several are called {', '.join(twice)}")
    known = json.loads(output.read_text()) if output.exists() else {}
    for file in photos:
        if file.name in known:
            continue
        with Image.open(file) as photo:
            parts = hand(photo.convert("RGB"), file.name)
        if parts:
            rounded = [[[round(float(value), 1) for value in corner] for corner in part] for part in parts]
            known[file.name] = rounded if len(rounded) > 1 else rounded[0]
            with replacing(output) as partial:
                partial.write_text(json.dumps(known, indent=1) + "\n")
    if known:
        read_polygons(output)  # says what is wrong with it


def check_screen() -> None:
    """Say that there is no window to click in: a click would be waited for without an end."""
    import matplotlib.pyplot as plt

    figure = plt.figure()
    framework = figure.canvas.required_interactive_framework
    plt.close(figure)
    if framework is None:
        raise BlendingNerfError(
            "no window can be opened here: run this where there is a screen, or write the file by hand"
        )


def by_mouse(photo: Image.Image, name: str) -> List[Outline]:
    """The hand of a person at a screen."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 9))
    axes.imshow(np.asarray(photo), extent=(0, photo.width, photo.height, 0))
    axes.set_title(f"{name}: click along the outline, Enter closes it; Enter again: next photo")
    parts: List[Outline] = []
    while len(corners := figure.ginput(-1, timeout=0)) >= 3:
        inside = np.clip(corners, 0, (photo.width, photo.height))
        parts.append([(float(x), float(y)) for x, y in inside])
        axes.fill(*inside.T, alpha=0.3)
    plt.close(figure)
    return parts


def draw_sheet(photos: List[Path], output: Path, capture: Path) -> Image.Image:
    """The photos that have outlines, with these, side by side."""
    polygons, tiles = read_polygons(output), []
    outlined = [file for file in photos if file.name in polygons]
    if not outlined:
        raise BlendingNerfError(
            f"{output} has outlines of {', '.join(polygons)}, and of none of {', '.join(file.name for file in photos)}"
        )
    for file in outlined:
        with Image.open(file) as picture:
            photo = ImageOps.contain(picture.convert("RGB"), (TILE, TILE))
        scale = np.array(photo.size) / full_size(file, capture)
        for part in polygons[file.name]:
            corners = [tuple(corner) for corner in np.array([*part, part[0]]) * scale]
            ImageDraw.Draw(photo).line(corners, fill=LINE, width=2)
        tiles.append(photo)
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (TILE * min(COLUMNS, len(tiles)), TILE * rows), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (TILE * (number % COLUMNS), TILE * (number // COLUMNS)))
    return sheet


@in_one_line()
def main(outlining: Outlining) -> None:
    """Ask, or draw."""
    photos = chosen_photos(outlining)
    if outlining.sheet is None:
        check_screen()
        outline_all(photos, outlining.output, by_mouse)
        print(
            f"{outlining.output}: blending-nerf evaluate RUN --views {outlining.split} --masks polygons {outlining.output}"
        )
    else:
        outlining.sheet.parent.mkdir(parents=True, exist_ok=True)
        draw_sheet(photos, outlining.output, outlining.data).save(outlining.sheet)
        print(outlining.sheet)


if __name__ == "__main__":
    main(tyro.cli(Outlining))
