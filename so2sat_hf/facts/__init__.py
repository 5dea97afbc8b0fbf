"""What is known about So2Sat LCZ42: bands, classes, cities, published files and numbers.

Every fact lives in a data file of this folder, with its source; these functions are the one way to it. Files
are read on the first question about them, never on import. Nothing here opens a dataset.
"""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from so2sat_hf.errors import So2SatError
from so2sat_hf.facts.files import read_csv, read_text, read_toml
from so2sat_hf.facts.nouns import (
    Access,
    AccessPattern,
    Band,
    BandStatistics,
    City,
    LCZClass,
    Mirror,
    SourceFile,
    Version,
)

__all__ = [
    "Access",
    "AccessPattern",
    "Band",
    "BandStatistics",
    "City",
    "LCZClass",
    "Mirror",
    "SourceFile",
    "Version",
    "access",
    "architecture_tables",
    "band",
    "bands",
    "citation",
    "cities",
    "cities_of_zone",
    "city",
    "class_counts",
    "class_names",
    "classes",
    "group_tables",
    "palette_tables",
    "preset_tables",
    "published",
    "published_rows",
    "similarity",
    "source_files",
    "statistics",
    "version",
    "versions",
]

SENSORS = ("sen1", "sen2")
NUM_CLASSES = 17
"""Local climate zones; :func:`classes` tells of each."""


@cache
def bands(sensor: str | None = None) -> tuple[Band, ...]:
    """Return the bands in HDF5 order: 8 of sen1, then 10 of sen2.

    Args:
        sensor: ``"sen1"`` or ``"sen2"`` for the bands of one array; None for all 18.

    Raises:
        So2SatError: there is no such sensor.

    >>> [b.name for b in bands("sen2")][:3]
    ['B02', 'B03', 'B04']
    """
    if sensor is not None and sensor not in SENSORS:
        raise _unknown("sensor", sensor, SENSORS)
    rows = read_toml("bands.toml")["bands"]
    return tuple(
        Band(**{"common_name": None, "model_scale": None, "index": index} | row)
        for name in SENSORS
        if sensor in (None, name)
        for index, row in enumerate(r for r in rows if r["sensor"] == name)
    )


def band(name: str) -> Band:
    """Return the band of that name.

    Raises:
        So2SatError: there is no such band.

    >>> [band(name).index for name in ("B04", "B03", "B02")]
    [2, 1, 0]
    """
    known = {band.name: band for band in bands()}
    if name not in known:
        raise _unknown("band", name, known)
    return known[name]


@cache
def classes() -> tuple[LCZClass, ...]:
    """Return the 17 classes in label order."""
    return tuple(LCZClass(**row) for row in read_toml("classes.toml")["classes"])


def class_names() -> list[str]:
    """Return the 17 names in label order, as ``ClassLabel(names=...)`` takes them."""
    return [lcz.name for lcz in classes()]


def class_counts(file_stem: str) -> tuple[int, ...]:
    """Return the patches of each class, in label order, in one published file.

    Args:
        file_stem: ``"training"``, ``"validation"`` or ``"testing"`` of versions 1, 2 and 4.

    Raises:
        So2SatError: no counts of such a file are known.
    """
    counts = read_toml("classes.toml")["counts"]
    if file_stem not in counts:
        raise _unknown("file with class counts", file_stem, counts)
    return tuple(counts[file_stem])


@cache
def cities() -> tuple[City, ...]:
    """Return the 52 cities in alphabetical order of their keys."""
    return tuple(
        City(
            key=row["key"],
            name=row["name"],
            country=row["country"],
            longitude=float(row["longitude"]),
            latitude=float(row["latitude"]),
            epsg=int(row["epsg"]),
            training=int(row["training"]),
            validation=int(row["validation"]),
            testing=int(row["testing"]),
            note=row["note"],
        )
        for row in read_csv("cities.csv")
    )


def city(key: str) -> City:
    """Return the city with the publisher's key.

    Raises:
        So2SatError: there is no such city.

    >>> city("orangitown").name
    'Karachi (Orangi Town)'
    """
    known = {city.key: city for city in cities()}
    if key not in known:
        raise _unknown("city", key, known)
    return known[key]


def cities_of_zone(epsg: int) -> tuple[City, ...]:
    """Return the cities whose patches are in that UTM zone; empty if there is none.

    >>> [city.key for city in cities_of_zone(32618)]
    ['bogota', 'newyork', 'philadelphia', 'washingtondc']
    """
    return tuple(city for city in cities() if city.epsg == epsg)


@cache
def versions() -> tuple[Version, ...]:
    """Return the four published versions, oldest first."""
    return tuple(
        Version(
            name=row["name"],
            doi=row.get("doi"),
            licence=row["licence"],
            urls=tuple(row["urls"]),
            note=row["note"],
            mirrors=tuple(_mirror(mirror) for mirror in row.get("mirrors", ())),
            files=tuple(_source_file(row["name"], file) for file in row["files"]),
        )
        for row in read_toml("versions.toml")["versions"]
    )


def version(name: str) -> Version:
    """Return a published version, ``"1"`` to ``"4"``.

    Raises:
        So2SatError: there is no such version.
    """
    known = {version.name: version for version in versions()}
    if name not in known:
        raise _unknown("version", name, known)
    return known[name]


def source_files(name: str) -> tuple[SourceFile, ...]:
    """Return the published files of all versions whose path ends in a name; empty if there is none.

    Args:
        name: whole trailing parts of the path, with or without extension: ``"random/training.h5"``,
            ``"training.h5"``, or ``"training"`` for ``training.h5`` and ``training.h5.gz`` but not
            ``training_geo.h5``.

    >>> [(file.version, file.path) for file in source_files("testing.h5.gz")]
    [('4', 'testing.h5.gz')]
    """
    wanted = name.split("/")

    def ends_in_name(path: str) -> bool:
        *folders, file = path.split("/")
        stem = file.partition(".")[0]
        return wanted in ([*folders, file][-len(wanted) :], [*folders, stem][-len(wanted) :])

    return tuple(file for version in versions() for file in version.files if ends_in_name(file.path))


def published(size_bytes: int, name: str) -> tuple[SourceFile, ...]:
    """Return the published files that a file of this name and size may be.

    Files whose size nobody has stated are never among them.

    Args:
        size_bytes: size of the file at hand.
        name: as :func:`source_files` takes it.
    """
    return tuple(file for file in source_files(name) if file.bytes == size_bytes)


def published_rows() -> int:
    """Return the patches of the whole dataset, in training.h5, validation.h5 and testing.h5: 400,673."""
    return sum(file.rows or 0 for file in version("2").files)


@cache
def statistics(key: str) -> BandStatistics:
    """Return the published statistics of one file, e.g. ``"2/training"``.

    Raises:
        So2SatError: nobody has published statistics under that key.

    >>> round(statistics("2/training").mean["B04"], 4)
    0.1011
    """
    known = json.loads(read_text("statistics.json"))
    if key not in known:
        raise _unknown("published statistics", key, known)
    entry = known[key]
    columns = {
        column: {name: row[column] for name, row in entry["bands"].items() if column in row}
        for column in ("mean", "std", "min", "max", "zeros", "negatives")
    }
    return BandStatistics(key=key, rows=entry.get("rows"), source=entry["source"], **columns)


@cache
def similarity() -> tuple[tuple[float, ...], ...]:
    """Return the (17, 17) similarity of classes, 1 for a class with itself, down to 0, in label order.

    It weighs the confusion matrix in the weighted accuracy of Bechtel, Demuzere and Stewart (2020).
    """
    codes = [lcz.code for lcz in classes()]
    # (12 - d) / 12 and not 1 - d / 12: one rounding, so that equal distances give the nearest float
    return tuple(tuple((12 - int(row[code])) / 12 for code in codes) for row in read_csv("similarity.csv"))


@cache
def access() -> Access:
    """Return what each way of reading the dataset from the Hub takes; ``benchmarks/hub.py`` measures it."""
    plain = json.loads(read_text("access.json"))
    patterns = {name: AccessPattern(**row) for name, row in plain.pop("patterns").items()}
    return Access(patterns=patterns, **plain)


def preset_tables() -> tuple[dict[str, Any], ...]:
    """Return the tables of presets.toml, which :mod:`so2sat_hf.vision.preset` makes values of."""
    return tuple(read_toml("presets.toml")["presets"])


def architecture_tables() -> tuple[dict[str, Any], ...]:
    """Return the tables of architectures.toml, which :mod:`so2sat_hf.vision.from_scratch` makes models of."""
    return tuple(read_toml("architectures.toml")["architectures"])


def group_tables() -> dict[str, dict[str, Any]]:
    """Return the rows of ``groups.toml``; :func:`so2sat_hf.facts.labels.groupings` reads them."""
    return read_toml("groups.toml")


def palette_tables() -> dict[str, dict[str, Any]]:
    """Return the rows of ``palettes.toml``; :func:`so2sat_hf.facts.labels.palettes` reads them."""
    return read_toml("palettes.toml")


def citation() -> str:
    """Return the BibTeX entries of the paper and of the versions that have a DOI."""
    return read_text("citation.bib")


def _source_file(version: str, row: dict[str, Any]) -> SourceFile:
    unknown: dict[str, Any] = dict.fromkeys(("rows", "bytes", "md5", "sha256", "sha512", "generation"))
    lists = {name: tuple(row.get(name, ())) for name in ("inferred", "mirrors")}
    return SourceFile(version=version, **unknown | {"note": ""} | row | lists)


def _mirror(row: dict[str, Any]) -> Mirror:
    unknown = dict.fromkeys(("repo_id", "revision", "user", "password"))
    return Mirror(**unknown | row | {"without_ranges": tuple(row.get("without_ranges", ()))})


def _unknown(kind: str, name: str, known: Iterable[str]) -> So2SatError:
    return So2SatError(f"{kind} {name!r}", found="unknown", expected="one of " + ", ".join(known))
