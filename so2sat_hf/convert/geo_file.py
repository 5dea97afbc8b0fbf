"""Geo files of either generation, read with :mod:`so2sat_hf.convert.hdf5`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.geolocation import RawGeo, generation, locate
from so2sat_hf.convert.hdf5 import dataset_of, open_hdf5
from so2sat_hf.convert.patches import GeoBlock
from so2sat_hf.errors import SourceError

CITY_KEYS = ("city", "cityList")


def read_geo(path: Path, num_rows: int, start: int = 0, stop: int | None = None) -> RawGeo:
    """Read rows of a geo file of either generation.

    Args:
        path: the geo file.
        num_rows: rows of the image file it belongs to.
        start: first row.
        stop: row after the last; default: all.

    Raises:
        SourceError: not laid out as published, or another number of rows than the image file.
    """
    stop = num_rows if stop is None else stop
    with open_hdf5(path) as file:
        tfw, epsg = dataset_of(file, path, "tfw"), dataset_of(file, path, "epsg")
        names = list(file.keys())
        city_key = next((key for key in CITY_KEYS if key in names), None)
        city = dataset_of(file, path, city_key) if city_key else None
        shapes = {"tfw": (num_rows, 6), "epsg": (num_rows,), "city": (num_rows,)}
        for key, dataset in {"tfw": tfw, "epsg": epsg, "city": city}.items():
            if dataset is not None and dataset.shape not in (shapes[key], (num_rows, 1)):
                raise SourceError(
                    path,
                    found=f"{key} has shape {dataset.shape}",
                    expected=f"{shapes[key]}, one row for each patch of the image file",
                    remedy="use the geo file that belongs to this image file",
                )
        if epsg.dtype.kind not in "iu" or tfw.dtype.kind != "f":
            raise SourceError(
                path,
                found=f"epsg has dtype {epsg.dtype}, tfw {tfw.dtype}",
                expected="integers and floating-point numbers",
            )
        return RawGeo(
            tfw=tfw[start:stop].astype(np.float64),
            epsg=epsg[start:stop].reshape(-1).astype(np.int64),
            city=None if city is None else [_text(value) for value in city[start:stop].reshape(-1)],
        )


def read_raster(path: Path, num_rows: int) -> NDArray[np.int32] | None:
    """Return (n, 4): row and column of every centre in its city's Sentinel-1 and Sentinel-2 raster.

    They are the last four numbers of ``coord`` in geo files of 2025; None where a file has no ``coord``.

    Raises:
        SourceError: not laid out as published, or not whole numbers.
    """
    with open_hdf5(path) as file:
        if "coord" not in list(file.keys()):
            return None
        dataset = dataset_of(file, path, "coord")
        if dataset.shape != (num_rows, 6):
            raise SourceError(path, found=f"coord has shape {dataset.shape}", expected=f"({num_rows}, 6)")
        numbers = dataset[:, 2:]
    if not (np.rint(numbers) == numbers).all() or np.abs(numbers).max() > np.iinfo(np.int32).max:
        raise SourceError(path, found="coord has broken row numbers", expected="whole numbers of pixels")
    return numbers.astype(np.int32)


def _text(value: object) -> str:
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ").lower()


def is_geo(path: Path) -> bool:
    """Whether an HDF5 file is laid out like a geo file rather than an image file."""
    with open_hdf5(path) as file:
        names = list(file.keys())
    return "tfw" in names and "sen1" not in names


def count_geo_rows(path: Path) -> int:
    """Return how many rows a geo file has."""
    with open_hdf5(path) as file:
        dataset = dataset_of(file, path, "tfw")
        if dataset.ndim != 2 or not dataset.shape[0]:
            raise SourceError(path, found=f"tfw has shape {dataset.shape}", expected="(N, 6) with N > 0")
        return int(dataset.shape[0])


def locate_all(path: Path, num_rows: int) -> GeoBlock:
    """Return the checked positions of every row of a geo file."""
    return locate(read_geo(path, num_rows), path)


def geo_generation(path: Path, num_rows: int) -> str:
    """``"2025"`` or ``"2026"``, read from the values."""
    return generation(read_geo(path, num_rows, 0, min(num_rows, 1024)).tfw, path)
