"""Where the patches of a built folder lie: id -> data file and row in it. Pixels are not looked at.

The index of the folder tells, or without one the ``id`` columns of its data files. What was found is kept, so
that asking again is cheap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from so2sat_hf.convert.cells import LAYOUTS
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import FILE_OF_SPLIT, parse_id, row_id
from so2sat_hf.convert.reading import read_tables
from so2sat_hf.convert.records import CompanionFile, ShardRecord
from so2sat_hf.errors import So2SatError, SourceError

INDEX = "index"
"""Companion that says where each patch lies."""

KNOWN_SPLITS = 12
"""Splits whose places are kept in memory, 8 bytes a patch: 3.2 MB for all 400,673."""

REMEDY = "`so2sat verify` tells which files are damaged; build or copy them again"


@dataclass(frozen=True, slots=True)
class BuiltFolder:
    """What ``so2sat build`` wrote; two are equal if they lie in one place and hold the same bytes."""

    path: Path
    """Absolute; holds ``manifest.json``."""

    digest: str
    """Of the manifest: changes whenever a byte of the data does."""

    manifest: Manifest = field(compare=False, repr=False)
    """What the folder holds."""

    def stem(self, split: str) -> str:
        """What ids of a split begin with: ``training``; ``random/training`` from version 3 alone."""
        folders = [name for name, config in LAYOUTS.items() if config == self.manifest.layout]
        return "/".join([*folders, FILE_OF_SPLIT[split]])

    def index(self, split: str) -> CompanionFile | None:
        """Return the index of a split, if it was built and is there."""
        files = [file for plan in self.manifest.companions if plan.name == INDEX for file in plan.files]
        found = (file for file in files if file.split == split and (self.path / file.path).is_file())
        return next(found, None)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the patches of a split lie, by their row in the HDF5 file, which their id tells."""

    file: NDArray[np.int32]
    """(n,) which of the data files of the split, from 0; -1: in none."""

    row: NDArray[np.int32]
    """(n,) row in that file, from 0."""


@dataclass(frozen=True, slots=True)
class Located:
    """Those of the patches asked for that lie in one data file."""

    shard: ShardRecord
    """The file."""

    positions: NDArray[np.int64]
    """(m,) which of the ids asked for, from 0, increasing."""

    rows: NDArray[np.int32]
    """(m,) row of each in the file, from 0."""


def open_folder(path: Path) -> BuiltFolder:
    """Read what a built folder holds.

    Raises:
        FolderError: no manifest, or one that cannot be understood.
    """
    manifest = Manifest.read(path)
    return BuiltFolder(path.resolve(), manifest.digest, manifest)


def locate(ids: Sequence[str], folder: BuiltFolder) -> list[Located]:
    """Find the data files that hold some patches.

    Args:
        ids: well-formed, in any order.
        folder: where to look.

    Raises:
        So2SatError: an id that is not in the folder.
        SourceError: a file that tells where patches lie is damaged.
    """
    stems = np.array([parse_id(text)[0] for text in ids], str)
    numbers = np.array([parse_id(text)[1] for text in ids], np.int64)
    unknown = np.ones(len(ids), bool)
    found = []
    for split, record in folder.manifest.splits.items():
        positions = np.flatnonzero((stems == folder.stem(split)) & (numbers < record.rows))
        if not len(positions):
            continue
        places = places_of(folder, split)
        files, rows = places.file[numbers[positions]], places.row[numbers[positions]]
        unknown[positions] = files < 0
        for number, shard in enumerate(folder.manifest.shards_of(split)):
            here = files == number
            if here.any():
                found.append(Located(shard, positions[here], rows[here]))
    if unknown.any():
        raise _unknown(
            folder, [text for text, is_unknown in zip(ids, unknown, strict=True) if is_unknown], ids
        )
    return found


def _unknown(folder: BuiltFolder, unknown: Sequence[str], ids: Sequence[str]) -> So2SatError:
    stems = {folder.stem(split): record.rows for split, record in folder.manifest.splits.items()}
    return So2SatError(
        folder.path,
        found=f"{len(unknown):,} of {len(ids):,} ids are not in it, e.g. {unknown[0]}",
        expected=" or ".join(
            f"{row_id(stem, 0)} to {row_id(stem, rows - 1)}" for stem, rows in stems.items()
        ),
        remedy="take ids from the column `id` of this folder",
    )


@lru_cache(maxsize=KNOWN_SPLITS)
def places_of(folder: BuiltFolder, split: str) -> Places:
    """Return where each patch of a split lies; what was found is kept.

    Raises:
        SourceError: a file that tells is damaged, or contradicts the manifest.
    """
    num_rows = folder.manifest.splits[split].rows
    places = Places(np.full(num_rows, -1, np.int32), np.zeros(num_rows, np.int32))
    prefix, index = f"{folder.stem(split)}/", folder.index(split)
    try:
        told = _told_by_data(folder, split) if index is None else _told_by_index(folder, split, index)
        for ids, files, rows in told:
            if not pc.all(pc.starts_with(ids, prefix)).as_py():
                raise ValueError(f"not all begin with {prefix}")  # noqa: TRY301
            numbers = pc.utf8_slice_codeunits(ids, len(prefix)).cast(pa.int32()).to_numpy()
            places.file[numbers], places.row[numbers] = files, rows
    except (KeyError, ValueError, IndexError) as error:
        raise SourceError(
            folder.path / (index.path if index else f"data/{split}"),
            found=f"ids that are not those of the folder ({error})",
            expected="files written by `so2sat build`",
            remedy=REMEDY,
        ) from error
    return places


Told = tuple[pa.ChunkedArray, Any, Any]
"""Ids, and for each the number of its data file and the row in that."""


def _told_by_index(folder: BuiltFolder, split: str, index: CompanionFile) -> Iterator[Told]:
    known = pa.array([shard.path for shard in folder.manifest.shards_of(split)])
    for table in read_tables(folder.path, index, ["id", "file", "row"]):
        files = pc.index_in(table.column("file"), value_set=known).fill_null(-1)
        yield table.column("id"), files.to_numpy(), table.column("row").to_numpy()


def _told_by_data(folder: BuiltFolder, split: str) -> Iterator[Told]:
    for number, shard in enumerate(folder.manifest.shards_of(split)):
        first = 0
        for table in read_tables(folder.path, shard, ["id"]):
            yield table.column("id"), number, np.arange(first, first + len(table))
            first += len(table)
