"""How well a stream is shuffled, in numbers. Pure: they are computed from an order, without reading patches.

Where patches that lie beside each other are of one place or class (the published files are shuffled, others
may not be), a small window leaves traces of that in the batches. These numbers tell how much, beside a
shuffle of the whole split.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.load.order import Numbers


def neighbour_distance(rows: Numbers) -> float:
    """Return the mean distance in stored order between patches that follow each other in a stream.

    Args:
        rows: (n,) of the split, in the order of the stream.

    Returns:
        As a share of what a shuffle of these n rows gives on average, (n + 1) / 3: 1 is perfect, and the
        stored order has 3 / (n + 1). Row groups in random order alone have nearly that.
    """
    if len(rows) < 2:
        return 1.0
    ranks = np.argsort(np.argsort(rows, kind="stable"), kind="stable")
    return float(np.abs(np.diff(ranks)).mean() / ((len(rows) + 1) / 3))


def neighbours_together(rows: Numbers, batch_size: int) -> float:
    """Return how many stored neighbours come in one batch, beside a shuffle of all rows.

    Args:
        rows: (n,) of the split, in the order of the stream.
        batch_size: patches in a batch.

    Returns:
        Pairs of rows that follow each other in the split and come in one batch, as a multiple of what a
        shuffle of these n rows gives on average: 1 is perfect, the stored order has about n / batch_size.
    """
    if len(rows) < 2:
        return 1.0
    batch = np.empty(int(rows.max()) + 1, np.int64)
    batch[rows] = np.arange(len(rows)) // batch_size
    together = float((np.diff(batch[np.sort(rows)]) == 0).mean())
    sizes = np.bincount(np.arange(len(rows)) // batch_size).astype(np.float64)
    by_chance = float((sizes * (sizes - 1)).sum() / (len(rows) * (len(rows) - 1)))
    return together / by_chance if by_chance else 1.0


def class_mix(labels: Sequence[int] | NDArray[np.int64], batch_size: int) -> float:
    """Return how far the classes of a batch are from those of the split, on average over the batches.

    Args:
        labels: (n,) in the order of the stream.
        batch_size: patches in a batch; a short last one is left out.

    Returns:
        Total-variation distance between the share of each class in a batch and in all n: 0 if every batch is
        mixed like the split, towards 1 if each holds a rare class alone. A random batch is not at 0 either:
        compare with :func:`class_mix` of shuffled labels.
    """
    labels = np.asarray(labels, np.int64)
    count = len(labels) // batch_size
    if not count:
        return 0.0
    num_classes = int(labels.max()) + 1
    whole = np.bincount(labels, minlength=num_classes) / len(labels)
    cells = np.arange(count * batch_size) // batch_size * num_classes + labels[: count * batch_size]
    parts = np.bincount(cells, minlength=count * num_classes).reshape(count, num_classes) / batch_size
    return float(np.abs(parts - whole).sum(axis=1).mean() / 2)
