"""Who is in a generated split: class, city and position of every row. No pixel is made here."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.convert.geolocation import utm_of
from so2sat_hf.convert.patches import FILE_OF_SPLIT
from so2sat_hf.errors import So2SatError

SPACING = 100
"""Metres between neighbouring positions, as in the published files."""

MAX_STEPS = 400
"""Positions reach at most 40 km from the centre of their city along each axis."""

CELLS_PER_PATCH = 20
"""Cells of the grid for each patch: most patches, 3.2 cells wide, overlap another, as published."""

LABELS, POSITIONS, ORIGINS = 1, 2, 3
"""What random numbers are for; with seed and split, the key of their stream."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of one split, in the order of the file."""

    split: str
    """``"train"``, ``"validation"`` or ``"test"``."""

    label: NDArray[np.int64]
    """(n,) 0 = LCZ 1 ... 16 = LCZ G."""

    city: NDArray[np.int64]
    """(n,) index into ``facts.cities()``."""

    x_ul: NDArray[np.float64]
    """(n,) UTM metres of the upper-left corner."""

    y_ul: NDArray[np.float64]
    """(n,) UTM metres of the upper-left corner."""

    def __len__(self) -> int:
        return len(self.label)

    @property
    def city_keys(self) -> list[str]:
        """Publisher's key of the city of every row."""
        keys = [city.key for city in facts.cities()]
        return [keys[index] for index in self.city]

    @property
    def epsg(self) -> NDArray[np.int32]:
        """(n,) UTM zone of every row."""
        return np.array([city.epsg for city in facts.cities()], dtype=np.int32)[self.city]


def lay_out(split: str, num_rows: int, *, seed: int = 0) -> Layout:
    """Decide class, city and position of every row of a split.

    Classes and cities come in the published proportions and independently of each other. Validation is the
    western half of its cities, test the eastern half of the same ones; no position occurs twice.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        num_rows: patches, 0 or more.
        seed: other rows for other seeds, not negative.

    Raises:
        So2SatError: an unknown split, a negative number, or more rows than the cities have room for.
    """
    if split not in SPLITS:
        raise So2SatError(f"split {split!r}", found="unknown", expected="one of " + ", ".join(SPLITS))
    for name, value in (("rows", num_rows), ("seed", seed)):
        if value < 0:
            raise So2SatError(f"{name} of {split}", found=f"{value}", expected="0 or more")
    file = FILE_OF_SPLIT[split]
    class_counts = proportional(np.array(facts.class_counts(file)), num_rows)
    city_counts = proportional(np.array([getattr(city, file) for city in facts.cities()]), num_rows, least=0)
    rng = np.random.default_rng([seed, SPLITS.index(split), LABELS])
    label = rng.permutation(np.repeat(np.arange(len(class_counts)), class_counts))
    city = rng.permutation(np.repeat(np.arange(len(city_counts)), city_counts))
    position = np.empty((num_rows, 2))
    for index, count in enumerate(city_counts):
        if count:
            position[city == index] = _positions(index, int(count), split, seed)
    return Layout(split, label, city, position[:, 0], position[:, 1])


def proportional(weights: NDArray[np.int64], total: int, *, least: int = 1) -> NDArray[np.int64]:
    """Share out a number by the largest remainder, at least so many each where there is enough for that.

    >>> proportional(np.array([6, 3, 1]), 5).tolist()
    [3, 1, 1]
    """
    floor = least if total >= least * len(weights) else 0
    exact = weights / weights.sum() * total
    counts: NDArray[np.int64] = np.maximum(np.floor(exact).astype(np.int64), floor)
    order = np.argsort(counts - exact, kind="stable")  # those that lack most come first
    counts[order[: max(total - int(counts.sum()), 0)]] += 1
    while counts.sum() > total:  # the least has given away too much: take from those that have most
        counts[counts.argmax()] -= 1
    return counts


def _positions(index: int, count: int, split: str, seed: int) -> NDArray[np.float64]:
    """Draw different corners (count, 2) on the 100 m grid of a city."""
    halves = 2 if split == "train" else 1
    reach = _reach(index)
    steps = int(np.ceil(np.sqrt(count * CELLS_PER_PATCH / (2 * halves))))
    steps = min(max(steps, 15), reach)
    cells = halves * steps * 2 * steps
    if count > cells:
        raise So2SatError(
            f"{count:,} patches of {facts.cities()[index].key}",
            found=f"room for {cells:,}",
            expected="at most that many",
            remedy="ask for fewer rows",
        )
    rng = np.random.default_rng([seed, SPLITS.index(split), POSITIONS, index])
    row, column = np.divmod(rng.choice(cells, count, replace=False), halves * steps)
    west = 0 if split == "test" else -steps
    corners: NDArray[np.float64] = grid_origin(index) + SPACING * np.stack(
        [column + west, row - steps], axis=1
    )
    return corners


@cache
def grid_origin(index: int) -> NDArray[np.float64]:
    """Return the grid's origin (2,): the centre of the city, with an offset below 10 m that is its own."""
    offset = np.random.default_rng([ORIGINS, index]).uniform(0, 10, 2).round(4)
    origin: NDArray[np.float64] = np.floor(_centers()[index] / SPACING) * SPACING + offset
    return origin


@cache
def _centers() -> NDArray[np.float64]:
    """Return the centres (cities, 2) of all cities in UTM metres of their own zones."""
    cities = facts.cities()
    centers = [utm_of(city.epsg, np.array([city.longitude]), np.array([city.latitude])) for city in cities]
    return np.array(centers).reshape(-1, 2)


@cache
def _reach(index: int) -> int:
    """Return how many steps a grid may reach, so that no position is nearer to another city of the zone."""
    cities = facts.cities()
    same = np.array([city.epsg == cities[index].epsg for city in cities])
    same[index] = False
    distance = np.hypot(*(_centers()[same] - _centers()[index]).T)
    nearest = distance.min() if len(distance) else np.inf
    return int(min(MAX_STEPS, nearest / 2 / np.sqrt(2) / SPACING - 5))
