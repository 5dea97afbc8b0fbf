"""Rows of files on the Hub: what is needed of each row group is fetched ahead, in few requests."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from so2sat_hf.convert.patches import Rows
from so2sat_hf.convert.reading import CHECKED, READ_BYTES, chosen, damage_named, parquet_parts, step
from so2sat_hf.convert.views import sound
from so2sat_hf.hub.ranges import HubFile
from so2sat_hf.load.ranged import RangedFile, footer, open_batches, rows_of_batches

HOLE = 1 << 17
"""Bytes that nobody wants between two ranges that are: so many take no longer than another request."""

LONGEST = 1 << 25
"""Bytes of one request; a row group with all bands takes two."""

REQUESTS = 8
"""Requests on their way at the same time."""

AHEAD = 1 << 27
"""Bytes of row groups that may wait to be decoded, or are on their way."""

MARGIN = 1.1
"""Bytes of the first rows of a column differ by less than that from their share of all of its rows."""

Numbers = NDArray[np.int64]
Range = tuple[int, int]
"""First byte, and the one after the last."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A row group of which some rows are wanted."""

    file: int
    """Which of the files wanted, from 0."""

    rows: Numbers
    """Of the file, increasing."""

    ranges: tuple[Range, ...]
    """What is needed of it."""

    @property
    def num_bytes(self) -> int:
        """Bytes to fetch."""
        return sum(stop - start for start, stop in self.ranges)


def read_parts(
    wanted: Sequence[tuple[HubFile, Rows]], columns: Sequence[str]
) -> Generator[Iterator[pa.Table], None, None]:
    """For each of some files, yield the tables that make up some of its rows, in order.

    Only the columns wanted of the row groups (Arrow: record batches) that hold the rows are fetched. Of a
    Parquet file that happens in parallel, and large columns come only up to the last row wanted.

    Args:
        wanted: files, and the rows of each, increasing.
        columns: of the files.

    Raises:
        SourceError: a file is damaged, or has fewer rows or columns.
        HubError: the Hub refuses, is silent, or has another file.
    """
    files = [file for file, _ in wanted]
    rows = [np.asarray(each, np.int64) for _, each in wanted]
    if any(not file.path.endswith(".parquet") for file in files):
        for file, numbers in zip(files, rows, strict=True):
            yield chosen(_arrow_parts(file, numbers, columns), numbers, columns, name=file.name)
        return
    pool = ThreadPoolExecutor(REQUESTS)
    try:
        footers = list(pool.map(_named_footer, files))
        pieces = [
            piece
            for index, known in enumerate(footers)
            for piece in _pieces(index, known, rows[index], columns, files[index].name)
        ]
        fetched = _fetched(pieces, files, pool)
        for index, file in enumerate(files):
            count = sum(piece.file == index for piece in pieces)
            yield _tables(file, footers[index], columns, fetched, count)
    finally:
        pool.shutdown(cancel_futures=True)


def _named_footer(file: HubFile) -> pq.FileMetaData:
    with damage_named(file.name):
        return footer(file)


def _pieces(
    index: int, known: pq.FileMetaData, rows: Numbers, columns: Sequence[str], name: str
) -> Iterator[_Piece]:
    """Yield the row groups of a file that hold some rows."""
    first = 0
    for number in range(known.num_row_groups):
        group = known.row_group(number)
        here = rows[slice(*np.searchsorted(rows, (first, first + group.num_rows)))]
        if len(here):
            yield _Piece(index, here, _ranges(group, here - first, set(columns)))
        first += group.num_rows
    with damage_named(name):
        if len(rows) and rows[-1] >= first:
            raise ValueError(f"no row {rows[-1]}")


def _ranges(group: pq.RowGroupMetaData, rows: Numbers, columns: set[str]) -> tuple[Range, ...]:
    """Return the ranges to ask for: neighbours together, and none too long."""
    size = step(len(rows))
    share = min(1.0, (rows[-1] // size + 1) * size / group.num_rows)
    joined: list[list[int]] = []
    for number in range(group.num_columns):
        chunk = group.column(number)
        if chunk.path_in_schema.partition(".")[0] not in columns:
            continue
        pages = [
            chunk.data_page_offset,
            *([chunk.dictionary_page_offset] if chunk.has_dictionary_page else []),
        ]
        start, length = min(pages), chunk.total_compressed_size
        stop = start + min(length, int(length * share * MARGIN) + 2 * READ_BYTES)
        if joined and 0 <= start - joined[-1][1] <= HOLE:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return tuple(
        (start + (stop - start) * part // count, start + (stop - start) * (part + 1) // count)
        for start, stop in joined
        for count in [-(-(stop - start) // LONGEST)]
        for part in range(count)
    )


Fetched = tuple[_Piece, list[tuple[int, bytes]]]


def _fetched(
    pieces: Sequence[_Piece], files: Sequence[HubFile], pool: ThreadPoolExecutor
) -> Iterator[Fetched]:
    """Yield pieces with their bytes, in order; those of the next ones are fetched meanwhile."""
    waiting: deque[tuple[_Piece, list[Future[bytes]]]] = deque()
    following, ahead = deque(pieces), 0
    while following or waiting:
        while following and (not waiting or ahead + following[0].num_bytes <= AHEAD):
            piece = following.popleft()
            ahead += piece.num_bytes
            read = files[piece.file].read
            waiting.append((piece, [pool.submit(read, start, stop) for start, stop in piece.ranges]))
        piece, futures = waiting.popleft()
        content = [future.result() for future in futures]
        futures.clear()
        starts = (start for start, _ in piece.ranges)
        yield piece, list(zip(starts, content, strict=True))
        ahead -= piece.num_bytes


def _tables(
    file: HubFile, known: pq.FileMetaData, columns: Sequence[str], fetched: Iterator[Fetched], count: int
) -> Iterator[pa.Table]:
    """Yield the rows wanted of the next pieces, all of one file."""
    for _ in range(count):
        piece, content = next(fetched)
        with damage_named(file.name):
            stream = pa.PythonFile(RangedFile(file, content), "r")
            opened = pq.ParquetFile(
                stream, metadata=known, pre_buffer=False, buffer_size=READ_BYTES, **CHECKED
            )
        with stream, opened:
            yield from chosen(parquet_parts(opened, piece.rows, columns), piece.rows, columns, name=file.name)


def _arrow_parts(file: HubFile, rows: Numbers, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """Yield (first row, rows) of the record batches that hold some of the rows."""
    first = 0
    with open_batches(file, columns) as reader:
        for number, count in enumerate(rows_of_batches(file)):
            low, high = np.searchsorted(rows, (first, first + count))
            if low < high:
                yield first, pa.Table.from_batches([sound(reader.get_batch(number))])
            first += count
