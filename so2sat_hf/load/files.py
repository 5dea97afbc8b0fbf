"""A built dataset as a place to read from: a folder on this machine, or a repository on the Hub.

A place holds no open file and no token, so that it can be pickled for worker processes.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import Rows
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.reading import CHECKED, READ_BYTES, damage_named, read_rows
from so2sat_hf.convert.records import TableFile
from so2sat_hf.errors import So2SatError
from so2sat_hf.hub.address import parse_address
from so2sat_hf.hub.patience import Patience
from so2sat_hf.load.place import KNOWN_FILES, Group, Place, rows_of_groups

__all__ = ["Group", "LocalPlace", "Place", "open_place"]


def open_place(place: "str | os.PathLike[str] | Place", *, patience: Patience | None = None) -> Place:
    """Open a built dataset.

    Args:
        place: a folder; ``hf://datasets/OWNER/NAME``, with ``@REVISION`` if it is not ``main``; or text
            ``OWNER/NAME``, where there is no such folder. On the Hub the commit that the revision points to
            now is the one that everything is read from.
        patience: with the Hub.

    Raises:
        So2SatError: something else than a place.
        FolderError: no manifest, or one that cannot be understood.
        HubError: there is no such dataset on the Hub, or not for this user, or its files are not those of its
            manifest.
    """
    if isinstance(place, Place):
        return place
    if not isinstance(place, str | os.PathLike):
        raise So2SatError(
            f"a {type(place).__module__.partition('.')[0]}.{type(place).__name__}",
            found="no place to read files from",
            expected="the folder or OWNER/NAME that it was loaded from",
            remedy="PatchTable takes a datasets.Dataset as it is",
        )
    if isinstance(place, str) and not Path(place).is_dir():
        address = parse_address(place)
        if address is not None:
            from so2sat_hf.load.hub_place import open_hub_place  # noqa: PLC0415 (HTTP, for this way alone)

            return open_hub_place(address, patience)
    manifest = Manifest.read(Path(place))
    return LocalPlace(manifest, manifest.digest, Path(place).resolve())


@dataclass(frozen=True, slots=True)
class LocalPlace(Place):
    """A folder on this machine."""

    path: Path
    """Absolute; holds ``manifest.json``."""

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.path)

    def where(self, path: str) -> str:
        """Return the path of a file."""
        return str(self.path / path)

    def address(self, path: str) -> str:
        """Return the path of a file."""
        return str(self.path / path)

    def open(self, path: str) -> pa.NativeFile:
        """Open a file: an Arrow file is mapped."""
        with damage_named(self.where(path)):
            is_mapped = path.endswith(SUFFIX["arrow"])
            return (pa.memory_map if is_mapped else pa.OSFile)(str(self.path / path))

    def parquet(self, path: str) -> pq.ParquetFile:
        """Open a Parquet file."""
        with damage_named(self.where(path)):
            footer = _local_footer(self, path)
            return pq.ParquetFile(
                self.path / path, metadata=footer, pre_buffer=False, buffer_size=READ_BYTES, **CHECKED
            )

    def batches(self, path: str, columns: Sequence[str] | None = None) -> pa.RecordBatchFileReader:  # noqa: ARG002
        """Map an Arrow file."""
        with damage_named(self.where(path)):
            return pa.ipc.open_file(self.open(path))

    def has(self, path: str) -> bool:
        """Whether a file is there."""
        return (self.path / path).is_file()

    def rows_of(self, path: str) -> tuple[int, ...]:
        """Return the rows of each row group (Arrow: record batch) of a file."""
        if path.endswith(SUFFIX["arrow"]):
            with damage_named(self.where(path)), self.batches(path) as reader:
                return tuple(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
        with damage_named(self.where(path)):
            return rows_of_groups(_local_footer(self, path))

    def parts(
        self, wanted: Sequence[tuple[TableFile, Rows]], columns: Sequence[str]
    ) -> Generator[Iterator[pa.Table], None, None]:
        """Yield rows of files, one file after the other."""
        for file, rows in wanted:
            yield read_rows(self.path / file.path, rows, columns)


@lru_cache(maxsize=KNOWN_FILES)
def _local_footer(place: LocalPlace, path: str) -> pq.FileMetaData:
    return pq.read_metadata(place.path / path)
