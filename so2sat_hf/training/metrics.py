"""What a classification of local climate zones is worth, from one confusion matrix. Pure numpy.

C[i, j] counts patches of reference class i that were predicted as class j, N is their sum, w the similarity
of classes (1 for a class with itself).

======================== ==================================================================================
name                     definition
======================== ==================================================================================
oa                       overall accuracy: trace C / N
aa                       average accuracy: mean over the classes present of producer's accuracy (recall);
                         also called balanced accuracy
kappa                    (oa - pe) / (1 - pe), pe = sum of row share x column share (Cohen 1960)
macro_f1                 mean of F1 over the classes that occur in reference or prediction
weighted_f1              mean of F1 weighted by the patches of the reference
oa_weighted              sum of w x C / N (Bechtel, Demuzere and Stewart 2020, Remote Sensing 12, 1769)
oa_built_vs_natural      oa of two classes, built (LCZ 1 to 10) and natural (LCZ A to G)
oa_built                 of pairs where both are built: those on the diagonal (OA_u of WUDAPT)
oa_natural               the same for natural
oa_of_built, _of_natural of patches whose reference is built (natural), whatever was predicted: those right
ece                      expected calibration error over 15 bins of equal width (Guo et al. 2017)
======================== ==================================================================================

A class without patches has no producer's accuracy, one that was never predicted no user's accuracy: NaN.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.facts import NUM_CLASSES

BUILT = np.array([lcz.built for lcz in facts.classes()])
BINS = 15
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each class was taken for each."""

    counts: NDArray[np.int64]
    """(17, 17): rows reference, columns prediction, in label order."""

    def __post_init__(self) -> None:
        """Refuse what is no confusion matrix."""
        if self.counts.shape != (NUM_CLASSES, NUM_CLASSES) or (self.counts < 0).any():
            raise So2SatError(
                "confusion matrix",
                found=f"shape {self.counts.shape}",
                expected=f"({NUM_CLASSES}, {NUM_CLASSES}), counts from 0",
            )

    @classmethod
    def of(cls, labels: Any, predictions: Any) -> "Confusion":  # noqa: ANN401
        """Count pairs of (n,) labels and (n,) predicted labels, 0 to 16.

        Raises:
            So2SatError: other numbers, or not as many of the one as of the other.
        """
        reference, predicted = (_labels(values) for values in (labels, predictions))
        if len(reference) != len(predicted):
            raise So2SatError(
                "predictions", found=f"{len(predicted):,}", expected=f"{len(reference):,} labels"
            )
        flat = np.bincount(reference * NUM_CLASSES + predicted, minlength=NUM_CLASSES**2)
        return cls(flat.reshape(NUM_CLASSES, NUM_CLASSES).astype(np.int64))

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.counts + other.counts)

    @property
    def total(self) -> int:
        """Patches."""
        return int(self.counts.sum())

    @property
    def producers_accuracy(self) -> NDArray[np.float64]:
        """(17,): recall of each class."""
        return _ratio(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def users_accuracy(self) -> NDArray[np.float64]:
        """(17,): precision of each class."""
        return _ratio(np.diag(self.counts), self.counts.sum(axis=0))

    @property
    def f1(self) -> NDArray[np.float64]:
        """(17,): F1 of each class; NaN for one that occurs nowhere."""
        return _ratio(2 * np.diag(self.counts), self.counts.sum(axis=0) + self.counts.sum(axis=1))

    def metrics(self) -> dict[str, float]:
        """Return the numbers of the table above, but ``ece``; NaN where nothing tells."""
        counts = self.counts.astype(np.float64)
        total, right = counts.sum(), np.diag(counts)
        rows, columns = counts.sum(axis=1), counts.sum(axis=0)
        chance = float(rows @ columns) / total**2 if total else np.nan
        oa = _share(right.sum(), total)
        weight = np.array(facts.similarity())
        same_kind = BUILT[:, None] == BUILT[None, :]
        found = {
            "oa": oa,
            "aa": _mean(self.producers_accuracy),
            "kappa": _share(oa - chance, 1 - chance),
            "macro_f1": _mean(self.f1),
            "weighted_f1": _share(float(np.nansum(self.f1 * rows)), total),
            "oa_weighted": _share((weight * counts).sum(), total),
            "oa_built_vs_natural": _share(counts[same_kind].sum(), total),
        }
        for name, which in (("built", BUILT), ("natural", ~BUILT)):
            found[f"oa_{name}"] = _share(right[which].sum(), counts[np.ix_(which, which)].sum())
            found[f"oa_of_{name}"] = _share(right[which].sum(), rows[which].sum())
        return {name: float(value) for name, value in found.items()}


def from_predictions(labels: Any, predictions: Any) -> dict[str, float]:  # noqa: ANN401
    """Return the metrics of (n,) labels and (n,) predictions, or (n, 17) probabilities (then with ``ece``).

    Raises:
        So2SatError: other shapes or numbers.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 2:
        metrics = Confusion.of(labels, predictions.argmax(axis=1)).metrics()
        return {**metrics, "ece": calibration(labels, predictions).error}
    return Confusion.of(labels, predictions).metrics()


@dataclass(frozen=True, eq=False)
class Calibration:
    """Whether a model is as often right as it is sure."""

    confidence: NDArray[np.float64]
    """(15,): mean probability of the predicted class in each bin; NaN where none is."""

    accuracy: NDArray[np.float64]
    """(15,): share of right ones."""

    count: NDArray[np.int64]
    """(15,): patches."""

    @property
    def error(self) -> float:
        """Expected calibration error."""
        gaps = np.abs(self.confidence - self.accuracy)
        return _share(float(np.nansum(gaps * self.count)), int(self.count.sum()))


def calibration(labels: Any, probabilities: Any) -> Calibration:  # noqa: ANN401
    """Compare sureness and accuracy in 15 bins of equal width.

    Args:
        labels: (n,), 0 to 16.
        probabilities: (n, 17), each row sums to 1.

    Raises:
        So2SatError: something else than probabilities.
    """
    reference, sure = _labels(labels), np.asarray(probabilities, np.float64)
    if sure.shape != (len(reference), NUM_CLASSES) or (
        len(sure) and np.abs(sure.sum(axis=1) - 1).max() > 1e-3
    ):
        raise So2SatError(
            "probabilities",
            found=f"shape {sure.shape}"
            + ("" if sure.ndim < 2 or not len(sure) else ", rows that do not sum to 1"),
            expected=f"({len(reference)}, {NUM_CLASSES}), rows that sum to 1",
        )
    top = sure.max(axis=1)
    right = sure.argmax(axis=1) == reference
    which = np.minimum((top * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    confidence, accuracy = (np.bincount(which, values, BINS) for values in (top, right.astype(np.float64)))
    return Calibration(_ratio(confidence, count), _ratio(accuracy, count), count.astype(np.int64))


def by_group(labels: Any, predictions: Any, groups: Sequence[str]) -> dict[str, Confusion]:  # noqa: ANN401
    """Return a confusion matrix for each group, e.g. city, in alphabetical order."""
    reference, predicted, names = _labels(labels), _labels(predictions), np.asarray(groups, dtype=str)
    return {
        str(name): Confusion.of(reference[names == name], predicted[names == name])
        for name in np.unique(names)
    }


def intervals(
    groups: Mapping[str, Confusion],
    *,
    names: Iterable[str] = ("oa", "aa", "kappa", "macro_f1"),
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of metrics, by drawing whole groups with replacement, 1,000 times.

    Patches of one city resemble each other: drawing patches would give intervals that are far too narrow.

    Args:
        groups: at least two, e.g. cities, from :func:`by_group`.
        names: which metrics.
        seed: of the draws.

    Raises:
        So2SatError: fewer than two groups.
    """
    if len(groups) < 2:
        raise So2SatError("groups", found=f"{len(groups)}", expected="at least two, to draw from")
    stack = np.stack([each.counts for each in groups.values()])
    rng = np.random.default_rng(seed)
    drawn = [
        Confusion(stack[rng.integers(0, len(stack), len(stack))].sum(axis=0)).metrics()
        for _ in range(RESAMPLES)
    ]
    found = {}
    for name in names:
        low, high = np.nanpercentile([each[name] for each in drawn], [2.5, 97.5])
        found[name] = (float(low), float(high))
    return found


def _labels(values: Any) -> NDArray[np.int64]:  # noqa: ANN401
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise So2SatError(
            "labels", found=f"{array.dtype} of shape {array.shape}", expected="whole numbers (n,)"
        )
    if len(array) and not 0 <= array.min() <= array.max() < NUM_CLASSES:
        raise So2SatError(
            "labels", found=f"{array.min()} to {array.max()}", expected=f"0 to {NUM_CLASSES - 1}"
        )
    return array.astype(np.int64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
