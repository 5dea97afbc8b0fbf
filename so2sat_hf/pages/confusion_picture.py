"""A confusion matrix as a picture, for places that show no HTML. Pure."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from so2sat_hf import facts
from so2sat_hf.pages.charts import SHADE
from so2sat_hf.pages.drawing import BACKGROUND, INK, LINE, MUTED, png_of

CELL, LEFT, TOP, MARGIN = 42, 210, 62, 20
"""Pixels of a cell, of what is left of and above the cells, and around everything."""


def confusion_picture(counts: Sequence[Sequence[int]]) -> bytes:
    """Return a PNG: rows reference, columns prediction, in per cent of the row.

    Args:
        counts: (17, 17).
    """
    matrix = np.asarray(counts, np.int64)
    classes = facts.classes()
    side = CELL * len(classes)
    sheet = Image.new("RGB", (LEFT + side + MARGIN, TOP + side + MARGIN + 14), BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    small, plain = ImageFont.load_default(size=13), ImageFont.load_default(size=14)
    canvas.text((MARGIN, TOP - 40), "reference, down", MUTED, small)
    canvas.text((LEFT, MARGIN - 8), "prediction, across; per cent of the row", MUTED, small)
    for lcz in classes:
        x, y = LEFT + CELL * lcz.index, TOP + CELL * lcz.index
        canvas.rectangle((x + 4, TOP - 12, x + CELL - 5, TOP - 5), lcz.color, LINE)
        canvas.text((x + CELL / 2, TOP - 16), lcz.code, INK, plain, anchor="ms")
        canvas.rectangle((LEFT - 14, y + 6, LEFT - 6, y + CELL - 7), lcz.color, LINE)
        canvas.text((LEFT - 20, y + CELL / 2), f"{lcz.name}  {lcz.code}", INK, small, anchor="rm")
        total = int(matrix[lcz.index].sum())
        for other in classes:
            part = matrix[lcz.index, other.index] / total if total else 0.0
            _draw_cell(canvas, (LEFT + CELL * other.index, y), float(part), small)
    built = sum(lcz.built for lcz in classes)
    for start, end in (
        ((LEFT, TOP + CELL * built), (LEFT + side, TOP + CELL * built)),
        ((LEFT + CELL * built, TOP), (LEFT + CELL * built, TOP + side)),
    ):
        canvas.line((*start, *end), INK, 2)
    canvas.rectangle((LEFT, TOP, LEFT + side, TOP + side), None, LINE)
    return png_of(sheet)


def _draw_cell(
    canvas: ImageDraw.ImageDraw,
    place: tuple[int, int],
    part: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x, y = place
    red, green, blue = (round(255 + (channel - 255) * part) for channel in SHADE)
    canvas.rectangle((x, y, x + CELL - 1, y + CELL - 1), (red, green, blue))
    if part >= 0.005:
        ink = "#ffffff" if part > 0.55 else INK
        canvas.text((x + CELL / 2, y + CELL / 2), f"{100 * part:.0f}", ink, font, anchor="mm")
