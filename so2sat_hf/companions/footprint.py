"""Footprints: the square on the ground that a patch covers, in longitude and latitude. Pure.

A patch is a square of 320 m on its UTM grid, and a slightly turned quadrilateral in degrees: all four corners
are projected, nothing is inferred from the centre. The ring starts at the **lower-left** corner of the UTM
square and runs counter-clockwise: lower left, lower right, upper right, upper left, lower left.
No city is near the antimeridian, so no footprint crosses it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.convert.geolocation import lonlat_of
from so2sat_hf.convert.patches import PATCH_SIZE, PIXEL_SIZE, GeoBlock

SIDE = PATCH_SIZE * PIXEL_SIZE
"""320 m, from one side of a patch to the other."""

CORNERS = np.array([(0.0, -SIDE), (SIDE, -SIDE), (SIDE, 0.0), (0.0, 0.0)])
"""(4, 2) metres east and north of ``(x_ul, y_ul)``: lower left, lower right, upper right, upper left."""

BOUNDS = ("xmin", "ymin", "xmax", "ymax")
"""West, south, east and north end of a footprint, in degrees; the fields of column ``bbox``."""

RECORD = np.dtype(
    [("order", "u1"), ("type", "<u4"), ("num_rings", "<u4"), ("num_points", "<u4"), ("ring", "<f8", (5, 2))]
)
"""A polygon with one ring of five points as WKB (OGC 06-103r4, 8.2): 93 bytes, little-endian."""

POLYGON = 3
"""Type of a polygon in WKB."""


def corners_of(geo: GeoBlock) -> NDArray[np.float64]:
    """Return longitude and latitude of the corners of n patches, (n, 4, 2) degrees, in the order of the ring.

    Args:
        geo: n patches; the EPSG codes have been checked.
    """
    x = geo.x_ul[:, None] + CORNERS[:, 0]  # (n, 4) UTM metres
    y = geo.y_ul[:, None] + CORNERS[:, 1]
    corners = np.empty((*x.shape, 2))
    for code in np.unique(geo.epsg):
        rows = np.flatnonzero(geo.epsg == code)
        longitude, latitude = lonlat_of(int(code), x[rows].reshape(-1), y[rows].reshape(-1))
        corners[rows, :, 0] = longitude.reshape(-1, 4)
        corners[rows, :, 1] = latitude.reshape(-1, 4)
    return corners


def to_wkb(corners: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Corners (n, 4, 2) -> polygons as WKB, (n, 93) bytes; the ring ends where it starts."""
    records = np.zeros(len(corners), RECORD)
    records["order"] = 1  # little-endian
    records["type"] = POLYGON
    records["num_rings"] = 1
    records["num_points"] = 5
    records["ring"][:, :4] = corners
    records["ring"][:, 4] = corners[:, 0]
    return records.view(np.uint8).reshape(-1, RECORD.itemsize)


def bounds_of(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners (n, 4, 2) -> west, south, east and north end of each footprint, (n, 4) degrees."""
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def extent_of(blocks: Iterable[GeoBlock]) -> NDArray[np.float64] | None:
    """Return the west, south, east and north end of all footprints, (4,) degrees; None if there are none."""
    extent = None
    for geo in blocks:
        bounds = bounds_of(corners_of(geo))  # (n, 4)
        if extent is not None:
            bounds = np.concatenate([bounds, extent[None]])
        extent = np.concatenate([bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)])
    return extent
