"""Metrics: against scikit-learn, against a matrix worked by hand, and at their edges."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.training.metrics import (
    Confusion,
    by_group,
    calibration,
    from_predictions,
    intervals,
)

PAIRS = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), min_size=1, max_size=200)


@given(PAIRS)
def test_they_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    """Also where classes are absent from reference or prediction."""
    labels, predictions = (np.array(column) for column in zip(*pairs, strict=True))
    found = from_predictions(labels, predictions)
    present = sorted(set(labels.tolist()))
    seen = sorted({*labels.tolist(), *predictions.tolist()})

    recall = sklearn_metrics.recall_score(labels, predictions, labels=present, average=None, zero_division=0)
    f1 = sklearn_metrics.f1_score(labels, predictions, labels=seen, average=None, zero_division=0)
    wanted = {
        "oa": sklearn_metrics.accuracy_score(labels, predictions),
        "aa": recall.mean(),
        "macro_f1": f1.mean(),
        "weighted_f1": sklearn_metrics.f1_score(labels, predictions, average="weighted", zero_division=0),
    }
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    kappa = sklearn_metrics.cohen_kappa_score(labels, predictions) if len(seen) > 1 else math.nan
    assert found["kappa"] == pytest.approx(kappa, abs=1e-12, nan_ok=True)
    matrix = sklearn_metrics.confusion_matrix(labels, predictions, labels=range(17))
    assert np.array_equal(Confusion.of(labels, predictions).counts, matrix)


def test_a_matrix_worked_by_hand() -> None:
    """Four classes of 17 occur: LCZ 2 and 6 (built), A and G (natural); 100 patches."""
    counts = np.zeros((17, 17), np.int64)
    lcz2, lcz6, trees, water = 1, 5, 10, 16
    counts[lcz2, lcz2], counts[lcz2, lcz6], counts[lcz2, trees] = 20, 8, 2  # 30 of LCZ 2
    counts[lcz6, lcz6], counts[lcz6, lcz2] = 25, 5  # 30 of LCZ 6
    counts[trees, trees], counts[trees, lcz6] = 18, 2  # 20 of A
    counts[water, water], counts[water, trees] = 19, 1  # 20 of G
    confusion = Confusion(counts)

    found = confusion.metrics()

    oa = 82 / 100
    chance = (30 * 25 + 30 * 35 + 20 * 21 + 20 * 19) / 100**2  # rows x columns
    f1 = [2 * 20 / 55, 2 * 25 / 65, 2 * 18 / 41, 2 * 19 / 39]
    similar = {
        pair: 1 - distance / 12 for pair, distance in {(1, 5): 5, (1, 10): 7, (5, 10): 4, (16, 10): 4}.items()
    }
    weighted = 82 + 13 * similar[1, 5] + 2 * similar[1, 10] + 2 * similar[5, 10] + 1 * similar[16, 10]
    wanted = {
        "oa": oa,
        "aa": (20 / 30 + 25 / 30 + 18 / 20 + 19 / 20) / 4,
        "kappa": (oa - chance) / (1 - chance),
        "macro_f1": sum(f1) / 4,
        "weighted_f1": (30 * f1[0] + 30 * f1[1] + 20 * f1[2] + 20 * f1[3]) / 100,
        "oa_weighted": weighted / 100,
        "oa_built_vs_natural": 96 / 100,
        "oa_built": 45 / 58,
        "oa_natural": 37 / 38,
        "oa_of_built": 45 / 60,
        "oa_of_natural": 37 / 40,
    }
    assert found == pytest.approx(wanted)
    assert confusion.producers_accuracy[lcz2] == pytest.approx(20 / 30)
    assert confusion.users_accuracy[lcz2] == pytest.approx(20 / 25)
    assert np.isnan(confusion.f1[0])


def test_similar_classes_weigh_as_published() -> None:
    """All right is 1; all taken for the class that is farthest is the similarity of the two."""
    similarity = np.array(facts.similarity())
    compact, water = 0, 16

    perfect = from_predictions(np.arange(17), np.arange(17))
    far = from_predictions(np.full(5, compact), np.full(5, water))

    assert perfect["oa_weighted"] == 1
    assert far["oa_weighted"] == pytest.approx(similarity[compact, water])
    assert far["oa_built_vs_natural"] == 0


def test_calibration_by_hand() -> None:
    """Two bins: sure to 0.95 and right in 3 of 4; sure to 0.55 and right in 1 of 2."""
    probabilities = np.zeros((6, 17))
    probabilities[:4, 0], probabilities[:4, 1] = 0.95, 0.05
    probabilities[4:, 0], probabilities[4:, 1] = 0.55, 0.45
    labels = np.array([0, 0, 0, 1, 0, 1])

    found = calibration(labels, probabilities)

    assert found.error == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.05)
    assert found.count.sum() == 6
    assert from_predictions(labels, probabilities)["ece"] == pytest.approx(found.error)
    assert calibration(np.arange(17), np.eye(17)).error == 0


def test_cities_and_their_intervals() -> None:
    """Groups add up to the whole; intervals come from the spread between cities, and repeat."""
    rng = np.random.default_rng(0)
    cities = np.repeat(["munich", "cairo", "sydney", "tehran"], 200)
    labels = rng.integers(0, 17, 800)
    wrong = rng.random(800) < np.repeat([0.1, 0.3, 0.5, 0.2], 200)
    predictions = np.where(wrong, (labels + 1) % 17, labels)

    groups = by_group(labels, predictions, cities)
    found = intervals(groups, seed=1)

    assert list(groups) == ["cairo", "munich", "sydney", "tehran"]
    whole = Confusion.of(labels, predictions)
    assert np.array_equal(sum(groups.values(), Confusion(np.zeros((17, 17), np.int64))).counts, whole.counts)
    low, high = found["oa"]
    assert low < whole.metrics()["oa"] < high
    assert 0.15 < high - low < 0.5
    assert intervals(groups, seed=1) == found
    same = dict.fromkeys(groups, groups["cairo"])
    assert intervals(same)["oa"][0] == pytest.approx(intervals(same)["oa"][1])


WRONG: dict[str, tuple[Any, Any, str]] = {
    "too few": ([0, 1], [0], "predictions: 1; expected 2 labels"),
    "no class": ([0, 17], [0, 0], "labels: 0 to 17; expected 0 to 16"),
    "negative": ([0, -1], [0, 0], "labels: -1 to 0"),
    "floats": ([0.0], [0], "labels: float64 of shape"),
    "no probabilities": ([0], np.full((1, 17), 0.5), "rows that do not sum to 1"),
    "other classes": ([0], np.ones((1, 10)) / 10, r"probabilities: shape \(1, 10\)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str) -> None:
    """One error each."""
    labels, predictions, message = WRONG[what]
    with pytest.raises(So2SatError, match=message):
        from_predictions(np.array(labels), np.array(predictions))


def test_nothing_and_one_city_are_no_evidence() -> None:
    """NaN rather than a number, an error rather than an interval of nothing."""
    nothing = from_predictions(np.array([], int), np.array([], int))

    assert all(math.isnan(value) for value in nothing.values())
    with pytest.raises(So2SatError, match="groups: 1; expected at least two"):
        intervals({"munich": Confusion.of([0], [0])})
    with pytest.raises(So2SatError, match="confusion matrix: shape"):
        Confusion(np.zeros((3, 3), np.int64))
