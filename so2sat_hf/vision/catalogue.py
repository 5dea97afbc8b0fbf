"""Find presets, in ``facts/presets.toml`` or a TOML file of one's own, and the statistics they still need."""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so2sat_hf import facts
from so2sat_hf.convert.manifest import STATISTICS
from so2sat_hf.convert.statistics_file import parse_statistics
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.preset_table import from_dict

if TYPE_CHECKING:
    from so2sat_hf.load.place import Place


@cache
def presets() -> Mapping[str, Preset]:
    """Return every preset of this package by its name, our own first."""
    found = (from_dict(table, "facts/presets.toml") for table in facts.preset_tables())
    return {preset.name: preset for preset in found}


def preset(name: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Preset:
    """Return a preset.

    Args:
        name: of a preset of this package, or the path of a TOML file: the keys of
            :class:`~so2sat_hf.vision.preset.Preset`, at least ``slots`` and ``size``.
        data: a built dataset, folder or OWNER/NAME, whose statistics fill in the mean and deviation that the
            preset does not have of its own; needed by ``rgb``, ``s2``, ``s1`` and ``all`` alone.

    Raises:
        So2SatError: there is no such preset, or the file holds something else.
        FolderError: the data have no statistics.
        HubError: the Hub refuses, or has no such dataset.

    >>> preset("rgb").bands
    ('B02', 'B03', 'B04')
    """
    if isinstance(name, str) and name in presets():
        found = presets()[name]
    elif Path(name).suffix == ".toml":
        found = _from_file(Path(name))
    else:
        raise So2SatError(
            f"preset {os.fspath(name)!r}",
            found="unknown",
            expected="a TOML file, or one of " + ", ".join(presets()),
            remedy="`so2sat presets` explains them",
        )
    return found if data is None or found.is_complete else with_statistics_of(found, data)


def with_statistics_of(preset: Preset, data: "str | os.PathLike[str] | Place") -> Preset:
    """Return a preset with mean and deviation of the training rows of a built dataset.

    Args:
        preset: one with slots that have none.
        data: a folder that ``so2sat build`` wrote, OWNER/NAME on the Hub, or either of them opened.

    Raises:
        FolderError: no built dataset there, or one without statistics.
        So2SatError: the statistics are not about the bands that it shows.
        HubError: the Hub refuses, or has no such dataset.
    """
    from so2sat_hf.load.files import open_place  # noqa: PLC0415 (Arrow, for this alone)

    place = open_place(data)
    statistics = statistics_of(place)
    if not statistics:
        raise FolderError(
            place.name,
            found=f"no {STATISTICS}: it was built without training rows or without pixels",
            expected="mean and deviation of the training rows",
            remedy="take the dataset that has them, or give mean and std in a preset of your own",
        )
    origin = f"{statistics['rows']:,} rows of {statistics['split']}, dataset {place.digest[:12]}"
    return preset.with_statistics(statistics, origin)


def statistics_of(place: "Place") -> dict[str, Any]:
    """Return the content of ``statistics.json`` of a dataset; empty if it has none.

    Raises:
        FolderError: the file is damaged.
        HubError: the Hub refuses.
    """
    if STATISTICS not in {file.path for file in place.manifest.files}:
        return {}
    with place.open(STATISTICS) as file:
        content = file.read()
    return parse_statistics(content, place.name)


def _from_file(path: Path) -> Preset:
    try:
        with path.open("rb") as file:
            table: dict[str, Any] = tomllib.load(file)
    except OSError as error:
        raise So2SatError(path, found=error.strerror or str(error), expected="a preset as TOML") from error
    except (ValueError, RecursionError) as error:  # no TOML, no text, numbers or lists without end
        raise So2SatError(path, found=f"no TOML ({error})", expected="keys such as slots and size") from error
    return from_dict({"name": path.stem, **table}, str(path))
