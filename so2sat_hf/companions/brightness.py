"""Reflectance -> red, green and blue from 0 to 255, with one scale for all patches of a dataset.

So a dark patch is dark and does not look like a bright one. Red, green and blue are B04, B03 and B02.

========== =======================================================================================
stretch    value
========== =======================================================================================
tfds       ``uint8(clip(reflectance * (3.5 * 255.0), 0, 255))`` in float64, cut off, not rounded:
           full brightness from reflectance 0.2857. Bit for bit what ``so2sat/rgb`` 2.1.0 of
           TensorFlow Datasets 4.9.10 holds (``so2sat_dataset_builder.py``, ``_create_rgb``).
percentile 0 up to a black point, 255 from a white point, linear and rounded in between; both are
           given per band, for example from :func:`percentiles`.
========== =======================================================================================

Both are looked up by digital number ``k`` (reflectance is published as ``k / 10000.0``), so float32
reflectance and digital numbers give the same picture as the published float64. Pure: no file is opened.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, Source
from so2sat_hf.convert.plan import ROW_GROUP_ROWS
from so2sat_hf.errors import So2SatError

BANDS = ("B04", "B03", "B02")
"""Red, green, blue."""

STRETCHES = ("tfds", "percentile")

TFDS_FACTOR = 3.5 * 255.0
"""Brightness per reflectance in TensorFlow Datasets since ``so2sat`` 2.1.0 (2.0.0 had 255 / 2.8)."""

NUM_DN = 65_536
"""Digital numbers run from 0 to 65,535; the published maximum is 28,003."""

Limits = tuple[float, float]
"""Reflectance that is black, reflectance that is full brightness."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How reflectance becomes brightness."""

    stretch: str = "tfds"
    """``tfds`` or ``percentile``."""

    limits: tuple[Limits, ...] = ()
    """For ``percentile``: (black, white) of B04, B03, B02, in reflectance; empty for ``tfds``."""

    def __post_init__(self) -> None:
        if self.stretch not in STRETCHES:
            raise So2SatError("stretch", found=repr(self.stretch), expected=" or ".join(STRETCHES))
        wanted = f"3, for {', '.join(BANDS)}" if self.stretch == "percentile" else "none: its scale is fixed"
        if len(self.limits) != (len(BANDS) if self.stretch == "percentile" else 0):
            raise So2SatError(
                f"stretch {self.stretch}",
                found=f"{len(self.limits)} pairs of black and white",
                expected=wanted,
            )
        for band, (black, white) in zip(BANDS, self.limits, strict=False):
            if not (math.isfinite(black) and math.isfinite(white) and black < white):
                raise So2SatError(
                    f"stretch of {band}",
                    found=f"black {black}, white {white}",
                    expected="reflectances with black below white",
                )

    def pictures(self, sen2: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return pictures of patches.

        Args:
            sen2: (n, 10, 32, 32) reflectance. A value that is no ``k / 10000``, as a source with rounding
                may have, counts as the nearest, and as 0 or 6.5535 beyond these.

        Returns:
            (n, 32, 32, 3), red first.
        """
        tables = _tables(self.limits)
        pictures = np.empty((len(sen2), *sen2.shape[2:], len(BANDS)), np.uint8)
        for channel, name in enumerate(BANDS):
            pictures[..., channel] = tables[channel][_digital_numbers(sen2, name)]
        return pictures


@lru_cache(maxsize=4)
def _tables(limits: tuple[Limits, ...]) -> NDArray[np.uint8]:
    """Return the brightness of every digital number in each channel, (3, 65536); without limits as TFDS."""
    reflectance = np.arange(NUM_DN) / DN_PER_REFLECTANCE
    if not limits:
        tables = [np.clip(reflectance * TFDS_FACTOR, 0, 255)] * len(BANDS)  # astype cuts off, as there
    else:
        tables = [np.rint(np.clip((reflectance - b) / (w - b), 0, 1) * 255) for b, w in limits]
    return np.stack(tables).astype(np.uint8)


def _digital_numbers(sen2: NDArray[np.float32], band: str) -> NDArray[np.uint16]:
    """Return the nearest digital numbers of one band, (n, 32, 32), of reflectance (n, 10, 32, 32)."""
    number = sen2[:, facts.band(band).index] * np.float32(DN_PER_REFLECTANCE)  # within 0.01 of k
    return np.clip(np.rint(number), 0, NUM_DN - 1).astype(np.uint16)


def percentiles(
    source: Source,
    split: str | None = None,
    *,
    low: float = 2.0,
    high: float = 98.0,
    progress: Callable[[int], None] | None = None,
) -> tuple[Limits, ...]:
    """Return limits for the stretch ``percentile``: exact, from counts of every digital number.

    A percentile is the smallest reflectance that at least so many per cent of all pixels do not exceed
    (``method="inverted_cdf"`` of numpy). Memory does not grow with the split: a block of pixels and 65,536
    counts a band, about 100 MB.

    Args:
        source: where the patches are; ``sen2`` of the whole split is read.
        split: whose pixels count; default: the first with any patch, which is train where that is there.
        low: per cent of the pixels that may be black.
        high: per cent of the pixels that may stay below full brightness.
        progress: called with the patches of each block.

    Returns:
        (black, white) of B04, B03 and B02, in reflectance.

    Raises:
        So2SatError: no such split, no ``sen2``, or percentages that are not in order between 0 and 100.
    """
    present = [name for name, num_rows in source.num_rows.items() if num_rows]
    split = split or present[0]
    if split not in present:
        raise So2SatError(
            f"split {split}", found="no patch in the source", expected=f"one of {', '.join(present)}"
        )
    if not 0 <= low < high <= 100:
        raise So2SatError("percentiles", found=f"{low} and {high}", expected="0 <= low < high <= 100")
    counts = np.zeros((len(BANDS), NUM_DN), np.int64)
    rows = range(source.num_rows[split])
    for block in source.blocks(split, rows, columns=("sen2",), size=ROW_GROUP_ROWS, reuse=True):
        for channel, name in enumerate(BANDS):
            numbers = _digital_numbers(present_sen2(block.sen2), name)
            counts[channel] += np.bincount(numbers.reshape(-1), minlength=NUM_DN)
        if progress:
            progress(len(block))
    return tuple((_percentile(row, low), _percentile(row, high)) for row in counts)


def _percentile(counts: NDArray[np.int64], percent: float) -> float:
    """Return a percentile in reflectance of pixels counted by digital number, (65536,)."""
    cumulative = counts.cumsum()
    wanted = max(1.0, percent / 100 * cumulative[-1])
    return int(np.searchsorted(cumulative, wanted)) / DN_PER_REFLECTANCE


def present_sen2(sen2: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return the optical bands of a block.

    Raises:
        So2SatError: the block has none.
    """
    if sen2 is None:
        raise So2SatError("column sen2", found="not in the source", expected="a source that has it")
    return sen2
