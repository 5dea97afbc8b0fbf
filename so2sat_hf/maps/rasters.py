"""The nouns of rasters: bands, grids, looks and layers. Pure.

Positions of this dataset are **corners**: ``(x_ul, y_ul)`` is the upper-left corner of the upper-left pixel,
as GDAL has it. A world file names the *centre* of that pixel, so its numbers are half a pixel further.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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


@dataclass(frozen=True, slots=True)
class Layer:
    """One band in a file, and what its numbers mean."""

    path: Path
    """Of the file."""

    number: int
    """Of the band, from 1."""

    scale: float
    """Reflectance = number x scale + offset."""

    offset: float
    """See scale."""

    nodata: float | None = None
    """Number that means unknown, besides the file's own."""
