"""What was built before as a source: Parquet becomes Arrow shards on a training machine, without the HDF5."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf.convert.cells import Cell
from so2sat_hf.convert.manifest import MANIFEST, Manifest
from so2sat_hf.convert.patches import GEO_COLUMNS, PatchBlock, Rows, SourceRecord, chosen_splits, parse_id
from so2sat_hf.convert.reading import read_rows
from so2sat_hf.convert.records import CompanionFile, ShardRecord
from so2sat_hf.convert.shelf import FolderShelf, Shelf
from so2sat_hf.convert.table import to_block
from so2sat_hf.convert.views import REMEDY
from so2sat_hf.errors import SourceError

RASTER = ("sen1_row", "sen1_col", "sen2_row", "sen2_col")
"""Columns of ``index``: row and column of a patch centre in its city's Sentinel-1 and Sentinel-2 raster,
as the publisher numbers them in ``coord`` of the geo files of 2025; those of 2026 have no such numbers."""


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """What ``so2sat build`` wrote, wherever it lies: a :class:`~so2sat_hf.convert.patches.Source`."""

    shelf: Shelf
    """Lends its files."""

    manifest: Manifest
    """Read once; decides what there is."""

    def only(self, splits: tuple[str, ...]) -> "BuiltSource":
        """Return the source as if nothing but these splits had been built; empty for all.

        Raises:
            SourceError: it has no such split.
        """
        wanted = chosen_splits(splits, self.num_rows, self.shelf.name)
        return self if wanted == tuple(self.num_rows) else replace(self, manifest=self.manifest.only(wanted))

    @property
    def num_rows(self) -> Mapping[str, int]:
        """Split -> number of patches."""
        return {name: split.rows for name, split in self.manifest.splits.items()}

    @property
    def layout(self) -> str:
        """The config that the split names belong to."""
        return self.manifest.layout

    @property
    def cells(self) -> Mapping[Cell, int]:
        """The cells of its files."""
        return {Cell.parse(key): cell.rows for key, cell in self.manifest.cells.items()}

    def hdf5_rows(self, split: str) -> NDArray[np.int64]:
        """The row of the HDF5 file of every patch, from its id."""
        ids = self._column(split, "id")
        try:
            return np.array([parse_id(text)[1] for text in ids.to_pylist()], np.int64)
        except (ValueError, AttributeError) as error:
            raise SourceError(
                self.shelf.name,
                found=f"ids of {split} that cannot be right ({error})",
                expected="ids such as training/000123",
                remedy=REMEDY,
            ) from error

    def raster(self, split: str) -> NDArray[np.int32] | None:
        """The publisher's row and column numbers, where the folder has an index with them; else None."""
        index = next((plan for plan in self.manifest.companions if RASTER[0] in plan.features), None)
        if index is None:
            return None
        tables = [
            table for file in index.files if file.split == split for table in self._read(file, list(RASTER))
        ]
        numbers = np.stack([pa.concat_tables(tables).column(name).to_numpy() for name in RASTER], axis=1)
        ordered = np.empty_like(numbers)
        ordered[self.hdf5_rows(split)] = numbers
        return ordered

    def labels(self, split: str) -> NDArray[np.int64]:
        """Class index of every patch."""
        return np.asarray(self._column(split, "label").to_numpy(), np.int64)

    def _column(self, split: str, name: str) -> pa.ChunkedArray:
        parts = [part for shard in self.manifest.shards_of(split) for part in self._parts(shard, name)]
        return pa.chunked_array(parts)

    def _parts(self, shard: ShardRecord, name: str) -> Iterator[pa.Array]:
        for table in self._read(shard, [name]):
            yield from table.column(name).chunks

    def _read(
        self, file: ShardRecord | CompanionFile, columns: list[str], rows: Rows | None = None
    ) -> Iterator[pa.Table]:
        """Yield some rows of a file, or a column of all of them, a few hundred at a time."""
        again = rows is None or len(rows) < file.rows
        with self.shelf.lend(file, again=again) as path:
            yield from read_rows(path, range(file.rows) if rows is None else rows, columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that were built."""
        return self.manifest.columns

    @property
    def geo_generation(self) -> str | None:
        """Generation of the geo files that the folder was built from."""
        return self.manifest.geolocation

    def fingerprint(self) -> Mapping[str, object]:
        """The digest of the manifest covers every byte of the data; the shelf tells of damage since."""
        return {MANIFEST: self.manifest.digest, **self.shelf.fingerprint(self.manifest.shards)}

    def check_hashes(self) -> None:
        """Compare every data file with the manifest, unless that happens whenever one is read.

        Raises:
            SourceError: a file was changed or damaged since it was built.
        """
        self.shelf.check(self.manifest.shards)

    def records(self) -> tuple[SourceRecord, ...]:
        """The published files that the folder was built from."""
        return self.manifest.sources

    def blocks(
        self,
        split: str,
        rows: Rows,
        *,
        columns: tuple[str, ...],
        size: int,
        reuse: bool = False,  # noqa: ARG002 (blocks are views of Arrow memory)
    ) -> Iterator[PatchBlock]:
        """Yield patches of a split across shards; see :class:`~so2sat_hf.convert.patches.Source`."""
        with_geo = GEO_COLUMNS if any(name in GEO_COLUMNS for name in columns) else ()
        wanted = sorted({"id", "label", *columns, *with_geo})
        pending: list[pa.Table] = []
        left = len(rows)
        for table in self._tables(split, rows, wanted):
            pending.append(table)
            while left and sum(map(len, pending)) >= min(size, left):
                count = min(size, left)
                merged = pa.concat_tables(pending)
                yield replace(to_block(merged.slice(0, count)), rounding=dict(self.manifest.rounding))
                left -= count
                pending = [merged.slice(count)]

    def _tables(self, split: str, rows: Rows, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the rows at some positions of a split, file by file."""
        offset, numbers = 0, np.asarray(rows)
        for shard in self.manifest.shards_of(split):
            low, high = np.searchsorted(numbers, (offset, offset + shard.rows))
            if low < high:
                yield from self._read(shard, columns, numbers[low:high] - offset)
            offset += shard.rows


def open_built(folder: Path, splits: tuple[str, ...] = ()) -> BuiltSource:
    """Open a built folder as a source.

    Args:
        folder: holds ``manifest.json``.
        splits: as if there were no others; empty for all.

    Raises:
        FolderError: no manifest.
        SourceError: no such split, or a file of the manifest is missing or has another size.
    """
    source = BuiltSource(FolderShelf(folder.resolve()), Manifest.read(folder)).only(splits)
    for shard in source.manifest.shards:
        path = folder / shard.path
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            raise SourceError(
                path,
                found="no such file" if size is None else f"{size:,} bytes",
                expected=f"{shard.bytes:,} bytes, as {MANIFEST} says",
                remedy="build the folder again, or copy the file again",
            )
    return source
