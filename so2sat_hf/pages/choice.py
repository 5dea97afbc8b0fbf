"""Which patches of a source to look at: by class, by city, or spread over the classes. Reads no pixels."""

import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert import split_file
from so2sat_hf.convert.patches import GEO_COLUMNS, MAX_ROWS_IN_MEMORY, SPLIT_OF_FILE, Source
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.convert.split_file import SplitFile
from so2sat_hf.errors import So2SatError
from so2sat_hf.facts import LCZClass


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to see."""

    split: str | None = None
    """``train``, ``validation`` or ``test``; None for the first split of the source."""

    label: str | None = None
    """Code or name of a class, or an unambiguous part of the name; None for all classes."""

    city: str | None = None
    """Key or name of a city, or an unambiguous part of either; None for everywhere."""

    count: int = 12
    """At most so many patches, from 1."""

    seed: int = 0
    """Same seed, same patches."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Patches that were chosen."""

    split: str
    """Split they are in."""

    rows: tuple[int, ...]
    """Their rows in the split of the source, from 0, in the order of class and id."""

    num_matching: int
    """Patches of the split that match the wish."""

    filters: str
    """What they had to match, e.g. ``"of LCZ G Water in Munich"``; empty without a filter."""


def single_file(path: Path) -> RawSource:
    """Open one image file as a source of one split, without geolocation.

    Args:
        path: a file of the published layout; a name other than the published ones counts as ``train``.

    Raises:
        SourceError: it is not laid out as published.
    """
    split = SPLIT_OF_FILE.get(path.stem, "train")
    return RawSource((SplitFile(split, path.stem, path, None, split_file.count_rows(path)),))


def choose(source: Source, wish: Wish) -> Choice:
    """Choose patches, the same ones from the HDF5 files and from a folder built from them.

    The classes take turns, and within a class chance decides; so a choice of 17 has all 17 classes, where
    all are present. Fewer classes than that are drawn at random too.

    Args:
        source: only ids and labels are read, and cities if the wish names one.
        wish: what to choose.

    Raises:
        So2SatError: no such split, class or city, or no patch that matches.
    """
    split = _find_split(source, wish.split)
    lcz = None if wish.label is None else find_class(wish.label)
    ids, label, cities = read_split(source, split, with_city=wish.city is not None)
    matching = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    filters = ""
    if wish.city is not None:
        key = find_city(wish.city, set(cities), split)
        matching = matching[np.array([cities[row] == key for row in matching], dtype=bool)]
        filters = f" in {city_name(key)}"
    if lcz is not None:
        present = np.unique(label[matching])
        matching = matching[label[matching] == lcz.index]
        filters = f"of {class_title(lcz)}{filters}"
        if not len(matching):
            raise So2SatError(
                split,
                found=f"no patch {filters}",
                expected=f"one of {', '.join(class_title(facts.classes()[index]) for index in present)}",
                remedy="choose another --label, --city or --split",
            )
    rows = _take_turns(matching, label, wish)
    return Choice(split, tuple(rows), len(matching), filters.strip())


def _take_turns(matching: NDArray[np.int64], label: NDArray[np.int64], wish: Wish) -> list[int]:
    """Choose among rows in the order of their ids, and return them in the order of class and id."""
    rng = np.random.default_rng(wish.seed)
    present = rng.permutation(np.unique(label[matching]))
    queues = [rng.permutation(np.flatnonzero(label[matching] == index)) for index in present]
    turns = (queue[turn] for turn in range(wish.count) for queue in queues if turn < len(queue))
    chosen = sorted(position for position, _ in zip(turns, range(wish.count), strict=False))
    return sorted((int(matching[position]) for position in chosen), key=lambda row: int(label[row]))


def find_class(text: str) -> LCZClass:
    """Return the class that somebody means.

    Args:
        text: a code, a name or an unambiguous part of it, in any case.

    Raises:
        So2SatError: none of the 17, or more than one.

    >>> find_class("open mid").code, find_class("WATER").code, find_class("lcz 10").name
    ('5', 'G', 'Heavy industry')
    """
    codes = {_plain(spelling): lcz for lcz in facts.classes() for spelling in (lcz.code, f"LCZ {lcz.code}")}
    if _plain(text) in codes:
        return codes[_plain(text)]
    meant = _meant(text, {lcz.name: (lcz.name,) for lcz in facts.classes()})
    if len(meant) != 1:
        raise So2SatError(
            f"--label {text}",
            found=f"may be {' or '.join(meant)}" if meant else "no such class",
            expected="one of " + ", ".join(f"{lcz.code} {lcz.name}" for lcz in facts.classes()),
        )
    return next(lcz for lcz in facts.classes() if lcz.name == meant[0])


def class_title(lcz: LCZClass) -> str:
    """Return code and name, e.g. ``"LCZ G Water"``."""
    return f"LCZ {lcz.code} {lcz.name}"


def city_name(key: str) -> str:
    """Return the name of a city, or its key if nothing is known about it."""
    return next((city.name for city in facts.cities() if city.key == key), key)


def find_city(text: str, present: set[str], split: str) -> str:
    """Return the key of the city that somebody means.

    Args:
        text: key or name, or an unambiguous part of either, in any case.
        present: keys of the cities in the split.
        split: for the error.

    Raises:
        So2SatError: none of them, or more than one.
    """
    names = {key: city_name(key) for key in sorted(present)}
    meant = _meant(text, {key: (key, name) for key, name in names.items()})
    if len(meant) != 1:
        raise So2SatError(
            f"--city {text}",
            found=f"may be {' or '.join(names[key] for key in meant)}" if meant else f"not in {split}",
            expected="one of " + ", ".join(names),
            remedy="choose one of these, or another --split",
        )
    return meant[0]


def _find_split(source: Source, split: str | None) -> str:
    present = [name for name, num_rows in source.num_rows.items() if num_rows]
    if not present or split not in (None, *present):
        raise So2SatError(
            f"split {split or ''}".strip(),
            found="not in the source" if present else "no patch in the source",
            expected=f"one of {', '.join(present)}" if present else "at least one patch",
        )
    return split or present[0]


def read_split(
    source: Source, split: str, *, with_city: bool
) -> tuple[list[str], NDArray[np.int64], list[str]]:
    """Read ids, labels and, on demand, cities of a split; 352,366 rows take some 50 MB.

    Raises:
        So2SatError: cities are wanted, and there is no geolocation.
    """
    if with_city and "city" not in source.columns:
        raise So2SatError(
            "--city",
            found="the source has no geolocation",
            expected="a folder with the geo files of version 4, or one built with them",
            remedy="leave --city out",
        )
    columns = ("id", "label", *(GEO_COLUMNS if with_city else ()))
    ids: list[str] = []
    labels: list[NDArray[np.int64]] = []
    cities: list[str] = []
    rows = range(source.num_rows[split])
    for block in source.blocks(split, rows, columns=columns, size=MAX_ROWS_IN_MEMORY):
        ids += block.ids
        labels.append(block.label)
        if with_city and block.geo is not None:
            cities += map(sys.intern, block.geo.city)
    return ids, np.concatenate(labels), cities


def _meant(text: str, spellings: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the keys with a spelling equal to the text, else those with the text as a part of one."""
    wanted = _plain(text)
    plain = {key: [_plain(spelling) for spelling in known] for key, known in spellings.items()}
    exact = [key for key, known in plain.items() if wanted in known]
    parts = [key for key, known in plain.items() if wanted and any(wanted in spelling for spelling in known)]
    return exact or parts


def _plain(text: str) -> str:
    """Only letters and digits, in one case and without accents.

    >>> _plain("Open mid-rise")
    'openmidrise'
    """
    return "".join(letter for letter in unicodedata.normalize("NFKD", text).casefold() if letter.isalnum())
