"""Presets from tables: TOML files, saved processors, ``facts/presets.toml``."""

from collections.abc import Mapping, Sequence
from typing import Any

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.vision.preset import Preset, Slot
from so2sat_hf.vision.preset_check import LISTS, number


def from_dict(plain: Mapping[str, Any], where: str = "preset") -> Preset:
    """Return the preset that a table tells of: what :meth:`Preset.to_dict` returned, or a TOML file.

    A slot may be the name of a band alone: that band, in the unit in which a model should see it.

    Raises:
        So2SatError: something in it that cannot be.
    """
    values = dict(plain)
    unknown = sorted(values.keys() - Preset.__dataclass_fields__.keys())
    missing = [name for name in ("name", "slots", "size") if name not in values]
    if unknown or missing:
        raise So2SatError(
            where,
            found=f"unknown {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}",
            expected=", ".join(Preset.__dataclass_fields__),
        )
    if not isinstance(values["slots"], Sequence) or isinstance(values["slots"], str):
        raise So2SatError(where, found=f"slots {values['slots']!r}", expected="a list of bands or tables")
    values.setdefault("title", values["name"])
    values["slots"] = tuple(_slot(slot, where) for slot in values["slots"])
    for name in (*LISTS, "ranges"):
        values[name] = tuple(_listed(values.get(name, ()), f"{where}, {name}"))
    values["ranges"] = tuple(_range(each, where) for each in values["ranges"])
    return Preset(**values)


def _listed(given: Any, where: str) -> Sequence[Any]:  # noqa: ANN401
    if not isinstance(given, list | tuple):
        raise So2SatError(where, found=repr(given), expected="a list")
    return given


def _slot(given: str | Mapping[str, Any], where: str) -> Slot:
    if not isinstance(given, str | Mapping):
        raise So2SatError(f"{where}, a slot", found=repr(given), expected="a band or a table")
    values: dict[str, Any] = {"band": given} if isinstance(given, str) else dict(given)
    unknown = sorted(values.keys() - Slot.__dataclass_fields__.keys())
    band = facts.band(str(values["band"])) if values.get("band") else None
    if unknown or (band is None and not {"name", "unit", "fill"} <= values.keys()):
        raise So2SatError(
            f"{where}, slot {values.get('name', values.get('band'))}",
            found=f"unknown {', '.join(unknown)}" if unknown else "neither a band nor name, unit and fill",
            expected=", ".join(Slot.__dataclass_fields__),
        )
    if band is not None:
        values.setdefault("name", band.name)
        values.setdefault("wavelength_nm", band.wavelength_nm)
        if values.setdefault("unit", band.model_unit) == "asinh":
            values.setdefault("scale", band.model_scale)
    else:
        values["band"] = None
    for name in ("mean", "std", "scale", "fill", "window", "wavelength_nm"):
        if values.get(name) is not None:
            values[name] = number(values[name], f"{where}, {name} of slot {values['name']}")
    if values.get("limits") is not None:
        pair = values["limits"] if isinstance(values["limits"], list | tuple) else [values["limits"]]
        if len(pair) != 2:
            raise So2SatError(f"{where}, limits", found=repr(values["limits"]), expected="[low, high]")
        values["limits"] = tuple(number(value, f"{where}, limits") for value in pair)
    return Slot(**values)


def _range(given: Any, where: str) -> tuple[str, float, float]:  # noqa: ANN401
    if not isinstance(given, list | tuple) or len(given) != 3 or not isinstance(given[0], str):
        raise So2SatError(f"{where}, ranges", found=repr(given), expected="[band, low, high]")
    low, high = (number(value, f"{where}, ranges of {given[0]}") for value in given[1:])
    return given[0], low, high
