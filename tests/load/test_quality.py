"""How well a stream is shuffled: the numbers are those of the extremes, and better for larger windows."""

import numpy as np
import pytest

from so2sat_hf.load.order import Topology, layout
from so2sat_hf.load.quality import class_mix, neighbour_distance, neighbours_together

GROUPS = (128,) * 64
STORED = np.arange(sum(GROUPS))


def streamed(window: int) -> np.ndarray:
    return layout(GROUPS, Topology(64, window=window), seed=0, epoch=0).given(0, 0)


def test_stored_order_and_a_whole_shuffle() -> None:
    """The ends of each scale."""
    shuffled = np.random.default_rng(0).permutation(STORED)
    many = [np.random.default_rng(seed).permutation(STORED) for seed in range(20)]

    assert neighbour_distance(STORED) == pytest.approx(3 / (len(STORED) + 1))
    assert neighbour_distance(shuffled) == pytest.approx(1, rel=0.03)
    assert neighbours_together(STORED, 64) == pytest.approx(len(STORED) / 64, rel=0.03)
    assert np.mean([neighbours_together(rows, 64) for rows in many]) == pytest.approx(1, rel=0.1)


def test_class_mix() -> None:
    """0 where every batch is like the split; half the classes missing is a half."""
    assert class_mix([0, 1, 2, 3] * 100, 4) == 0
    assert class_mix([0, 1] * 10 + [2, 3] * 10, 20) == pytest.approx(0.5)
    assert class_mix([0] * 10 + [1] * 10 + [1], 10) == pytest.approx((11 / 21 + 10 / 21) / 2)
    assert class_mix([3], 8) == 0


def test_larger_windows_shuffle_better() -> None:
    """As they are documented: more memory buys distance, mixture, and fewer neighbours in a batch."""
    classes = STORED // 500
    orders = [streamed(window) for window in (1, 4, 16, 64)]
    distance = [neighbour_distance(rows) for rows in orders]
    together = [neighbours_together(rows, 64) for rows in orders]
    mix = [class_mix(classes[rows], 64) for rows in orders]

    assert distance == sorted(distance)
    assert together == sorted(together, reverse=True)
    assert mix == sorted(mix, reverse=True)
    assert distance[-1] == pytest.approx(1, rel=0.03)
    assert [
        round(value * window / 64, 1) for value, window in zip(together, (1, 4, 16, 64), strict=True)
    ] == [pytest.approx(1, abs=0.2)] * 4


def test_one_patch_is_shuffled() -> None:
    assert neighbour_distance(np.array([5])) == neighbours_together(np.array([5]), 8) == 1
