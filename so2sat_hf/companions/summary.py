"""What statistics say of a split: numbers per band and class, and how they are written. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from so2sat_hf import facts
from so2sat_hf.companions.sketch import Histogram, Moments, columns, decibel
from so2sat_hf.convert.cells import Cell
from so2sat_hf.convert.patches import PATCH_SIZE

PERCENTILES = (0.1, 1, 2, 5, 25, 50, 75, 95, 98, 99, 99.9)
"""Every split is summed up by these."""

SplitName = tuple[str, str]
"""Config and split, e.g. ``("random", "train")``."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of one column of pixels, in its unit."""

    unit: str
    """``"reflectance"``, ``"linear amplitude"``, ``"linear power"`` or ``"dB"``."""

    count: int
    """Pixels; if there are none, mean, std, min and max are NaN."""

    mean: float
    """Mean over pixels."""

    std: float
    """Population standard deviation over pixels."""

    min: float
    """Smallest value."""

    max: float
    """Largest value."""

    percentiles: Mapping[float, float]
    """Percent -> value, linear between neighbours; empty for classes and where there are no pixels."""


@dataclass(frozen=True, slots=True)
class SplitStatistics:
    """Statistics of one split of one version."""

    cells: tuple[Cell, ...]
    """What the split is made of."""

    class_rows: tuple[int, ...]
    """Patches of each class, in label order."""

    bands: Mapping[str, Summary]
    """Band, or band + ``_dB`` for the intensities of Sentinel-1 -> all pixels."""

    classes: Mapping[str, tuple[Summary, ...]]
    """The same -> pixels of each class, in label order; without percentiles."""

    @property
    def rows(self) -> int:
        """Patches of the split."""
        return sum(self.class_rows)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of a source."""

    layout: str
    """See :class:`~so2sat_hf.convert.patches.Source`."""

    source_rows: int
    """Patches of the whole source, those of splits that were not asked for included."""

    percentile_error: Mapping[str, float]
    """Sensor -> largest relative error of a percentile; 0 where digital numbers were counted."""

    splits: Mapping[SplitName, SplitStatistics]
    """Config and split -> statistics, in the order of the versions."""


def summarize(
    cells: tuple[Cell, ...], moments: Mapping[str, Moments], histograms: Mapping[str, Histogram]
) -> SplitStatistics:
    """Turn what was measured in a split into numbers.

    Args:
        cells: what the split is made of.
        moments: sensor -> moments of its columns, by class.
        histograms: band -> histogram.
    """
    bands, classes, class_rows = {}, {}, np.zeros(0, np.int64)
    for sensor, by_class in moments.items():
        class_rows = by_class.count // PATCH_SIZE**2
        joined = by_class.joined()
        for index, column in enumerate(columns(sensor)):
            summary = _summary(joined, 0, index, column)
            percentiles = _percentiles(histograms[column.removesuffix("_dB")], summary)
            bands[column] = replace(summary, percentiles=percentiles)
            groups = range(len(by_class.count))
            classes[column] = tuple(_summary(by_class, group, index, column) for group in groups)
    return SplitStatistics(cells, tuple(class_rows.tolist()), bands, classes)


def _summary(moments: Moments, group: int, index: int, column: str) -> Summary:
    band = column.removesuffix("_dB")
    unit = facts.band(band).unit if band == column else "dB"
    count = int(moments.count[group])
    arrays = (moments.mean, moments.std, moments.low, moments.high)
    mean, std, low, high = (float(array[group, index]) if count else math.nan for array in arrays)
    return Summary(unit, count, mean, std, low, high, {})


def _percentiles(histogram: Histogram, summary: Summary) -> dict[float, float]:
    """Percentiles of the values themselves; in dB those of the intensity, which keep their order."""
    if not summary.count:
        return {}
    found = np.array(histogram.percentiles(PERCENTILES))
    values = decibel(found) if summary.unit == "dB" else found
    within = np.clip(values, summary.min, summary.max)  # the middle of the outermost bins may lie outside
    return dict(zip(PERCENTILES, within.tolist(), strict=True))


def as_json(statistics: Statistics) -> dict[str, Any]:
    """Return everything as plain JSON values: config -> split -> band -> numbers, and the same per class."""
    versions: dict[str, dict[str, Any]] = {}
    for (config, split), found in statistics.splits.items():
        versions.setdefault(config, {})[split] = {
            "rows": found.rows,
            "class_rows": dict(zip(facts.class_names(), found.class_rows, strict=True)),
            "bands": {
                name: {
                    **_plain(summary),
                    "percentiles": {f"{percent:g}": value for percent, value in summary.percentiles.items()},
                    "classes": {
                        lcz: _plain(of_class)
                        for lcz, of_class in zip(facts.class_names(), found.classes[name], strict=True)
                    },
                }
                for name, summary in found.bands.items()
            },
        }
    return {
        "layout": statistics.layout,
        "rows": statistics.source_rows,
        "std": "population",
        "percentile_error": dict(statistics.percentile_error),
        "versions": versions,
    }


def _plain(summary: Summary) -> dict[str, Any]:
    numbers = {name: getattr(summary, name) for name in ("mean", "std", "min", "max")}
    known = {name: number if summary.count else None for name, number in numbers.items()}
    return {"unit": summary.unit, "count": summary.count, **known}
