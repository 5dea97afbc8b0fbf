"""The law of the statistics: Gaussian around 17 centroids, matched to the published moments of the bands.

``signature.csv`` says how a class looks: mean reflectance of the ten S2 bands; amplitude in nats of the
optical texture at 10, 20, 40, 80 and 160 m; mean VH and VV in dB; amplitude of the radar texture; squared
coherence. Bands are then stretched and shifted (S2) or shifted (S1) in the log, so that a training file has
the published means and deviations. That changes no likelihood ratio: centroids and covariance move together.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE
from so2sat_hf.synthetic.pixels import (
    GAIN,
    IS_10M,
    NUM_LEVELS,
    OPTICAL_CAP,
    OWN_10M,
    OWN_20M,
    RADAR_CAP,
    VH_GAIN,
    VH_OWN,
)

Doubles = NDArray[np.float64]

SEN2_MEANS, SEN2_TEXTURE = slice(0, 10), slice(10, 15)
SEN1_MEANS, SEN1_TEXTURE, SEN1_COHERENCE = slice(15, 17), slice(17, 22), 22
SEN2, SEN1 = slice(0, 15), slice(15, 23)
NUM_STATISTICS = 23

PUBLISHED = "2/training"
"""The file whose moments are matched."""

CITY_SHARE = 0.12
"""Share of the covariance that all patches of a city have in common."""


@dataclass(frozen=True, slots=True)
class Law:
    """What the statistics of a patch are drawn from."""

    centroids: Doubles
    """(17, 23) mean of each class, in the order of :mod:`so2sat_hf.synthetic.signal`."""

    covariance: Doubles
    """(23, 23) of patches of many cities around the centroid of their class; the same for all classes."""

    slc_step: Doubles
    """(2,) quantum of the complex VH and VV values, such that the published share of them is exactly 0."""


@cache
def law() -> Law:
    """Return the law, matched to ``training.h5`` of version 2; some milliseconds the first time."""
    centroids, factors = _signature(), _factors()
    optical, radar = _sample_energies(centroids, factors)
    classes = np.array(facts.class_counts("training"), dtype=np.float64)
    classes /= classes.sum()
    _match_sen2(centroids, factors, classes, optical)
    slc_step = _match_sen1(centroids, factors, classes, radar)
    return Law(centroids, factors @ factors.T, slc_step)


def optical_energy(statistics: Doubles) -> Doubles:
    """Return the Haar energies (n, 5) of the mean log 10 m band, squared nats."""
    return OPTICAL_CAP * logistic(statistics[..., SEN2_TEXTURE])


def radar_energy(statistics: Doubles) -> Doubles:
    """Return the Haar energies (n, 5) of ln VV_lee, squared nats."""
    return RADAR_CAP * logistic(statistics[..., SEN1_TEXTURE])


def logistic(logit: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-x))."""
    share: Doubles = 1 / (1 + np.exp(-logit))
    return share


def logit(share: Doubles) -> Doubles:
    """Return ln(p / (1 - p)), the inverse of :func:`logistic`."""
    value: Doubles = np.log(share) - np.log1p(-share)
    return value


def _signature() -> Doubles:
    """Return the centroids (17, 23) as the table has them."""
    text = (files(__package__) / "signature.csv").read_text(encoding="utf-8")
    table = np.loadtxt(StringIO(text), delimiter=",", skiprows=1, usecols=range(1, NUM_STATISTICS + 1))
    centroids = np.empty_like(table)
    centroids[:, SEN2_MEANS] = np.log(table[:, SEN2_MEANS])
    centroids[:, SEN2_TEXTURE] = logit(table[:, SEN2_TEXTURE] ** 2 / OPTICAL_CAP)
    centroids[:, SEN1_MEANS] = table[:, SEN1_MEANS] * np.log(10) / 10
    centroids[:, SEN1_TEXTURE] = logit(table[:, SEN1_TEXTURE] ** 2 / RADAR_CAP)
    centroids[:, SEN1_COHERENCE] = logit(table[:, SEN1_COHERENCE])
    return centroids


def _factors() -> Doubles:
    """Return F (23, k): the statistics of a class scatter with covariance F F'.

    Chosen so that the ideal classifier is right in four patches of five, one that sees band means in three.
    """
    brightness = np.full(10, 0.09)
    leaves = 0.145 * np.array([0, 0, 0, 0.3, 0.8, 1, 1, 1, 0.3, 0])
    dryness = 0.145 * np.array([0, 0, 0.2, 0.2, 0, 0, 0, 0, 0.8, 1])
    redness = 0.09 * np.array([0.3, 0.6, 1, 0.7, 0, 0, 0, 0, 0.2, 0.5])
    contrast, coarseness = np.ones(NUM_LEVELS), np.linspace(-1, 1, NUM_LEVELS)
    shared = [
        (SEN2_MEANS, (brightness, leaves, dryness, redness)),
        (SEN2_TEXTURE, (1.15 * contrast, 0.8 * coarseness)),
        (SEN1_MEANS, (np.full(2, 0.66), np.array([0.26, -0.26]))),
        (SEN1_TEXTURE, (1.0 * contrast, 0.6 * coarseness)),
    ]
    own = np.repeat([0.027, 0.58, 0.22, 0.5, 0.7], [10, NUM_LEVELS, 2, NUM_LEVELS, 1])
    columns = [np.diag(own)]
    for rows, loadings in shared:
        for loading in loadings:
            column = np.zeros((NUM_STATISTICS, 1))
            column[rows, 0] = loading
            columns.append(column)
    return np.concatenate(columns, axis=1)


def _sample_energies(centroids: Doubles, factors: Doubles) -> tuple[Doubles, Doubles]:
    """Draw optical and radar energies, (512, 17, 5) each and always the same, for the expectations below."""
    noise = np.random.default_rng(0).standard_normal((512, 1, factors.shape[1]))
    sample = centroids + noise @ factors.T
    return optical_energy(sample), radar_energy(sample)


def _match_sen2(centroids: Doubles, factors: Doubles, classes: Doubles, energy: Doubles) -> None:
    """Stretch and shift the log means of the bands, in place, to the published means and deviations.

    A band is a mixture, over the classes, of lognormal patch means with a ripple within the patch.

    Args:
        centroids: (17, 23).
        factors: (23, k).
        classes: (17,) shares.
        energy: (draws, 17, 5) optical Haar energies.
    """
    known = facts.statistics(PUBLISHED)
    names = [band.name for band in facts.bands("sen2")]
    mean, deviation = (np.array([values[name] for name in names]) for values in (known.mean, known.std))
    ratio = 1 + (deviation / mean) ** 2  # mean square over squared mean
    ripple = np.exp(_optical_variance(energy)).mean(axis=0)  # (17, 10) the same within a patch
    raw, variance = centroids[:, SEN2_MEANS], np.square(factors[SEN2_MEANS]).sum(axis=1)
    low, high = np.zeros(10), np.full(10, 4.0)
    for _ in range(50):  # the ratio grows with the stretch
        stretch = (low + high) / 2
        first = classes @ np.exp(stretch * raw + stretch**2 * variance / 2)
        second = classes @ (ripple * np.exp(2 * stretch * raw + 2 * stretch**2 * variance))
        is_wide = second / first**2 > ratio
        low, high = np.where(is_wide, low, stretch), np.where(is_wide, stretch, high)
    centroids[:, SEN2_MEANS] = np.log(mean / first) + stretch * raw
    factors[SEN2_MEANS] *= stretch[:, None]


def _match_sen1(centroids: Doubles, factors: Doubles, classes: Doubles, energy: Doubles) -> Doubles:
    """Shift the log intensities, in place, to the published means; return the quanta of the complex bands.

    Args:
        centroids: (17, 23).
        factors: (23, k).
        classes: (17,) shares.
        energy: (draws, 17, 5) radar Haar energies.
    """
    known = facts.statistics(PUBLISHED)
    mean = np.array([known.mean[name] for name in ("VH_lee", "VV_lee")])
    variance = np.square(factors[SEN1_MEANS]).sum(axis=1)
    centroids[:, SEN1_MEANS] += np.log(mean / (classes @ np.exp(centroids[:, SEN1_MEANS] + variance / 2)))
    # A value x ~ N(0, C / 2) rounds to 0 with probability step / sqrt(pi C), for small steps. E[1 / sqrt(C)]:
    ripple = energy.sum(axis=2)[..., None] * np.array([VH_GAIN**2 + VH_OWN**2, 1.0])
    patch = np.exp(variance / 8 - centroids[:, SEN1_MEANS] / 2)
    inverse_root = classes @ (patch * np.exp(ripple * 3 / 8).mean(axis=0))
    pixels = (known.rows or 1) * PATCH_SIZE**2
    zeros = np.array([known.zeros[name] for name in ("VH_real", "VV_real")]) / pixels
    steps: Doubles = np.sqrt(np.pi) * zeros / inverse_root
    return steps


def _optical_variance(energy: Doubles) -> Doubles:
    """Variance (..., 10) of the log reflectance within a patch with the Haar energies (..., 5)."""
    total = energy.sum(axis=-1, keepdims=True)
    fine = (1 - 1 / np.count_nonzero(IS_10M)) * (
        OWN_10M[0] * np.sqrt(total) + OWN_10M[1]
    ) ** 2 + GAIN**2 * total
    coarse = (OWN_20M[0] * np.sqrt(total) + OWN_20M[1]) ** 2 + GAIN**2 * (total - energy[..., :1])
    variance: Doubles = np.where(IS_10M, fine, coarse)
    return variance
