"""Moments and histograms: as exact as numpy, whatever is joined in which order."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2sat_hf import facts
from so2sat_hf.companions.sketch import (
    BIN_ERROR,
    DIGITAL_NUMBER,
    FLOAT32,
    Histogram,
    Tally,
    columns,
    decibel,
)

PERCENTILES = (0, 0.1, 1, 2, 25, 50, 75, 98, 99.9, 100)
RULERS = {"sen1": FLOAT32, "sen2": DIGITAL_NUMBER}


@cache
def pixels(sensor, num_rows=50):
    """Patches with the ranges of the published ones: means of -8e-6, outliers, digital numbers."""
    rng = np.random.default_rng(0)
    if sensor == "sen2":
        return (rng.integers(1, 28_003, (num_rows, 10, 32, 32)) / 10_000).astype(np.float32)
    values = rng.normal(-8e-6, 0.17, (num_rows, 8, 32, 32)) * rng.lognormal(0, 1, (num_rows, 1, 1, 1))
    values[:, 4:6] = rng.lognormal(-3, 2, (num_rows, 2, 32, 32))
    return values.astype(np.float32)


def labels(num_rows=50):
    return np.arange(num_rows) % 5 * 4  # 0, 4, 8, 12, 16


def tally(sensor, *cuts, num_rows=50):
    """Measure patches from cut to cut, each part by itself."""
    edges = [0, *sorted(cuts), num_rows]
    found = []
    for start, stop in pairwise(edges):
        found.append(Tally(sensor))
        rows = slice(start, stop)
        found[-1].add(pixels(sensor)[rows], labels()[rows], RULERS[sensor])
    return found


def published(sensor):
    """Return column -> (50, 1024) float64 as published, intensities in dB too."""
    values = pixels(sensor).astype(np.float64).reshape(50, -1, 1024)
    values = np.rint(values * 10_000) / 10_000 if sensor == "sen2" else values
    found = dict(zip((band.name for band in facts.bands(sensor)), values.transpose(1, 0, 2), strict=True))
    return found | {
        f"{name}_dB": 10 * np.log10(found[name]) for name in ("VH_lee", "VV_lee") if name in found
    }


@pytest.mark.parametrize("sensor", ["sen1", "sen2"])
def test_moments_equal_numpy(sensor) -> None:
    """Mean, deviation, extremes and count of every column and class, to 1e-12 of themselves."""
    found = tally(sensor)[0].moments

    for index, (name, values) in enumerate(published(sensor).items()):
        assert columns(sensor)[index] == name
        for label in range(17):
            mine = values[labels() == label]
            assert found.count[label] == mine.size
            if mine.size:
                exact_mean = math.fsum(mine.ravel()) / mine.size
                assert found.mean[label, index] == pytest.approx(exact_mean, rel=1e-12, abs=0)
                assert found.std[label, index] == pytest.approx(mine.std(), rel=1e-12)
                assert (found.low[label, index], found.high[label, index]) == (mine.min(), mine.max())
        whole = found.joined()
        assert whole.mean[0, index] == pytest.approx(
            math.fsum(values.ravel()) / values.size, rel=1e-12, abs=0
        )
        assert whole.std[0, index] == pytest.approx(values.std(), rel=1e-12)


def test_a_deviation_far_smaller_than_the_mean_survives() -> None:
    """Sums of squares would leave noise: (1e4)**2 against a deviation of 1e-3."""
    rng = np.random.default_rng(1)
    values = (10_000 + rng.integers(-1, 2, (40, 8, 32, 32)) * 2.0**-10).astype(np.float32)
    found = Tally("sen1")
    found.add(values[:13], np.zeros(13, int), FLOAT32)
    found.add(values[13:], np.zeros(27, int), FLOAT32)

    assert found.moments.std[0, 0] == pytest.approx(values[:, 0].astype(np.float64).std(), rel=1e-10)


@pytest.mark.parametrize("sensor", ["sen1", "sen2"])
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 50), max_size=4))
def test_parts_join_in_any_grouping(sensor, cuts) -> None:
    """Histograms are equal, moments to 1e-12, empty parts included, from the left and from the right."""
    whole, parts = tally(sensor)[0], tally(sensor, *cuts)

    left = sum((part.moments for part in parts[1:]), start=parts[0].moments)
    right = parts[-1].moments
    for part in reversed(parts[:-1]):
        right = part.moments + right

    for joined in (left, right):
        assert np.array_equal(joined.count, whole.moments.count)
        np.testing.assert_allclose(joined.mean, whole.moments.mean, rtol=1e-12, atol=1e-17)
        np.testing.assert_allclose(joined.std, whole.moments.std, rtol=1e-12)
        assert np.array_equal(joined.low, whole.moments.low)
        assert np.array_equal(joined.high, whole.moments.high)
    counted = [part.histograms() for part in parts]
    for name, histogram in whole.histograms().items():
        joined = sum((part[name] for part in counted[1:]), start=counted[0][name])
        assert np.array_equal(joined.value, histogram.value)
        assert np.array_equal(joined.count, histogram.count)


def test_percentiles_of_sen2_are_exact() -> None:
    """They are those of numpy on the published float64."""
    histograms = tally("sen2")[0].histograms()

    for name, values in published("sen2").items():
        np.testing.assert_allclose(
            histograms[name].percentiles(PERCENTILES), np.percentile(values, PERCENTILES), rtol=1e-12
        )


@given(values=st.lists(st.integers(0, 65_535), min_size=1, max_size=30))
def test_percentiles_of_few_pixels_are_those_of_numpy(values) -> None:
    """Between neighbours linear, with ties and with a single pixel."""
    numbers, counts = np.unique(values, return_counts=True)

    found = Histogram.of(numbers.astype(float), counts).percentiles(PERCENTILES)

    np.testing.assert_allclose(found, np.percentile(values, PERCENTILES), rtol=1e-12)


def test_percentiles_of_sen1_are_near_enough() -> None:
    """Within 0.1 % of numpy's, for signed bands as for intensities with outliers."""
    histograms = tally("sen1")[0].histograms()
    wanted = [p for p in PERCENTILES if p != 50]  # the median of the signed bands is 0 but for noise

    for name, values in published("sen1").items():
        if not name.endswith("_dB"):
            found = histograms[name].percentiles(wanted)
            np.testing.assert_allclose(found, np.percentile(values, wanted), rtol=BIN_ERROR)


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_no_value_is_far_from_the_middle_of_its_bin(value) -> None:
    """At most 2**-11 of itself; zeros of either sign stay zero."""
    values, codes = FLOAT32.read(np.array([value], np.float32))

    with np.errstate(over="ignore"):
        middle = FLOAT32.middle(codes)[0]
    assert values[0] == value
    assert abs(middle - value) <= max(BIN_ERROR * abs(value), 2.0**-136)
    assert value != 0 or middle == 0


def test_zeros_of_either_sign_are_one_value() -> None:
    """A histogram is sorted by value, not by bits."""
    found = Tally("sen1")
    values = np.zeros((2, 8, 32, 32), np.float32)
    values[1] = -0.0
    values[1, :, 0, 0] = -3
    found.add(values, np.zeros(2, int), FLOAT32)

    histogram = found.histograms()["VH_real"]

    assert histogram.count.tolist() == [1, 2047]
    assert histogram.percentiles([50]) == [0]


def test_every_digital_number_is_its_published_value() -> None:
    """float32 k / 10000 is counted as k and measured as the float64 k / 10000.0, for all k."""
    numbers = np.arange(65_536)

    values, codes = DIGITAL_NUMBER.read((numbers / 10_000).astype(np.float32))

    assert np.array_equal(codes, numbers)
    assert np.array_equal(values, numbers / 10_000.0)
    assert np.array_equal(DIGITAL_NUMBER.middle(codes), numbers / 10_000.0)


def test_an_intensity_of_zero_has_a_floor() -> None:
    """DB of nothing is -60, not minus infinity."""
    assert decibel(np.array([0.0, -1.0, 1.0])).tolist() == [-60, -60, 0]


@pytest.mark.parametrize(
    ("sensor", "value", "message"),
    [
        ("sen1", np.nan, "NaN or infinity"),
        ("sen1", np.inf, "NaN or infinity"),
        ("sen2", np.nan, "NaN or infinity"),
        ("sen2", -0.1, "values from -0.1 to 0"),
        ("sen2", 6.6, "values from 0.0 to 6.6"),
    ],
)
def test_values_that_cannot_be_are_refused(sensor, value, message) -> None:
    """Rather than to give statistics of them."""
    values = np.zeros((3, 8 if sensor == "sen1" else 10, 32, 32), np.float32)
    values[2, 4, 3, 1] = value

    with pytest.raises(ValueError, match=message):
        Tally(sensor).add(values, np.zeros(3, int), RULERS[sensor])


def test_no_pixels_have_no_percentiles() -> None:
    """An empty histogram says so."""
    with pytest.raises(ValueError, match="no pixels"):
        Tally("sen2").histograms()["B02"].percentiles([50])
