"""Measured statistics beside the published ones. Pure: no file is opened here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from so2sat_hf import facts
from so2sat_hf.companions.summary import SplitName, SplitStatistics, Statistics, Summary
from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.errors import So2SatError

VERSION_2: tuple[SplitName, ...] = tuple(("culture_10", split) for split in SPLITS)
PUBLISHED: Mapping[str, tuple[SplitName, ...]] = {
    "2/training": (VERSION_2[0], ("culture_10_v3", "train")),
    "2/validation": (VERSION_2[1],),
    "2/testing": (VERSION_2[2],),
    "3/random/training": (("random", "train"),),
    "3/random/testing": (("random", "test"),),
    "3/block/training": (("block", "train"),),
}
"""Key of :func:`so2sat_hf.facts.statistics` -> splits of these patches; the first one at hand counts."""

POOLED = "pooled"
"""Key of all patches of version 2 together."""

SUMMATION = 1e-10
"""What a published mean or deviation may be off by beyond its last digit, as a share of the deviation of
the band. Means of random train and test joined (320,779 and 79,894 rows) are those of version 2 to 3e-12."""

SMALLEST_UNIT = {"mean": 1e-7, "std": 1e-7, "min": 1e-5, "max": 1e-5}
"""Every published number has at least these digits; where they are 0 they are not stored."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One number beside the published one."""

    band: str
    """Name of the band."""

    measure: str
    """``"mean"``, ``"std"``, ``"min"`` or ``"max"``."""

    found: float
    """As measured, in the stored unit."""

    published: float
    """As published."""

    tolerance: float
    """Largest difference that digits and summation explain."""

    @property
    def relative(self) -> float:
        """Difference as a share of the published number."""
        return (self.found - self.published) / abs(self.published)

    @property
    def is_off(self) -> bool:
        """Whether the difference is larger than can be explained."""
        return not abs(self.found - self.published) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Comparison:
    """A split beside the published numbers of its file."""

    key: str
    """Of :func:`so2sat_hf.facts.statistics`."""

    name: str
    """Config and split, e.g. ``"random/train"``."""

    rows: int
    """Patches of the split."""

    obstacle: str
    """Why there is nothing to compare, in a sentence; empty if there is."""

    differences: tuple[Difference, ...]
    """Band after band; empty with an obstacle."""

    @property
    def is_right(self) -> bool:
        """Whether it was compared and every number is the published one."""
        return not self.obstacle and not any(difference.is_off for difference in self.differences)


def compare(statistics: Statistics) -> list[Comparison]:
    """Compare with the published statistics of every file that was measured, and of all patches together.

    Where the patches are not as many as published, the numbers are not compared.

    Raises:
        So2SatError: nothing is published about these splits.
    """
    groups = {}
    for key, names in PUBLISHED.items():
        if found := [name for name in names if name in statistics.splits]:
            groups[key] = found[:1]
    if set(VERSION_2) <= statistics.splits.keys():
        groups[POOLED] = list(VERSION_2)
    compared = (_compared(key, names, statistics) for key, names in groups.items())
    comparisons = [each for each in compared if each.obstacle or each.differences]
    if not comparisons:
        raise So2SatError(
            ", ".join("/".join(name) for name in statistics.splits),
            found="no published statistics",
            expected="at least one of " + ", ".join("/".join(names[0]) for names in PUBLISHED.values()),
        )
    return comparisons


def _compared(key: str, names: Sequence[SplitName], statistics: Statistics) -> Comparison:
    published, splits = facts.statistics(key), [statistics.splits[name] for name in names]
    rows, everything = sum(split.rows for split in splits), facts.statistics(POOLED).rows
    obstacle = ""
    if published.rows is not None and rows != published.rows:
        obstacle = f"{rows:,} patches, published are {published.rows:,}"
    elif published.rows is None and statistics.source_rows != everything:
        obstacle = f"{statistics.source_rows:,} patches in all versions, published are {everything:,}"
    differences = () if obstacle else tuple(_differences(published, splits))
    name = "/".join(names[0]) if len(names) == 1 else f"all of {names[0][0]}"
    return Comparison(key, name, rows, obstacle, differences)


def _differences(published: facts.BandStatistics, splits: Sequence[SplitStatistics]) -> Iterator[Difference]:
    for band, std in published.std.items():
        if band not in splits[0].bands:
            continue  # a folder without that sensor
        for measure, found in _together([split.bands[band] for split in splits]).items():
            numbers: Mapping[str, float] = getattr(published, measure)
            if band in numbers:
                tolerance = _unit(numbers[band], measure)
                tolerance += SUMMATION * std if measure in ("mean", "std") else 0
                yield Difference(band, measure, found, numbers[band], tolerance)


def _unit(number: float, measure: str) -> float:
    """One in the last published digit: some sources round, others cut off."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return min(10.0 ** int(exponent), SMALLEST_UNIT[measure])


def _together(parts: Sequence[Summary]) -> dict[str, float]:
    """Mean, std, min and max of one band over several splits, all of which have pixels."""
    weights = [part.count / sum(each.count for each in parts) for part in parts]
    mean = math.fsum(weight * part.mean for weight, part in zip(weights, parts, strict=True))
    spread = [part.std**2 + (part.mean - mean) ** 2 for part in parts]
    return {
        "mean": mean,
        "std": math.sqrt(math.fsum(weight * each for weight, each in zip(weights, spread, strict=True))),
        "min": min(part.min for part in parts),
        "max": max(part.max for part in parts),
    }
