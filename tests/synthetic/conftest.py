"""Splits of 4,000 generated patches, measured block by block so that they need not be in memory."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from so2sat_hf.synthetic import lay_out, posterior, statistics
from so2sat_hf.synthetic.generate import blocks, statistics_of


@dataclass(frozen=True)
class Survey:
    """What was measured on the patches of a split."""

    label: np.ndarray  # (n,)
    drawn: np.ndarray  # (n, 23) what the patches were made from
    seen: np.ndarray  # (n, 23) what their pixels show
    ideal: np.ndarray  # (n, 17)
    by_sen1: np.ndarray  # (n, 17) judged by S1 alone
    by_sen2: np.ndarray  # (n, 17) judged by S2 alone
    means: np.ndarray  # (n, 18) of each patch
    squares: np.ndarray  # (n, 18) mean squares of each patch
    zeros: np.ndarray  # (n, 18) share of pixels that are 0
    some: np.ndarray  # (n, 8, 18) eight pixels of each patch


@cache
def survey_of(split, num_rows, seed):
    layout = lay_out(split, num_rows, seed=seed)
    parts = []
    for start, sen1, sen2 in blocks(layout, seed=seed):
        pixels = np.concatenate([sen1, sen2], axis=3).reshape(len(sen1), -1, 18)
        parts.append(
            {
                "drawn": statistics_of(layout, start, seed=seed),
                "seen": statistics(sen1, sen2),
                "ideal": posterior(sen1, sen2),
                "by_sen1": posterior(sen1, None),
                "by_sen2": posterior(None, sen2),
                "means": pixels.mean(axis=1),
                "squares": np.square(pixels).mean(axis=1),
                "zeros": (pixels == 0).mean(axis=1),
                "some": pixels[:, ::128].copy(),
            }
        )
    return Survey(layout.label, **{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


@pytest.fixture(params=[0, 1])
def train(request):
    return survey_of("train", 4000, request.param)


@pytest.fixture(params=[0, 1])
def test(request):
    """Patches of ten cities that are not in train."""
    return survey_of("test", 4000, request.param)


@pytest.fixture
def both_splits():
    return survey_of("train", 4000, 0), survey_of("test", 4000, 0)
