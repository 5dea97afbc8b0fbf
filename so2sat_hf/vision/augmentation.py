"""Random changes to patches, drawn so that they depend on nothing but seed, step and place in the batch.

Whoever draws for a batch draws for the global batch in order: a rank that holds a part of it gets the numbers
of its part, so that ranks, devices and interruptions change nothing.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.errors import So2SatError


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may happen to a patch in training. The default: flips and quarter turns, which lose nothing."""

    flips: bool = True
    """All eight flips and quarter turns are equally likely."""

    band_drop: float = 0.0
    """Probability that a slot shows its mean alone, slot by slot; 0 to below 1."""

    jitter: float = 0.0
    """Sentinel-2 bands are multiplied by 1 - jitter to 1 + jitter, band by band, in reflectance; 0 to 1."""

    mixup: float = 0.0
    """Alpha of the Beta distribution; two patches and their labels are blended. 0: never."""

    cutmix: float = 0.0
    """Alpha of the Beta distribution; a rectangle comes from another patch. 0: never. With ``mixup``: one of
    the two, batch by batch."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name, most in (("band_drop", 1.0), ("jitter", 1.0), ("mixup", np.inf), ("cutmix", np.inf)):
            value = getattr(self, name)
            if not 0 <= value <= most or (name == "band_drop" and value == 1):
                raise So2SatError(
                    f"augmentation {name}", found=repr(value), expected=f"a number from 0 to {most:g}"
                )

    @property
    def mixes(self) -> bool:
        """Whether patches, and so labels, are blended."""
        return self.mixup > 0 or self.cutmix > 0


class Draws(NamedTuple):
    """Random numbers for one batch of b patches, arrays or tensors; None: that change is off."""

    flips: Any
    """(3, b) bool: transposed, upside down, mirrored."""

    jitter: Any
    """(b, bands) float32: factor of each band."""

    drop: Any
    """(b, slots) bool: shows its mean."""

    blend: Any
    """(b,) float32: weight of the patch itself against its partner, mixup."""

    box: Any
    """(4, b) int64: top, bottom, left, right of the rectangle of the partner, cutmix."""

    weight: Any
    """(b,) float32: weight of the own label, where patches are blended."""


def draw(
    augmentation: Augmentation,
    count: int,
    bands: int,
    slots: int,
    *,
    seed: tuple[int, ...],
    first: int,
    size: int,
) -> Draws:
    """Draw for a batch.

    Args:
        augmentation: what may happen.
        count: patches of the batch, b.
        bands: channels that come in.
        slots: channels that go out.
        seed: whole numbers from 0 that tell this global batch from all others.
        first: place of its first patch in the global batch, from 0.
        size: rows and columns of a patch.
    """

    def rng(purpose: int) -> np.random.Generator:
        return np.random.default_rng((*seed, purpose))

    def part(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[first:]

    stop = first + count
    flips = jitter = drop = None
    if augmentation.flips:
        flips = (part(rng(0).random((stop, 3))) < 0.5).T
    if augmentation.jitter:
        spread = 2 * part(rng(1).random((stop, bands))) - 1
        jitter = (1 + augmentation.jitter * spread).astype(np.float32)
    if augmentation.band_drop:
        drop = part(rng(2).random((stop, slots))) < augmentation.band_drop
    if not augmentation.mixes:
        return Draws(flips, jitter, drop, None, None, None)
    choice = rng(3).random() < (0.5 if augmentation.mixup and augmentation.cutmix else augmentation.mixup > 0)
    alpha = augmentation.mixup if choice else augmentation.cutmix
    own = part(rng(4).beta(alpha, alpha, stop))
    if choice:
        weight = own.astype(np.float32)
        return Draws(flips, jitter, drop, weight, None, weight)
    box = _boxes(own, part(rng(5).random((stop, 2))), size)
    area = (box[1] - box[0]) * (box[3] - box[2])
    return Draws(flips, jitter, drop, None, box, (1 - area / size**2).astype(np.float32))


def _boxes(own: NDArray[np.float64], centre: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return rectangles (4, b) that cover 1 - own of a patch, cut off at its edge."""
    side = np.sqrt(1 - own) * size
    middle = centre.T * size
    low = np.clip(np.rint(middle - side / 2), 0, size)
    high = np.clip(np.rint(middle + side / 2), 0, size)
    return np.stack([low[0], high[0], low[1], high[1]]).astype(np.int64)
