"""Moments and histograms of pixels, which add up in any grouping of patches. Pure: no file is opened here.

Moments are float64 means and sums of squared distances from the mean, joined by the formula of Chan, Golub
and LeVeque (1979). Sums of values and of squares would lose what matters where the mean is far smaller than
the deviation (VH_imag: -8e-6 against 0.18) or far larger (dB).

Histograms count ``sen2`` by digital number, which loses nothing, and ``sen1`` by the upper 19 bits of its
float32 values (sign, exponent, 10 bits of the mantissa), which moves no value by more than 2**-11 of itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.moments import DB_FLOOR
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, PATCH_SIZE

CHUNK_ROWS = 16
"""Patches worked on at a time: 1.3 MB of float64 a sensor, so that every step works in the cache."""

DROPPED_BITS = 13
"""Of the 23 bits of a float32 mantissa; 10 are counted."""

BIN_ERROR = 2.0**-11
"""Largest relative distance of a float32 value from the middle of its bin, from 1e-37 on."""

Values = NDArray[np.float64]
Codes = NDArray[np.int64]


def decibel(value: Values) -> Values:
    """Intensities -> dB, not below -60 dB (:data:`~so2sat_hf.convert.moments.DB_FLOOR`); same shape."""
    return 10 * np.log10(np.maximum(value, DB_FLOOR))


def columns(sensor: str) -> tuple[str, ...]:
    """Return what is measured of a sensor: its bands, and once more in dB those that models see in dB.

    >>> columns("sen1")[4:]
    ('VH_lee', 'VV_lee', 'C12_real', 'C12_imag', 'VH_lee_dB', 'VV_lee_dB')
    """
    names = [band.name for band in facts.bands(sensor)]
    return (*names, *(f"{names[index]}_dB" for index in _in_decibel(sensor)))


def _in_decibel(sensor: str) -> list[int]:
    return [band.index for band in facts.bands(sensor) if band.model_unit == "dB"]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean, spread and range of ``c`` columns in ``k`` groups of pixels; ``+`` joins two sets of pixels."""

    count: NDArray[np.int64]
    """(k,) pixels."""

    mean: Values
    """(k, c); 0 where there are no pixels."""

    squares: Values
    """(k, c) sum of squared distances from the mean."""

    low: Values
    """(k, c) smallest value; infinity where there are no pixels."""

    high: Values
    """(k, c) largest value; minus infinity where there are no pixels."""

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        share = (other.count / np.maximum(count, 1))[:, None]
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * share,
            self.squares + other.squares + apart**2 * share * self.count[:, None],
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def std(self) -> Values:
        """(k, c) population standard deviation; 0 where there are no pixels."""
        return np.sqrt(self.squares / np.maximum(self.count, 1)[:, None])

    def joined(self) -> "Moments":
        """Return the moments of all groups together, as one group."""
        groups = [self._group(index) for index in range(len(self.count))]
        return sum(groups[1:], start=groups[0])

    def _group(self, index: int) -> "Moments":
        rows = slice(index, index + 1)
        return Moments(self.count[rows], self.mean[rows], self.squares[rows], self.low[rows], self.high[rows])


def no_moments(num_columns: int) -> Moments:
    """Return the moments of no pixels, a group for each class."""
    shape = (len(facts.classes()), num_columns)
    count = np.zeros(shape[0], np.int64)
    return Moments(count, np.zeros(shape), np.zeros(shape), np.full(shape, np.inf), np.full(shape, -np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many pixels have which value; ``+`` joins two sets of pixels."""

    value: Values
    """(k,) increasing."""

    count: NDArray[np.int64]
    """(k,) pixels, all above 0."""

    @classmethod
    def of(cls, value: Values, count: NDArray[np.int64]) -> "Histogram":
        """Sort values, join equal ones and drop those that no pixel has."""
        value, count = value[count > 0], count[count > 0]
        order = np.argsort(value, kind="stable")  # two sorted halves are merged in one go
        value, count = value[order], count[order]
        if not len(value):
            return cls(value, count)
        first = np.flatnonzero(np.concatenate([[True], value[1:] != value[:-1]]))
        return cls(value[first], np.add.reduceat(count, first))

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram.of(
            np.concatenate([self.value, other.value]), np.concatenate([self.count, other.count])
        )

    def percentiles(self, wanted: Iterable[float]) -> list[float]:
        """Return percentiles with linear interpolation between neighbours, as numpy does by default.

        Args:
            wanted: from 0 to 100.

        Raises:
            ValueError: there are no pixels.
        """
        if not len(self.value):
            raise ValueError("no pixels, so no percentiles")
        upto = np.cumsum(self.count)
        last = int(upto[-1]) - 1
        found = []
        for percent in wanted:
            rank, rest = divmod(last * Fraction(str(percent)) / 100, 1)  # exact for any number of pixels
            neighbours = np.searchsorted(upto, (rank, min(rank + 1, last)), side="right")
            low, high = self.value[neighbours].tolist()
            found.append(low + (high - low) * float(rest))
        return found


@dataclass(frozen=True, slots=True)
class Ruler:
    """A way to sort pixels into bins."""

    num_bins: int

    read: Callable[[NDArray[np.float32]], tuple[Values, Codes]]
    """Stored pixels -> their values as float64, and the bins they are in; new arrays of the same shape."""

    middle: Callable[[Codes], Values]
    """Bins -> the values that stand for them."""


def _digital(pixels: NDArray[np.float32]) -> tuple[Values, Codes]:
    """Reflectance -> the published float64 and its digital number."""
    values = np.multiply(pixels, DN_PER_REFLECTANCE, dtype=np.float64)
    codes = np.rint(values, out=values).astype(np.int64)
    return np.divide(values, DN_PER_REFLECTANCE, out=values), codes


def _float32(pixels: NDArray[np.float32]) -> tuple[Values, Codes]:
    return pixels.astype(np.float64), (pixels.view(np.uint32) >> DROPPED_BITS).astype(np.int64)


def _middle_of_float32(codes: Codes) -> Values:
    bits = (codes.astype(np.uint32) << DROPPED_BITS) + np.uint32(1 << (DROPPED_BITS - 1))
    is_zero = codes % (1 << (31 - DROPPED_BITS)) == 0  # the bins of 0 and of -0
    return np.where(is_zero, 0.0, bits.view(np.float32).astype(np.float64))


DIGITAL_NUMBER = Ruler(65_536, _digital, lambda codes: codes / DN_PER_REFLECTANCE)
"""Exact for ``k / 10000`` with a whole k from 0 to 65,535."""

FLOAT32 = Ruler(1 << (32 - DROPPED_BITS), _float32, _middle_of_float32)
"""For any float32, to :data:`BIN_ERROR`."""


class Tally:
    """Collects the pixels of one sensor, block by block.

    Attributes:
        moments: (17 classes, columns of :func:`columns`).
    """

    def __init__(self, sensor: str) -> None:
        self.sensor = sensor
        self.moments = no_moments(len(columns(sensor)))
        self._num_bands = len(facts.bands(sensor))
        self._counts: dict[Ruler, Codes] = {}

    def add(self, pixels: NDArray[np.float32], label: NDArray[np.int64], ruler: Ruler) -> None:
        """Add a block.

        Args:
            pixels: (n, c, 32, 32) as stored: linear ``sen1`` or reflectance ``sen2``.
            label: (n,) class indices.
            ruler: how the pixels are sorted into bins.

        Raises:
            ValueError: NaN, infinity, or values outside of the ruler.
        """
        flat = pixels.reshape(len(pixels), self._num_bands, PATCH_SIZE**2)
        chunks = (flat[start : start + CHUNK_ROWS] for start in range(0, len(flat), CHUNK_ROWS))
        with np.errstate(invalid="ignore"):  # NaN and infinity are refused by name
            parts = [self._measure(chunk, ruler) for chunk in chunks]
        if parts:
            joined = (np.concatenate(column) for column in zip(*parts, strict=True))
            self.moments += _by_class(label, *joined)

    def _measure(self, pixels: NDArray[np.float32], ruler: Ruler) -> tuple[Values, ...]:
        """Count the pixels (n, c, p) of a chunk; return the moments of each patch."""
        values, codes = ruler.read(pixels)
        in_decibel = [decibel(values[:, index, None]) for index in _in_decibel(self.sensor)]
        part = _of_patches(np.concatenate([values, *in_decibel], axis=1) if in_decibel else values)
        _check(part, codes, ruler)
        if ruler not in self._counts:
            self._counts[ruler] = np.zeros((self._num_bands, ruler.num_bins), np.int64)
        for counts, of_band in zip(self._counts[ruler], codes.transpose(1, 0, 2), strict=True):
            np.add.at(counts, of_band.reshape(-1), 1)
        return part

    def histograms(self) -> dict[str, Histogram]:
        """Return band name -> histogram of the pixels so far."""
        found = {}
        for band in facts.bands(self.sensor):
            histogram = Histogram(np.empty(0), np.empty(0, np.int64))
            for ruler, counts in self._counts.items():
                codes = np.flatnonzero(counts[band.index])
                histogram += Histogram.of(ruler.middle(codes), counts[band.index, codes])
            found[band.name] = histogram
        return found


def _of_patches(values: Values) -> tuple[Values, Values, Values, Values]:
    """(n, c, p) values, which are overwritten -> (n, c) mean, squares, low, high of each patch."""
    low, high, mean = values.min(axis=2), values.max(axis=2), values.mean(axis=2)
    values -= mean[:, :, None]
    return mean, np.einsum("ncp,ncp->nc", values, values), low, high


def _check(part: tuple[Values, ...], codes: Codes, ruler: Ruler) -> None:
    mean, _, low, high = part
    if not np.isfinite(mean).all():
        raise ValueError("NaN or infinity")
    if codes.min() < 0 or codes.max() >= ruler.num_bins:
        raise ValueError(f"values from {low.min()} to {high.max()}")


def _by_class(label: NDArray[np.int64], mean: Values, squares: Values, low: Values, high: Values) -> Moments:
    """(n, c) moments of patches -> moments of classes."""
    num_pixels, joined = PATCH_SIZE**2, no_moments(mean.shape[1])
    for index in np.unique(label):
        patches = label == index
        center = mean[patches].mean(axis=0)
        joined.count[index] = np.count_nonzero(patches) * num_pixels
        joined.mean[index] = center
        between = num_pixels * ((mean[patches] - center) ** 2).sum(axis=0)
        joined.squares[index] = squares[patches].sum(axis=0) + between
        joined.low[index] = low[patches].min(axis=0)
        joined.high[index] = high[patches].max(axis=0)
    return joined
