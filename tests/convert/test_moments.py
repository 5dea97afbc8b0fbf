"""Statistics for normalisation: right, in the unit of the model, whatever the grouping."""

import json

import numpy as np
import pytest

from so2sat_hf import facts
from so2sat_hf.convert.moments import LOWEST_AND_WIDTH, SAMPLE_STEP, Moments, as_statistics, measure, merge
from so2sat_hf.convert.patches import PatchBlock


def block(start: int, stop: int) -> PatchBlock:
    rng = np.random.default_rng(5)
    sen1 = rng.normal(size=(200, 8, 32, 32)).astype(np.float32)
    sen1[:, 4:6] = np.exp(sen1[:, 4:6])
    sen2 = rng.uniform(0, 1, (200, 10, 32, 32)).astype(np.float32)
    return PatchBlock([""] * (stop - start), np.zeros(stop - start, int), sen1[start:stop], sen2[start:stop])


def expected(band: facts.Band, whole: PatchBlock) -> np.ndarray:
    values = getattr(whole, band.sensor)[:, band.index].astype(np.float64)
    if band.model_unit == "dB":
        return 10 * np.log10(values)
    return np.arcsinh(values / band.model_scale) if band.model_unit == "asinh" else values


def test_moments_equal_numpy_in_the_model_unit() -> None:
    """Mean and deviation of every band, over all pixels, in dB, asinh or reflectance."""
    whole = block(0, 200)

    moments = measure(whole)

    for band in facts.bands():
        values = expected(band, whole)
        assert moments[band.name].mean == pytest.approx(values.mean(), abs=2e-6)
        assert moments[band.name].std == pytest.approx(values.std(), rel=2e-6)


def test_percentiles_are_those_of_the_pixels() -> None:
    """Within a bin of what numpy finds in the pixels of the sample, and near those of all."""
    whole = block(0, 200)
    statistics = as_statistics(measure(whole), split="train", num_rows=200)

    for band in facts.bands():
        values = expected(band, whole).reshape(200, -1)
        row, width = statistics["bands"][band.name], LOWEST_AND_WIDTH[band.model_unit][1]
        for name, share in (("p1", 1), ("p99", 99)):
            assert row[name] == pytest.approx(
                np.percentile(values[:, ::SAMPLE_STEP], share), abs=2 * width, rel=0.01
            )
            assert row[name] == pytest.approx(np.percentile(values, share), abs=values.std() / 5)


def test_moments_survive_json() -> None:
    """A killed build goes on with the moments of the shards that are finished."""
    for moments in measure(block(0, 9)).values():
        read = Moments.from_plain(json.loads(json.dumps(moments.to_plain())))
        assert read == moments
        assert np.array_equal(read.counts, moments.counts)
        assert read.counts.sum() == 9 * 17


def test_moments_merge_in_any_grouping() -> None:
    """Parts of any size add up to the whole."""
    whole = measure(block(0, 200))
    parts = merge([measure(block(0, 7)), measure(block(7, 130)), measure(block(130, 200))])

    for name, moments in whole.items():
        assert parts[name].count == moments.count
        assert parts[name].mean == pytest.approx(moments.mean, abs=1e-7)
        assert parts[name].std == pytest.approx(moments.std, rel=1e-6)
        assert np.array_equal(parts[name].counts, moments.counts)


def test_an_intensity_of_zero_has_a_floor() -> None:
    """DB of zero is -60, not minus infinity."""
    patches = PatchBlock([""], np.zeros(1, int), np.zeros((1, 8, 32, 32), np.float32))

    assert measure(patches)["VV_lee"].mean == pytest.approx(-60)


def test_statistics_say_their_unit() -> None:
    """Who reads statistics.json need not guess."""
    statistics = as_statistics(measure(block(0, 10)), split="train", num_rows=10)

    assert statistics["rows"] == 10
    assert statistics["bands"]["VV_lee"]["unit"] == "dB"
    assert statistics["bands"]["C12_real"]["scale"] == facts.band("C12_real").model_scale
    assert set(statistics["bands"]) == {band.name for band in facts.bands()}
