"""Patches by split, city, class or id, block by block, wherever they lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so2sat_hf.convert.manifest import MANIFEST
from so2sat_hf.convert.patches import PatchBlock, Source
from so2sat_hf.convert.raw import is_raw_folder, open_raw
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place
from so2sat_hf.load.place import Place
from so2sat_hf.load.split_rows import rows_of
from so2sat_hf.pages.choice import find_city, find_class, read_split

BLOCK = 256
"""Patches in memory at a time, 19 MB with all bands."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which patches; None and an empty tuple for all."""

    split: str | None = None
    """``train``, ``validation`` or ``test``; of a built dataset also ``random/test``."""

    city: str | None = None
    """Key or name of a city, or an unambiguous part of either."""

    label: str | None = None
    """Code or name of a class, or an unambiguous part of the name."""

    ids: tuple[str, ...] = ()
    """As in the column ``id``."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Patches that were chosen, before any pixel is read."""

    place: "Place | Source"
    """Where they lie."""

    found: tuple[tuple[str, tuple[int, ...], tuple[str, ...]], ...]
    """Split, rows in it, and ids of them."""

    def __len__(self) -> int:
        return sum(len(rows) for _, rows, _ in self.found)

    def blocks(self, columns: tuple[str, ...]) -> Iterator[PatchBlock]:
        """Yield the patches with these columns, ``id`` and ``label`` among them."""
        for split, rows, ids in self.found:
            if isinstance(self.place, Place):
                for start in range(0, len(ids), BLOCK):
                    yield patches(ids[start : start + BLOCK], self.place, columns=columns)
            else:
                numbers = np.array(rows, np.int64)
                yield from self.place.blocks(split, numbers, columns=columns, size=BLOCK)


def choose(data: str, filters: Filters) -> Chosen:
    """Find patches; only ids, labels and cities are read.

    Args:
        data: a built folder, the folder with the HDF5 files, or OWNER/NAME on the Hub.
        filters: which.

    Raises:
        So2SatError: no such split, city, class or id, no geolocation, or no patch that matches.
    """
    folder = Path(data)
    is_raw = folder.is_dir() and not (folder / MANIFEST).is_file() and is_raw_folder(folder)
    place: Place | Source = open_raw(folder) if is_raw else open_place(data)
    known = place.manifest.split_names if isinstance(place, Place) else tuple(place.num_rows)
    if filters.split is not None and filters.split not in known:
        raise So2SatError(f"split {filters.split!r}", found=f"not in {data}", expected=" or ".join(known))
    if filters.split is None:
        known = tuple(place.manifest.splits) if isinstance(place, Place) else known
    splits = known if filters.split is None else (filters.split,)
    missing = set(filters.ids)
    found = []
    for split in splits:
        rows, ids = _matching(place, split, filters)
        missing -= set(ids)
        found.append((split, rows, ids))
    if missing:
        raise So2SatError(
            f"id {min(missing)!r}",
            found=f"not in {' or '.join(splits)} of {data}",
            expected="file and row, such as testing/000004",
        )
    if not any(rows for _, rows, _ in found):
        raise So2SatError(data, found="no patch that matches", expected="at least one")
    return Chosen(place, tuple(found))


def _matching(
    place: "Place | Source", split: str, filters: Filters
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return rows and ids of a split that match."""
    if isinstance(place, Place):
        known = rows_of(place, split)
        ids, label, cities = known.ids, known.label, known.city
    else:
        has_city = "city" in place.columns
        ids, label, names = read_split(place, split, with_city=has_city)
        cities = names if has_city else None
    keep = np.ones(len(ids), bool)
    if filters.city is not None:
        if cities is None:
            raise So2SatError("--city", found="no geolocation in the data", expected="cities")
        key = find_city(filters.city, set(cities), split)
        keep &= np.array([city == key for city in cities], bool)
    if filters.label is not None:
        keep &= label == find_class(filters.label).index
    if filters.ids:
        wanted = set(filters.ids)
        keep &= np.array([name in wanted for name in ids], bool)
    rows = np.flatnonzero(keep)
    return tuple(rows.tolist()), tuple(ids[row] for row in rows)
