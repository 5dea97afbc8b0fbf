"""Both generations of geo files give the same corners, centres and cities."""

from pathlib import Path

import h5py
import numpy as np
import pyproj
import pytest

from so2sat_hf import facts
from so2sat_hf.convert.geolocation import (
    HALF_PATCH,
    MAX_DISTANCE,
    RawGeo,
    corners,
    generation,
    locate,
    lonlat_of,
    utm_of,
)
from so2sat_hf.errors import GeolocationError

NUM_ROWS = 24_119


@pytest.fixture(scope="module")
def real(shared_data: Path) -> dict[str, np.ndarray]:
    with h5py.File(shared_data / "real_validation_geo_2025.h5") as file:
        return {key: file[key][:] for key in ("coord", "epsg", "tfw")}


def raw_2025(real: dict[str, np.ndarray]) -> RawGeo:
    return RawGeo(real["tfw"], real["epsg"].reshape(-1).astype(np.int64), None)


def raw_2026(real: dict[str, np.ndarray], sign: float) -> RawGeo:
    """The same rows in the layout of 2026: world-file order, with the city."""
    zeros, tens = np.zeros(NUM_ROWS), np.full(NUM_ROWS, 10.0)
    tfw = np.stack([tens, zeros, zeros, sign * tens, real["tfw"][:, 0], real["tfw"][:, 3]], axis=1)
    epsg = real["epsg"].reshape(-1).astype(np.int64)
    city_of = {c.epsg: c.key for c in facts.cities() if c.validation}
    return RawGeo(tfw, epsg, [city_of[int(code)] for code in epsg])


def test_centre_is_the_published_coordinate(real: dict[str, np.ndarray]) -> None:
    """x_ul + 160 and y_ul - 160 are the published patch centres, in all 24,119 real rows."""
    x_ul, y_ul = corners(real["tfw"], "validation_geo.h5")

    assert np.array_equal(x_ul + HALF_PATCH, real["coord"][:, 0])
    assert np.array_equal(y_ul - HALF_PATCH, real["coord"][:, 1])


def test_longitude_and_latitude_are_those_of_the_centre(real: dict[str, np.ndarray]) -> None:
    """Projected by pyproj alone from the published centre coordinates, in all 24,119 real rows."""
    geo = locate(raw_2025(real), "validation_geo.h5")
    codes = real["epsg"].reshape(-1)

    for code in np.unique(codes):
        rows = codes == code
        transformer = pyproj.Transformer.from_crs(int(code), 4326, always_xy=True)
        longitude, latitude = transformer.transform(*real["coord"][rows, :2].T)
        assert np.array_equal(geo.longitude[rows], longitude)
        assert np.array_equal(geo.latitude[rows], latitude)


def test_every_real_row_lies_in_its_city(real: dict[str, np.ndarray]) -> None:
    """Every real validation centre is within 100 km of its city, and the cities are the ten known ones."""
    geo = locate(raw_2025(real), "validation_geo.h5")

    counts = {city.key: city.validation for city in facts.cities() if city.validation}
    assert {key: geo.city.count(key) for key in set(geo.city)} == counts
    for key in counts:
        city = facts.city(key)
        rows = np.array(geo.city) == key
        x, y = utm_of(city.epsg, np.array([city.longitude]), np.array([city.latitude]))
        distance = np.hypot(geo.x_ul[rows] + HALF_PATCH - x, geo.y_ul[rows] - HALF_PATCH - y)
        assert distance.max() < 100_000


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_both_generations_agree_to_the_bit(real: dict[str, np.ndarray], sign: float) -> None:
    """World-file order with either sign gives bit-equal positions and the same cities."""
    old, new = locate(raw_2025(real), "old"), locate(raw_2026(real, sign), "new")

    for name in ("x_ul", "y_ul", "longitude", "latitude", "epsg"):
        assert np.array_equal(getattr(old, name), getattr(new, name)), name
    assert old.city == new.city


def test_projection_round_trips() -> None:
    """Degrees to UTM metres and back, within 0.1 mm."""
    x, y = utm_of(32632, np.array([11.57]), np.array([48.14]))
    longitude, latitude = lonlat_of(32632, x, y)

    assert (longitude[0], latitude[0]) == pytest.approx((11.57, 48.14), abs=1e-9)
    assert (x[0], y[0]) == pytest.approx((691_193, 5_334_765), abs=500)


def munich(**change: object) -> RawGeo:
    values = {
        "tfw": np.tile([10.0, 0, 0, -10, 691_600, 5_334_800], (3, 1)),
        "epsg": np.full(3, 32632),
        "city": ["munich"] * 3,
        **change,
    }
    return RawGeo(**values)


def moved(metres: float) -> np.ndarray:
    tfw = munich().tfw.copy()
    tfw[1, 5] += metres
    return tfw


@pytest.mark.parametrize("city", [None, ["munich"] * 3])
def test_a_position_far_from_every_city_stops(city: list[str] | None) -> None:
    """The message counts the rows, gives an example and the way out."""
    with pytest.raises(GeolocationError, match=r"1 of 3 positions .* e\.g\. row 1.*\n.*--drop-geo"):
        locate(munich(tfw=moved(2 * MAX_DISTANCE), city=city), "x_geo.h5")


def test_a_northing_below_zero_stops() -> None:
    """The known fault of the 2025 training file: a southern city with a northing counted from the equator."""
    tfw = np.array([[262_000.0, 10, 0, -3_746_154, 0, 10]])

    with pytest.raises(GeolocationError, match="1 of 1 positions"):
        locate(RawGeo(tfw, np.array([32734]), None), "training_geo.h5")


def test_a_zone_without_a_city_stops() -> None:
    """No city of the data set lies in zone 32601."""
    with pytest.raises(GeolocationError, match="3 of 3 positions"):
        locate(munich(epsg=np.full(3, 32601), city=None), "x_geo.h5")


def test_the_wrong_city_of_the_right_zone_stops() -> None:
    """A row that says milan but lies in Munich is wrong, though both share a zone."""
    with pytest.raises(GeolocationError, match="milan, the city it names"):
        locate(munich(city=["munich", "milan", "munich"]), "x_geo.h5")


@pytest.mark.parametrize("code", [0, 4326, 3857, 32600, 32661, 32700, 32761, -1])
def test_codes_that_are_no_utm_zone_are_refused(code: int) -> None:
    """Only EPSG 32601-32660 and 32701-32760 are UTM zones of WGS 84."""
    with pytest.raises(GeolocationError, match=f"EPSG {code} in 3 rows"):
        locate(munich(epsg=np.full(3, code)), "x_geo.h5")


def test_an_unknown_city_is_refused() -> None:
    """City keys are those of the publisher."""
    with pytest.raises(GeolocationError, match="'atlantis'"):
        locate(munich(city=["atlantis"] * 3), "x_geo.h5")


@pytest.mark.parametrize(
    "row", [[10, 0, 0, -30, 5e5, 5e6], [1, 0, 0, 1, 5e5, 5e6], [5e5, 10, 3, 5e6, 0, 10], [np.nan] * 6]
)
def test_values_of_no_generation_are_refused(row: list[float]) -> None:
    """The order is recognised in the values or not at all."""
    with pytest.raises(GeolocationError, match="in no known order"):
        generation(np.array([[10.0, 0, 0, -10, 5e5, 5e6], row]), "x_geo.h5")
