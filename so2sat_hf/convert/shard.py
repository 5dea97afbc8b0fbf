"""One file: read, encode, check, fsync, rename. Runs in any process and says what it did in a receipt."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from so2sat_hf.convert import moments
from so2sat_hf.convert.encode import Encoder
from so2sat_hf.convert.moments import Moments
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, PatchBlock, Rows, Source
from so2sat_hf.convert.plan import ROW_GROUP_ROWS
from so2sat_hf.convert.table import stores_digital_numbers
from so2sat_hf.convert.writing import HashingFile, write_text, writing
from so2sat_hf.errors import So2SatError
from so2sat_hf.facts import NUM_CLASSES

FLOAT32_NOISE = 0.02
"""Digital numbers that a float32 reflectance can be off: 0.002 at 28,003, 0.004 at 65,535."""

STATISTICS_SPLIT = "train"
"""Statistics for normalisation are those of the data a model trains on."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """All a worker needs to write one file. Picklable."""

    path: str
    """Where it lies in the dataset repository."""

    split: str
    """``train``, ``validation`` or ``test``."""

    parts: tuple[Rows, ...]
    """Which patches: positions in the stored order of the split, one increasing piece after the other."""

    source: Source
    """Where they come from."""

    encoder: Encoder
    """What becomes of them."""

    stage: Path
    """Folder that finished files go to."""

    key: str
    """Its name in the stage, and its receipt's: the path; for companions with what decides the content."""

    measured: bool = False
    """Whether the moments of the bands are wanted."""

    @property
    def num_rows(self) -> int:
        """How many patches the file holds."""
        return sum(len(rows) for rows in self.parts)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a written file is."""

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
    """Band -> moments of its rows, where they were wanted; else empty."""

    def to_json(self) -> str:
        """Return the receipt as JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        plain["moments"] = {name: moment.to_plain() for name, moment in self.moments.items()}
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> "Receipt":
        """Read a receipt."""
        plain = json.loads(text)
        plain["moments"] = {name: Moments.from_plain(values) for name, values in plain["moments"].items()}
        return cls(**plain)


def write_file(task: FileTask) -> Receipt:
    """Write one file into the stage, and its receipt beside it.

    The file gets its final name only when it is complete and on disk. The receipt may be lost in a power
    failure: then the file is written again.

    Raises:
        SourceError: a value that must not be there.
        LossyError: a value that cannot be stored exactly.
        FolderError: the stage cannot be written (permission, disk full).
    """
    target = task.stage / task.key
    with writing(target) as sink:
        tally = _Tally(task)
        with task.encoder.writer(sink, PurePosixPath(task.path).suffix) as writer:
            for block in _blocks(task):
                table = task.encoder.table(block, tally.rows)
                writer.write_table(table)
                tally.add(block, table)
        receipt = tally.receipt(sink)
    write_text(receipt_path(task.stage, task.key), receipt.to_json(), durable=False)
    return receipt


def _blocks(task: FileTask) -> Iterator[PatchBlock]:
    for rows in task.parts:
        yield from task.source.blocks(
            task.split, rows, columns=task.encoder.columns, size=ROW_GROUP_ROWS, reuse=True
        )


class _Tally:
    """Counts the rows of a file while they pass."""

    def __init__(self, task: FileTask) -> None:
        self.task = task
        self.is_uint16 = stores_digital_numbers(pa.ipc.read_schema(pa.py_buffer(task.encoder.schema)))
        self.rows = 0
        self.memory = 0
        self.class_counts = np.zeros(NUM_CLASSES, np.int64)
        self.rounding: dict[str, float] = {}
        self.moments: dict[str, Moments] = {}

    def add(self, block: PatchBlock, table: pa.Table) -> None:
        """Count one block and the table made of it."""
        self.rows += len(block)
        self.memory += table.nbytes
        self.class_counts += np.bincount(block.label, minlength=NUM_CLASSES)
        for column, error in block.rounding.items():
            if column in table.column_names:
                known = self.rounding.get(column, 0.0)
                self.rounding[column] = max(error + self._half_step(column, block), known)
        if self.task.measured:
            self.moments = moments.merge([self.moments, moments.measure(block)])

    def _half_step(self, column: str, block: PatchBlock) -> float:
        """Return what digital numbers add to the rounding of values between them."""
        if column != "sen2" or not self.is_uint16 or block.sen2 is None:
            return 0.0
        number = np.multiply(block.sen2, DN_PER_REFLECTANCE, dtype=np.float64)
        is_whole = np.abs(number - np.rint(number)).max() < FLOAT32_NOISE
        return 0.0 if is_whole else 0.5 / DN_PER_REFLECTANCE

    def receipt(self, sink: HashingFile) -> Receipt:
        """Return the receipt of the finished file."""
        if self.rows != self.task.num_rows:
            raise So2SatError(
                self.task.path, found=f"{self.rows} rows from the source", expected=f"{self.task.num_rows}"
            )
        return Receipt(
            path=self.task.path,
            split=self.task.split,
            rows=self.rows,
            bytes=sink.num_bytes,
            memory=self.memory,
            sha256=sink.digest.hexdigest(),
            class_counts=self.class_counts.tolist(),
            rounding=self.rounding,
            moments=self.moments,
        )


def receipt_path(stage: Path, key: str) -> Path:
    """Where the receipt of a file lies: beside the stage's files, outside what gets published."""
    return stage / "receipts" / f"{key.replace('/', '-')}.json"
