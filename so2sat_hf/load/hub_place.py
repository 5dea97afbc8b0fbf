"""A dataset repository on the Hub as a place to read from, pinned to a commit."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from so2sat_hf.convert.patches import Rows
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.reading import CHECKED, damage_named
from so2sat_hf.convert.records import TableFile
from so2sat_hf.hub.address import Address
from so2sat_hf.hub.dataset import open_dataset
from so2sat_hf.hub.patience import Patience
from so2sat_hf.hub.ranges import HubFile
from so2sat_hf.hub.shelf import HubShelf
from so2sat_hf.load.ahead import read_parts
from so2sat_hf.load.place import Place, rows_of_groups
from so2sat_hf.load.ranged import RangedFile, footer, open_batches, rows_of_batches


def open_hub_place(address: Address, patience: Patience | None) -> "HubPlace":
    """Open a repository at the commit that its revision points to now: three requests.

    Raises:
        HubError: see :func:`so2sat_hf.load.files.open_place`.
    """
    source = open_dataset(address, patience=patience)
    return HubPlace(source.manifest, source.manifest.digest, cast("HubShelf", source.shelf))


@dataclass(frozen=True, slots=True)
class HubPlace(Place):
    """A dataset repository on the Hub at one commit."""

    shelf: HubShelf
    """Repository, commit, and patience."""

    @property
    def name(self) -> str:
        """Repository and commit."""
        return self.shelf.name

    def where(self, path: str) -> str:
        """Return path, repository and commit."""
        return f"{path} of {self.name}"

    def address(self, path: str) -> str:
        """Return the file at its commit."""
        return f"hf://datasets/{self.shelf.repo_id}@{self.shelf.commit}/{path}"

    def file(self, path: str) -> HubFile:
        """Return where a file is."""
        sizes = self.manifest.tables | {file.path: file.bytes for file in self.manifest.files}
        size = sizes[path]
        return HubFile(
            self.shelf.repo_id, self.shelf.commit, path, size, self.shelf.endpoint, self.shelf.patience
        )

    def open(self, path: str) -> pa.NativeFile:
        """Open a file: each read is a request."""
        return pa.PythonFile(RangedFile(self.file(path)), "r")

    def parquet(self, path: str) -> pq.ParquetFile:
        """Open a Parquet file."""
        file = self.file(path)
        with damage_named(file.name):
            return pq.ParquetFile(self.open(path), metadata=footer(file), pre_buffer=True, **CHECKED)

    def batches(self, path: str, columns: Sequence[str] | None = None) -> pa.RecordBatchFileReader:
        """Open an Arrow file."""
        file = self.file(path)
        with damage_named(file.name):
            return open_batches(file, columns)

    def has(self, path: str) -> bool:
        """Whether the manifest lists a file."""
        return path in self.manifest.tables

    def rows_of(self, path: str) -> tuple[int, ...]:
        """Return the rows of each row group (Arrow: record batch) of a file."""
        file = self.file(path)
        with damage_named(self.where(path)):
            return rows_of_batches(file) if path.endswith(SUFFIX["arrow"]) else rows_of_groups(footer(file))

    def parts(
        self, wanted: Sequence[tuple[TableFile, Rows]], columns: Sequence[str]
    ) -> Generator[Iterator[pa.Table], None, None]:
        """Yield rows of files; requests for the next ones are on their way meanwhile."""
        yield from read_parts([(self.file(file.path), rows) for file, rows in wanted], columns)
