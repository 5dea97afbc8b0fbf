"""Cross entropy for labels that may be blended, smoothed, or differ in their weight."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from so2sat_hf.errors import So2SatError
from so2sat_hf.facts import NUM_CLASSES

WEIGHTINGS = ("none", "inverse", "sqrt")


def class_weights(counts: Sequence[int] | NDArray[np.int64], weighting: str) -> torch.Tensor | None:
    """Return a weight for each class, or None where all are alike.

    The weights of all training patches sum to their number, so that learning rates keep their meaning. A
    class without patches weighs nothing.

    Args:
        counts: (17,) patches of each class in training.
        weighting: ``none``; ``inverse``: 1 / count; ``sqrt``: 1 / square root of count.

    Raises:
        So2SatError: an unknown weighting, or no patches.
    """
    if weighting not in WEIGHTINGS:
        raise So2SatError("class weights", found=repr(weighting), expected=" or ".join(WEIGHTINGS))
    found = np.asarray(counts, np.float64)
    if found.shape != (NUM_CLASSES,) or not found.sum():
        raise So2SatError(
            "class counts", found=f"{found.tolist()}", expected=f"{NUM_CLASSES} counts, not all 0"
        )
    if weighting == "none":
        return None
    power = -1.0 if weighting == "inverse" else -0.5
    weights = np.where(found > 0, np.power(np.maximum(found, 1), power), 0.0)
    return torch.tensor(weights * found.sum() / (weights * found).sum(), dtype=torch.float32)


def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    soft_labels: torch.Tensor | None = None,
    *,
    weights: torch.Tensor | None = None,
    smoothing: float = 0.0,
    num_items: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """Return the cross entropy of a batch, in float32.

    Args:
        logits: (b, 17).
        labels: (b,), 0 to 16.
        soft_labels: (b, 17) probabilities, which then take the place of labels.
        weights: (17,) of the classes.
        smoothing: share of every label that is spread evenly over all classes.
        num_items: patches that the sum is divided by, those of all micro-batches of a step; default: b.
    """
    logits = logits.float()
    count = len(logits) if num_items is None else num_items
    if soft_labels is None and weights is None and not smoothing:
        return functional.cross_entropy(logits, labels, reduction="sum") / count
    if soft_labels is None:
        soft_labels = functional.one_hot(labels, logits.shape[-1])
    target = soft_labels.to(logits.dtype)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / logits.shape[-1]
    if weights is not None:
        target = target * weights.to(logits.device)
    return -(target * functional.log_softmax(logits, dim=-1)).sum() / count
