"""The class signal of generated patches: statistics that pixels show, and the ideal classifier.

A patch shows its class through 23 statistics only, all the same after flips and quarter turns::

    sen2   0-9   ln of the mean reflectance of each band
          10-14  Haar energy (10, 20, 40, 80, 160 m) of the mean log 10 m band, as logit of its share of a cap
    sen1  15-16  ln of the mean VH_lee, of the mean VV_lee
          17-21  Haar energy of ln VV_lee, as logit of its share of a cap
             22  mean logit of the squared coherence |C12|^2 / (VH_lee VV_lee)

Given the class they are Gaussian with one covariance (:mod:`so2sat_hf.synthetic.moments`), and all else in a
patch is independent of the class. So Bayes' rule on them is the best a classifier can do in an unseen city.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE
from so2sat_hf.errors import So2SatError
from so2sat_hf.synthetic.moments import NUM_STATISTICS, SEN1, SEN2, law, logit
from so2sat_hf.synthetic.pixels import (
    BRIGHT_SEN1,
    BRIGHT_SEN2,
    IS_10M,
    NUM_LEVELS,
    OPTICAL_CAP,
    RADAR_CAP,
    Floats,
    block_means,
    published_limits,
)

BLOCK_ROWS = 256
"""Patches whose logarithms are in memory at once."""


def posterior(
    sen1: NDArray[np.floating] | None,
    sen2: NDArray[np.floating] | None,
    *,
    prior: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Return the probability of every class: the ideal classifier for a patch of an unseen city.

    Args:
        sen1: (n, 32, 32, 8) or (n, 8, 32, 32) linear, or None to judge by sen2 alone.
        sen2: (n, 32, 32, 10) or (n, 10, 32, 32) reflectance, or None to judge by sen1 alone.
        prior: (17,) class frequencies; None for those of ``testing.h5``.

    Returns:
        (n, 17) float64, each row sums to 1.

    Raises:
        So2SatError: neither sensor is given, or an array has another shape.
    """
    values = statistics(sen1, sen2)
    known = law()
    columns = np.concatenate(
        [np.arange(NUM_STATISTICS)[part] for part, given in ((SEN2, sen2), (SEN1, sen1)) if given is not None]
    )
    centroids = known.centroids[:, columns]
    weights = np.linalg.solve(known.covariance[np.ix_(columns, columns)], centroids.T)  # (k, 17)
    frequency = np.asarray(facts.class_counts("testing") if prior is None else prior, dtype=np.float64)
    with np.errstate(divide="ignore"):  # a class that cannot occur
        bias = np.log(frequency / frequency.sum()) - np.einsum("ck,kc->c", centroids, weights) / 2
    score = values @ weights + bias
    likelihood = np.exp(score - score.max(axis=1, keepdims=True))
    probability: NDArray[np.float64] = likelihood / likelihood.sum(axis=1, keepdims=True)
    return probability


def statistics(sen1: NDArray[np.floating] | None, sen2: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """Read the statistics back from pixels.

    Args:
        sen1: (n, 32, 32, 8) or (n, 8, 32, 32) linear, or None.
        sen2: (n, 32, 32, 10) or (n, 10, 32, 32) reflectance, or None.

    Returns:
        (n, 23) float64 as in the module's docstring; (n, 15) without sen1, (n, 8) without sen2.

    Raises:
        So2SatError: neither sensor is given, or an array has another shape.
    """
    parts = []
    if sen2 is not None:
        parts.append(_by_block(_optical, _channels_first(sen2, "sen2")))
    if sen1 is not None:
        parts.append(_by_block(_radar, _channels_first(sen1, "sen1")))
    if not parts:
        raise So2SatError("patches", found="neither sen1 nor sen2", expected="one of them or both")
    return np.concatenate(parts, axis=1)


def _channels_first(patches: NDArray[np.floating], sensor: str) -> NDArray[np.floating]:
    """View patches of either layout as (n, bands, 32, 32)."""
    bands = len(facts.bands(sensor))
    if patches.shape[1:] == (bands, PATCH_SIZE, PATCH_SIZE):
        return patches
    if patches.shape[1:] == (PATCH_SIZE, PATCH_SIZE, bands):
        return np.moveaxis(patches, 3, 1)
    raise So2SatError(
        sensor, found=f"shape {patches.shape}", expected=f"(n, 32, 32, {bands}) or (n, {bands}, 32, 32)"
    )


def _by_block(
    measure: Callable[[Floats], NDArray[np.float64]], patches: NDArray[np.floating]
) -> NDArray[np.float64]:
    blocks = [
        measure(np.ascontiguousarray(patches[start : start + BLOCK_ROWS], dtype=np.float32))
        for start in range(0, max(len(patches), 1), BLOCK_ROWS)
    ]
    return np.concatenate(blocks)


def _optical(sen2: Floats) -> NDArray[np.float64]:
    """(n, 10, 32, 32) -> (n, 15)."""
    plain = _without_outliers(sen2, BRIGHT_SEN2 * published_limits("sen2")[1])
    mean = np.log(plain.mean(axis=(2, 3), dtype=np.float64))
    texture = np.log(plain[:, IS_10M]).mean(axis=1)
    return np.concatenate([mean, _texture(texture, OPTICAL_CAP)], axis=1)


def _radar(sen1: Floats) -> NDArray[np.float64]:
    """(n, 8, 32, 32) -> (n, 8)."""
    lee = _without_outliers(sen1[:, 4:6], BRIGHT_SEN1 * published_limits("sen1")[1][4:6])
    mean = np.log(lee.mean(axis=(2, 3), dtype=np.float64))
    covariance = sen1[:, 4:].astype(np.float64)
    share = (covariance[:, 2] ** 2 + covariance[:, 3] ** 2) / (covariance[:, 0] * covariance[:, 1])
    coherence = logit(np.clip(share, 1e-7, 1 - 1e-7)).mean(axis=(1, 2))
    return np.concatenate([mean, _texture(np.log(lee[:, 1]), RADAR_CAP), coherence[:, None]], axis=1)


def _without_outliers(values: Floats, limit: Floats) -> Floats:
    """Replace pixels (n, bands, 32, 32) above the limit (bands,) by the mean of the others of their band."""
    plain = np.maximum(values, np.float32(1e-6))
    bright = plain > limit[:, None, None]
    if bright.any():
        others = np.where(bright, 0, plain).sum(axis=(2, 3)) / np.maximum((~bright).sum(axis=(2, 3)), 1)
        plain = np.where(bright, np.maximum(others, 1e-6)[:, :, None, None], plain).astype(np.float32)
    return plain


def _texture(field: Floats, cap: float) -> NDArray[np.float64]:
    """(n, 32, 32) -> (n, 5): logit of the Haar energy of every level as a share of the cap."""
    energies = []
    field = field - field.mean(axis=(1, 2), keepdims=True)
    for _ in range(NUM_LEVELS):
        coarse = block_means(field)
        spread = np.square(field, dtype=np.float64).mean(axis=(1, 2))
        energies.append(spread - np.square(coarse, dtype=np.float64).mean(axis=(1, 2)))
        field = coarse
    return logit(np.clip(np.stack(energies, axis=1) / cap, 1e-7, 1 - 1e-7))
