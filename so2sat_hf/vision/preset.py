"""What a model eats: which band goes into which of its slots, in which unit, normalised with which numbers.

One value drives the collator, the transform, the evaluation and the saved processor. Nothing is guessed: a
preset without numbers says so, and one with numbers says where they come from.

========== ================================== ==========================================================
unit       stored value x becomes             for
========== ================================== ==========================================================
reflectance  x                                Sentinel-2
DN           x * 10,000                       Sentinel-2 as its products are distributed
brightness   x / scale, cut off at 0 and 1    Sentinel-2 shown as a picture; ``scale`` is white
dB           10 log10(max(x, 1e-6))           intensities of Sentinel-1
asinh        asinh(x / scale)                 bands of Sentinel-1 of either sign
linear       x                                Sentinel-1
========== ================================== ==========================================================

The value is then cut off at ``limits``, where a preset has some, and normalised: ``(value - mean) / std``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.preset_check import check


@dataclass(frozen=True, slots=True)
class Slot:
    """One channel that a model takes in."""

    name: str
    """The model's own name of it, e.g. ``"B09"``."""

    band: str | None
    """So2Sat's band that is shown in it; None: an empty slot, since So2Sat has nothing for it."""

    unit: str
    """Of ``mean``, ``std``, ``limits`` and ``fill``; see the table above."""

    mean: float | None = None
    """Subtracted. None: not known before the data are (:meth:`Preset.with_statistics`)."""

    std: float | None = None
    """Divided by, positive. None where ``mean`` is."""

    scale: float | None = None
    """Divisor of ``asinh`` and ``brightness``, in the stored unit; None with other units."""

    limits: tuple[float, float] | None = None
    """Values are cut off there before they are normalised; None: not."""

    fill: float | None = None
    """Value of an empty slot before it is normalised; None in a slot with a band."""

    window: float | None = None
    """Mean -/+ so many deviations of the data become 0 and 1, cut off there; only while ``mean`` is None."""

    wavelength_nm: float | None = None
    """Centre wavelength in nanometres; None: not known."""

    input: str = "pixel_values"
    """Name of the tensor of the model that it is a channel of."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What a model eats."""

    name: str
    """What users type, e.g. ``"s2"``."""

    title: str
    """For people, in one line."""

    slots: tuple[Slot, ...]
    """In the order of the model's channels."""

    size: int
    """Rows and columns of the model's input, in pixels; a patch has 32."""

    patch_size: int | None = None
    """Of the model, in pixels of its input; None: any."""

    interpolation: str = "bilinear"
    """From 32 pixels to ``size``: ``"bilinear"`` or ``"bicubic"``, anti-aliased."""

    tier: int = 1
    """1: ``so2sat train`` takes it. 2: a table of what the model eats, for the model's own code."""

    checkpoints: tuple[str, ...] = ()
    """Names of published weights that were trained so."""

    loader: str = "transformers"
    """Library that opens these weights."""

    extras: tuple[str, ...] = ()
    """What the model takes besides pixels, e.g. ``"wavelengths"``."""

    licence: str = ""
    """Of the weights; empty where there are none."""

    sources: tuple[str, ...] = ()
    """Where the numbers were read."""

    note: str = ""
    """What else to know; empty if nothing."""

    statistics: str = ""
    """Whose mean and deviation these are; empty: none yet."""

    ranges: tuple[tuple[str, float, float], ...] = ()
    """Sentinel-2 band, 1st and 99th percentile of its reflectance in the patches that a model was trained on;
    empty: not known. Nothing is computed with them: a map tells of scenes that leave them."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check(self)

    @property
    def bands(self) -> tuple[str, ...]:
        """So2Sat's bands that it shows, each once, in stored order: what a collator takes of a patch."""
        shown = {slot.band for slot in self.slots}
        return tuple(band.name for band in facts.bands() if band.name in shown)

    @property
    def sensors(self) -> tuple[str, ...]:
        """Columns that hold these bands."""
        return tuple(sensor for sensor in facts.SENSORS if self.bands_of(sensor))

    def bands_of(self, sensor: str) -> tuple[str, ...]:
        """Return the bands of one sensor, in stored order."""
        return tuple(name for name in self.bands if facts.band(name).sensor == sensor)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the model's tensors, in order of their first slot."""
        return tuple(dict.fromkeys(slot.input for slot in self.slots))

    @property
    def is_complete(self) -> bool:
        """Whether every slot has its mean and deviation."""
        return all(slot.mean is not None for slot in self.slots)

    def complete(self) -> "Preset":
        """Return itself.

        Raises:
            So2SatError: slots without mean and deviation.
        """
        if not self.is_complete:
            missing = [slot.name for slot in self.slots if slot.mean is None]
            raise So2SatError(
                f"preset {self.name}",
                found=f"no mean and deviation yet for {', '.join(missing)}",
                expected="those of the data that the model is trained on",
                remedy=f'preset("{self.name}", data=OUT) takes them from OUT/statistics.json, '
                "which `so2sat build` writes",
            )
        return self

    def with_statistics(self, statistics: Mapping[str, Any], origin: str) -> "Preset":
        """Return the preset with the numbers of data, in the slots that have none.

        Args:
            statistics: content of ``statistics.json`` of a built dataset.
            origin: whose they are, for people.

        Raises:
            So2SatError: a band is not in them, or was measured in another unit.
        """
        known = statistics.get("bands", {})
        slots = tuple(_measured(self.name, slot, known) for slot in self.slots)
        return replace(self, slots=slots, statistics=origin)

    def with_ranges(self, statistics: Mapping[str, Any]) -> "Preset":
        """Return the preset with the percentiles of the Sentinel-2 bands that it shows.

        Args:
            statistics: content of ``statistics.json``; bands without percentiles are left out.
        """
        known = {band: statistics.get("bands", {}).get(band, {}) for band in self.bands_of("sen2")}
        ranges = tuple(
            (band, float(row["p1"]), float(row["p99"]))
            for band, row in known.items()
            if {"p1", "p99"} <= row.keys()
        )
        return replace(self, ranges=ranges)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        plain = asdict(self)
        plain["slots"] = [
            {name: value for name, value in slot.items() if value is not None} for slot in plain["slots"]
        ]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _measured(preset: str, slot: Slot, known: Mapping[str, Any]) -> Slot:
    """Return a slot with its numbers."""
    if slot.mean is not None:
        return slot
    measured = known.get(slot.band or "")
    if measured is None:
        raise So2SatError(
            f"statistics for preset {preset}",
            found=f"nothing about band {slot.band}",
            expected=f"mean and deviation of it; there are those of {', '.join(known) or 'no band'}",
            remedy="take the statistics of a dataset that was built with this sensor",
        )
    if (measured["unit"], measured.get("scale")) != (slot.unit, slot.scale):
        raise So2SatError(
            f"statistics for preset {preset}, band {slot.band}",
            found=f"in {measured['unit']} (scale {measured.get('scale')})",
            expected=f"in {slot.unit} (scale {slot.scale})",
            remedy="build the dataset again, or give mean and deviation in the preset",
        )
    mean, std = float(measured["mean"]), float(measured["std"])
    if slot.window is None:
        return replace(slot, mean=mean, std=std)
    low, high = mean - slot.window * std, mean + slot.window * std
    return replace(slot, mean=low, std=high - low, limits=(low, high), window=None)
