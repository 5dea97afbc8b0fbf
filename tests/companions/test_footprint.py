"""Footprints are the squares on the ground that the patches cover."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pyproj
import pytest

from so2sat_hf import facts
from so2sat_hf.companions.footprint import bounds_of, corners_of, extent_of, to_wkb
from so2sat_hf.convert.geolocation import MAX_DISTANCE, RawGeo, locate, utm_of
from so2sat_hf.convert.patches import GeoBlock

WGS84 = pyproj.Geod(ellps="WGS84")
DIAGONAL = 320 * np.sqrt(2)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> GeoBlock:
    """Positions of the 24,119 published validation rows."""
    with h5py.File(shared_data / "real_validation_geo_2025.h5") as file:
        raw = RawGeo(file["tfw"][:], file["epsg"][:].reshape(-1).astype(np.int64), None)
    return locate(raw, "validation_geo.h5")


@pytest.fixture(scope="module")
def corners(real: GeoBlock) -> np.ndarray:
    return corners_of(real)


def some(epsg: list[int], x_ul: list[float], y_ul: list[float]) -> GeoBlock:
    nothing = np.zeros(len(epsg))
    return GeoBlock(
        [""] * len(epsg), np.array(epsg, np.int32), np.array(x_ul), np.array(y_ul), nothing, nothing
    )


def test_real_footprints_are_squares_of_320_metres(corners: np.ndarray) -> None:
    """On the ellipsoid every side is 320 m and every diagonal 320 m times the root of 2, within a metre."""
    longitude, latitude = corners.transpose(2, 0, 1)  # (n, 4) each
    for first, second, length in [
        (0, 1, 320),
        (1, 2, 320),
        (2, 3, 320),
        (3, 0, 320),
        (0, 2, DIAGONAL),
        (1, 3, DIAGONAL),
    ]:
        *_, distance = WGS84.inv(
            longitude[:, first], latitude[:, first], longitude[:, second], latitude[:, second]
        )
        assert len(distance) == 24_119
        assert np.abs(distance - length).max() < 1


def test_real_footprints_surround_the_published_centres(real: GeoBlock, corners: np.ndarray) -> None:
    """The middle of the four corners is the centre of the patch, within a millimetre or so."""
    middle = corners.mean(axis=1)

    *_, distance = WGS84.inv(*middle.T, real.longitude, real.latitude)
    assert distance.max() < 0.01


def test_real_footprints_lie_in_their_city(real: GeoBlock, corners: np.ndarray) -> None:
    """No corner is farther from its city than a position may be, and no city is empty."""
    city = {c.key: (c.longitude, c.latitude) for c in facts.cities() if c.validation}
    assert set(real.city) == set(city)

    centre = np.repeat(np.array([city[key] for key in real.city]), 4, axis=0)
    *_, distance = WGS84.inv(*corners.reshape(-1, 2).T, *centre.T)
    assert distance.max() < MAX_DISTANCE


def test_the_ring_starts_lower_left_and_runs_counter_clockwise(real: GeoBlock, corners: np.ndarray) -> None:
    """Projected back, the corners are those of the UTM square in that order; every area is positive."""
    for code in np.unique(real.epsg):
        rows = real.epsg == code
        for corner, (east, north) in enumerate([(0, -320), (320, -320), (320, 0), (0, 0)]):
            x, y = utm_of(int(code), *corners[rows, corner].T)
            assert np.allclose(x, real.x_ul[rows] + east, rtol=0, atol=1e-3)
            assert np.allclose(y, real.y_ul[rows] + north, rtol=0, atol=1e-3)
    x, y = corners.transpose(2, 0, 1)
    area = (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)
    assert (area > 0).all()


def test_rows_of_several_zones_keep_their_place() -> None:
    """Zones are projected one after the other, hemispheres too, and each row gets its own corners."""
    mixed = some([32632, 32733, 32632], [691_600.0, 300_000.0, 500_000.0], [5_334_800.0, 6.2e6, 5e6])

    alone = [
        corners_of(some([mixed.epsg[i]], [mixed.x_ul[i]], [mixed.y_ul[i]])) for i in range(len(mixed.epsg))
    ]
    assert np.array_equal(corners_of(mixed), np.concatenate(alone))
    assert corners_of(mixed)[1, :, 1].max() < 0 < corners_of(mixed)[0, :, 1].min()


def test_wkb_is_a_polygon_with_a_closed_ring(corners: np.ndarray) -> None:
    """Read byte by byte: little-endian, type 3, one ring, five points, the first again at the end."""
    records = to_wkb(corners)

    assert records.shape == (24_119, 93)
    for row in (0, 1, 24_118):
        order, kind, num_rings, num_points, *ring = struct.unpack("<BIII10d", records[row].tobytes())
        assert (order, kind, num_rings, num_points) == (1, 3, 1, 5)
        assert ring == [*corners[row].reshape(-1), *corners[row, 0]]


def test_shapely_reads_the_polygons(corners: np.ndarray) -> None:
    """Valid, counter-clockwise, and with the bounds that column ``bbox`` states."""
    shapely = pytest.importorskip("shapely", reason="shapely is not installed: polygons are not read back")

    polygons = shapely.from_wkb([record.tobytes() for record in to_wkb(corners)])
    assert shapely.is_valid(polygons).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    assert np.array_equal(shapely.bounds(polygons), bounds_of(corners))


def test_bounds_are_west_south_east_north() -> None:
    """A quadrilateral turned by 45 degrees touches its bounds with one corner each."""
    diamond = np.array([[(10.0, -1.0), (12.0, 1.0), (10.0, 3.0), (8.0, 1.0)]])

    assert bounds_of(diamond).tolist() == [[8.0, -1.0, 12.0, 3.0]]


def test_the_extent_does_not_depend_on_the_blocks(real: GeoBlock, corners: np.ndarray) -> None:
    """All at once or in parts, it is the smallest box around all footprints."""
    bounds = bounds_of(corners)
    parts = [
        some(real.epsg[rows], real.x_ul[rows], real.y_ul[rows])
        for rows in (slice(0, 5000), slice(5000, 5001), slice(5001, None))
    ]

    for extent in (extent_of([real]), extent_of(parts)):
        assert extent is not None
        assert extent.tolist() == [*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)]
    assert extent_of([]) is None


def test_no_city_is_near_the_antimeridian() -> None:
    """So no footprint crosses it, and west is always less than east."""
    assert all(abs(city.longitude) < 178 for city in facts.cities())
