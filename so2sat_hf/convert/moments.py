"""Mean, deviation and percentiles of every band in its model unit, mergeable in any grouping of rows.

Reflectance for Sentinel-2, dB for the Sentinel-1 intensities, ``asinh(x / scale)`` for the signed complex and
covariance bands, whose plain deviation says nothing (8.3 against a mean of 0.26 for VV). Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PatchBlock

DB_FLOOR = 1e-6
"""Smallest intensity before the logarithm (-60 dB); the published minimum is 2.4e-5."""

CHUNK_ROWS = 64
"""Rows whose sums are taken at once, in the cache."""

SIGNIFICANT_DIGITS = 6
"""More would differ from one processor to the next, in the last bits of a sum or a logarithm."""


PERCENTILE_DIGITS = 4
"""Of a percentile, which comes from a sample."""

SAMPLE_STEP = 61
"""One pixel of so many enters the percentiles: 17 of each patch, from all over it."""

BINS = 2048
"""Of a histogram; a percentile is a straight line within its bin."""

LOWEST_AND_WIDTH = {"reflectance": (0.0, 0.0015), "dB": (-60.0, 0.06), "asinh": (-12.288, 0.012)}
"""Model unit -> lower edge of the first bin and width of a bin; what lies outside counts in the last one."""

PERCENTILES = {"p1": 0.01, "p99": 0.99}
"""Name in ``statistics.json`` -> share of the pixels below."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of one band over pixels, in its model unit."""

    count: int
    """Pixels."""

    total: float
    """Sum of the values."""

    total_squares: float
    """Sum of their squares."""

    counts: NDArray[np.int64] = field(compare=False)
    """(2048,): pixels of the sample in each bin."""

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count,
            self.total + other.total,
            self.total_squares + other.total_squares,
            self.counts + other.counts,
        )

    def to_plain(self) -> list[Any]:
        """Return numbers and lists, as JSON has them; empty ends of the histogram are left out."""
        first, last = np.flatnonzero(self.counts)[[0, -1]]
        return [
            self.count,
            self.total,
            self.total_squares,
            int(first),
            self.counts[first : last + 1].tolist(),
        ]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> "Moments":
        """Read what :meth:`to_plain` returned."""
        count, total, total_squares, first, some = plain
        counts = np.zeros(BINS, np.int64)
        counts[first : first + len(some)] = some
        return cls(count, total, total_squares, counts)

    @property
    def mean(self) -> float:
        """Mean over pixels."""
        return self.total / self.count

    @property
    def std(self) -> float:
        """Population standard deviation over pixels."""
        return float(np.sqrt(max(0.0, self.total_squares / self.count - self.mean**2)))

    def percentile(self, share: float, unit: str) -> float:
        """Return the value that a share of the sample lies below."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        lowest, width = LOWEST_AND_WIDTH[unit]
        wanted = share * below[-1]
        index = min(int(np.searchsorted(below, wanted, side="right")) - 1, BINS - 1)
        return lowest + width * (index + (wanted - float(below[index])) / max(1, int(self.counts[index])))


def to_model_unit(band: facts.Band, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stored values of one band -> its model unit, same shape."""
    if band.model_unit == "dB":
        return np.float32(10) * np.log10(np.maximum(values, np.float32(DB_FLOOR)))
    if band.model_unit == "asinh":
        return np.arcsinh(values / np.float32(band.model_scale))
    return values


def measure(block: PatchBlock) -> dict[str, Moments]:
    """Band name -> moments over every pixel of a block."""
    moments = {}
    for sensor, pixels in (("sen1", block.sen1), ("sen2", block.sen2)):
        if pixels is None:
            continue
        bands = facts.bands(sensor)
        sums, counts = np.zeros((2, len(bands))), np.zeros((len(bands), BINS), np.int64)
        for start in range(0, len(block), CHUNK_ROWS):
            flat = _in_model_units(pixels[start : start + CHUNK_ROWS], bands)
            sums += _sums(flat)
            counts += _histograms(flat[:, :, ::SAMPLE_STEP], bands)
        count = len(block) * pixels.shape[2] * pixels.shape[3]
        for band, total, squares, binned in zip(bands, *sums.tolist(), counts, strict=True):
            moments[band.name] = Moments(count, total, squares, binned)
    return moments


def _in_model_units(pixels: NDArray[np.float32], bands: tuple[facts.Band, ...]) -> NDArray[np.float32]:
    """(n, c, h, w) as stored -> (n, c, h * w)."""
    flat = pixels.reshape(*pixels.shape[:2], -1)
    if all(band.model_unit == "reflectance" for band in bands):
        return flat
    return np.stack([to_model_unit(band, flat[:, i]) for i, band in enumerate(bands)], axis=1)


def _histograms(flat: NDArray[np.float32], bands: tuple[facts.Band, ...]) -> NDArray[np.int64]:
    """(n, c, pixels) -> (c, 2048) counts."""
    lowest, width = np.array([LOWEST_AND_WIDTH[band.model_unit] for band in bands], np.float32).T
    bins = ((flat - lowest[:, None]) / width[:, None]).clip(0, BINS - 1).astype(np.int64)
    bins += np.arange(len(bands))[:, None] * BINS
    return np.bincount(bins.ravel(), minlength=len(bands) * BINS).reshape(len(bands), BINS)


def _sums(flat: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, c): sums and sums of squares; within a patch in float32 (pairwise), over patches in float64."""
    squares = np.matmul(flat[:, :, None, :], flat[:, :, :, None])[:, :, 0, 0]
    return np.stack([flat.sum(axis=2).sum(axis=0, dtype=np.float64), squares.sum(axis=0, dtype=np.float64)])


def merge(parts: Iterable[Mapping[str, Moments]]) -> dict[str, Moments]:
    """Add up moments band by band, in the order given."""
    merged: dict[str, Moments] = {}
    for part in parts:
        for name, moments in part.items():
            merged[name] = merged[name] + moments if name in merged else moments
    return merged


def as_statistics(moments: Mapping[str, Moments], *, split: str, num_rows: int) -> dict[str, object]:
    """Return the content of ``statistics.json``: rounded, so that the last bits of a sum do not show."""
    bands = {}
    for name, moment in moments.items():
        band = facts.band(name)
        bands[name] = {
            "unit": band.model_unit,
            **({"scale": band.model_scale} if band.model_unit == "asinh" else {}),
            "mean": _rounded(moment.mean),
            "std": _rounded(moment.std),
            **{
                name: _rounded(moment.percentile(share, band.model_unit), PERCENTILE_DIGITS)
                for name, share in PERCENTILES.items()
            },
        }
    return {"split": split, "rows": num_rows, "bands": bands}


def _rounded(value: float, digits: int = SIGNIFICANT_DIGITS) -> float:
    return float(f"{value:.{digits}g}")
