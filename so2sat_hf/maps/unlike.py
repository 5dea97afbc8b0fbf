"""Is a scene like what a model was trained with?"""

from collections.abc import Sequence

import numpy as np

from so2sat_hf.convert.patches import PIXEL_SIZE
from so2sat_hf.maps.scene import Scene, read_scene
from so2sat_hf.maps.tiles import MapGrid
from so2sat_hf.vision.preset import Preset

LOOK = 128
"""Pixels along each place that is looked at."""


def unlike(scenes: Sequence[Scene], preset: Preset, grid: MapGrid, looks: int = 9) -> list[str]:
    """Say which bands of the scenes are unlike what the model was trained with, from some places of each.

    A band counts as unlike if its median is further than two deviations from the mean in training: other
    units, another offset, snow, or another level of processing.
    """
    known = {slot.band: slot for slot in preset.slots if slot.band and slot.unit == "reflectance"}
    told = []
    for scene in scenes:
        parts = []
        for number in range(looks):
            down, along = ((place + 0.5) / 3 for place in divmod(number, 3))
            row, column = int(grid.rows * down) * grid.stride, int(grid.columns * along) * grid.stride
            left, top = grid.left + PIXEL_SIZE * column, grid.top - PIXEL_SIZE * row
            pixels, is_known = read_scene(scene, grid.epsg, left, top, LOOK, LOOK)
            parts.append(pixels[:, is_known])
        values = np.concatenate(parts, axis=1)
        if not values.shape[1]:
            continue
        for band, middle in zip(scene.layers, np.median(values, axis=1), strict=True):
            slot = known.get(band)
            if slot is None or slot.mean is None or slot.std is None:
                continue
            if abs(middle - slot.mean) > 2 * slot.std:
                told.append(
                    f"{scene.name} {band}: median {middle:.3f}, in training {slot.mean:.3f} +- {slot.std:.3f}"
                )
    return told
