"""Statistics -> pixels: patches that have exactly these statistics, and are random in everything else.

Fields of Haar details are rescaled level by level to the energies asked for, and every band to its mean, so
that :mod:`so2sat_hf.synthetic.signal` reads the statistics back up to the rounding of the files. Nothing here
knows a class. Float32 throughout, channels first, the whole block at once.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, PATCH_SIZE

Floats = NDArray[np.float32]

NUM_LEVELS = 5
"""Haar levels of a patch of 32 x 32 pixels: 10, 20, 40, 80 and 160 m, finest first."""

OPTICAL_CAP, RADAR_CAP = 0.25**2, 0.6**2
"""Largest Haar energy of a level, squared nats: of the mean log 10 m band, and of ln VV_lee."""

IS_10M = np.array([band.resolution == 10 for band in facts.bands("sen2")])
"""(10,) The bands whose mean log carries the optical texture; the others repeat pixels of 20 m."""

GAIN = np.array([0.65, 0.9, 1.25, 1.1, 0.8, 0.8, 1.2, 0.9, 0.9, 1.2], np.float32)
"""(10,) What a band shows of the common texture; 1 on average over the 10 m bands: their mean log is it."""

OWN_10M, OWN_20M = (0.30, 0.004), (0.35, 0.015)
"""Deviation of what a band has of its own, in nats: share of the texture's deviation, and a floor."""

VH_GAIN, VH_OWN = 0.5, 0.6
"""What ln VH_lee shows of the texture of ln VV_lee, and what it has of its own: shares of its deviation."""

COHERENCE_SPREAD = 1.3
"""Deviation of the logit of the squared coherence from pixel to pixel."""

BRIGHT_SEN1, BRIGHT_SEN2 = 0.04, 0.55
"""Pixels above this share of the published maximum are outliers (corner reflectors, glint), not texture."""


@cache
def published_limits(sensor: str) -> tuple[Floats, Floats]:
    """Return the smallest and largest published value of every band of a sensor, each (bands,) float32."""
    known = facts.statistics("2/training")
    names = [band.name for band in facts.bands(sensor)]
    low, high = (np.array([values[name] for name in names]) for values in (known.min, known.max))
    return low.astype(np.float32), high.astype(np.float32)


def haar_field(energy: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Draw fields of mean 0 whose Haar details have given energies.

    Args:
        energy: (n, 5) mean square of the details of each level, finest first.
        rng: where the details come from.

    Returns:
        (n, 32, 32) float32.
    """
    field = np.zeros((len(energy), 1, 1), np.float32)
    for level in reversed(range(NUM_LEVELS)):
        side = PATCH_SIZE >> level
        detail = rng.standard_normal((len(energy), side, side), np.float32)
        _add_to_blocks(detail, -block_means(detail))
        power = np.einsum("nij,nij->n", detail, detail, optimize=False) / side**2
        detail *= np.sqrt(energy[:, level] / power).astype(np.float32)[:, None, None]
        _add_to_blocks(detail, field)
        field = detail
    return field


def block_means(field: Floats) -> Floats:
    """Return the means of the 2 x 2 blocks over the last two axes."""
    rows = field[..., ::2, :] + field[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)


def _add_to_blocks(detail: Floats, coarse: Floats) -> None:
    """Add a field of half the size to all four pixels of each block, in place."""
    for row in (0, 1):
        for column in (0, 1):
            detail[..., row::2, column::2] += coarse


def draw_sen2(
    log_mean: NDArray[np.float64],
    energy: NDArray[np.float64],
    outlier: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw Sentinel-2 patches with given band means and texture.

    Args:
        log_mean: (n, 10) log of the mean reflectance of each band.
        energy: (n, 5) Haar energies of the mean log 10 m band, finest first.
        outlier: (n,) reflectance of one pixel of glint as a share of the published maximum; 0 for none.
        rng: where everything else comes from.

    Returns:
        (n, 32, 32, 10) reflectance, exactly k / 10000.0 with 1 <= k <= the published maximum.
    """
    fine, coarse = _optical_fields(energy, rng)
    where = rng.integers(PATCH_SIZE, size=(len(energy), 2))
    phase = rng.integers(2, size=(len(energy), 2))
    for bands, field, repeats in ((IS_10M, fine, 1), (~IS_10M, coarse, 2)):
        high = np.rint(published_limits("sen2")[1][bands] * DN_PER_REFLECTANCE)
        scale = np.exp(log_mean[:, bands]) / field.mean(axis=(2, 3)) * DN_PER_REFLECTANCE
        np.multiply(field, scale.astype(np.float32)[:, :, None, None], out=field)
        _plant(field, outlier, high, where // repeats)
        np.clip(np.rint(field, out=field), 1, high[:, None, None], out=field)
    return _interleave(fine, _repeat(coarse, phase))


def _optical_fields(energy: NDArray[np.float64], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw reflectances of any mean: (n, 4, 32, 32) for the 10 m bands, (n, 6, 16, 16) for the others."""
    count, side = len(energy), PATCH_SIZE
    texture = haar_field(energy, rng)
    deviation = np.sqrt(energy.sum(axis=1)).astype(np.float32)[:, None, None, None]
    fine = rng.standard_normal((count, np.count_nonzero(IS_10M), side, side), np.float32)
    fine -= fine.mean(axis=1, keepdims=True)  # their mean log is the texture alone
    fine *= OWN_10M[0] * deviation + OWN_10M[1]
    fine += GAIN[IS_10M, None, None] * texture[:, None]
    coarse = rng.standard_normal((count, np.count_nonzero(~IS_10M), side // 2, side // 2), np.float32)
    coarse *= OWN_20M[0] * deviation + OWN_20M[1]
    coarse += GAIN[~IS_10M, None, None] * block_means(texture)[:, None]
    return np.exp(fine, out=fine), np.exp(coarse, out=coarse)


def _plant(field: Floats, outlier: NDArray[np.float64], high: Floats, where: NDArray[np.int64]) -> None:
    """Set a pixel of (n, bands, h, w) to a share (n,) of the maximum (bands,) if that is not 0, in place."""
    rows = np.flatnonzero(outlier)
    field[rows, :, where[rows, 0], where[rows, 1]] = outlier[rows, None] * high


def _repeat(coarse: Floats, phase: NDArray[np.int64]) -> Floats:
    """Repeat 20 m pixels (n, bands, 16, 16) on the 10 m grid; a phase of 1 starts with half a pixel."""
    doubled = coarse.repeat(2, axis=2).repeat(2, axis=3)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        chosen = np.flatnonzero((phase == (row, column)).all(axis=1))
        doubled[chosen] = np.roll(doubled[chosen], (row, column), axis=(2, 3))
    return doubled


def _interleave(fine: Floats, coarse: Floats) -> NDArray[np.float64]:
    """Digital numbers of the 10 m and the 20 m bands -> reflectance, channels last."""
    sen2 = np.empty((len(fine), PATCH_SIZE, PATCH_SIZE, len(IS_10M)))
    for bands, field in ((IS_10M, fine), (~IS_10M, coarse)):
        for position, band in enumerate(np.flatnonzero(bands)):
            np.divide(field[:, position], float(DN_PER_REFLECTANCE), out=sen2[..., band], dtype=np.float64)
    return sen2


def draw_sen1(
    log_mean: NDArray[np.float64],
    energy: NDArray[np.float64],
    logit: NDArray[np.float64],
    outlier: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    step: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Draw Sentinel-1 patches with given intensities, texture and coherence.

    Args:
        log_mean: (n, 2) ln of the mean VH_lee and VV_lee.
        energy: (n, 5) Haar energies of ln VV_lee, finest first.
        logit: (n,) mean logit of the squared coherence.
        outlier: (n,) intensity of one corner reflector as a share of the published maximum; 0 for none.
        rng: where everything else comes from.
        step: (2,) quantum of the complex VH and VV values.

    Returns:
        (n, 32, 32, 8), every value exactly representable in float32; the complex bands are speckle with the
        covariance of bands 4 to 7 as their expectation.
    """
    shape = (len(log_mean), PATCH_SIZE, PATCH_SIZE)
    lee = _intensities(log_mean, energy, rng)
    low, high = published_limits("sen1")
    _plant(lee, outlier, high[4:6], rng.integers(PATCH_SIZE, size=(len(lee), 2)))
    vh, vv = lee[:, 0], lee[:, 1]
    coherence = _squared_coherence(logit, rng)
    angle = rng.random(shape, np.float32) * np.float32(2 * np.pi)
    size = np.sqrt(coherence * vh) * np.sqrt(vv)
    cross = size * np.cos(angle), size * np.sin(angle)
    speckle = _speckle(vh, cross, vv * (1 - coherence), rng)
    _quantise(speckle, step, rng)
    sen1 = np.empty((*shape, 8))
    for band, values in enumerate((*speckle, vh, vv, *cross)):
        sen1[..., band] = np.clip(values, low[band], high[band])
    return sen1


def _speckle(vh: Floats, cross: tuple[Floats, Floats], rest: Floats, rng: np.random.Generator) -> Floats:
    """Draw complex values (4, n, 32, 32): VH, and VV = conj(C12) / VH_lee * VH + what is independent of VH.

    Args:
        vh: (n, 32, 32) VH_lee.
        cross: real and imaginary part of C12.
        rest: (n, 32, 32) the part of VV_lee that is independent of VH.
        rng: where the values come from.
    """
    speckle = rng.standard_normal((4, *vh.shape), np.float32) * np.float32(0.5**0.5)
    speckle[:2] *= np.sqrt(vh)
    speckle[2:] *= np.sqrt(rest)
    real, imag = cross[0] / vh, cross[1] / vh
    speckle[2] += real * speckle[0] + imag * speckle[1]
    speckle[3] += real * speckle[1] - imag * speckle[0]
    return speckle


def _squared_coherence(logit: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Draw |C12|^2 / (VH_lee VV_lee), (n, 32, 32); at most 0.999, so that rounding leaves it valid."""
    field = rng.standard_normal((len(logit), PATCH_SIZE, PATCH_SIZE), np.float32)
    field *= np.float32(COHERENCE_SPREAD)
    field += (logit - field.mean(axis=(1, 2))).astype(np.float32)[:, None, None]
    return np.minimum(1 / (1 + np.exp(-field)), np.float32(0.999))


def _intensities(
    log_mean: NDArray[np.float64], energy: NDArray[np.float64], rng: np.random.Generator
) -> Floats:
    """Draw VH_lee and VV_lee: (n, 2, 32, 32)."""
    texture = haar_field(energy, rng)
    lee = np.empty((len(texture), 2, PATCH_SIZE, PATCH_SIZE), np.float32)
    own = rng.standard_normal(texture.shape, np.float32)
    own *= (VH_OWN * np.sqrt(energy.sum(axis=1))).astype(np.float32)[:, None, None]
    np.exp(VH_GAIN * texture + own, out=lee[:, 0])
    np.exp(texture, out=lee[:, 1])
    lee *= (np.exp(log_mean) / lee.mean(axis=(2, 3))).astype(np.float32)[:, :, None, None]
    return lee


def _quantise(speckle: Floats, step: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Round complex values (4, n, 32, 32) as the instrument did, in place; hence the exact zeros.

    The quantum varies with the calibration: by a tenth from patch to patch, by a trace across a patch.
    """
    ramp = 1 + 1e-4 * np.arange(PATCH_SIZE) / PATCH_SIZE
    quantum = rng.uniform(0.95, 1.05, (speckle.shape[1], 1, 1)) * (ramp[:, None] + 0.3 * ramp) / 1.3
    grid = (step[[0, 0, 1, 1], None, None, None] * quantum).astype(np.float32)
    np.multiply(np.rint(speckle / grid), grid, out=speckle)
    speckle += 0  # -0.0 -> 0.0
