"""What a model is worth on a split: every number of a report, from its predictions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from so2sat_hf import facts
from so2sat_hf.training.metrics import (
    Calibration,
    Confusion,
    by_group,
    calibration,
    from_predictions,
    intervals,
)
from so2sat_hf.training.predictions import Predictions

HEADLINES = {
    "oa": "Overall accuracy",
    "aa": "Average accuracy",
    "kappa": "Kappa",
    "macro_f1": "Macro F1",
    "oa_weighted": "OA, weighted",
    "ece": "Calibration error",
}
"""Metric -> what it is called at the head of a report."""

DEFINITIONS = {
    "oa": "patches that are right, of all",
    "aa": "mean over the classes of the share that was found (producer's accuracy, recall)",
    "kappa": "agreement beyond what chance would give (Cohen 1960)",
    "macro_f1": "mean of F1 over the classes",
    "weighted_f1": "mean of F1, weighted by the patches of the class",
    "oa_weighted": "as oa, but a similar class counts in part (Bechtel, Demuzere and Stewart 2020)",
    "oa_built_vs_natural": "right on built (LCZ 1 to 10) or natural (LCZ A to G)",
    "oa_built": "of patches that are built and were called built: the right class",
    "oa_natural": "of patches that are natural and were called natural: the right class",
    "oa_of_built": "of all built patches: the right class",
    "oa_of_natural": "of all natural patches: the right class",
    "ece": "mean gap between how sure the model is and how often it is right (Guo et al. 2017, 15 bins)",
}
"""Metric -> what it says, in one line."""

MISTAKES = 24
SAME_MISTAKE = 2
"""Mistakes that are shown, and how often the same pair of classes among them."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A patch of which the model was sure, and wrong."""

    id: str
    """As in the column ``id``."""

    label: int
    """0 to 16."""

    prediction: int
    """0 to 16."""

    probability: float
    """That the model gave to its prediction."""

    city: str | None
    """Key; None without geolocation."""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The numbers of a report."""

    about: Mapping[str, Any]
    """Of what: model, preset, data, split, date, versions of libraries."""

    metrics: Mapping[str, float]
    """Names of :mod:`so2sat_hf.training.metrics`; NaN where nothing tells."""

    intervals: Mapping[str, tuple[float, float]]
    """95 %, over cities; empty with fewer than two cities."""

    confusion: Confusion
    """Of the whole split."""

    cities: Mapping[str, Confusion]
    """City -> its patches; empty without geolocation."""

    calibration: Calibration
    """How sure and how right."""

    mistakes: tuple[Mistake, ...]
    """The surest ones first."""

    @property
    def worst_city(self) -> str | None:
        """The city with the lowest overall accuracy."""
        accuracy = {city: found.metrics()["oa"] for city, found in self.cities.items()}
        return min(accuracy, key=lambda city: accuracy[city]) if accuracy else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them; None where nothing tells."""
        found = self.confusion
        classes = [
            {
                "label": lcz.index, "code": lcz.code, "name": lcz.name,
                "patches": int(found.counts[lcz.index].sum()),
                "producers_accuracy": found.producers_accuracy[lcz.index],
                "users_accuracy": found.users_accuracy[lcz.index],
                "f1": found.f1[lcz.index],
            }
            for lcz in facts.classes()
        ]  # fmt: skip
        cities = [{"city": city, "patches": each.total, **_some(each)} for city, each in self.cities.items()]
        sure = self.calibration
        plain = {
            **self.about,
            "metrics": dict(self.metrics),
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "classes": classes,
            "cities": cities,
            "worst_city": self.worst_city,
            "confusion": found.counts.tolist(),
            "calibration": {
                "confidence": sure.confidence.tolist(),
                "accuracy": sure.accuracy.tolist(),
                "patches": sure.count.tolist(),
            },
            "mistakes": [
                {name: getattr(mistake, name) for name in Mistake.__slots__} for mistake in self.mistakes
            ],
        }
        return _without_nan(plain)


def report_of(predictions: Predictions, about: Mapping[str, Any]) -> Report:
    """Return every number of a report."""
    rows, said = predictions.rows, predictions.prediction
    cities = {} if rows.city is None else by_group(rows.label, said, rows.city)
    return Report(
        about,
        from_predictions(rows.label, predictions.probabilities),
        intervals(cities, names=[name for name in HEADLINES if name != "ece"]) if len(cities) > 1 else {},
        Confusion.of(rows.label, said),
        cities,
        calibration(rows.label, predictions.probabilities),
        worst_mistakes(predictions),
    )


def worst_mistakes(predictions: Predictions, count: int = MISTAKES) -> tuple[Mistake, ...]:
    """Return the wrong predictions of which the model was surest, few of the same kind."""
    rows, said, sure = predictions.rows, predictions.prediction, predictions.confidence
    wrong = np.flatnonzero(said != rows.label)
    seen: dict[tuple[int, int], int] = {}
    found = []
    for row in wrong[np.argsort(-sure[wrong], kind="stable")]:
        kind = (int(rows.label[row]), int(said[row]))
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= SAME_MISTAKE:
            city = None if rows.city is None else rows.city[row]
            found.append(Mistake(rows.ids[row], *kind, float(sure[row]), city))
        if len(found) == count:
            break
    return tuple(found)


def _some(confusion: Confusion) -> dict[str, float]:
    metrics = confusion.metrics()
    return {name: metrics[name] for name in ("oa", "aa", "kappa", "macro_f1")}


def _without_nan(value: Any) -> Any:  # noqa: ANN401
    """Return plain values with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    return value
