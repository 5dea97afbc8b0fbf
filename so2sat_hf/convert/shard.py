"""One shard: read, encode, check, fsync, rename. Runs in any process and says what it did in a receipt."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from so2sat_hf.convert import moments
from so2sat_hf.convert.moments import Moments
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, PatchBlock, Source
from so2sat_hf.convert.plan import ROW_GROUP_ROWS, Shard
from so2sat_hf.convert.table import stores_digital_numbers, to_table
from so2sat_hf.errors import FolderError, So2SatError

LEAF = ".list.element" * 3
"""Parquet path from an Array3D column to its values."""

PIXELS = ("sen1", "sen2")
"""Columns whose smallest and largest value per page nobody filters by."""

STATISTICS_SPLIT = "train"
"""Statistics for normalisation are those of the data a model trains on."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """All a worker needs to write one shard. Picklable."""

    shard: Shard
    """Which rows, and the name of the file."""

    source: Source
    """Where the rows come from."""

    schema: bytes
    """Arrow schema as an IPC message, so that a worker need not import ``datasets``."""

    stage: Path
    """Folder that finished shards go to."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a written shard is."""

    path: str
    """Where it lies in the dataset repository."""

    split: str
    """``train``, ``validation`` or ``test``."""

    rows: int
    """Patches in the file."""

    bytes: int
    """Size of the file."""

    memory: int
    """Size of its rows as Arrow tables, in bytes; ``dataset_size`` adds these up."""

    sha256: str
    """Hash of the file, hexadecimal."""

    class_counts: list[int]
    """Patches of each of the 17 classes."""

    rounding: dict[str, float]
    """Column -> largest |stored - published|; empty when every value is exact."""

    moments: dict[str, Moments]
    """Band -> moments of the training rows; empty for other splits."""

    def to_json(self) -> str:
        """Return the receipt as JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        plain["moments"] = {
            name: [moment.count, moment.total, moment.total_squares] for name, moment in self.moments.items()
        }
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> "Receipt":
        """Read a receipt."""
        plain = json.loads(text)
        plain["moments"] = {name: Moments(*values) for name, values in plain["moments"].items()}
        return cls(**plain)


class HashingFile:
    """A file that hashes and counts what is written to it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.num_bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 (pyarrow hands over buffers)
        """Write, hash and count."""
        view = memoryview(data)
        self.digest.update(view)
        self._stream.write(view)
        self.num_bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Pass on to the file."""
        self._stream.flush()

    def tell(self) -> int:
        """Bytes written so far."""
        return self.num_bytes

    def close(self) -> None:
        """Left to whoever opened the stream, who has to fsync first."""


def parquet_writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:  # noqa: ANN401
    """Return a writer with the options of the data contract."""
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=1,
        use_byte_stream_split=[f"sen1{LEAF}"],
        use_dictionary=[f"sen2{LEAF}", "city", "epsg", "label"],
        write_statistics=[name for name in schema.names if name not in PIXELS],
        write_page_index=True,
    )


def arrow_writer(sink: Any, schema: pa.Schema) -> pa.RecordBatchFileWriter:  # noqa: ANN401
    """Return a writer of plain (mappable) Arrow IPC files."""
    return pa.ipc.new_file(sink, schema)


WRITERS = {".parquet": parquet_writer, ".arrow": arrow_writer}


def write_shard(task: ShardTask) -> Receipt:
    """Write one shard into the stage, and its receipt beside it.

    The file gets its final name only when it is complete and on disk.

    Raises:
        SourceError: a value that must not be there.
        LossyError: a value that cannot be stored exactly.
        FolderError: the stage cannot be written (permission, disk full).
    """
    schema = pa.ipc.read_schema(pa.py_buffer(task.schema))
    target = task.stage / task.shard.path
    with writing(target) as sink:
        tally = _Tally(task.shard, schema)
        blocks = task.source.blocks(
            task.shard.split,
            task.shard.start,
            task.shard.stop,
            columns=tuple(schema.names),
            size=ROW_GROUP_ROWS,
            reuse=True,
        )
        with WRITERS[task.shard.suffix](sink, schema) as writer:
            for block in blocks:
                table = to_table(block, schema)
                writer.write_table(table)
                tally.add(block, table)
        receipt = tally.receipt(sink)
    write_text(receipt_path(task.stage, task.shard), receipt.to_json())
    return receipt


class _Tally:
    """Counts the rows of a shard while they pass."""

    def __init__(self, shard: Shard, schema: pa.Schema) -> None:
        self.shard = shard
        self.is_uint16 = stores_digital_numbers(schema)
        self.rows = 0
        self.memory = 0
        self.class_counts = np.zeros(17, np.int64)
        self.rounding: dict[str, float] = {}
        self.moments: dict[str, Moments] = {}

    def add(self, block: PatchBlock, table: pa.Table) -> None:
        """Count one block and the table made of it."""
        self.rows += len(block)
        self.memory += table.nbytes
        self.class_counts += np.bincount(block.label, minlength=17)
        for column, error in block.rounding.items():
            half_step = 0.5 / DN_PER_REFLECTANCE if column == "sen2" and self.is_uint16 else 0.0
            self.rounding[column] = max(error + half_step, self.rounding.get(column, 0.0))
        if self.shard.split == STATISTICS_SPLIT:
            self.moments = moments.merge([self.moments, moments.measure(block)])

    def receipt(self, sink: HashingFile) -> Receipt:
        """Return the receipt of the finished file."""
        if self.rows != self.shard.num_rows:
            raise So2SatError(
                self.shard.path, found=f"{self.rows} rows from the source", expected=f"{self.shard.num_rows}"
            )
        return Receipt(
            path=self.shard.path,
            split=self.shard.split,
            rows=self.rows,
            bytes=sink.num_bytes,
            memory=self.memory,
            sha256=sink.digest.hexdigest(),
            class_counts=self.class_counts.tolist(),
            rounding=self.rounding,
            moments=self.moments,
        )


def receipt_path(stage: Path, shard: Shard) -> Path:
    """Where the receipt of a shard lies: beside the stage's files, outside what gets published."""
    return stage / "receipts" / f"{shard.split}-{shard.index:05d}.json"


@contextmanager
def writing(target: Path) -> Iterator[HashingFile]:
    """Open a temporary file beside the target; rename it when the body succeeds, remove it otherwise.

    Raises:
        FolderError: the operating system refuses (permission, disk full, read-only).
    """
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as stream:
                yield HashingFile(stream)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(target)
            sync_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FolderError(
            target.parent,
            found=f"cannot write {target.name} ({error.strerror or error})",
            expected="a folder with enough space and permission to write",
            remedy="free some space or choose another folder, then run the same command again: it continues",
        ) from error


def write_text(target: Path, text: str) -> None:
    """Write a small file all at once, or not at all."""
    with writing(target) as sink:
        sink.write(text.encode())


def sync_folder(folder: Path) -> None:
    """Make a rename durable, where folders can be synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
