"""The contact sheet: one row per view, one column per picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont, ImageOps

GAP, HEADER, MARGIN = 4, 28, 52
"""Pixels between cells, above them for the column titles, and left of them for the row titles."""
INK, PAPER = (30, 30, 30), (255, 255, 255)
Pictures = Union[Float[ndarray, "views height width channels"], Sequence[Float[ndarray, "height width channels"]]]
"""Of one size, or of several."""


def as_picture(values: Float[ndarray, "height width channels"]) -> UInt8[ndarray, "height width 3"]:
    """A colour picture in [0, 1] as it is; a single channel in [0, 1] from black (0) over orange to pale yellow (1)."""
    values = np.clip(np.asarray(values, dtype=float), 0.0, 1.0)
    if values.shape[-1] == 1:
        from matplotlib import colormaps

        values = colormaps["inferno"](values[..., 0])[..., :3]
    return np.round(255 * values).astype(np.uint8)


def contact_sheet(columns: Mapping[str, Pictures], rows: Sequence[str], cell: int = 144) -> Image.Image:
    """Lay out pictures of the same views side by side, each in the middle of a square cell and in its own proportions.

    Args:
        columns: title of each column, and its pictures: 3 channels for colours, 1 for an amount.
        rows: title of each view.
        cell: longer side of a picture on the sheet, in pixels.

    Returns:
        An RGB image of `sheet_size(len(rows), len(columns), cell)`.

    Raises:
        ValueError: a column has another number of pictures than there are rows.

    Example:
        >>> contact_sheet({"original": np.zeros((2, 8, 8, 3)), "added": np.zeros((2, 8, 8, 1))}, ["0", "1"], 8).size
        (72, 48)
    """
    sheet = Image.new("RGB", sheet_size(len(rows), len(columns), cell), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for x, (title, pictures) in enumerate(columns.items()):
        if len(pictures) != len(rows):
            raise ValueError(f"column {title!r} has {len(pictures)} pictures for {len(rows)} rows")
        left = MARGIN + x * (cell + GAP)
        pen.text((left + cell / 2, HEADER / 2), title, fill=INK, font=font, anchor="mm")
        for y, picture in enumerate(pictures):
            image = ImageOps.contain(Image.fromarray(as_picture(picture)), (cell, cell), Image.Resampling.LANCZOS)
            top = HEADER + y * (cell + GAP)
            sheet.paste(image, (left + (cell - image.width) // 2, top + (cell - image.height) // 2))
    for y, title in enumerate(rows):
        pen.text((MARGIN / 2, HEADER + y * (cell + GAP) + cell / 2), title, fill=INK, font=font, anchor="mm")
    return sheet


def sheet_size(rows: int, columns: int, cell: int) -> tuple[int, int]:
    """Width and height of a contact sheet in pixels."""
    return MARGIN + columns * (cell + GAP) - GAP, HEADER + rows * (cell + GAP) - GAP
