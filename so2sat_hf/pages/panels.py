"""What the bands of a patch look like: four pictures of it, each with a fixed stretch. Pure.

Every band has one stretch (:data:`STRETCH`), the same for all patches, so that patches can be compared: a
dark patch is dark, and does not look like a bright one. Reflectance is brightened by a gamma of 1.4; radar is
shown in dB.

========== ======================== ==================================================================
picture    red, green, blue         how it reads
========== ======================== ==================================================================
true       B04, B03, B02            as seen from above; the blue black point removes some of the haze
near IR    B08, B04, B03            vegetation red, built-up grey to cyan, water dark
SWIR       B12, B8A, B04            vegetation green, built-up and bare soil pink to grey, water black
radar      VV, mean of both, VH     water dark, built-up bright; blue where VH is strong for its VV
========== ======================== ==================================================================
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import PATCH_SIZE, PatchBlock

STRETCH = {
    "B02": (0.06, 0.28),
    "B03": (0.04, 0.28),
    "B04": (0.02, 0.30),
    "B08": (0.02, 0.42),
    "B8A": (0.02, 0.45),
    "B12": (0.00, 0.35),
    "VV_lee": (-24.0, 2.0),
    "VH_lee": (-30.0, -4.0),
}
"""Band -> the values shown black and at full brightness, in its model unit (reflectance or dB)."""

GAMMA = {"reflectance": 1.4, "dB": 1.0}
"""Model unit -> gamma: brightness is the stretched value to the power of 1 / gamma."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the pictures of a patch."""

    title: str
    """For people, e.g. ``"True colour"``."""

    channels: tuple[tuple[str, ...], ...]
    """Bands of red, green and blue; where there are several, the mean of what is shown of them."""

    @property
    def sensor(self) -> str:
        """The column with its bands."""
        return facts.band(self.channels[0][0]).sensor

    @property
    def bands(self) -> tuple[str, ...]:
        """Its bands, each once, red first."""
        return tuple(dict.fromkeys(name for channel in self.channels for name in channel))

    def caption(self) -> str:
        """Say which bands it shows."""
        return ", ".join(_short(channel[0]) if len(channel) == 1 else "mean" for channel in self.channels)

    def stretch(self) -> str:
        """Say how its values become brightness."""
        unit = facts.band(self.bands[0]).model_unit
        ranges = (f"{_short(name)} {STRETCH[name][0]:g} to {STRETCH[name][1]:g}" for name in self.bands)
        gamma = f", gamma {GAMMA[unit]:g}" if GAMMA[unit] != 1 else ""
        return f"{self.title}: {', '.join(ranges)} {unit}{gamma}"

    def draw(self, block: PatchBlock, row: int) -> NDArray[np.uint8]:
        """Return the picture of one patch, (32, 32, 3)."""
        picture = np.empty((PATCH_SIZE, PATCH_SIZE, len(self.channels)), np.uint8)
        for number, channel in enumerate(self.channels):
            brightness = np.mean([_brightness(block, row, name) for name in channel], axis=0)
            picture[..., number] = np.rint(255 * brightness)
        return picture


PANELS = (
    Panel("True colour", (("B04",), ("B03",), ("B02",))),
    Panel("Near infrared", (("B08",), ("B04",), ("B03",))),
    Panel("Short-wave infrared", (("B12",), ("B8A",), ("B04",))),
    Panel("Radar", (("VV_lee",), ("VV_lee", "VH_lee"), ("VH_lee",))),
)
"""The pictures of a patch, from left to right; those of a sensor that is absent are left out."""


def _brightness(block: PatchBlock, row: int, name: str) -> NDArray[np.float32]:
    """Return one band of one patch from 0, black, to 1, full brightness; (32, 32)."""
    band = facts.band(name)
    value: NDArray[np.float32] = getattr(block, band.sensor)[row, band.index]
    if band.model_unit == "dB":
        value = 10 * np.log10(np.maximum(value, np.finfo(np.float32).tiny))
    black, full = STRETCH[name]
    brightness: NDArray[np.float32] = np.clip((value - black) / (full - black), 0, 1)
    return brightness ** np.float32(1 / GAMMA[band.model_unit])


def _short(name: str) -> str:
    """Name of a band without its filter: ``"VV"`` for ``"VV_lee"``."""
    return name.partition("_")[0]
