"""Losslessness: what is stored gives back every published float64, or is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2sat_hf.convert.decode import Decoder, on_grid
from so2sat_hf.errors import LossyError, SourceError


def sen2_of(value: float) -> np.ndarray:
    raw = np.full((2, 32, 32, 10), 0.1234)
    raw[1, 2, 3, 4] = value
    return raw


def sen1_of(value: float) -> np.ndarray:
    raw = np.zeros((2, 32, 32, 8))
    raw[1, 2, 3, 4] = value
    return raw


def store(column: str, raw: np.ndarray, *, allow_rounding: bool = False) -> tuple[np.ndarray, Decoder]:
    decoder = Decoder("training.h5", allow_rounding=allow_rounding)
    out = np.empty((len(raw), raw.shape[3], 32, 32), np.float32)
    getattr(decoder, column)(raw, range(100, 100 + len(raw)), out)
    return out, decoder


def test_every_digital_number_survives() -> None:
    """All 65,536 reflectances k / 10000 come back exactly from float32."""
    raw = np.resize(np.arange(65_536) / 10_000, (7, 32, 32, 10))

    out, decoder = store("sen2", raw)

    back = np.rint(out.transpose(0, 2, 3, 1).astype(np.float64) * 10_000) / 10_000
    assert np.array_equal(back, raw)
    assert decoder.rounding == {}


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_float32_survives(value: float) -> None:
    """Any finite float32 in sen1 is stored as itself, channels first."""
    out, _ = store("sen1", sen1_of(value))

    assert out[1, 4, 2, 3] == value


@pytest.mark.parametrize("value", [0.12345, 1 / 3, -0.0001, 6.5536, 1e300])
def test_reflectance_off_the_grid_is_refused(value: float) -> None:
    """The message names file, row, band, pixel and value."""
    with pytest.raises(LossyError, match=r"training\.h5: sen2 is .* in row 101, band B06, pixel \(2, 3\)"):
        store("sen2", sen2_of(value))


@pytest.mark.parametrize("value", [0.1, 1 + 2**-30, 1e39])
def test_amplitude_beyond_float32_is_refused(value: float) -> None:
    """A float64 that float32 cannot hold would be rounded, so it is refused."""
    with pytest.raises(LossyError, match=r"in row 101, band VH_lee, pixel \(2, 3\)"):
        store("sen1", sen1_of(value))


@pytest.mark.parametrize("column", ["sen1", "sen2"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("allow_rounding", [False, True])
def test_nan_and_infinity_are_refused(column: str, value: float, *, allow_rounding: bool) -> None:
    """Rounding may be allowed, missing values never are."""
    raw = sen1_of(value) if column == "sen1" else sen2_of(value)

    with pytest.raises(SourceError, match=rf"{column} is -?(nan|inf) in row 101"):
        store(column, raw, allow_rounding=allow_rounding)


def test_allowed_rounding_is_measured() -> None:
    """With rounding allowed the nearest float32 is stored and the largest error is on record."""
    out, decoder = store("sen2", sen2_of(0.123456789), allow_rounding=True)

    assert out[1, 4, 2, 3] == np.float32(0.123456789)
    assert decoder.rounding["sen2"] == pytest.approx(abs(float(np.float32(0.123456789)) - 0.123456789))


@pytest.mark.parametrize(
    "row",
    [np.zeros(17), np.eye(17)[3] * 0.5, np.eye(17)[3] + np.eye(17)[4], np.full(17, np.nan), -np.eye(17)[0]],
)
def test_labels_that_are_not_one_hot_are_refused(row: np.ndarray) -> None:
    """Soft labels and missing labels stop the build with the row."""
    labels = np.stack([np.eye(17)[5], row])

    with pytest.raises(SourceError, match="label of row 101"):
        Decoder("training.h5").label(labels, range(100, 100 + len(labels)))


def test_labels_become_indices() -> None:
    """Index i is LCZ i + 1."""
    assert Decoder("training.h5").label(np.eye(17), range(17)).tolist() == list(range(17))


@given(st.integers(-10, 70_000))
def test_the_grid_is_0_to_65535(number: int) -> None:
    """on_grid accepts just what uint16 can hold."""
    assert on_grid(np.array([number / 10_000]))[0] == (0 <= number <= 65_535)
