"""A map as a picture with its legend: to look at, without a GIS."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from so2sat_hf.facts.labels import Palette
from so2sat_hf.maps.styles import legend
from so2sat_hf.pages.drawing import BACKGROUND, INK, LINE, png_of

LARGEST = 1200
"""Pixels along the longer side of the map; larger maps show every n-th cell."""

MARGIN, ROW, LEGEND = 24, 26, 260


def map_picture(cells: NDArray[np.uint8], values: str, palette: Palette) -> bytes:
    """Return a PNG: the cells in their colours, and the classes that there are with their shares.

    Args:
        cells: (rows, columns) values of a map, 0 where nothing is known.
        values: ``number`` or ``wudapt``, what the values mean.
        palette: colours of the classes.
    """
    names = legend(values)
    colors = np.full((256, 3), 255, np.uint8)
    for value, color in zip(names, palette.rgb, strict=True):
        colors[value] = color
    counts = np.bincount(cells.ravel(), minlength=256)
    present = [value for value in names if counts[value]]
    step = -(-max(cells.shape) // LARGEST)
    shown = colors[cells[::step, ::step]]
    times = max(1, LARGEST // max(shown.shape[:2]))
    height, width = (side * times for side in shown.shape[:2])
    size = 3 * MARGIN + width + LEGEND, 2 * MARGIN + max(height, ROW * len(present))
    sheet = Image.new("RGB", size, BACKGROUND)
    sheet.paste(Image.fromarray(shown).resize((width, height), Image.Resampling.NEAREST), (MARGIN, MARGIN))
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for number, value in enumerate(present):
        left, top = 2 * MARGIN + width, MARGIN + number * ROW
        canvas.rectangle((left, top, left + 16, top + 16), tuple(colors[value].tolist()), LINE)
        share = 100 * counts[value] / counts[1:].sum()
        canvas.text((left + 26, top + 14), f"{names[value]}  {share:.1f} %", INK, font, anchor="ls")
    return png_of(sheet)
