"""What cities.csv promises: 52 cities, every row counted, every patch near its city."""

import math
import re

import pytest

from so2sat_hf import facts

STEMS = {"training": 352_366, "validation": 24_119, "testing": 24_188}


def test_cities_are_the_known_52():
    """52 sorted keys, ten of them in validation and testing, 42 in training, ten of those small."""
    cities = facts.cities()
    keys = [city.key for city in cities]

    assert keys == sorted(set(keys))
    assert len(keys) == 52
    assert all(re.fullmatch("[a-z]+", key) for key in keys)
    held_out = [city for city in cities if city.validation]
    assert held_out == [city for city in cities if city.testing] == [c for c in cities if not c.training]
    assert len(held_out) == 10
    assert sum("small area" in city.note for city in cities) == 10


@pytest.mark.parametrize("stem", STEMS)
def test_city_rows_add_up(stem):
    """The cities of a file add up to its rows."""
    assert sum(getattr(city, stem) for city in facts.cities()) == STEMS[stem]


def test_all_cities_together_hold_every_patch():
    """Training, validation and testing rows of all cities are the 400,673 patches."""
    assert sum(city.rows for city in facts.cities()) == 400_673


def test_centres_lie_in_or_next_to_their_zone():
    """The EPSG code is a UTM zone on the right hemisphere, its meridian within 6 degrees of the centre."""
    for city in facts.cities():
        hemisphere, zone = divmod(city.epsg, 100)
        assert hemisphere == (326 if city.latitude > 0 else 327), city
        assert 1 <= zone <= 60
        assert abs(city.longitude - (6 * zone - 183)) < 6, city


def test_held_out_cities_have_a_zone_each():
    """In validation and testing the EPSG code alone tells the city."""
    held_out = [city.epsg for city in facts.cities() if city.validation]

    assert len(set(held_out)) == len(held_out)


def test_cities_of_one_zone_can_be_told_apart():
    """Two centres of one zone are more than 100 km apart, so the nearest one is well defined."""
    for city in facts.cities():
        for other in facts.cities_of_zone(city.epsg):
            assert city == other or distance_km(city, other.longitude, other.latitude) > 100, (city, other)


def distance_km(city, longitude, latitude):
    a, b = math.radians(city.latitude), math.radians(latitude)
    half = math.sin((a - b) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(longitude - city.longitude) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(half))


def test_real_patches_are_near_their_city(real):
    """Each of the 24,119 real validation patches lies within 100 km of the one held-out city of its zone."""
    path = real("real_validation_geo_2025.h5")
    h5py = pytest.importorskip("h5py")
    pyproj = pytest.importorskip("pyproj")
    with h5py.File(path) as file:
        coord, epsg = file["coord"][:], file["epsg"][:, 0]
    held_out = [city for city in facts.cities() if city.validation]

    assert set(epsg.tolist()) == {city.epsg for city in held_out}
    for city in held_out:
        rows = coord[epsg == city.epsg]
        to_degrees = pyproj.Transformer.from_crs(city.epsg, 4326, always_xy=True)
        lonlat = zip(*to_degrees.transform(rows[:, 0], rows[:, 1]), strict=True)
        assert len(rows) == city.validation
        assert max(distance_km(city, lon, lat) for lon, lat in lonlat) < 100, city
