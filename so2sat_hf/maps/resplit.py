"""Honest splits: no patch of a test overlaps one of its training, nor comes nearer than wanted. Pure.

======== ==========================================================================================
by       a fold is
======== ==========================================================================================
city     whole cities, so many patches in each fold as can be: tests are other cities than trainings
block    squares of ground, shared out at random; patches near a border of folds are left out
distance as block, but patches are left out only where one of another fold really is too near
======== ==========================================================================================

Fold k of K: its own patches are the test, those of the other folds the training, less the patches that come
nearer than the buffer to the test.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from so2sat_hf.errors import So2SatError
from so2sat_hf.maps.neighbours import TOUCH
from so2sat_hf.maps.positions import SIDE, Positions

WAYS = ("city", "block", "distance")
NOWHERE = -1
"""Fold of patches that are in none."""


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Patches shared out."""

    positions: Positions
    """Of the patches."""

    fold: NDArray[np.int64]
    """(n,) 0 to K - 1, or -1 for patches that are left out of every fold."""

    count: int
    """K."""

    buffer: float
    """Metres that training patches keep from the edge of test patches."""

    def test(self, fold: int) -> NDArray[np.int64]:
        """Return the rows of a test."""
        return np.flatnonzero(self.fold == fold)

    def train(self, fold: int) -> NDArray[np.int64]:
        """Return the rows of a training: those of other folds, as far as they keep their distance."""
        test = self.test(fold)
        train = np.flatnonzero((self.fold != fold) & (self.fold != NOWHERE))
        near = np.zeros(len(train), bool)
        for code in np.unique(self.positions.epsg[test]):
            here = np.flatnonzero(self.positions.epsg[train] == code)
            others = self.positions.corner[test[self.positions.epsg[test] == code]]
            if len(here):
                found, _ = cKDTree(others).query(self.positions.corner[train[here]], k=1, p=np.inf)
                near[here] = found < SIDE + self.buffer - TOUCH
        return train[~near]

    def table(self) -> pa.Table:
        """Return fold, split and id, a row for each patch of each fold: what ``ids=`` takes, filtered."""
        parts = []
        for number in range(self.count):
            for split, rows in (("train", self.train(number)), ("test", self.test(number))):
                ids = self.positions.ids[rows]
                parts.append(
                    pa.table(
                        {
                            "fold": pa.array(np.full(len(ids), number, np.int32)),
                            "split": pa.array([split] * len(ids)),
                            "id": pa.array(np.sort(ids)),
                        }
                    )
                )
        return pa.concat_tables(parts)


def share_out(
    positions: Positions,
    *,
    by: str = "city",
    folds: int = 5,
    buffer: float = 0.0,
    block: float = 5_000.0,
    seed: int = 0,
) -> Folds:
    """Share patches out into folds.

    Args:
        positions: of the patches.
        by: ``city``, ``block`` or ``distance``.
        folds: how many, at least 2.
        buffer: metres between the edges of training and test patches, at least 0.
        block: metres along a block.
        seed: of what is random.

    Raises:
        So2SatError: an argument that cannot be, or fewer cities or blocks than folds.
    """
    _check(by, folds, buffer, block)
    groups, sizes = _groups(positions, by, block)
    if len(sizes) < folds:
        what = "cities" if by == "city" else "blocks"
        raise So2SatError("--folds", found=f"{folds}", expected=f"at most {len(sizes)}, the {what}")
    fold_of = _balanced(sizes, folds, seed)
    fold = fold_of[groups]
    if by == "block":
        fold = np.where(_near_border(positions, fold, block, buffer), NOWHERE, fold)
    return Folds(positions, fold, folds, buffer)


def _check(by: str, folds: int, buffer: float, block: float) -> None:
    for is_right, name, found, expected in (
        (by in WAYS, "--by", by, " or ".join(WAYS)),
        (folds >= 2, "--folds", str(folds), "at least 2"),
        (buffer >= 0, "--buffer", str(buffer), "at least 0 metres"),
        (block >= SIDE, "--block", str(block), f"at least {SIDE:g} metres, a patch"),
    ):
        if not is_right:
            raise So2SatError(name, found=found, expected=expected)


def _groups(positions: Positions, by: str, block: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of each patch, and the patches of each group."""
    if by == "city":
        _, groups, sizes = np.unique(positions.city, return_inverse=True, return_counts=True)
    else:
        keys = np.column_stack([positions.epsg, _block_of(positions, block)])
        _, groups, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    return groups.ravel(), sizes


def _block_of(positions: Positions, block: float) -> NDArray[np.int64]:
    """Return (n, 2) the block of the centre of each patch."""
    centre = positions.corner + np.array([SIDE / 2, -SIDE / 2])
    return np.floor(centre / block).astype(np.int64)


def _balanced(sizes: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each group: the largest group first, always to the smallest fold."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of, filled = np.zeros(len(sizes), np.int64), np.zeros(folds)
    for group in order:
        smallest = np.flatnonzero(filled == filled.min())
        chosen = int(rng.choice(smallest))
        fold_of[group], filled[chosen] = chosen, filled[chosen] + sizes[group]
    return fold_of


def _near_border(
    positions: Positions, fold: NDArray[np.int64], block: float, buffer: float
) -> NDArray[np.bool_]:
    """Return which patches reach within half the buffer of a block of another fold."""
    blocks = _block_of(positions, block)
    known = {
        (int(code), int(x), int(y)): int(number)
        for code, (x, y), number in zip(positions.epsg, blocks, fold, strict=True)
    }
    reach = SIDE / 2 + buffer / 2
    centre = positions.corner + np.array([SIDE / 2, -SIDE / 2])
    near = np.zeros(len(positions), bool)
    for dx, dy in _around():
        reached = np.floor((centre + reach * np.array([dx, dy])) / block).astype(np.int64)
        for row in np.flatnonzero((reached != blocks).any(axis=1)):
            key = (int(positions.epsg[row]), int(reached[row, 0]), int(reached[row, 1]))
            near[row] |= known.get(key, fold[row]) != fold[row]
    return near


def _around() -> Iterator[tuple[int, int]]:
    return ((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy)
