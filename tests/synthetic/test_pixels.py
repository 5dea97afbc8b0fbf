"""What generated pixels promise: the byte rules and the moments of the published ones."""

import numpy as np
import pytest

from so2sat_hf import facts
from so2sat_hf.synthetic import lay_out, patches
from so2sat_hf.synthetic.generate import LARGEST_OUTLIER_ROW, blocks

KNOWN = facts.statistics("2/training")
NAMES = [band.name for band in facts.bands()]
IS_20M = [band.resolution == 20 for band in facts.bands("sen2")]


def published(values, names=NAMES):
    return np.array([values[name] for name in names])


@pytest.fixture(scope="module")
def some():
    return patches("train", 640, seed=5)


def test_sen2_is_whole_digital_numbers(some):
    """Every value is exactly k / 10000.0 with 1 <= k <= 28003."""
    number = np.rint(some.sen2 * 10_000)

    assert some.sen2.dtype == np.float64
    assert (number / 10_000 == some.sen2).all()
    assert number.min() >= 1
    assert number.max() <= 28_003


def test_20m_bands_repeat_their_pixels(some):
    """In 2 x 2 pixels, with all four phases; the 10 m bands do not."""
    bands = np.moveaxis(some.sen2, 3, 1)
    phases = set()
    for patch in bands[:, IS_20M]:
        found = [
            (row, column)
            for row in (0, 1)
            for column in (0, 1)
            if (patch[:, row : 30 + row : 2, :] == patch[:, row + 1 : 31 + row : 2, :]).all()
            and (patch[:, :, column : 30 + column : 2] == patch[:, :, column + 1 : 31 + column : 2]).all()
        ]
        phases.update(found[:1])
        assert found

    assert len(phases) == 4
    assert (
        bands[:, [not flag for flag in IS_20M], :, 1:] == bands[:, [not flag for flag in IS_20M], :, :-1]
    ).mean() < 0.1


def test_sen1_is_exact_in_float32(some):
    """And its intensities are positive, so that decibels exist."""
    assert some.sen1.dtype == np.float64
    assert (some.sen1.astype(np.float32) == some.sen1).all()
    assert np.isfinite(some.sen1).all()
    assert some.sen1[..., 4:6].min() > 0


def test_bands_4_to_7_are_a_covariance(some):
    """|C12|^2 <= VH_lee * VV_lee in every pixel."""
    vh, vv, real, imag = np.moveaxis(some.sen1[..., 4:], 3, 0)

    assert (real**2 + imag**2 <= vh * vv).all()


def test_complex_bands_are_speckle_of_that_covariance(some):
    """On average, |VH|^2 is VH_lee, |VV|^2 is VV_lee, and VH conj(VV) is C12."""
    vh, vv = some.sen1[..., 0] + 1j * some.sen1[..., 1], some.sen1[..., 2] + 1j * some.sen1[..., 3]
    cross = some.sen1[..., 6] + 1j * some.sen1[..., 7]
    size = np.sqrt(some.sen1[..., 4] * some.sen1[..., 5])

    assert np.mean(np.abs(vh) ** 2 / some.sen1[..., 4]) == pytest.approx(1, rel=0.02)
    assert np.mean(np.abs(vv) ** 2 / some.sen1[..., 5]) == pytest.approx(1, rel=0.02)
    assert np.mean((vh * vv.conj() - cross) / size) == pytest.approx(0, abs=0.01)
    assert np.mean((vh * vv.conj() * cross.conj()).real / size**2) == pytest.approx(
        np.mean(np.abs(cross) ** 2 / size**2), rel=0.1
    )


def test_only_complex_bands_have_zeros(train):
    """As many as published, and none of them negative."""
    zeros = train.zeros.mean(axis=0)
    expected = published(KNOWN.zeros) / KNOWN.rows / 32**2

    np.testing.assert_allclose(zeros[:4], expected[:4], rtol=0.15)
    assert not zeros[4:].any()


def test_sen2_has_the_published_moments(train):
    """Mean and deviation of every band of a training split are within 10 % of the published ones."""
    mean = train.means[:, 8:].mean(axis=0)
    deviation = np.sqrt(train.squares[:, 8:].mean(axis=0) - mean**2)

    np.testing.assert_allclose(mean, published(KNOWN.mean)[8:], rtol=0.1)
    np.testing.assert_allclose(deviation, published(KNOWN.std)[8:], rtol=0.1)


def test_sen1_has_the_published_intensities(train):
    """Means within 25 %, medians where radar puts cities, and heavy tails."""
    mean, square = train.means[:, :8].mean(axis=0), train.squares[:, :8].mean(axis=0)
    vh, vv = 10 * np.log10(np.median(train.some[..., 4:6], axis=(0, 1)))

    np.testing.assert_allclose(mean[4:6], published(KNOWN.mean)[4:6], rtol=0.25)
    assert -21 < vh < -14
    assert -14 < vv < -7
    assert (np.sqrt(square[4:6]) > 10 * mean[4:6]).all()


def test_signed_bands_are_centred(train):
    """The means of the complex and covariance bands are small against their deviations."""
    signed = [0, 1, 2, 3, 6, 7]
    mean, square = train.means[:, signed].mean(axis=0), train.squares[:, signed].mean(axis=0)

    assert (np.abs(mean) < 0.01 * np.sqrt(square)).all()


def test_the_largest_published_values_occur():
    """In splits of 2,000 rows and more, in one pixel of one patch."""
    layout = lay_out("train", 2000)
    for start, sen1, sen2 in blocks(layout, seed=0):
        if start <= LARGEST_OUTLIER_ROW < start + len(sen1):
            row = LARGEST_OUTLIER_ROW - start
            highest = np.concatenate([sen1[row], sen2[row]], axis=2).max(axis=(0, 1))
            break

    expected = published(KNOWN.max).astype(np.float32).astype(float)
    np.testing.assert_array_equal(highest[4:6], expected[4:6])
    np.testing.assert_array_equal(highest[8:], published(KNOWN.max)[8:])


def test_no_value_leaves_the_published_range(some):
    """Whatever fits the published files fits generated ones."""
    values = np.concatenate([some.sen1, some.sen2], axis=3).reshape(-1, 18).astype(np.float32)

    assert (values >= published(KNOWN.min).astype(np.float32)).all()
    assert (values <= published(KNOWN.max).astype(np.float32)).all()
