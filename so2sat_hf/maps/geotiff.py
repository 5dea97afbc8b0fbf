"""GeoTIFF files: the one door of rasterio."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.writing import placing
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.maps.rasters import Band, Grid, Layer, Look

if TYPE_CHECKING:
    import rasterio

NEEDS = "pip install 'so2sat_hf[geo]' brings rasterio"
CACHE_MB = 64
"""Of decoded blocks of scenes, in memory; GDAL would take a twentieth of the machine."""

LARGEST_TILE = 256
"""Pixels along a tile of a file."""


def library() -> Any:  # noqa: ANN401
    """Return rasterio.

    Raises:
        So2SatError: it is not installed.
    """
    try:
        import rasterio  # noqa: PLC0415 (for maps alone)
    except ImportError as error:
        raise So2SatError("library rasterio", found="not installed", remedy=NEEDS) from error
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
    durable: bool = True,
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
        durable: whether it has to outlive a power failure.

    Raises:
        FolderError: it cannot be written.
    """
    rasterio = library()
    tile = min(LARGEST_TILE, -(-max(pixels.shape[1:]) // 16) * 16)  # a multiple of 16, says TIFF
    options = {
        "driver": "GTiff", "height": pixels.shape[1], "width": pixels.shape[2], "count": len(pixels),
        "dtype": pixels.dtype.name, "crs": f"EPSG:{grid.epsg}",
        "transform": rasterio.Affine.from_gdal(*grid.transform), "nodata": nodata,
        "compress": "deflate", "predictor": 3 if pixels.dtype.kind == "f" else 2,
        "tiled": True, "blockxsize": tile, "blockysize": tile, "interleave": "band",
    }  # fmt: skip
    part = path.with_name(f".{path.name}.part")  # of no process: what a killed one left is written over
    with (
        placing(path, durable=durable, part=part),
        _quietly(path),
        rasterio.open(part, "w", **options) as file,
    ):
        file.write(pixels)
        file.update_tags(AREA_OR_POINT="Area", **(tags or {}))
        for number, band in enumerate(bands, 1):
            file.set_band_description(number, band.name)
            file.set_band_unit(number, band.unit)
        file.scales = [band.scale for band in bands]
        if look is not None:
            file.write_colormap(1, {value: (*color, 255) for value, color in look.colors.items()})


def wkt_of(epsg: int) -> str:
    """Return a coordinate reference system as text."""
    return str(library().crs.CRS.from_epsg(epsg).to_wkt())


def opened(path: Path) -> "rasterio.DatasetReader":
    """Open a raster for reading; whoever opens it closes it.

    Raises:
        So2SatError: it cannot be read.
    """
    with reading(path):
        return library().open(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the raster that cannot be read.

    Raises:
        So2SatError: what GDAL says of a damaged file, or of one that lies nowhere.
    """
    rasterio = library()
    try:
        yield
    except (rasterio.errors.RasterioError, OSError, ValueError, OverflowError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise So2SatError(
            path, found=said[0], expected="a raster that GDAL reads", remedy="copy or download it again"
        ) from error


def finite(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels are numbers."""
    return np.isfinite(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool)


@dataclass(frozen=True, slots=True)
class RasterInfo:
    """What a raster says of itself."""

    path: Path
    """Of the file."""

    epsg: int | None
    """Of its coordinate reference system; None if it has no EPSG code."""

    bounds: tuple[float, float, float, float]
    """West, south, east, north in its own coordinates."""

    descriptions: tuple[str | None, ...]
    """Of its bands."""

    scales: tuple[float, ...]
    """Of its bands; 1 if nothing is said."""

    offsets: tuple[float, ...]
    """Of its bands; 0 if nothing is said."""

    units: tuple[str | None, ...]
    """Of its bands."""

    dtype: str
    """Of its first band."""

    def bounds_in(self, epsg: int) -> tuple[float, float, float, float]:
        """Return west, south, east, north in another reference system."""
        if epsg == self.epsg:
            return self.bounds
        from rasterio.warp import transform_bounds  # noqa: PLC0415 (for maps alone)

        with reading(self.path):
            west, south, east, north = transform_bounds(f"EPSG:{self.epsg}", f"EPSG:{epsg}", *self.bounds)
        return west, south, east, north


def inspect(path: Path) -> RasterInfo:
    """Return what a raster says of itself.

    Raises:
        So2SatError: it cannot be read, or has no coordinate reference system.
    """
    with opened(path) as file, reading(path):
        if file.crs is None:
            raise So2SatError(path, found="no coordinate reference system", expected="a georeferenced scene")
        if not np.isfinite(file.bounds).all() or abs(file.res[0]) * abs(file.res[1]) == 0:
            raise So2SatError(path, found=f"bounds {tuple(file.bounds)}", expected="a georeferenced scene")
        return RasterInfo(
            path, file.crs.to_epsg(), tuple(file.bounds), tuple(file.descriptions), tuple(file.scales),
            tuple(file.offsets), tuple(file.units), str(file.dtypes[0]),
        )  # fmt: skip


def degrees_in(box: tuple[float, float, float, float], epsg: int) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a box in degrees, in a projected system."""
    library()
    from rasterio.warp import transform_bounds  # noqa: PLC0415 (for maps alone)

    west, south, east, north = transform_bounds("EPSG:4326", f"EPSG:{epsg}", *box)
    return west, south, east, north


def utm_zone(info: RasterInfo) -> int:
    """Return the EPSG code of the UTM zone of the middle of a raster; its own code if it is one.

    Raises:
        So2SatError: its reference system has no EPSG code.
    """
    if info.epsg is None:
        raise So2SatError(
            info.path, found="a coordinate reference system without EPSG code", expected="a UTM zone",
            remedy="--crs EPSG:32632 names the zone of the map; or warp the scene",
        )  # fmt: skip
    if info.epsg // 100 in (326, 327):
        return info.epsg
    west, south, east, north = info.bounds_in(4326)
    zone = int(((west + east) / 2 + 180) // 6) + 1
    return (32600 if south + north >= 0 else 32700) + zone


def read_layers(
    layers: Sequence[Layer], epsg: int, corner: tuple[float, float], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read bands on one grid of 10 m, each pixel the nearest one of the file, as the dataset was made.

    Returns:
        (bands, rows, columns) reflectance, 0 where unknown, and (rows, columns) where all bands are known.
    """
    rasterio = library()
    from rasterio.vrt import WarpedVRT  # noqa: PLC0415 (for maps alone)

    transform = rasterio.Affine(10.0, 0.0, corner[0], 0.0, -10.0, corner[1])
    pixels = np.zeros((len(layers), *shape), np.float32)
    known = np.ones(shape, bool)
    options = {"crs": f"EPSG:{epsg}", "transform": transform, "height": shape[0], "width": shape[1]}
    for path in dict.fromkeys(layer.path for layer in layers):
        with (
            rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
            reading(path),
            opened(path) as file,
            WarpedVRT(file, **options, add_alpha=file.nodata is None) as warped,
        ):
            if file.nodata is None:
                known &= warped.read(warped.count) > 0  # alpha: what lies within the file
            for index, layer in enumerate(layers):
                if layer.path != path:
                    continue
                numbers = warped.read(layer.number)
                is_known = warped.read_masks(layer.number) > 0
                if layer.nodata is not None:
                    is_known &= numbers != layer.nodata
                with np.errstate(over="ignore", invalid="ignore"):
                    value = numbers.astype(np.float32) * np.float32(layer.scale) + np.float32(layer.offset)
                is_known &= finite(value)
                known &= is_known
                pixels[index] = np.where(is_known, value, np.float32(0))
    return pixels, known
