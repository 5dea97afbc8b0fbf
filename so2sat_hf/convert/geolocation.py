"""Both published geolocation generations -> corner, EPSG code, centre and city of every patch.

The generation is read from the values, never guessed from a date:

* **2025**: ``coord epsg tfw``, tfw in GDAL order ``[x_ul, 10, 0, y_ul, 0, +10]`` (positive height);
* **2026**: ``city epsg tfw``, tfw in world-file order ``[10, 0, 0, -10, x_ul, y_ul]`` (either sign).

In every published use ``(x_ul, y_ul)`` is the **corner** of the upper-left pixel, not its centre.
This is the only file that imports pyproj.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE, PIXEL_SIZE, GeoBlock
from so2sat_hf.errors import GeolocationError

HALF_PATCH = PATCH_SIZE * PIXEL_SIZE / 2
"""160 m from the corner of a patch to its centre, on each axis."""

MAX_DISTANCE = 150_000.0
"""Metres from its city beyond which a position cannot be right. Known errors are thousands of kilometres off,
while the patches of Istanbul alone stretch over 192 km from west to east."""


@dataclass(frozen=True, slots=True)
class RawGeo:
    """Rows of a geo file as they were read."""

    tfw: NDArray[np.float64]
    """(n, 6) in the order of its generation."""

    epsg: NDArray[np.int64]
    """(n,)"""

    city: list[str] | None
    """Publisher's keys (2026), or None (2025)."""

    def take(self, rows: NDArray[np.int64]) -> "RawGeo":
        """Return some of the rows."""
        city = None if self.city is None else [self.city[row] for row in rows]
        return RawGeo(self.tfw[rows], self.epsg[rows], city)


def generation(tfw: NDArray[np.float64], thing: object) -> str:
    """Tell the generation of world-file values.

    Args:
        tfw: (n, 6) as read.
        thing: what to name in an error.

    Returns:
        ``"2025"`` or ``"2026"``.

    Raises:
        GeolocationError: the values fit neither generation.
    """
    size = np.abs(tfw)
    if tfw.ndim == 2 and tfw.shape[1] == 6:
        if np.all(size[:, [0, 3]] == PIXEL_SIZE) and not tfw[:, [1, 2]].any():
            return "2026"
        if np.all(size[:, [1, 5]] == PIXEL_SIZE) and not tfw[:, [2, 4]].any():
            return "2025"
    raise GeolocationError(
        thing,
        found=f"tfw {tfw.shape} with first row {tfw[:1].tolist()} is in no known order",
        expected="[x_ul, 10, 0, y_ul, 0, 10] (2025) or [10, 0, 0, -10, x_ul, y_ul] (2026) in every row",
        remedy="use the published geo file of version 4, or leave geolocation out with --drop-geo",
    )


def corners(tfw: NDArray[np.float64], thing: object) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``(x_ul, y_ul)``, each (n,), UTM metres of the corner of the upper-left pixel."""
    x, y = (4, 5) if generation(tfw, thing) == "2026" else (0, 3)
    return np.ascontiguousarray(tfw[:, x]), np.ascontiguousarray(tfw[:, y])


@cache
def _to_lonlat(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, 4326, always_xy=True)


@cache
def _to_utm(epsg: int) -> Transformer:
    return Transformer.from_crs(4326, epsg, always_xy=True)


def lonlat_of(
    epsg: int, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """UTM metres of a zone -> WGS 84 longitude and latitude in degrees, each (n,)."""
    return _transform(_to_lonlat(int(epsg)), x, y)


def utm_of(
    epsg: int, longitude: NDArray[np.float64], latitude: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """WGS 84 degrees -> UTM metres of a zone, each (n,)."""
    return _transform(_to_utm(int(epsg)), longitude, latitude)


def _transform(
    transformer: Transformer, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform n points; lists, because pyproj would take an array of one element for a scalar."""
    if len(x) == 1:
        first, second = transformer.transform(x.tolist(), y.tolist())
        return np.array(first), np.array(second)
    return transformer.transform(x, y)


@cache
def _zone_cities(epsg: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Keys of the cities of a zone, and their centres (k, 2) in its UTM metres."""
    cities = facts.cities_of_zone(epsg)
    lonlat = np.array([(city.longitude, city.latitude) for city in cities]).reshape(-1, 2)
    return tuple(city.key for city in cities), np.stack(utm_of(epsg, lonlat[:, 0], lonlat[:, 1]), axis=1)


def is_utm_zone(epsg: int) -> bool:
    """Whether an EPSG code is WGS 84 / UTM zone 1N-60N or 1S-60S."""
    return 32601 <= epsg <= 32660 or 32701 <= epsg <= 32760


def locate(raw: RawGeo, thing: object) -> GeoBlock:
    """Turn rows of a geo file into positions and cities, and check every one of them.

    The city is the publisher's where the file has it, else the nearest city of the row's UTM zone.

    Args:
        raw: n rows of one geo file.
        thing: what to name in an error.

    Raises:
        GeolocationError: an EPSG code that is no UTM zone, a city nobody knows, or positions more than
            150 km from every city of their zone (or from the city that the file names).
    """
    x_ul, y_ul = corners(raw.tfw, thing)
    center_x, center_y = x_ul + HALF_PATCH, y_ul - HALF_PATCH
    if raw.city is not None:
        _check_cities(raw, thing)
    longitude, latitude = np.empty(len(x_ul)), np.empty(len(x_ul))
    city = np.empty(len(x_ul), dtype=object)
    distance = np.empty(len(x_ul))
    for code in np.unique(raw.epsg):
        if not is_utm_zone(int(code)):
            _refuse_zone(raw, int(code), thing)
        rows = np.flatnonzero(raw.epsg == code)
        longitude[rows], latitude[rows] = lonlat_of(int(code), center_x[rows], center_y[rows])
        centers = np.stack([center_x[rows], center_y[rows]], axis=1)
        named = None if raw.city is None else [raw.city[row] for row in rows]
        city[rows], distance[rows] = _nearest(int(code), centers, named)
    far = np.flatnonzero(~(distance <= MAX_DISTANCE))
    if len(far):
        _refuse_far(raw, far, distance, thing)
    return GeoBlock(city.tolist(), raw.epsg.astype(np.int32), x_ul, y_ul, longitude, latitude)


def _nearest(
    epsg: int, centers: NDArray[np.float64], named: Sequence[str] | None
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """City keys (n,) and distances (n,) in metres: to the named city, else to the nearest of the zone."""
    keys, city_centers = _zone_cities(epsg)
    if not keys:
        return np.full(len(centers), "", dtype=object), np.full(len(centers), np.inf)
    distances = np.hypot(*(centers[:, None, :] - city_centers[None, :, :]).transpose(2, 0, 1))  # (n, k)
    if named is None:
        choice = distances.argmin(axis=1)
    else:
        position = {key: index for index, key in enumerate(keys)}
        choice = np.array([position.get(key, -1) for key in named])
    chosen = np.where(choice >= 0, distances[np.arange(len(centers)), choice], np.inf)
    names = np.array(keys, dtype=object)[choice] if named is None else np.array(named, dtype=object)
    return names, chosen


def _check_cities(raw: RawGeo, thing: object) -> None:
    known = {city.key for city in facts.cities()}
    unknown = sorted(set(raw.city or ()) - known)
    if unknown:
        raise GeolocationError(
            thing,
            found=f"{len(unknown)} unknown cities, e.g. {unknown[0]!r}",
            expected="keys of the publisher such as 'munich'",
            remedy="use the published geo file of version 4, or leave geolocation out with --drop-geo",
        )


def _refuse_zone(raw: RawGeo, code: int, thing: object) -> None:
    rows = np.flatnonzero(raw.epsg == code)
    raise GeolocationError(
        thing,
        found=f"EPSG {code} in {len(rows):,} rows, first in row {rows[0]}",
        expected="a WGS 84 / UTM zone, 32601-32660 or 32701-32760",
        remedy="use the published geo file of version 4, or leave geolocation out with --drop-geo",
    )


def _refuse_far(raw: RawGeo, far: NDArray[np.intp], distance: NDArray[np.float64], thing: object) -> None:
    row = int(far[0])
    x_ul, y_ul = corners(raw.tfw, thing)
    where = "every city of its UTM zone" if raw.city is None else f"{raw.city[row]}, the city it names,"
    kilometres = "" if np.isinf(distance[row]) else f" ({distance[row] / 1000:,.0f} km)"
    raise GeolocationError(
        thing,
        found=f"{len(far):,} of {len(x_ul):,} positions are more than {MAX_DISTANCE / 1000:.0f} km from "
        f"{where}{kilometres}, e.g. row {row}: EPSG {raw.epsg[row]}, "
        f"x_ul {x_ul[row]:.1f}, y_ul {y_ul[row]:.1f}",
        expected="positions inside the 52 cities; the 2025 training_geo.h5 is known to hold wrong ones",
        remedy="use the geo files of 2026-03 or later, or leave geolocation out with --drop-geo",
    )
