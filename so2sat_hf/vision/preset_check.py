"""What a preset must be before anything computes with it: it is input, too. Pure."""

import math
from typing import Any

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError

UNITS = {
    "sen1": ("dB", "asinh", "linear"),
    "sen2": ("reflectance", "DN", "brightness"),
}
"""Units that a model may want a band of a sensor in."""

SCALED = ("asinh", "brightness")
"""Units with a divisor."""

INTERPOLATIONS = ("bilinear", "bicubic")

LARGEST = 8192
"""Pixels along an image; models see a few hundred."""

TEXTS = ("name", "title", "interpolation", "loader", "licence", "note", "statistics")
INTEGER = (int, type(None))
SLOT_TEXTS = ("name", "unit", "input")
LISTS = ("checkpoints", "extras", "sources")


def number(value: Any, where: str) -> float:  # noqa: ANN401
    """Return a finite number.

    Raises:
        So2SatError: something else.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        pass
    raise So2SatError(where, found=f"{value!r:.80}", expected="a finite number")


def check(preset: Any) -> None:  # noqa: ANN401 (a Preset, which imports this)
    """Refuse a preset that cannot be.

    Raises:
        So2SatError: what is wrong, and with which slot.
    """
    _check_texts(preset)
    names = [slot.name for slot in preset.slots]
    problem = ""
    if not names:
        problem = "no slots"
    elif len(set(names)) < len(names):
        problem = f"two slots named {next(name for name in names if names.count(name) > 1)}"
    elif type(preset.size) is not int or not 1 <= preset.size <= LARGEST:
        problem = f"size {preset.size!r}"
    elif preset.interpolation not in INTERPOLATIONS:
        problem = f"interpolation {preset.interpolation!r}"
    elif not preset.bands:
        problem = "empty slots alone"
    if problem:
        raise So2SatError(
            f"preset {preset.name}",
            found=problem,
            expected="slots with names of their own, at least one with a band, a size in pixels, "
            + " or ".join(INTERPOLATIONS),
        )
    for slot in preset.slots:
        _check_slot(preset.name, slot)


def _check_texts(preset: Any) -> None:  # noqa: ANN401
    """Texts are texts, also those that are only shown."""
    texts = [(name, getattr(preset, name)) for name in TEXTS]
    texts += [(name, each) for name in LISTS for each in getattr(preset, name)]
    texts += [(f"{name} of a slot", getattr(slot, name)) for slot in preset.slots for name in SLOT_TEXTS]
    wrong = [(name, value, "a text") for name, value in texts if not isinstance(value, str)]
    counts = [("tier", preset.tier), ("patch_size", preset.patch_size)]
    wrong += [(name, value, "a whole number") for name, value in counts if type(value) not in INTEGER]
    for name, value, expected in wrong:
        raise So2SatError(f"preset {preset.name}", found=f"{name} {value!r}", expected=expected)


def _check_slot(preset: str, slot: Any) -> None:  # noqa: ANN401 (a Slot)
    units = UNITS[facts.band(slot.band).sensor] if slot.band else sum(UNITS.values(), ())
    rules = (
        (slot.unit in units, f"unit {slot.unit!r}", " or ".join(units)),
        (
            (slot.unit in SCALED) == (slot.scale is not None),
            f"scale {slot.scale}",
            f"one for {' and '.join(SCALED)} alone",
        ),
        ((slot.band is None) == (slot.fill is not None), f"fill {slot.fill}", "one in an empty slot alone"),
        ((slot.mean is None) == (slot.std is None), "mean or std alone", "both or none"),
        (slot.std is None or slot.std > 0, f"std {slot.std}", "a positive number"),
        (slot.scale is None or slot.scale > 0, f"scale {slot.scale}", "a positive number"),
        (slot.band is not None or slot.mean is not None, "no mean and std", "both in an empty slot"),
        (slot.window is None or (slot.mean is None and slot.window > 0), f"window {slot.window}", "no mean"),
        (slot.limits is None or slot.limits[0] < slot.limits[1], f"limits {slot.limits}", "low < high"),
    )
    for is_right, found, expected in rules:
        if not is_right:
            raise So2SatError(f"preset {preset}, slot {slot.name}", found=found, expected=expected)
