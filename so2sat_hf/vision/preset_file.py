"""A preset as the TOML file that :func:`so2sat_hf.vision.catalogue.preset` reads. Pure."""

import json
from typing import Any

from so2sat_hf.vision.preset import Preset


def as_toml(preset: Preset) -> str:
    """Return a preset as TOML; a slot a line, and only what is not as by default."""
    plain = preset.to_dict()
    defaults = {name: field.default for name, field in Preset.__dataclass_fields__.items()}
    lines = [
        f"{name} = {_value(value)}"
        for name, value in plain.items()
        if name != "slots" and value is not None and value != defaults[name] and value != []
    ]
    slots = [f"    {_table(slot)}," for slot in plain["slots"]]
    return "\n".join([*lines, "slots = [", *slots, "]", ""])


def _table(slot: dict[str, Any]) -> str:
    shown = {name: value for name, value in slot.items() if (name, value) != ("input", "pixel_values")}
    return "{ " + ", ".join(f"{name} = {_value(value)}" for name, value in shown.items()) + " }"


def _value(value: Any) -> str:  # noqa: ANN401
    """Return a string, number, or list of them; JSON's form of these is also TOML's."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
