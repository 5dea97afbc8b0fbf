"""How near the patches of one split are to those of another: overlap, duplicates, distances. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from so2sat_hf.maps.positions import SIDE, Positions

TOUCH = 1e-6
"""Metres of rounding: patches that share an edge do not overlap."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One split as seen from the patches of another."""

    version: str
    """Whose splits."""

    split: str
    """Whose patches look around."""

    other: str
    """Whose patches they look for; the same split: other patches of it."""

    patches: int
    """Of ``split``."""

    overlapping: int
    """Patches that share ground with one of ``other``."""

    identical: int
    """Patches that lie exactly where one of ``other`` lies."""

    distance: NDArray[np.float64]
    """(k,) metres from centre to the nearest centre of ``other``, for patches with one in their UTM zone."""

    cities: Mapping[str, tuple[int, int]]
    """City -> patches of ``split`` and how many of them overlap; in alphabetical order."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        quantiles = np.quantile(self.distance, [0, 0.25, 0.5, 0.75, 1]).tolist() if len(self.distance) else []
        return {
            "version": self.version, "split": self.split, "other": self.other, "patches": self.patches,
            "overlapping": self.overlapping, "identical": self.identical,
            "distance_m": dict(zip(("min", "25%", "median", "75%", "max"), quantiles, strict=False)),
            "cities": {name: {"patches": of, "overlapping": hit} for name, (of, hit) in self.cities.items()},
        }  # fmt: skip


def nearest(corner: NDArray[np.float64], others: NDArray[np.float64], *, norm: float, same: bool) -> Any:  # noqa: ANN401
    """Return (n,) distances to the nearest of others; to another one if both are the same patches."""
    tree = cKDTree(others)
    count = 2 if same else 1
    found, _ = tree.query(corner, k=[count], p=norm)
    return found[:, 0]


def look(positions: Positions, version: str, split: str, other: str) -> Pair:
    """Compare two splits of a version, or a split with itself.

    Args:
        positions: of the patches.
        version: whose splits.
        split: ``train``, ``validation`` or ``test``.
        other: the same, or another one.
    """
    mine, theirs = positions.of(version, split), positions.of(version, other)
    square = np.full(len(mine), np.inf)  # largest of both offsets
    straight = np.full(len(mine), np.inf)
    for code in np.unique(positions.epsg[mine]):
        here = positions.epsg[mine] == code
        there = theirs[positions.epsg[theirs] == code]
        if len(there) < (2 if split == other else 1):
            continue
        corner, others = positions.corner[mine[here]], positions.corner[there]
        square[here] = nearest(corner, others, norm=np.inf, same=split == other)
        straight[here] = nearest(corner, others, norm=2, same=split == other)
    hit = square < SIDE - TOUCH
    cities = {
        str(city): (int((positions.city[mine] == city).sum()), int(hit[positions.city[mine] == city].sum()))
        for city in np.unique(positions.city[mine])
    }
    return Pair(
        version, split, other, len(mine), int(hit.sum()), int((square < TOUCH).sum()),
        straight[np.isfinite(straight)], cities,
    )  # fmt: skip


def neighbours(positions: Positions, versions: Sequence[str] = ()) -> list[Pair]:
    """Compare every split of some versions (default: all) with those before it, and with itself.

    A test is compared with training and validation, a validation with training.
    """
    found = []
    for version in versions or tuple(positions.splits):
        names = positions.names(version)
        for number in reversed(range(len(names))):
            found += [look(positions, version, names[number], other) for other in names[: number + 1]]
    return found


@dataclass(frozen=True, slots=True)
class Repeated:
    """A position where more than one patch lies."""

    city: str
    """Key."""

    ids: tuple[str, ...]
    """Of the patches, in the order of their ids."""

    labels: tuple[int, ...]
    """Of the patches, 0 to 16."""


def repeated(positions: Positions, rows: NDArray[np.int64] | None = None) -> list[Repeated]:
    """Return positions with more than one patch, among some rows or all of them."""
    rows = np.arange(len(positions)) if rows is None else rows
    keys = np.column_stack([positions.epsg[rows], np.round(positions.corner[rows] / TOUCH)])
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    found = []
    for number in np.flatnonzero(counts > 1):
        together = rows[np.flatnonzero(inverse.ravel() == number)]
        together = together[np.argsort(positions.ids[together])]
        found.append(
            Repeated(
                str(positions.city[together[0]]),
                tuple(str(name) for name in positions.ids[together]),
                tuple(int(label) for label in positions.label[together]),
            )
        )
    return sorted(found, key=lambda each: (each.city, each.ids))
