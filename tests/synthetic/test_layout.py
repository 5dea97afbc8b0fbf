"""What the rows of a generated split promise: published proportions, real cities, no position twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2sat_hf import facts
from so2sat_hf.convert.geolocation import utm_of
from so2sat_hf.errors import So2SatError
from so2sat_hf.synthetic import lay_out
from so2sat_hf.synthetic.layout import proportional

FILES = {"train": "training", "validation": "validation", "test": "testing"}


@given(
    weights=st.lists(st.integers(0, 50_000), min_size=2, max_size=52).filter(any),
    total=st.integers(0, 100_000),
)
@settings(deadline=None, derandomize=True)
def test_a_number_is_shared_out_completely(weights, total):
    """Nothing is lost, and no share is a whole row off."""
    counts = proportional(np.array(weights), total, least=0)

    assert counts.sum() == total
    assert (np.abs(counts - np.array(weights) / sum(weights) * total) < 1 + 1e-6).all()


@given(total=st.integers(17, 2000), split=st.sampled_from(list(FILES)))
@settings(deadline=None, derandomize=True)
def test_every_class_occurs_where_there_is_room(total, split):
    """From 17 rows on."""
    counts = proportional(np.array(facts.class_counts(FILES[split])), total)

    assert counts.sum() == total
    assert counts.min() >= 1


@pytest.mark.parametrize("split", FILES)
def test_the_published_numbers_of_rows_give_the_published_counts(split):
    """Class by class and city by city, without a position that occurs twice."""
    counts = facts.class_counts(FILES[split])
    layout = lay_out(split, sum(counts), seed=1)

    assert tuple(np.bincount(layout.label)) == counts
    assert np.bincount(layout.city, minlength=52).tolist() == [
        getattr(city, FILES[split]) for city in facts.cities()
    ]
    places = np.stack([layout.epsg, layout.x_ul, layout.y_ul], axis=1)
    assert len(np.unique(places, axis=0)) == len(layout)


@pytest.mark.parametrize("split", FILES)
def test_positions_are_in_their_cities(split):
    """On a grid of 100 m with an offset below 10 m that is the city's own, within 60 km of its centre."""
    layout = lay_out(split, sum(facts.class_counts(FILES[split])))

    for index in np.unique(layout.city):
        city, rows = facts.cities()[index], layout.city == index
        x, y = utm_of(city.epsg, np.array([city.longitude]), np.array([city.latitude]))
        assert np.hypot(layout.x_ul[rows] + 160 - x, layout.y_ul[rows] - 160 - y).max() < 60_000
        for axis in (layout.x_ul[rows], layout.y_ul[rows]):
            offset = (axis - axis[0]) / 100
            assert np.abs(offset - np.rint(offset)).max() < 1e-6
            assert axis[0] % 100 < 10


def test_validation_is_the_west_and_test_the_east():
    """Of the same ten cities, with a border between them that patches may overlap, as published ones do."""
    west, east = lay_out("validation", 3000), lay_out("test", 3000)

    assert set(west.city_keys) == set(east.city_keys)
    assert len(set(west.city_keys)) == 10
    for index in np.unique(west.city):
        assert west.x_ul[west.city == index].max() < east.x_ul[east.city == index].min()


def test_rows_are_shuffled_over_cities_and_classes():
    """Any head of a split is a mixture."""
    layout = lay_out("train", 5000)

    assert len(np.unique(layout.city[:200])) > 15
    assert len(np.unique(layout.label[:200])) > 12
    assert (np.diff(layout.city) != 0).mean() > 0.8


def test_most_patches_overlap_another():
    """As in the published files; tools that look for overlaps find some in small files too."""
    layout = lay_out("test", 400)
    x, y, zone = layout.x_ul, layout.y_ul, layout.epsg

    near = (np.abs(x[:, None] - x) < 320) & (np.abs(y[:, None] - y) < 320) & (zone[:, None] == zone)

    assert (near.sum(axis=1) > 1).mean() > 0.5


def test_a_seed_decides_everything():
    """The same seed gives the same rows, another seed others."""
    first, again, other = (
        lay_out("train", 100, seed=1),
        lay_out("train", 100, seed=1),
        lay_out("train", 100, seed=2),
    )

    assert (first.label == again.label).all()
    assert (first.x_ul == again.x_ul).all()
    assert (first.label != other.label).any()
    assert (first.x_ul != other.x_ul).any()


@pytest.mark.parametrize(
    ("split", "rows", "seed", "message"),
    [
        ("training", 10, 0, "split 'training': unknown; expected one of train, validation, test"),
        ("train", -1, 0, "rows of train: -1; expected 0 or more"),
        ("train", 1, -1, "seed of train: -1; expected 0 or more"),
        ("test", 10_000_000, 0, "patches of guangzhou: room for"),
    ],
)
def test_impossible_splits_are_refused(split, rows, seed, message):
    """The message says what was asked for and what is possible."""
    with pytest.raises(So2SatError, match=message):
        lay_out(split, rows, seed=seed)
