"""Parquet and Arrow files on the Hub, read by ranges: what they say of themselves is fetched once."""

import io
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from so2sat_hf.hub.ranges import HubFile

TAIL = 1 << 16
"""Bytes at the end of a file that are fetched first: the footer of five row groups takes a third of them."""

KNOWN_FILES = 1024
"""Files whose footer is kept, some ten kilobytes each."""


class RangedFile(io.RawIOBase):
    """A file on the Hub for pyarrow. One thread at a time reads it."""

    def __init__(self, file: HubFile, known: Sequence[tuple[int, bytes]] = ()) -> None:
        """Open a file.

        Args:
            file: where it is.
            known: (first byte, bytes) of ranges that are here already.
        """
        self._file = file
        self._known = known
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the next byte to be read."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return bytes: from what is here, otherwise from the Hub."""
        room = max(self._file.size - self._at, 0)
        size = room if size is None or size < 0 else min(size, room)
        content = self._here(size)
        if len(content) < size:
            content += self._file.read(self._at + len(content), self._at + size)
        self._at += size
        return content

    def _here(self, size: int) -> bytes:
        """Return the first of some bytes, as far as they are here."""
        found = b""
        for start, content in self._known:
            low = self._at + len(found) - start
            if 0 <= low < len(content) and len(found) < size:
                found += content[low : low + size - len(found)]
        return found


@lru_cache(maxsize=KNOWN_FILES)
def footer(file: HubFile) -> pq.FileMetaData:
    """Return what a Parquet file says of itself: one request, two if it says much. It is kept.

    Raises:
        HubError: the Hub refuses, is silent, or has another file.
        OSError: this is no Parquet file (``pa.ArrowInvalid`` likewise).
    """
    start = max(file.size - TAIL, 0)
    tail = file.read(start, file.size)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] == b"PAR1" and len(tail) < length <= file.size:
        tail = file.read(file.size - length, start) + tail
    return pq.read_metadata(pa.BufferReader(tail))


@lru_cache(maxsize=KNOWN_FILES)
def _tail(file: HubFile) -> tuple[int, bytes]:
    """Return the end of an Arrow file, and its first byte."""
    start = max(file.size - TAIL, 0)
    return start, file.read(start, file.size)


def open_batches(file: HubFile, columns: Sequence[str] | None) -> pa.RecordBatchFileReader:
    """Open an Arrow file; of each record batch only some columns are read.

    Args:
        file: where it is.
        columns: of the file; None: all.

    Raises:
        HubError: the Hub refuses, is silent, or has another file.
        OSError: this is no Arrow file (``pa.ArrowInvalid`` likewise).
        ValueError: it has no such column.
    """
    options = None
    if columns is not None:
        with pa.ipc.open_file(pa.PythonFile(RangedFile(file, [_tail(file)]), "r")) as reader:
            numbers = sorted(reader.schema.names.index(name) for name in columns)
        options = pa.ipc.IpcReadOptions(included_fields=numbers)
    return pa.ipc.open_file(pa.PythonFile(RangedFile(file, [_tail(file)]), "r"), options=options)


@lru_cache(maxsize=KNOWN_FILES)
def rows_of_batches(file: HubFile) -> tuple[int, ...]:
    """Return the rows of each record batch of an Arrow file: its smallest column tells. They are kept."""
    with open_batches(file, ["label"]) as reader:
        return tuple(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
