"""Row groups of a built dataset, decoded a few rows at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf.convert.reading import damage_named
from so2sat_hf.convert.views import check_kinds, sound
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.files import Group, Place
from so2sat_hf.load.ids import Ids, rows_with
from so2sat_hf.load.order import Job

PART_ROWS = 64
"""Rows of a row group that are decoded at once: they stay in the processor's cache until they are copied."""


@dataclass(frozen=True, slots=True)
class GroupReader:
    """Decodes the row groups of a split; picklable, and threads share it."""

    place: Place
    """Where they are."""

    split: str
    """Whose they are."""

    groups: tuple[Group, ...]
    """All of the split, in stored order."""

    columns: tuple[str, ...]
    """Which are read."""

    def __call__(self, job: Job) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield (first row in the row group, rows) up to the last row that a job wants.

        Raises:
            SourceError: the file is missing or damaged.
            HubError: the Hub refuses, is silent, or has other files by now.
        """
        group = self.groups[job.group]
        path = self.place.shards(self.split)[group.shard].path
        with damage_named(self.place.where(path)):
            yield from (self._parquet if path.endswith(".parquet") else self._arrow)(path, group, job)

    def _parquet(self, path: str, group: Group, job: Job) -> Iterator[tuple[int, pa.RecordBatch]]:
        first = 0
        with self.place.parquet(path) as file:
            check_kinds(file.schema_arrow, self.columns)
            parts = file.iter_batches(PART_ROWS, [group.number], list(self.columns), use_threads=False)
            while first <= job.rows[-1]:
                part = [next(parts, None)]
                if part[0] is None:
                    raise ValueError(f"row group {group.number} ends at row {first}")
                first += len(part[0])
                yield first - len(part[0]), part.pop()  # no name holds it while the next one is decoded

    def _arrow(self, path: str, group: Group, job: Job) -> Iterator[tuple[int, pa.RecordBatch]]:
        with self.place.batches(path, self.columns) as file:
            check_kinds(file.schema, self.columns)
            batch = sound(file.get_batch(group.number), self.columns)
            for first in range(0, int(job.rows[-1]) + 1, PART_ROWS):
                yield first, batch.slice(first, PART_ROWS)


def dtypes_of(place: Place) -> dict[str, np.dtype[np.generic]]:
    """Return the dtype of each column in a batch; object for strings."""
    kinds = {"id": "O", "city": "O", "label": "i8", "epsg": "i4", "sen1": "f4"}
    kinds["sen2"] = place.manifest.sen2_dtype
    return {name: np.dtype(kinds.get(name, "f8")) for name in place.manifest.columns}


def check_split(place: Place, split: str) -> None:
    """Refuse a split that is not there.

    Raises:
        So2SatError: that, with those that are.
    """
    if not place.shards(split):
        raise So2SatError(
            place.name,
            found=f"no split {split!r}",
            expected=", ".join(place.manifest.split_names) or "any patches",
        )


def rows_of_ids(ids: Ids, place: Place, split: str) -> NDArray[np.int64]:
    """Return the rows of a split that have one of these ids, in stored order, increasing.

    Raises:
        So2SatError: an id of this split that it does not hold, or none of the ids is of this split.
        SourceError: a file that is missing or damaged.
    """
    others: tuple[str, ...] = ()
    if "/" in split:  # the other splits of its version hold ids that begin like its own
        config = split.partition("/")[0]
        others = tuple(
            name for name in place.manifest.split_names if name.startswith(f"{config}/") and name != split
        )
    return rows_with(
        ids,
        _ids_of(place, [split]),
        place.name,
        elsewhere=(lambda: _ids_of(place, others)) if others else None,
    )


def _ids_of(place: Place, splits: Iterable[str]) -> pa.ChunkedArray:
    """Return the ids of some splits, in stored order."""
    shards = [shard for split in splits for shard in place.shards(split)]
    parts = place.parts([(shard, range(shard.rows)) for shard in shards], ["id"])
    chunks = [chunk for tables in parts for table in tables for chunk in table.column("id").chunks]
    return pa.chunked_array(chunks, pa.string())
