"""What becomes of patches in a file: the encoder of the data files, and what every encoder offers."""

from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.convert.table import to_table

LEAF = ".list.element" * 3
"""Parquet path from an Array3D column to its values."""

PIXELS = ("sen1", "sen2")
"""Columns whose smallest and largest value per page nobody filters by."""


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
        write_page_checksum=True,
    )


def arrow_writer(sink: Any, schema: pa.Schema) -> pa.RecordBatchFileWriter:  # noqa: ANN401
    """Return a writer of plain (mappable) Arrow IPC files."""
    return pa.ipc.new_file(sink, schema)


WRITERS = {".parquet": parquet_writer, ".arrow": arrow_writer}


class Encoder(Protocol):
    """Turns patches into the rows of one kind of file. Picklable."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What it needs of a patch, out of :data:`~so2sat_hf.convert.patches.COLUMNS`."""
        ...

    @property
    def schema(self) -> bytes:
        """Arrow schema of the file as an IPC message, so that a worker need not import ``datasets``."""
        ...

    def table(self, block: PatchBlock, start: int) -> pa.Table:
        """Return the rows of a block, the first of which is row ``start`` of the file."""
        ...

    def writer(self, sink: Any, suffix: str) -> Any:  # noqa: ANN401
        """Open a ``pq.ParquetWriter`` or, for ``.arrow``, a ``pa.RecordBatchFileWriter``."""
        ...


@dataclass(frozen=True, slots=True)
class DataEncoder:
    """Writes patches as the data contract says."""

    schema: bytes
    """Arrow schema of the file as an IPC message."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the schema."""
        return tuple(self.arrow_schema.names)

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema itself."""
        return pa.ipc.read_schema(pa.py_buffer(self.schema))

    def table(self, block: PatchBlock, start: int) -> pa.Table:  # noqa: ARG002
        """Return the rows of a block."""
        return to_table(block, self.arrow_schema)

    def writer(self, sink: Any, suffix: str) -> Any:  # noqa: ANN401
        """Open a writer with the options of the data contract."""
        return WRITERS[suffix](sink, self.arrow_schema)
