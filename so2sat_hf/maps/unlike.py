"""Is a scene like what a model was trained with?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PIXEL_SIZE
from so2sat_hf.maps.scene import Scene, read_scene
from so2sat_hf.maps.tiles import MapGrid
from so2sat_hf.vision.preset import Preset

LOOK = 128
"""Pixels along each place that is looked at."""

BRIGHTEST = 10.0
"""Reflectance that no half of a scene has; digital numbers have it everywhere."""

LIMIT = 0.1
"""Share of the pixels outside the range of training that is told of; in training it is 0.02."""


def unlike(scenes: Sequence[Scene], preset: Preset, grid: MapGrid, looks: int = 9) -> list[str]:
    """Say which bands of the scenes leave what the model was trained with, from some places of each.

    The range of a band is that between the 1st and the 99th percentile in training, which the preset has;
    without, two deviations around the published mean. Other units, another offset, snow, desert, or another
    level of processing leave it.
    """
    ranges = {band: (low, high) for band, low, high in preset.ranges} or _published(preset)
    told = []
    for scene in scenes:
        values = _looked_at(scene, grid, looks)
        if not values.shape[1]:
            continue
        for band, pixels in zip(scene.layers, values, strict=True):
            low, high = ranges.get(band, (-np.inf, np.inf))
            share = float(((pixels < low) | (pixels > high)).mean())
            if share > LIMIT:
                told.append(
                    f"{scene.name} {band}: {share:.0%} of the pixels outside {low:.3f} to {high:.3f}, "
                    f"median {np.median(pixels):.3f}"
                )
        if np.median(values) > BRIGHTEST:
            told.append(f"{scene.name} looks like digital numbers: --units dn, or dn-1000 since 2022")
    return told


def _published(preset: Preset) -> dict[str, tuple[float, float]]:
    known = facts.statistics("2/training")
    return {
        band: (known.mean[band] - 2 * known.std[band], known.mean[band] + 2 * known.std[band])
        for band in preset.bands_of("sen2")
    }


def _looked_at(scene: Scene, grid: MapGrid, looks: int) -> NDArray[np.float32]:
    """(bands, pixels): reflectance at some places, all over the grid."""
    parts = []
    for number in range(looks):
        down, along = ((place + 0.5) / 3 for place in divmod(number, 3))
        row, column = int(grid.rows * down) * grid.stride, int(grid.columns * along) * grid.stride
        left, top = grid.left + PIXEL_SIZE * column, grid.top - PIXEL_SIZE * row
        pixels, is_known = read_scene(scene, grid.epsg, left, top, LOOK, LOOK)
        parts.append(pixels[:, is_known])
    return np.concatenate(parts, axis=1)
