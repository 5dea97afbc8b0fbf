"""Maps as the tests make and read them."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from so2sat_hf.maps.geotiff import utm_zone
from so2sat_hf.maps.lcz_map import make_map
from so2sat_hf.maps.map_files import MapOptions
from so2sat_hf.maps.scene import bounds_of, open_scene
from so2sat_hf.maps.tiles import grid_over
from so2sat_hf.training.classifier import open_classifier


def mapped(
    model: Path, out: Path, *scenes: Path, stride: float = 100, units: str | None = None, **options: Any
) -> dict[str, float]:
    names = {key: options.pop(key) for key in ("jobs", "executor") if key in options}
    classifier = open_classifier(str(model))
    opened = [open_scene(path, classifier.preset.bands, units=units) for path in scenes]
    epsg = utm_zone(opened[0].info)
    grid = grid_over(epsg, bounds_of(opened, epsg), stride)
    return make_map(classifier, opened, grid, out, MapOptions(**options), **names)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()
