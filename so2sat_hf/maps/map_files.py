"""The files of a map: classes with colours and names, probabilities, how undecided the model is."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.writing import write_bytes
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.facts.labels import palette, schemes
from so2sat_hf.maps.beside import write_category_names
from so2sat_hf.maps.geotiff import opened, write_geotiff
from so2sat_hf.maps.map_picture import map_picture
from so2sat_hf.maps.rasters import Band, Grid, Look
from so2sat_hf.maps.smooth import NOTHING, entropy, smoothed
from so2sat_hf.maps.styles import legend
from so2sat_hf.maps.tiles import MapGrid, Tile

SCALE = 10_000
"""Probabilities are stored as whole numbers, 10,000 for 1."""


BAND = "LCZ"
"""Name of the only band of a map, by which a map is known."""


@dataclass(frozen=True, slots=True)
class MapOptions:
    """What is wanted of a map."""

    tile: int = 64
    """Cells along a tile; 64 take some 30 MB."""

    smooth: str = "none"
    """See :mod:`so2sat_hf.maps.smooth`."""

    metres: float = 150.0
    """Radius or deviation of the filter."""

    values: str = "number"
    """``number``: 1 to 17; ``wudapt``: 1 to 10, 101 to 107."""

    probabilities: bool = False
    """Write them, too, and how undecided the model is."""

    picture: bool = False
    """Write a PNG with a legend beside the map, under its name."""

    palette: str = "standard"
    """Of the colour table."""

    batch_size: int = 256
    """Windows that the model sees at once; a square number, see :mod:`so2sat_hf.maps.tiles`."""

    device: str = "cpu"
    """Where the model computes."""


def check_target(out: Path) -> None:
    """Refuse a name that a map would not suit, and a file that is none: a scene given last, for one.

    Raises:
        FolderError: it does not end in .tif, or is there and no map.
    """
    remedy = "the map comes last: so2sat map MODEL SCENE... OUT.tif"
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise FolderError(out, found="no name of a GeoTIFF", expected="one that ends in .tif", remedy=remedy)
    if not out.exists():
        return
    try:
        with opened(out) as file:
            names = tuple(file.descriptions)
    except So2SatError:
        names = ()
    if names != (BAND,):
        raise FolderError(
            out, found="exists, and is no map", expected="a new name, or a map to replace", remedy=remedy
        )


def write_map(
    tiles: Iterable[tuple[Tile, Path]], grid: MapGrid, out: Path, options: MapOptions
) -> dict[str, float]:
    """Put tiles together, smooth them, and write the map; return the share of each class, by its code.

    Raises:
        So2SatError: nothing is known anywhere.
        FolderError: a file cannot be written.
    """
    classes = len(facts.classes())
    chance = np.zeros((classes, grid.rows, grid.columns), np.float32)
    known = np.zeros((grid.rows, grid.columns), bool)
    for tile, path in tiles:
        total, count = _read_tile(path)
        rows = slice(tile.row, tile.row + tile.rows)
        columns = slice(tile.column, tile.column + tile.columns)
        chance[:, rows, columns] = total / np.maximum(count, 1)
        known[rows, columns] = count > 0
    if not known.any():
        raise So2SatError(out, found="no window without unknown pixels", expected="data 320 m wide")
    best = smoothed(chance, known, options.smooth, options.metres, grid.cell)
    numbers = np.array([*schemes()[options.values], 0], np.uint8)
    place = Grid(grid.epsg, grid.left, grid.top, grid.cell)
    colors = palette(options.palette)
    names = legend(options.values)
    look = Look(dict(zip(names, colors.rgb, strict=True)), names)
    listed = ", ".join(f"{value}: {name}" for value, name in names.items())
    tags = {"SOFTWARE": "so2sat_hf", "CLASSES": listed}
    if options.probabilities:
        _write_chances(chance, known, place, out)
    if options.picture:
        write_bytes(out.with_suffix(".png"), map_picture(numbers[best], options.values, colors))
    write_category_names(out, names)
    write_geotiff(out, numbers[best][None], place, [Band(BAND)], nodata=0, tags=tags, look=look)  # the last
    counts = np.bincount(best[best != NOTHING], minlength=classes)
    return {lcz.code: float(counts[lcz.index] / counts.sum()) for lcz in facts.classes()}


def _read_tile(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    try:
        with np.load(path, allow_pickle=False) as found:
            return found["total"], found["count"]
    except Exception as error:  # whatever numpy makes of a damaged archive
        raise FolderError(
            path, found=f"damaged ({error})", expected="a finished tile",
            remedy="remove it, then run the same command again",
        ) from error  # fmt: skip


def _write_chances(chance: NDArray[np.float32], known: NDArray[np.bool_], place: Grid, out: Path) -> None:
    """Write probabilities and how undecided the model is, as whole numbers of 1/10,000."""
    nothing = np.uint16(65535)
    for name, values, bands in (
        ("probabilities", chance, [f"LCZ {lcz.code} {lcz.name}" for lcz in facts.classes()]),
        ("entropy", entropy(chance)[None], ["entropy, 0: sure, 1: all classes alike"]),
    ):
        numbers = np.where(known, np.rint(values * SCALE), nothing).astype(np.uint16)
        path = out.with_name(f"{out.stem}_{name}.tif")
        write_geotiff(
            path, numbers, place, [Band(band, "", 1 / SCALE) for band in bands], nodata=float(nothing)
        )
