"""What there is to read from, wherever it lies: a built dataset with its files."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from so2sat_hf.convert.cells import LAYOUTS
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import FILE_OF_SPLIT, Rows
from so2sat_hf.convert.records import CompanionFile, ShardRecord, TableFile
from so2sat_hf.convert.views import REMEDY
from so2sat_hf.errors import SourceError

INDEX = "index"
"""Companion that says where each patch lies."""

KNOWN_FILES = 1024
"""Files whose row groups are kept in memory, a few hundred bytes each."""

PARALLEL = 8
"""Files on the Hub that are looked into at the same time."""


class Group(NamedTuple):
    """A row group of a Parquet file, or a record batch of an Arrow file."""

    shard: int
    """Which of ``place.shards(split)``, from 0."""

    number: int
    """Which of that file, from 0."""

    rows: int
    """Patches in it."""


@dataclass(frozen=True, slots=True)
class Place(ABC):
    """What ``so2sat build`` wrote; two are equal if they lie in one place and hold the same bytes."""

    manifest: Manifest = field(compare=False, repr=False)
    """What it holds."""

    digest: str
    """Of the manifest: changes whenever a byte of the data does."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Folder, or repository and commit."""

    @abstractmethod
    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading ranges of it. Whoever opens it closes it."""

    @abstractmethod
    def parquet(self, path: str) -> pq.ParquetFile:
        """Open a Parquet file. What it says of itself is read once per process.

        Each file on the Hub is read with one request for every 32 MiB of neighbouring columns of a row group.
        Its reader serves one thread at a time: threads that read at once open it each.
        """

    @abstractmethod
    def batches(self, path: str, columns: Sequence[str] | None = None) -> pa.RecordBatchFileReader:
        """Open an Arrow file.

        Args:
            path: of the file.
            columns: which are read. A file on this machine is mapped, and always has all of them.
        """

    @abstractmethod
    def has(self, path: str) -> bool:
        """Whether a file is there, as far as that can be known without asking a server."""

    @abstractmethod
    def parts(
        self, wanted: Sequence[tuple[TableFile, Rows]], columns: Sequence[str]
    ) -> Generator[Iterator[pa.Table], None, None]:
        """For each of some files, yield the tables that make up some of its rows, in order.

        Row groups without any of the rows are not read, nor are other columns. Who leaves it early closes it:
        on the Hub row groups are fetched ahead.

        Args:
            wanted: files, and the rows of each, increasing.
            columns: of the files.

        Raises:
            SourceError: a file is missing or damaged, or has fewer rows or columns.
            HubError: the Hub refuses, is silent, or has other files by now.
        """

    @abstractmethod
    def where(self, path: str) -> str:
        """Return the name of a file, for people."""

    @abstractmethod
    def address(self, path: str) -> str:
        """Return where a file is, as ``load_dataset(data_files=...)`` and fsspec take it."""

    @abstractmethod
    def rows_of(self, path: str) -> tuple[int, ...]:
        """Return the rows of each row group (Arrow: record batch) of a file."""

    def shards(self, split: str) -> tuple[ShardRecord, ...]:
        """Return the data files of a split, in order."""
        return self.manifest.shards_of(split)

    def groups(self, split: str) -> tuple[Group, ...]:
        """Return the row groups (Arrow: record batches) of a split as stored; looked up once per process."""
        return _groups(self, split)

    def stem(self, split: str) -> str:
        """What ids of a split begin with: ``training``; ``random/training`` from version 3 alone."""
        folders = [name for name, config in LAYOUTS.items() if config == self.manifest.layout]
        return "/".join([*folders, FILE_OF_SPLIT[split]])

    def index(self, split: str) -> CompanionFile | None:
        """Return the index of a split, if it was built and is there."""
        files = [file for plan in self.manifest.companions if plan.name == INDEX for file in plan.files]
        return next((file for file in files if file.split == split and self.has(file.path)), None)


@lru_cache(maxsize=KNOWN_FILES)
def _groups(place: Place, split: str) -> tuple[Group, ...]:
    shards = place.shards(split)
    with ThreadPoolExecutor(PARALLEL) as pool:
        counts = list(pool.map(lambda shard: place.rows_of(shard.path), shards))
    for shard, rows in zip(shards, counts, strict=True):
        if sum(rows) != shard.rows:
            raise SourceError(
                place.where(shard.path),
                found=f"{sum(rows):,} rows",
                expected=f"{shard.rows:,}, as manifest.json says",
                remedy=REMEDY,
            )
    return tuple(
        Group(index, number, rows)
        for index, of_shard in enumerate(counts)
        for number, rows in enumerate(of_shard)
    )


def rows_of_groups(known: pq.FileMetaData) -> tuple[int, ...]:
    """Return the rows of each row group of a Parquet file."""
    return tuple(known.row_group(number).num_rows for number in range(known.num_row_groups))
