"""GeoTIFF files: the one door of rasterio.

Positions of this dataset are **corners**: ``(x_ul, y_ul)`` is the upper-left corner of the upper-left pixel,
as GDAL has it. A world file names the *centre* of that pixel, so its numbers are half a pixel further.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.errors import FolderError, So2SatError

if TYPE_CHECKING:
    import rasterio

NEEDS = "pip install 'so2sat_hf[geo]' brings rasterio"
TILE = 16
"""Tiles of a GeoTIFF are multiples of it."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band of a file."""

    name: str
    """Description that GDAL and QGIS show."""

    unit: str = ""
    """Of its values times scale."""

    scale: float = 1.0
    """Value in the unit = stored value x scale."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a raster lies: a north-up grid."""

    epsg: int
    """Code of the coordinate reference system."""

    left: float
    """Metres of the left edge of the first column."""

    top: float
    """Metres of the upper edge of the first row."""

    pixel: float
    """Metres along a pixel."""

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """In GDAL's order, without the sign mistakes."""
        return self.left, self.pixel, 0.0, self.top, 0.0, -self.pixel


@dataclass(frozen=True, slots=True)
class Look:
    """How a raster of classes is shown."""

    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """Value -> red, green, blue."""

    names: Mapping[int, str] = field(default_factory=dict)
    """Value -> name of the class."""


def library() -> Any:  # noqa: ANN401
    """Return rasterio.

    Raises:
        So2SatError: it is not installed.
    """
    try:
        import rasterio  # noqa: PLC0415 (for maps alone)
    except ImportError as error:
        raise So2SatError("library rasterio", found="not installed", expected="it", remedy=NEEDS) from error
    return rasterio


@contextmanager
def _quietly(path: Path) -> Iterator[None]:
    """Turn what rasterio raises into one clear error."""
    rasterio = library()
    try:
        yield
    except (rasterio.errors.RasterioError, OSError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise FolderError(path, found=said[0], expected="a GeoTIFF that can be written") from error


def write_geotiff(
    path: Path,
    pixels: NDArray[Any],
    grid: Grid,
    bands: Sequence[Band],
    *,
    nodata: float | None = None,
    tags: Mapping[str, str] | None = None,
    look: Look | None = None,
    tile: int = 256,
) -> None:
    """Write a compressed, tiled GeoTIFF; it gets its name when it is complete.

    Args:
        path: ends in ``.tif``.
        pixels: (bands, rows, columns).
        grid: where they lie.
        bands: one for each.
        nodata: value of pixels that are not known; None: all are.
        tags: of the whole file.
        look: colours and names of classes; only with one band of uint8.
        tile: pixels along a tile, a multiple of 16.

    Raises:
        FolderError: it cannot be written.
    """
    rasterio = library()
    options = {
        "driver": "GTiff", "height": pixels.shape[1], "width": pixels.shape[2], "count": len(pixels),
        "dtype": pixels.dtype.name, "crs": f"EPSG:{grid.epsg}",
        "transform": rasterio.Affine.from_gdal(*grid.transform), "nodata": nodata,
        "compress": "deflate", "predictor": 3 if pixels.dtype.kind == "f" else 2,
        "tiled": True, "blockxsize": tile, "blockysize": tile, "interleave": "band",
    }  # fmt: skip
    part = path.with_name(f".{path.name}.part")
    with _quietly(path):
        with rasterio.open(part, "w", **options) as file:
            file.write(pixels)
            file.update_tags(AREA_OR_POINT="Area", **(tags or {}))
            for number, band in enumerate(bands, 1):
                file.set_band_description(number, band.name)
                file.set_band_unit(number, band.unit)
            file.scales = [band.scale for band in bands]
            if look is not None:
                file.write_colormap(1, {value: (*color, 255) for value, color in look.colors.items()})
        part.replace(path)


def write_world_file(path: Path, grid: Grid) -> None:
    """Write the ``.tfw`` beside a GeoTIFF; its last two numbers are the centre of the first pixel."""
    half = grid.pixel / 2
    numbers = (grid.pixel, 0.0, 0.0, -grid.pixel, grid.left + half, grid.top - half)
    path.with_suffix(".tfw").write_text("".join(f"{number!r}\n" for number in numbers))


def wkt_of(epsg: int) -> str:
    """Return a coordinate reference system as text."""
    return str(library().crs.CRS.from_epsg(epsg).to_wkt())


def opened(path: Path) -> "rasterio.DatasetReader":
    """Open a raster for reading; whoever opens it closes it.

    Raises:
        So2SatError: it cannot be read.
    """
    rasterio = library()
    try:
        return rasterio.open(path)
    except (rasterio.errors.RasterioError, OSError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise So2SatError(path, found=said[0], expected="a raster that GDAL opens") from error


def finite(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels are numbers."""
    return np.isfinite(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool)
