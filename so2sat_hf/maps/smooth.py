"""Filters of maps, as local climate zones want them: single cells are no zone. Pure."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from so2sat_hf.errors import So2SatError

WAYS = ("none", "majority", "gaussian")
NOTHING = -1


def smoothed(
    probabilities: NDArray[np.float32], known: NDArray[np.bool_], way: str, metres: float, cell: float
) -> NDArray[np.int64]:
    """Return the class of each cell, 0 to 16, or -1 where nothing is known.

    Args:
        probabilities: (17, rows, columns).
        known: (rows, columns).
        way: ``none``; ``majority``: the most frequent class within a radius; ``gaussian``: the most probable
            one after a Gaussian filter of the probabilities.
        metres: radius, or standard deviation.
        cell: metres along a cell.

    Raises:
        So2SatError: another way.
    """
    if way not in WAYS:
        raise So2SatError("--smooth", found=way, expected=" or ".join(WAYS))
    best = probabilities.argmax(axis=0)
    if way == "none" or metres <= 0:
        return np.where(known, best, NOTHING)
    highest = np.full(known.shape, -1.0, np.float32)
    found = best.copy()
    for index in range(len(probabilities)):
        if way == "majority":
            layer = ((best == index) & known).astype(np.float32)
            score = ndimage.convolve(layer, _disc(metres / cell), mode="constant")
            score += np.where(best == index, np.float32(0.5), np.float32(0))  # a tie leaves a cell as it is
        else:
            layer = np.where(known, probabilities[index], np.float32(0))
            score = ndimage.gaussian_filter(layer, metres / cell, mode="constant")
        better = score > highest
        highest[better], found[better] = score[better], index
    return np.where(known, found, NOTHING)


def _disc(radius: float) -> NDArray[np.float32]:
    """Return 1 in cells whose centre is within a radius, in cells, else 0."""
    reach = int(radius)
    down, along = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return (down**2 + along**2 <= radius**2).astype(np.float32)


def entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (rows, columns) how undecided a model is: 0 for sure, 1 for all classes alike."""
    logs = np.log(np.maximum(probabilities, 1e-12))
    return -(probabilities * logs).sum(axis=0) / np.float32(np.log(len(probabilities)))
