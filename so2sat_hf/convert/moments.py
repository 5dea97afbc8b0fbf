"""Mean and deviation of every band in the unit in which a model sees it, mergeable in any grouping of rows.

Reflectance for Sentinel-2, dB for the Sentinel-1 intensities, ``asinh(x / scale)`` for the signed complex and
covariance bands, whose plain deviation says nothing (8.3 against a mean of 0.26 for VV). Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of one band over pixels, in its model unit."""

    count: int
    """Pixels."""

    total: float
    """Sum of the values."""

    total_squares: float
    """Sum of their squares."""

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count, self.total + other.total, self.total_squares + other.total_squares
        )

    @property
    def mean(self) -> float:
        """Mean over pixels."""
        return self.total / self.count

    @property
    def std(self) -> float:
        """Population standard deviation over pixels."""
        return float(np.sqrt(max(0.0, self.total_squares / self.count - self.mean**2)))


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
        sums = np.zeros((2, len(bands)))
        for start in range(0, len(block), CHUNK_ROWS):
            sums += _sums(pixels[start : start + CHUNK_ROWS], bands)
        count = len(block) * pixels.shape[2] * pixels.shape[3]
        for band, total, squares in zip(bands, *sums.tolist(), strict=True):
            moments[band.name] = Moments(count, total, squares)
    return moments


def _sums(pixels: NDArray[np.float32], bands: tuple[facts.Band, ...]) -> NDArray[np.float64]:
    """(2, c): sums and sums of squares; within a patch in float32 (pairwise), over patches in float64."""
    flat = pixels.reshape(*pixels.shape[:2], -1)
    if any(band.model_unit != "reflectance" for band in bands):
        flat = np.stack([to_model_unit(band, flat[:, i]) for i, band in enumerate(bands)], axis=1)
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
        }
    return {"split": split, "rows": num_rows, "bands": bands}


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
