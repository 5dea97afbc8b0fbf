"""How far it is from the patches of a split to the nearest of another, as a picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from so2sat_hf.maps.neighbours import Pair
from so2sat_hf.maps.positions import SIDE
from so2sat_hf.pages.drawing import BACKGROUND, INK, LINE, MUTED, png_of

EDGES = np.geomspace(100, 1e6, 33)
"""Metres; bins of the same width on a logarithmic axis."""

WIDTH, HEIGHT, LEFT, MARGIN, GAP = 640, 70, 300, 24, 34
OVERLAP, APART = "#d6604d", "#2166ac"


def distance_picture(pairs: Sequence[Pair]) -> bytes:
    """Return a PNG: a histogram for each pair, patches nearer than 320 m in another colour.

    Args:
        pairs: of :func:`~so2sat_hf.maps.neighbours.neighbours`.
    """
    shown = [pair for pair in pairs if len(pair.distance)]
    size = LEFT + WIDTH + MARGIN, MARGIN + 30 + len(shown) * (HEIGHT + GAP) + 30
    sheet = Image.new("RGB", size, BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    plain, small = ImageFont.load_default(size=14), ImageFont.load_default(size=12)
    head = "Metres from the centre of a patch to the nearest centre of the other split; red: below 320 m"
    canvas.text((MARGIN, MARGIN - 8), head, INK, plain)
    for number, pair in enumerate(shown):
        top = MARGIN + 30 + number * (HEIGHT + GAP)
        _draw(canvas, pair, top, plain, small)
    return png_of(sheet)


def _draw(canvas: ImageDraw.ImageDraw, pair: Pair, top: int, plain: object, small: object) -> None:
    other = "itself" if pair.other == pair.split else pair.other
    canvas.text((MARGIN, top + 22), f"{pair.version}: {pair.split} to {other}", INK, plain)  # type: ignore[arg-type]
    told = f"{pair.patches:,} patches, {pair.overlapping:,} overlap"
    canvas.text((MARGIN, top + 42), told, MUTED, small)  # type: ignore[arg-type]
    counts, _ = np.histogram(np.clip(pair.distance, EDGES[0], EDGES[-1] - 1), EDGES)
    most, step = max(int(counts.max()), 1), WIDTH / len(counts)
    base = top + HEIGHT
    for number, count in enumerate(counts):
        left = LEFT + number * step
        color = OVERLAP if EDGES[number + 1] <= SIDE * 1.05 else APART
        if count:
            tall = max(1, round(HEIGHT * int(count) / most))
            canvas.rectangle((left + 1, base - tall, left + step - 1, base), color)
    canvas.line((LEFT, base, LEFT + WIDTH, base), LINE)
    for metres, name in ((100, "100 m"), (1e3, "1 km"), (1e4, "10 km"), (1e5, "100 km"), (1e6, "1000 km")):
        x = LEFT + WIDTH * np.log10(metres / EDGES[0]) / np.log10(EDGES[-1] / EDGES[0])
        canvas.text((x, base + 4), name, MUTED, small, anchor="ma")  # type: ignore[arg-type]
