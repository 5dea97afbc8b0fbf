"""Patches as GeoTIFFs, each in its place, and a VRT of each city."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, GEO_COLUMNS, PATCH_SIZE, PIXEL_SIZE, PatchBlock
from so2sat_hf.convert.table import digital_numbers
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.load.place import Place
from so2sat_hf.maps.beside import write_world_file
from so2sat_hf.maps.chosen import Chosen
from so2sat_hf.maps.geotiff import library, wkt_of, write_geotiff
from so2sat_hf.maps.rasters import Band, Grid
from so2sat_hf.maps.vrt import VrtFile, write_vrt

SENSORS = {"sen1": ("sen1",), "sen2": ("sen2",), "both": ("sen1", "sen2")}
UNITS = {"sen1": "linear", "sen2": "reflectance"}
DTYPES = ("float32", "float64", "uint16")


def export(
    chosen: Chosen,
    out: Path,
    *,
    sensor: str = "both",
    dtype: str = "float32",
    world_files: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write one GeoTIFF per patch and one VRT per city.

    ``CITY/ID.tif`` (slashes of the id as underscores) has the bands of the sensor with names and units, id,
    class and city as tags, and nodata; ``CITY.vrt`` is all of a city as one raster. Files of the same names
    are replaced.

    Args:
        chosen: the patches.
        out: folder; made if need be.
        sensor: ``sen1``, ``sen2`` or ``both``.
        dtype: ``float32`` as stored; ``float64``: the numbers of the HDF5 files to the last bit; ``uint16``:
            digital numbers of Sentinel-2.
        world_files: write ``.tfw`` files, too.
        progress: called with the patches written.

    Returns:
        Patches written.

    Raises:
        So2SatError: no geolocation, no such bands, or whole numbers of Sentinel-1.
        FolderError: the folder cannot be written.
    """
    columns = _columns(chosen, sensor, dtype)
    library()  # before a folder is made
    kept = SENSORS[sensor]
    bands = [
        Band(band.name, UNITS[name], 1 / DN_PER_REFLECTANCE if dtype == "uint16" else 1.0)
        for name in kept
        for band in facts.bands(name)
    ]
    nodata = None if dtype == "uint16" else float("nan")
    tiles: dict[tuple[str, int], list[VrtFile]] = defaultdict(list)
    count = 0
    for block in chosen.blocks(columns):
        for row in range(len(block)):
            key, tile = _write(block, row, kept, bands, out, dtype, nodata=nodata, world_files=world_files)
            tiles[key].append(tile)
        count += len(block)
        if progress:
            progress(len(block))
    zones = defaultdict(list)
    for city, epsg in tiles:
        zones[city].append(epsg)
    for (city, epsg), files in tiles.items():
        name = city if len(zones[city]) == 1 else f"{city}_{epsg}"
        write_vrt(out / f"{name}.vrt", files, bands, dtype=dtype, nodata=nodata, wkt=wkt_of(epsg))
    return count


def _columns(chosen: Chosen, sensor: str, dtype: str) -> tuple[str, ...]:
    for name, found, known in (("sensor", sensor, SENSORS), ("dtype", dtype, DTYPES)):
        if found not in known:
            raise So2SatError(name, found=repr(found), expected=" or ".join(known))
    if dtype == "uint16" and sensor != "sen2":
        raise So2SatError(
            "--dtype uint16", found=f"with --sensor {sensor}", expected="--sensor sen2",
            remedy="Sentinel-1 has no digital numbers here: float32 holds it exactly",
        )  # fmt: skip
    place = chosen.place
    there = place.manifest.columns if isinstance(place, Place) else place.columns
    for column in (*SENSORS[sensor], "city"):
        if column not in there:
            raise So2SatError(
                "export", found=f"no {column} in the data",
                expected="geolocation and the bands that are wanted",
                remedy="geolocation comes with the geo files of version 4" if column == "city" else "",
            )  # fmt: skip
    return ("id", "label", *SENSORS[sensor], *GEO_COLUMNS)


def _write(
    block: PatchBlock,
    row: int,
    sensors: Sequence[str],
    bands: Sequence[Band],
    out: Path,
    dtype: str,
    *,
    nodata: float | None,
    world_files: bool,
) -> tuple[tuple[str, int], VrtFile]:
    geo = block.geo
    if geo is None:
        raise So2SatError(block.ids[row], found="no position", expected="geolocation of every patch")
    lcz, city = facts.classes()[int(block.label[row])], folder_of(geo.city[row])
    grid = Grid(int(geo.epsg[row]), float(geo.x_ul[row]), float(geo.y_ul[row]), PIXEL_SIZE)
    name = f"{city}/{block.ids[row].replace('/', '_')}.tif"
    path = out / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(path.parent, found=error.strerror or str(error), expected="a folder") from error
    tags = {
        "ID": block.ids[row], "CITY": city, "LABEL": str(lcz.index), "LCZ": lcz.code, "LCZ_NAME": lcz.name,
        "SOURCE": "So2Sat LCZ42, CC BY 4.0",
    }  # fmt: skip
    pixels = np.concatenate([_pixels(getattr(block, sensor)[row], sensor, dtype) for sensor in sensors])
    write_geotiff(path, pixels, grid, bands, nodata=nodata, tags=tags, durable=False)
    if world_files:
        write_world_file(path, grid)
    return (city, grid.epsg), VrtFile(name, grid, PATCH_SIZE, PATCH_SIZE)


def folder_of(city: str) -> str:
    """Return the key of a city, which its folder is called by.

    Raises:
        So2SatError: it leads elsewhere; data of others may hold anything.
    """
    if not re.fullmatch(r"\w[\w .-]*", city):
        raise So2SatError(
            "export", found=f"a city called {city!r}", expected="letters, digits and underscores"
        )
    return city


def _pixels(
    stored: NDArray[np.float32], sensor: str, dtype: str
) -> NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint16]:
    """Return the pixels of a patch (bands, 32, 32) in the type that is wanted."""
    if dtype == "uint16":
        return digital_numbers(stored).astype(np.uint16)
    if dtype == "float64" and sensor == "sen2":
        return digital_numbers(stored) / float(DN_PER_REFLECTANCE)
    return stored.astype(dtype)
