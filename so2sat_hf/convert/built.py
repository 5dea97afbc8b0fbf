"""A built folder as a source: Parquet becomes Arrow shards on a training machine, without the HDF5."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from so2sat_hf.convert.manifest import MANIFEST, Manifest, ShardRecord
from so2sat_hf.convert.patches import GEO_COLUMNS, PatchBlock, SourceRecord
from so2sat_hf.convert.table import to_block
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.errors import SourceError

PART_ROWS = 256
"""Rows of a Parquet file that are decoded at once: a third of the memory of a whole row group."""


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """A folder that ``so2sat build`` wrote: a :class:`~so2sat_hf.convert.patches.Source`."""

    folder: Path
    """Holds ``manifest.json``."""

    manifest: Manifest
    """Read once; decides what the folder holds."""

    @property
    def num_rows(self) -> Mapping[str, int]:
        """Split -> number of patches."""
        return {name: split.rows for name, split in self.manifest.splits.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that were built."""
        return self.manifest.columns

    @property
    def geo_generation(self) -> str | None:
        """Generation of the geo files that the folder was built from."""
        return self.manifest.geolocation

    def fingerprint(self) -> Mapping[str, object]:
        """The digest of the manifest covers every byte of the data; size and age of each file its damage."""
        stats = {shard.path: (self.folder / shard.path).stat() for shard in self.manifest.shards}
        files = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
        return {MANIFEST: self.manifest.digest, **files}

    def check_hashes(self) -> None:
        """Read every data file and compare its hash with the manifest.

        Raises:
            SourceError: a file was changed or damaged since it was built.
        """
        for shard in self.manifest.shards:
            if sha256_of(self.folder / shard.path) != shard.sha256:
                raise SourceError(
                    self.folder / shard.path,
                    found="another sha256 than in the manifest: the file was changed or damaged",
                    expected="the file that `so2sat build` wrote",
                    remedy="copy it again, or build the folder again",
                )

    def records(self) -> tuple[SourceRecord, ...]:
        """The published files that the folder was built from."""
        return self.manifest.sources

    def blocks(
        self,
        split: str,
        start: int,
        stop: int,
        *,
        columns: tuple[str, ...],
        size: int,
        reuse: bool = False,  # noqa: ARG002 (blocks are views of Arrow memory)
    ) -> Iterator[PatchBlock]:
        """Yield rows of a split across shards; see :class:`~so2sat_hf.convert.patches.Source`."""
        with_geo = GEO_COLUMNS if any(name in GEO_COLUMNS for name in columns) else ()
        wanted = sorted({"id", "label", *columns, *with_geo})
        first, pending = start, []
        for table in self._tables(split, start, stop, wanted):
            pending.append(table)
            while sum(len(part) for part in pending) >= min(size, stop - first):
                rows = pa.concat_tables(pending)
                count = min(size, stop - first)
                yield replace(to_block(rows.slice(0, count)), rounding=dict(self.manifest.rounding))
                first += count
                pending = [rows.slice(count)]
                if first == stop:
                    return

    def _tables(self, split: str, start: int, stop: int, columns: list[str]) -> Iterator[pa.Table]:
        offset = 0
        for shard in self.manifest.shards_of(split):
            low, high = max(start - offset, 0), min(stop - offset, shard.rows)
            if low < high:
                yield from read_tables(self.folder, shard, columns, start=low, stop=high)
            offset += shard.rows


def open_built(folder: Path) -> BuiltSource:
    """Open a built folder as a source.

    Raises:
        FolderError: no manifest.
        SourceError: a file of the manifest is missing or has another size.
    """
    manifest = Manifest.read(folder)
    for shard in manifest.shards:
        path = folder / shard.path
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            raise SourceError(
                path,
                found="no such file" if size is None else f"{size:,} bytes",
                expected=f"{shard.bytes:,} bytes, as {MANIFEST} says",
                remedy="build the folder again, or copy the file again",
            )
    return BuiltSource(folder.resolve(), manifest)


def read_tables(
    folder: Path,
    shard: ShardRecord,
    columns: list[str] | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[pa.Table]:
    """Yield rows ``start`` to ``stop`` of a data file, a few hundred at a time.

    Row groups outside that range are not read.

    Raises:
        SourceError: the file is damaged.
    """
    path = folder / shard.path
    stop = shard.rows if stop is None else stop
    try:
        for position, table in _parts(path, columns, start, stop):
            low, high = max(start - position, 0), min(stop - position, len(table))
            if low < high:
                yield table.slice(low, high - low)
            del table  # before the next one is read
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            path,
            found=f"cannot be read ({error})",
            expected="a file written by `so2sat build`",
            remedy="`so2sat verify` tells which files are damaged; build or copy them again",
        ) from error


def _parts(path: Path, columns: list[str] | None, start: int, stop: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield (first row, rows) of the parts of a file that may hold rows ``start`` to ``stop``."""
    position = 0
    if path.suffix == ".parquet":
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                num_rows = file.metadata.row_group(group).num_rows
                if position < stop and position + num_rows > start:
                    batches = file.iter_batches(PART_ROWS, [group], columns, use_threads=False)
                    for index, batch in enumerate(batches):
                        yield position + index * PART_ROWS, pa.Table.from_batches([batch])
                position += num_rows
    else:
        with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as file:
            for index in range(file.num_record_batches):
                table = pa.Table.from_batches([file.get_batch(index)])  # mapped, not read
                yield position, table.select(columns or table.column_names)
                position += len(table)
