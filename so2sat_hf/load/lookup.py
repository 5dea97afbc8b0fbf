"""Where the patches of a built dataset lie: id -> data file and row in it. Pixels are not looked at.

Its index tells, or without one the ``id`` columns of its data files. What was found is kept, so
that asking again is cheap.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from so2sat_hf.convert.patches import parse_id, row_id
from so2sat_hf.convert.records import CompanionFile, ShardRecord
from so2sat_hf.convert.views import REMEDY
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.load.files import Place

KNOWN_SPLITS = 12
"""Splits whose places are kept in memory, 8 bytes a patch: 3.2 MB for all 400,673."""


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


def locate(ids: Sequence[str], place: Place) -> list[Located]:
    """Find the data files that hold some patches.

    Args:
        ids: well-formed, in any order.
        place: where to look.

    Raises:
        So2SatError: an id that is not there.
        SourceError: a file that tells where patches lie is damaged.
        HubError: the Hub refuses, is silent, or has other files by now.
    """
    stems = np.array([parse_id(text)[0] for text in ids], str)
    numbers = np.array([parse_id(text)[1] for text in ids], np.int64)
    unknown = np.ones(len(ids), bool)
    found = []
    for split, record in place.manifest.splits.items():
        positions = np.flatnonzero((stems == place.stem(split)) & (numbers < record.rows))
        if not len(positions):
            continue
        places = places_of(place, split)
        files, rows = places.file[numbers[positions]], places.row[numbers[positions]]
        unknown[positions] = files < 0
        for number, shard in enumerate(place.manifest.shards_of(split)):
            here = files == number
            if here.any():
                found.append(Located(shard, positions[here], rows[here]))
    if unknown.any():
        raise _unknown(
            place, [text for text, is_unknown in zip(ids, unknown, strict=True) if is_unknown], ids
        )
    return found


def _unknown(place: Place, unknown: Sequence[str], ids: Sequence[str]) -> So2SatError:
    stems = {place.stem(split): record.rows for split, record in place.manifest.splits.items()}
    return So2SatError(
        place.name,
        found=f"{len(unknown):,} of {len(ids):,} ids are not in it, e.g. {unknown[0]}",
        expected=" or ".join(
            f"{row_id(stem, 0)} to {row_id(stem, rows - 1)}" for stem, rows in stems.items()
        ),
        remedy="take ids from the column `id` of this dataset",
    )


@lru_cache(maxsize=KNOWN_SPLITS)
def places_of(place: Place, split: str) -> Places:
    """Return where each patch of a split lies; what was found is kept.

    Raises:
        SourceError: a file that tells is damaged, or contradicts the manifest.
        HubError: the Hub refuses, is silent, or has other files by now.
    """
    num_rows = place.manifest.splits[split].rows
    places = Places(np.full(num_rows, -1, np.int32), np.zeros(num_rows, np.int32))
    prefix, index = f"{place.stem(split)}/", place.index(split)
    try:
        told = _told_by_data(place, split) if index is None else _told_by_index(place, split, index)
        with closing(told):
            for ids, files, rows in told:
                if not pc.all(pc.starts_with(ids, prefix)).as_py():
                    raise ValueError(f"not all begin with {prefix}")  # noqa: TRY301
                numbers = pc.utf8_slice_codeunits(ids, len(prefix)).cast(pa.int32()).to_numpy()
                places.file[numbers], places.row[numbers] = files, rows
    except (KeyError, ValueError, IndexError) as error:
        raise SourceError(
            place.where(index.path if index else f"data/{split}"),
            found=f"ids that are not those of the dataset ({error})",
            expected="files written by `so2sat build`",
            remedy=REMEDY,
        ) from error
    return places


Told = Generator[tuple[pa.ChunkedArray, Any, Any], None, None]
"""Ids, and for each the number of its data file and the row in that."""


def _told_by_index(place: Place, split: str, index: CompanionFile) -> Told:
    known = pa.array([shard.path for shard in place.shards(split)])
    with closing(place.parts([(index, range(index.rows))], ["id", "file", "row"])) as parts:
        for table in chain.from_iterable(parts):
            files = pc.index_in(table.column("file"), value_set=known).fill_null(-1)
            yield table.column("id"), files.to_numpy(), table.column("row").to_numpy()


def _told_by_data(place: Place, split: str) -> Told:
    wanted = [(shard, range(shard.rows)) for shard in place.shards(split)]
    with closing(place.parts(wanted, ["id"])) as parts:
        for number, tables in enumerate(parts):
            first = 0
            for table in tables:
                yield table.column("id"), number, np.arange(first, first + len(table))
                first += len(table)
