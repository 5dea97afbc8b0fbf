"""The config ``rgb``: pictures of the patches as PNG, which ``datasets``, its viewer and image tools open.

A row is id, image (``datasets.Image``: struct of PNG bytes and a path, which is null), label and, with
geolocation, city. PNG is lossless: decoded, a picture is bit for bit what
:class:`~so2sat_hf.companions.brightness.Scale` gives.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from so2sat_hf import facts
from so2sat_hf.companions.brightness import Scale, present_sen2
from so2sat_hf.convert.blueprint import Blueprint, CompanionPlan, PlannedFile, cut
from so2sat_hf.convert.encode import arrow_writer
from so2sat_hf.convert.patches import COLUMNS, PatchBlock
from so2sat_hf.convert.plan import ROW_GROUP_ROWS, SUFFIX, count_shards
from so2sat_hf.convert.table import to_table
from so2sat_hf.errors import So2SatError

NAME = "rgb"
"""Of the config and its folder."""

NOMINAL_FILES = {"train": 8, "validation": 1, "test": 1}
"""Files per published split, of some 70 MB and 40 MB."""

PNG = {"compress_level": 1, "compress_type": 2}
"""How Pillow compresses. Type 2 is ``Z_HUFFMAN_ONLY``, which for 32 x 32 pixels is both smaller and quicker
than to search for repeats: 1,323 bytes and 61 microseconds a real patch, against 1,399 and 188 at level 6."""


def features(*, with_city: bool) -> Any:  # noqa: ANN401
    """Return the typed columns of a row as ``datasets.Features``."""
    from datasets import ClassLabel, Features, Value  # noqa: PLC0415
    from datasets import Image as ImageFeature  # noqa: PLC0415

    columns = {
        "id": Value("string"),
        "image": ImageFeature(),
        "label": ClassLabel(names=facts.class_names()),
        "city": Value("string"),
    }
    return Features({name: kind for name, kind in columns.items() if with_city or name != "city"})


@dataclass(frozen=True, slots=True)
class RgbEncoder:
    """Turns patches into rows with a picture: an :class:`~so2sat_hf.convert.encode.Encoder`."""

    schema: bytes
    """Arrow schema of :func:`features` as an IPC message."""

    scale: Scale
    """How reflectance becomes brightness."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a block must have."""
        names = _read_schema(self.schema).names
        return tuple(name for name in COLUMNS if name == "sen2" or name in names)

    def table(self, block: PatchBlock, start: int) -> pa.Table:  # noqa: ARG002 (rows do not know their place)
        """Return the rows of a block.

        Args:
            block: at most 1,024 patches, with ``sen2`` and, if the schema has a city, ``geo``.
            start: position in the file of the first of them; does not matter here.

        Raises:
            So2SatError: too many rows for one row group, or a column that the block does not have.
        """
        if len(block) > ROW_GROUP_ROWS:
            raise So2SatError(
                NAME, found=f"{len(block):,} rows at once", expected=f"at most {ROW_GROUP_ROWS:,}"
            )
        schema = _read_schema(self.schema)
        others = to_table(block, pa.schema([field for field in schema if field.name != "image"]))
        image = _images([png(picture) for picture in self.scale.pictures(present_sen2(block.sen2))])
        columns = [image if name == "image" else others.column(name) for name in schema.names]
        return pa.Table.from_arrays(columns, schema=schema)

    def writer(self, sink: Any, suffix: str) -> pq.ParquetWriter | pa.RecordBatchFileWriter:  # noqa: ANN401
        """Open a writer of a ``.parquet`` or ``.arrow`` file; a table becomes one row group or batch.

        Pictures are stored as they are: PNG is compressed already.
        """
        schema = _read_schema(self.schema)
        if suffix == ".arrow":
            return arrow_writer(sink, schema)
        plain = [name for name in schema.names if name != "image"]
        return pq.ParquetWriter(
            sink,
            schema,
            compression={**dict.fromkeys(plain, "zstd"), "image.bytes": "none", "image.path": "none"},
            use_dictionary=[name for name in plain if name != "id"],
            write_statistics=plain,
            write_page_index=True,
            write_page_checksum=True,
        )


def encoder(*, with_city: bool, scale: Scale | None = None) -> RgbEncoder:
    """Make an encoder; imports ``datasets``, which the encoder itself then does not.

    Args:
        with_city: whether rows have a city; needs geolocation.
        scale: how reflectance becomes brightness; default: as TFDS.
    """
    schema = features(with_city=with_city).arrow_schema
    return RgbEncoder(schema.serialize().to_pybytes(), scale or Scale())


def plan_rgb(blueprint: Blueprint, *, scale: Scale | None = None) -> CompanionPlan | None:
    """Plan the files of the config, a :data:`~so2sat_hf.convert.blueprint.Planner`.

    Args:
        blueprint: the build; its rows keep their order.
        scale: how reflectance becomes brightness; default: as TFDS.

    Returns:
        None if the build has no ``sen2``.
    """
    if "sen2" not in blueprint.columns:
        return None
    with_city = "city" in blueprint.columns
    made = encoder(with_city=with_city, scale=scale)
    files = []
    for split in blueprint.splits:
        parts = blueprint.parts_of(split)
        total = sum(len(rows) for rows in parts)
        count = count_shards(NOMINAL_FILES.get(split, 1), total)
        for index in range(count):
            rows = cut(parts, index * total // count, (index + 1) * total // count)
            name = f"{index:05d}-of-{count:05d}{SUFFIX[blueprint.file_format]}"
            path = f"{NAME}/{split}-{name}"  # no folder of that name: readers would take it for data
            files.append(PlannedFile(path, split, rows, made))
    arguments = {"scale": asdict(made.scale), "png": PNG, "pillow": PIL.__version__}
    return CompanionPlan(NAME, features(with_city=with_city).to_dict(), tuple(files), arguments)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Compress one picture, (32, 32, 3); the bytes depend on the version of Pillow alone."""
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "PNG", **PNG)
    return stream.getvalue()


def _images(files: list[bytes]) -> pa.StructArray:
    """Make a column as ``datasets.Image`` has it."""
    offsets = np.cumsum([0, *map(len, files)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(files))]
    data = pa.Array.from_buffers(pa.binary(), len(files), buffers)
    return pa.StructArray.from_arrays([data, pa.nulls(len(files), pa.string())], names=["bytes", "path"])


@lru_cache(maxsize=4)
def _read_schema(message: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(message))
