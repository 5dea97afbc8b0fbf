"""Sentinel-2 scenes as reflectance on one grid of 10 m, whatever files they come in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PIXEL_SIZE
from so2sat_hf.errors import So2SatError
from so2sat_hf.maps.geotiff import RasterInfo, degrees_in, inspect, read_layers
from so2sat_hf.maps.rasters import Layer
from so2sat_hf.maps.safe import is_safe, read_safe

UNITS = ("reflectance", "dn", "dn-1000")
"""How numbers are told of: reflectance; 10,000 times that; the same and 1,000 more, as since January 2022."""

WAYS_TO_SAY = "say it: --units reflectance, dn (reflectance x 10,000), dn-1000 (the same + 1,000, since 2022)"


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition."""

    name: str
    """For people."""

    layers: Mapping[str, Layer]
    """Band -> where its pixels are and what they mean."""

    level: str | None
    """``L1C``, ``L2A``, or None if nothing tells."""

    info: RasterInfo
    """Of its finest band."""


def open_scene(
    path: Path, bands: Sequence[str], *, units: str | None = None, names: Sequence[str] = ()
) -> Scene:
    """Find the bands of a scene and what their numbers mean.

    Args:
        path: a SAFE folder, or a raster of several bands (GeoTIFF, COG, VRT).
        bands: that are wanted, e.g. ``("B02", "B03")``.
        units: one of :data:`UNITS`; None: as the file says.
        names: of the bands of a raster, in order; default: its band descriptions.

    Raises:
        So2SatError: a band is missing, or nothing tells what the numbers mean.
    """
    if units is not None and units not in UNITS:
        raise So2SatError("--units", found=units, expected=" or ".join(UNITS))
    if not path.exists():
        raise So2SatError(path, found="no such file", expected="a Sentinel-2 scene")
    if is_safe(path):
        return _from_safe(path, bands)
    info = inspect(path)
    known = [_canonical(name) for name in (names or info.descriptions)]
    missing = [band for band in bands if band not in known]
    if missing:
        raise So2SatError(
            path, found=f"no band {', '.join(missing)} (bands: {', '.join(name or '?' for name in known)})",
            expected="the bands that the model eats, by name",
            remedy="name them in the order of the file: --bands B02,B03,B04,B05,B06,B07,B08,B8A,B11,B12",
        )  # fmt: skip
    layers = {}
    for band in bands:
        number = known.index(band)
        scale, offset = _meaning(path, info, number, units)
        layers[band] = Layer(path, number + 1, scale, offset)
    return Scene(path.name, layers, None, info)


def _from_safe(path: Path, bands: Sequence[str]) -> Scene:
    product = read_safe(path)
    layers = {
        band: Layer(product.files[band], 1, product.scale, product.offsets[band] * product.scale, nodata=0)
        for band in bands
    }
    return Scene(path.name, layers, product.level, inspect(product.files["B02"]))


def _canonical(name: str | None) -> str:
    """Return ``B02`` for ``B2``, ``b02`` or ``B02 (490 nm)``."""
    text = (name or "").strip().upper().split(" ")[0].split("_")[-1]
    known = {band.name for band in facts.bands("sen2")}
    padded = f"B0{text[1:]}" if len(text) == 2 and text.startswith("B") else text
    return padded if padded in known else text


def _meaning(path: Path, info: RasterInfo, number: int, units: str | None) -> tuple[float, float]:
    """Return scale and offset that make reflectance of a band's numbers."""
    if units is not None:
        return {"reflectance": (1.0, 0.0), "dn": (1e-4, 0.0), "dn-1000": (1e-4, -0.1)}[units]
    scale, offset, unit = info.scales[number], info.offsets[number], info.units[number] or ""
    if not (np.isfinite([scale, offset]).all() and scale):
        raise So2SatError(
            path, found=f"scale {scale}, offset {offset}", expected="numbers", remedy=WAYS_TO_SAY
        )
    if (scale, offset) != (1.0, 0.0):
        return scale, offset
    if unit.lower() in ("reflectance", "1"):
        return 1.0, 0.0
    raise So2SatError(
        path, found=f"{info.dtype} numbers, and nothing that says what they mean",
        expected="scale and offset or the unit in its metadata", remedy=WAYS_TO_SAY,
    )  # fmt: skip


def bounds_of(scenes: Sequence[Scene], epsg: int) -> tuple[float, float, float, float]:
    """Return west, south, east, north of all scenes in metres, whole pixels from the first's corner."""
    boxes = [scene.info.bounds_in(epsg) for scene in scenes]
    west, north = boxes[0][0], boxes[0][3]
    left = min(box[0] for box in boxes)
    top = max(box[3] for box in boxes)
    left = west - np.ceil((west - left) / PIXEL_SIZE - 1e-6) * PIXEL_SIZE
    top = north + np.ceil((top - north) / PIXEL_SIZE - 1e-6) * PIXEL_SIZE
    return float(left), min(box[1] for box in boxes), max(box[2] for box in boxes), float(top)


def box_in(
    box: tuple[float, float, float, float], epsg: int, bounds: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Return a box as west, south, east, north in metres, on the pixels of the scenes.

    Args:
        box: west, south, east, north in degrees.
        epsg: of the map.
        bounds: of the scenes, in metres.

    Raises:
        So2SatError: no scene is there.
    """
    west, south, east, north = degrees_in(box, epsg)
    if east <= bounds[0] or west >= bounds[2] or north <= bounds[1] or south >= bounds[3]:
        raise So2SatError(
            "--bbox", found="outside of the scenes", expected="west,south,east,north in degrees, within them"
        )
    left = bounds[0] + np.floor((max(west, bounds[0]) - bounds[0]) / PIXEL_SIZE) * PIXEL_SIZE
    top = bounds[3] - np.floor((bounds[3] - min(north, bounds[3])) / PIXEL_SIZE) * PIXEL_SIZE
    return float(left), max(south, bounds[1]), min(east, bounds[2]), float(top)


def read_scene(
    scene: Scene, epsg: int, left: float, top: float, rows: int, columns: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read a window of pixels of 10 m.

    Args:
        scene: of the bands in the order of its layers.
        epsg: of the grid.
        left: metres of its left edge.
        top: metres of its upper edge.
        rows: pixels.
        columns: pixels.

    Returns:
        (bands, rows, columns) reflectance, 0 where unknown, and (rows, columns) where all bands are known.
    """
    return read_layers(list(scene.layers.values()), epsg, (left, top), (rows, columns))
