"""Pictures of a report: confusion matrix, reliability diagram, where a model is right. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE, PIXEL_SIZE
from so2sat_hf.pages.html import chip, share

SHADE = (33, 102, 172)
"""Red, green, blue of a whole row in one cell."""

RIGHT, WRONG, EMPTY = (33, 102, 172), (214, 96, 77), (246, 248, 250)
"""Colours of a map: told apart by people who do not see red or green, too."""

METRES_PER_DEGREE = 111_320
SIDE = PATCH_SIZE * PIXEL_SIZE
"""Metres along a patch."""

LARGEST = 300
"""Pixels of a map along its longer side."""


def confusion(counts: NDArray[np.int64]) -> str:
    """Return a confusion matrix as a table: rows reference, columns prediction, per cent of the row.

    Args:
        counts: (17, 17).
    """
    classes = facts.classes()
    rows, columns, right = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    last = max(lcz.index for lcz in classes if lcz.built)

    def mark(index: int) -> str:
        return " rule-right" if index == last else ""

    head = "".join(f'<th class="{mark(lcz.index).strip()}">{chip(lcz, named=False)}</th>' for lcz in classes)
    lines = [f'<tr><th class="text">reference ↓ prediction →</th>{head}<th>found %</th><th>patches</th></tr>']
    for lcz in classes:
        cells = []
        for other in classes:
            count, total = int(counts[lcz.index, other.index]), int(rows[lcz.index])
            part = count / total if total else 0.0
            name = ("diagonal" if other is lcz else "") + mark(other.index)
            title = f"LCZ {lcz.code} taken for LCZ {other.code}: {count:,} of {total:,}"
            shown = f"{100 * part:.0f}" if part >= 0.005 else "·" if count else ""
            cells.append(f'<td class="{name}" style="{_shade(part)}" title="{title}">{shown}</td>')
        found = share(right[lcz.index] / rows[lcz.index] if rows[lcz.index] else np.nan, 0)
        margin = f'<td class="margin">{found}</td><td class="margin">{rows[lcz.index]:,}</td>'
        rule = ' class="rule-below"' if lcz.index == last else ""
        lines.append(f'<tr{rule}><th class="text">{chip(lcz)}</th>{"".join(cells)}{margin}</tr>')
    precise = [
        share(right[lcz.index] / columns[lcz.index] if columns[lcz.index] else np.nan, 0) for lcz in classes
    ]
    margins = "".join(
        f'<td class="margin{mark(number)}">{value}</td>' for number, value in enumerate(precise)
    )
    overall = share(right.sum() / rows.sum() if rows.sum() else np.nan, 0)
    lines.append(
        f'<tr><th class="text">right, of those predicted %</th>{margins}'
        f'<td class="margin"><b>{overall}</b></td><td class="margin">{rows.sum():,}</td></tr>'
    )
    body = "\n".join(lines)
    return f'<div class="wide"><table class="confusion">\n{body}\n</table></div>'


def _shade(part: float) -> str:
    """Return the style of a cell."""
    color = [round(255 + (channel - 255) * part) for channel in SHADE]
    return f"background:rgb({color[0]},{color[1]},{color[2]})" + (";color:#fff" if part > 0.55 else "")


PLOT, LEFT, TOP, AXIS, DEPTH = 320, 60, 12, 36, 56
"""Of a reliability diagram, in pixels: the plot, what is left of and above it, its axis, the bars below."""


def reliability(
    confidence: NDArray[np.float64], accuracy: NDArray[np.float64], count: NDArray[np.int64]
) -> str:
    """Return a reliability diagram: how often a model is right, over how sure it is.

    Args:
        confidence: (bins,) mean of each bin; NaN where it is empty.
        accuracy: (bins,).
        count: (bins,) patches.
    """
    points, parts = [], [_axes()]
    base, most, step = TOP + PLOT + AXIS + DEPTH, max(int(count.max()), 1), PLOT / len(count)
    for number in np.flatnonzero(count):
        sure, right, patches = float(confidence[number]), float(accuracy[number]), int(count[number])
        points.append((_x(sure), _y(right)))
        tall = DEPTH * patches / most
        said = f"<title>sure {100 * sure:.0f} %, right {100 * right:.0f} %, {patches:,} patches</title>"
        parts.append(
            f'<rect x="{LEFT + number * step + 1:.1f}" y="{base - tall:.1f}" width="{step - 2:.1f}" '
            f'height="{tall:.1f}" fill="#afb8c1">{said}</rect>'
        )
        parts.append(f'<circle cx="{_x(sure):.1f}" cy="{_y(right):.1f}" r="4" fill="#2166ac">{said}</circle>')
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    parts.append(f'<path d="M{line}" fill="none" stroke="#2166ac" stroke-width="1.5"/>')
    parts.append(f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">patches</text>')
    width, height, body = LEFT + PLOT + 12, base + 8, "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Share of right predictions over their probability">\n{body}\n</svg>'
    )


def _x(value: float) -> float:
    return LEFT + PLOT * value


def _y(value: float) -> float:
    return TOP + PLOT * (1 - value)


def _axes() -> str:
    """Return grid, labels, and the line of a model that is as right as it is sure."""
    parts, middle = [], _y(0.5)
    for tick in (0, 0.25, 0.5, 0.75, 1):
        grid = f"M{_x(tick):.1f} {_y(0)}V{_y(1)}M{_x(0)} {_y(tick):.1f}H{_x(1)}"
        parts.append(f'<path d="{grid}" stroke="#eaeef2"/>')
        parts.append(
            f'<text x="{_x(tick):.1f}" y="{_y(0) + 16}" text-anchor="middle">{100 * tick:.0f}</text>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{_y(tick) + 4:.1f}" text-anchor="end">{100 * tick:.0f}</text>')
    diagonal = f"M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}"
    parts.append(f'<path d="{diagonal}" stroke="#8c959f" stroke-dasharray="4 4"/>')
    parts.append(f'<text x="{_x(0.5)}" y="{_y(0) + 32}" text-anchor="middle">sure, %</text>')
    turned = f'transform="rotate(-90 12 {middle})"'
    parts.append(f'<text x="12" y="{middle}" {turned} text-anchor="middle">right, %</text>')
    return "\n".join(parts)


def accuracy_map(
    longitude: Sequence[float] | NDArray[np.float64],
    latitude: Sequence[float] | NDArray[np.float64],
    right: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], float, float]:
    """Draw the patches of a city: north up, one colour where they are right, another where wrong.

    Args:
        longitude: (n,) WGS 84 degrees of the centres.
        latitude: (n,) WGS 84 degrees of the centres.
        right: (n,).

    Returns:
        (height, width, 3) pixels, and kilometres from west to east and from south to north.
    """
    lon, lat = np.asarray(longitude, np.float64), np.asarray(latitude, np.float64)
    east = (lon - lon.min()) * METRES_PER_DEGREE * np.cos(np.radians(lat.mean()))
    south = (lat.max() - lat) * METRES_PER_DEGREE
    extent = max(float(east.max()), float(south.max())) + SIDE
    pixel = max(SIDE / 2, extent / LARGEST)
    patch = max(2, round(SIDE / pixel))
    column, row = (np.rint(values / pixel).astype(np.int64) for values in (east, south))
    shape = int(row.max()) + patch, int(column.max()) + patch
    hits, all_ = np.zeros(shape), np.zeros(shape)
    for down in range(patch):
        for along in range(patch):
            np.add.at(all_, (row + down, column + along), 1)
            np.add.at(hits, (row + down, column + along), right)
    part = np.divide(hits, all_, out=np.zeros(shape), where=all_ > 0)[..., None]
    colors = part * np.array(RIGHT) + (1 - part) * np.array(WRONG)
    pixels = np.where(all_[..., None] > 0, colors, np.array(EMPTY))
    zoom = max(1, LARGEST // max(shape))
    wide, high = ((float(values.max()) + SIDE) / 1e3 for values in (east, south))
    return np.rint(pixels).astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1), wide, high
