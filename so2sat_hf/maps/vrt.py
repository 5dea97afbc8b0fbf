"""A VRT: many GeoTIFFs as one raster, as text. Pure but for writing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from so2sat_hf.convert.writing import write_text
from so2sat_hf.maps.rasters import Band, Grid

GDAL_TYPES = {"float32": "Float32", "float64": "Float64", "uint16": "UInt16", "uint8": "Byte"}


@dataclass(frozen=True, slots=True)
class VrtFile:
    """One file of a VRT."""

    name: str
    """Relative to the folder of the VRT."""

    grid: Grid
    """Where it lies."""

    rows: int
    """Of its pixels."""

    columns: int
    """Of its pixels."""


def write_vrt(
    path: Path, files: Sequence[VrtFile], bands: Sequence[Band], *, dtype: str, nodata: float | None, wkt: str
) -> None:
    """Write a VRT over files of one grid; where they overlap, the later one is on top.

    Args:
        path: ends in ``.vrt``; the files are named relative to its folder.
        files: of the raster, all with the same CRS, pixel size and alignment.
        bands: of each of them.
        dtype: of their pixels.
        nodata: of their pixels; what no file covers has it, too.
        wkt: their coordinate reference system.

    Raises:
        FolderError: it cannot be written.
    """
    pixel = files[0].grid.pixel
    left, top = min(file.grid.left for file in files), max(file.grid.top for file in files)
    right = max(file.grid.left + file.columns * pixel for file in files)
    bottom = min(file.grid.top - file.rows * pixel for file in files)
    width, height = round((right - left) / pixel), round((top - bottom) / pixel)
    numbers = ", ".join(repr(number) for number in (left, pixel, 0.0, top, 0.0, -pixel))
    lines = [
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">',
        f"<SRS>{escape(wkt)}</SRS>",
        f"<GeoTransform>{numbers}</GeoTransform>",
    ]
    for number, band in enumerate(bands, 1):
        lines += _band(number, band, files, dtype, nodata, (left, top))
    write_text(path, "\n".join([*lines, "</VRTDataset>", ""]), durable=False)


def _band(
    number: int,
    band: Band,
    files: Sequence[VrtFile],
    dtype: str,
    nodata: float | None,
    corner: tuple[float, float],
) -> list[str]:
    lines = [
        f'<VRTRasterBand dataType="{GDAL_TYPES[dtype]}" band="{number}">',
        f"<Description>{escape(band.name)}</Description>",
        f"<UnitType>{escape(band.unit)}</UnitType>",
        f"<Scale>{band.scale!r}</Scale>",
    ]
    if nodata is not None:
        lines.append(f"<NoDataValue>{nodata}</NoDataValue>")
    for file in files:
        raster = f'RasterXSize="{file.columns}" RasterYSize="{file.rows}"'
        block = f'BlockXSize="{file.columns}" BlockYSize="{file.rows}"'
        size = f'xSize="{file.columns}" ySize="{file.rows}"'
        x = round((file.grid.left - corner[0]) / file.grid.pixel)
        y = round((corner[1] - file.grid.top) / file.grid.pixel)
        lines += [
            "<SimpleSource>",
            f'<SourceFilename relativeToVRT="1">{escape(file.name)}</SourceFilename>',
            f"<SourceBand>{number}</SourceBand>",
            f'<SourceProperties {raster} {block} DataType="{GDAL_TYPES[dtype]}"/>',
            f'<SrcRect xOff="0" yOff="0" {size}/>',
            f'<DstRect xOff="{x}" yOff="{y}" {size}/>',
            "</SimpleSource>",
        ]
    return [*lines, "</VRTRasterBand>"]
