"""Rows of a layout -> patches. Pure: the same split, number of rows and seed give the same patches."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.synthetic.layout import Layout, lay_out
from so2sat_hf.synthetic.moments import (
    CITY_SHARE,
    NUM_STATISTICS,
    SEN1_COHERENCE,
    SEN1_MEANS,
    SEN2_MEANS,
    law,
    optical_energy,
    radar_energy,
)
from so2sat_hf.synthetic.pixels import draw_sen1, draw_sen2

CHUNK_ROWS = 64
"""Rows that share a stream of random numbers; small enough for the cache of the processor."""

OUTLIER_EVERY = 1000
"""One row in so many has a pixel that is an outlier in both sensors."""

LARGEST_OUTLIER_ROW, LARGEST_OUTLIER_FROM = 1250, 2000
"""The row whose outlier has the largest published intensities and reflectances, in splits of so many rows."""

CITIES, STATISTICS, PIXELS = 4, 5, 6
"""What random numbers are for; with seed, split and chunk, the key of their stream."""


@dataclass(frozen=True, slots=True)
class Patches:
    """Generated patches in memory, channels last as in the published files."""

    sen1: NDArray[np.float64]
    """(n, 32, 32, 8) linear."""

    sen2: NDArray[np.float64]
    """(n, 32, 32, 10) reflectance."""

    label: NDArray[np.int64]
    """(n,) 0 = LCZ 1 ... 16 = LCZ G."""

    city: list[str]
    """Publisher's keys."""

    epsg: NDArray[np.int32]
    """(n,) UTM zone."""

    x_ul: NDArray[np.float64]
    """(n,) UTM metres of the upper-left corner."""

    y_ul: NDArray[np.float64]
    """(n,) UTM metres of the upper-left corner."""

    def __len__(self) -> int:
        return len(self.label)


def patches(split: str, num_rows: int, *, seed: int = 0) -> Patches:
    """Make a whole split in memory: 144 KiB a patch. What ``write_raw`` writes, row by row.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        num_rows: number of patches.
        seed: other patches for other seeds.

    Raises:
        So2SatError: an unknown split or a negative number.
    """
    layout = lay_out(split, num_rows, seed=seed)
    sen1, sen2 = np.empty((num_rows, 32, 32, 8)), np.empty((num_rows, 32, 32, 10))
    for start, some_sen1, some_sen2 in blocks(layout, seed=seed):
        sen1[start : start + len(some_sen1)] = some_sen1
        sen2[start : start + len(some_sen2)] = some_sen2
    return Patches(sen1, sen2, layout.label, layout.city_keys, layout.epsg, layout.x_ul, layout.y_ul)


def blocks(layout: Layout, *, seed: int) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the pixels of a split as ``(start, sen1, sen2)``, at most 64 rows at once, in order.

    Args:
        layout: the rows.
        seed: the one they were laid out with.
    """
    for start in range(0, len(layout), CHUNK_ROWS):
        rng = _stream(layout, seed, PIXELS, start)
        values = statistics_of(layout, start, seed=seed)
        outlier = _outliers(start, len(values), len(layout))
        glint = np.where(outlier > 0, 0.6 + 0.4 * outlier, 0)
        sen2 = draw_sen2(values[:, SEN2_MEANS], optical_energy(values), glint, rng)
        sen1 = draw_sen1(
            values[:, SEN1_MEANS],
            radar_energy(values),
            values[:, SEN1_COHERENCE],
            outlier,
            rng,
            step=law().slc_step,
        )
        yield start, sen1, sen2


def statistics_of(layout: Layout, start: int, *, seed: int) -> NDArray[np.float64]:
    """Draw the statistics of the chunk of rows that begins at a row: class, city and patch.

    Returns:
        (n, 23) in the order of :mod:`so2sat_hf.synthetic.signal`, n at most 64.
    """
    rows = slice(start, start + CHUNK_ROWS)
    label, city = layout.label[rows], layout.city[rows]
    noise = _stream(layout, seed, STATISTICS, start).standard_normal((len(label), NUM_STATISTICS))
    noise *= np.sqrt(1 - CITY_SHARE)
    noise += np.sqrt(CITY_SHARE) * _city_noise(seed)[city]
    known = law()
    return known.centroids[label] + noise @ np.linalg.cholesky(known.covariance).T


@lru_cache(maxsize=8)
def _city_noise(seed: int) -> NDArray[np.float64]:
    """Draw what all patches of a city have in common, in all splits: (cities, 23), white."""
    return np.random.default_rng([seed, CITIES]).standard_normal((len(facts.cities()), NUM_STATISTICS))


def _stream(layout: Layout, seed: int, purpose: int, start: int) -> np.random.Generator:
    return np.random.default_rng([seed, SPLITS.index(layout.split), purpose, start])


def _outliers(start: int, count: int, num_rows: int) -> NDArray[np.float64]:
    """Return the intensity (count,) of each row's outlier as a share of the published maximum; 0: none."""
    row = np.arange(start, start + count)
    share = np.where(
        row % OUTLIER_EVERY == OUTLIER_EVERY // 4, 0.05 + 0.005 * (row // OUTLIER_EVERY % 8), 0.0
    )
    if num_rows >= LARGEST_OUTLIER_FROM:
        share[row == LARGEST_OUTLIER_ROW] = 1.0
    return share
