"""Rows of the files of a built folder, read in parts; row groups that hold none of them are not read."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from so2sat_hf.convert.patches import Rows
from so2sat_hf.convert.records import TableFile
from so2sat_hf.convert.views import REMEDY, check_kinds, sound
from so2sat_hf.errors import SourceError

PART_ROWS = 256
"""Rows of a row group that are decoded at once: a third of the memory of a whole one."""

FEW_ROWS = 64
"""The same where single rows are wanted: decoding ends with the part of the last one."""

READ_BYTES = 1 << 20
"""Bytes of a column that are read at once; what follows the last row wanted is not read either."""

CHECKED = {"page_checksum_verification": True}
"""Option of everything that reads Parquet: else most flipped bits come back as other pixels."""


def read_tables(folder: Path, file: TableFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield all rows of a file of a built folder, a few hundred at a time.

    Raises:
        SourceError: the file is missing or damaged.
    """
    yield from read_rows(folder / file.path, range(file.rows), columns)


def read_rows(path: Path, rows: Rows, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield some rows of a file, in order, a few hundred at a time.

    Args:
        path: the file, ``.parquet`` or ``.arrow``.
        rows: which, increasing; row groups and record batches without any of them are not read.
        columns: of the file; default: all.

    Raises:
        SourceError: the file is missing or damaged, or has fewer rows or columns.
    """
    if not path.is_file():
        raise SourceError(
            path,
            found="no such file",
            expected="a file that manifest.json lists",
            remedy="copy it to its place, or build the folder again",
        )
    numbers = np.asarray(rows)
    parts = _parquet_parts if path.suffix == ".parquet" else _arrow_parts
    yield from chosen(parts(path, numbers, columns), numbers, columns, name=path)


def chosen(
    parts: Iterable[tuple[int, pa.Table]],
    numbers: NDArray[np.int64],
    columns: Sequence[str] | None,
    *,
    name: object,
) -> Iterator[pa.Table]:
    """Yield the rows wanted out of parts of a file.

    Args:
        parts: first row of each, and the part.
        numbers: rows of the file, increasing.
        columns: of the file; default: all.
        name: of the file, for errors.

    Raises:
        SourceError: the file is damaged, or has fewer rows or columns.
    """
    done = 0
    with damage_named(name):
        for first, table in parts:
            check_kinds(table.schema, columns)
            low, high = np.searchsorted(numbers, (first, first + len(table)))
            if low < high:
                inside = numbers[low:high] - first
                is_run = inside[-1] - inside[0] == len(inside) - 1
                kept = table if columns is None else table.select(columns)  # a column may be missing
                yield kept.slice(inside[0], len(inside)) if is_run else kept.take(pa.array(inside))
                del kept
            done += int(high - low)
            del table  # before the next one is read
        if done < len(numbers):
            raise ValueError(f"no row {numbers[done]}")


@contextmanager
def damage_named(name: object) -> Iterator[None]:
    """Say which file it is that cannot be read.

    Raises:
        SourceError: what pyarrow raises on a damaged file, or one with other columns.
    """
    try:
        yield
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            name,
            found=f"cannot be read ({error})",
            expected="a file written by `so2sat build`",
            remedy=REMEDY,
        ) from error


def _parquet_parts(
    path: Path, rows: NDArray[np.int64], columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.Table]]:
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES, **CHECKED) as file:
        yield from parquet_parts(file, rows, columns)


def parquet_parts(
    file: pq.ParquetFile, rows: NDArray[np.int64], columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.Table]]:
    """Yield (first row, rows) of the row groups that hold some of the rows, each up to the last of these.

    Args:
        file: opened with ``pre_buffer=False, buffer_size=READ_BYTES, **CHECKED``.
        rows: increasing.
        columns: of the file; None: all.
    """
    start = 0
    names = None if columns is None else list(columns)
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        wanted = rows[slice(*np.searchsorted(rows, (start, stop)))]
        if len(wanted):
            first = start
            for batch in file.iter_batches(step(len(wanted)), [group], names, use_threads=False):
                yield first, pa.Table.from_batches([batch])
                first += len(batch)
                if first > wanted[-1]:
                    break
        start = stop


def step(num_wanted: int) -> int:
    """Return how many rows of a row group are decoded at once if so many of it are wanted."""
    return PART_ROWS if num_wanted > FEW_ROWS else FEW_ROWS


def _arrow_parts(
    path: Path,
    rows: NDArray[np.int64],
    columns: Sequence[str] | None,
) -> Iterator[tuple[int, pa.Table]]:
    """Yield (first row, rows) of every record batch: mapped, so that what nobody takes is not read."""
    first, last = 0, rows[-1] if len(rows) else -1
    with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as file:
        for index in range(file.num_record_batches):
            if first > last:
                return
            batch = file.get_batch(index)
            check_kinds(batch.schema, columns)
            yield first, pa.Table.from_batches([sound(batch, columns)])
            first += len(batch)
