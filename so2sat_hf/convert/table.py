"""Patches <-> Arrow tables: the only place where numpy meets Arrow.

Also runs on datasets 2.21 with pyarrow 17. ``datasets`` is imported only to make the schema; once a schema
exists, tables are made from it with or without ``datasets`` in the process, to the same bytes.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert import views
from so2sat_hf.convert.patches import (
    COLUMNS,
    DN_PER_REFLECTANCE,
    MAX_ROWS_IN_MEMORY,
    PATCH_SIZE,
    GeoBlock,
    PatchBlock,
)
from so2sat_hf.errors import LossyError, So2SatError, SourceError

NUM_BANDS = views.NUM_BANDS
SEN2_DTYPES = ("float32", "uint16")


def features(columns: tuple[str, ...] = COLUMNS, *, sen2_dtype: str = "float32") -> Any:  # noqa: ANN401
    """Return the typed columns of a row as ``datasets.Features``.

    Args:
        columns: which of :data:`~so2sat_hf.convert.patches.COLUMNS`, in that order.
        sen2_dtype: ``float32`` (reflectance) or ``uint16`` (digital numbers).
    """
    from datasets import Array3D, ClassLabel, Features, Value  # noqa: PLC0415

    size = (PATCH_SIZE, PATCH_SIZE)
    kinds = {
        "id": Value("string"),
        "sen1": Array3D((NUM_BANDS["sen1"], *size), "float32"),
        "sen2": Array3D((NUM_BANDS["sen2"], *size), sen2_dtype),
        "label": ClassLabel(names=facts.class_names()),
        "city": Value("string"),
        "epsg": Value("int32"),
    }
    return Features({name: kinds.get(name, Value("float64")) for name in check_columns(columns)})


def schema(columns: tuple[str, ...] = COLUMNS, *, sen2_dtype: str = "float32") -> pa.Schema:
    """Return the Arrow schema of :func:`features`; it carries them inside every file."""
    return features(columns, sen2_dtype=sen2_dtype).arrow_schema


def check_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns in the order of the contract.

    Raises:
        So2SatError: one of them does not exist.
    """
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise So2SatError("columns", found=f"no column {unknown[0]!r}", expected=", ".join(COLUMNS))
    return tuple(name for name in COLUMNS if name in columns)


def to_table(block: PatchBlock, schema: pa.Schema) -> pa.Table:
    """Make a table of the schema's columns; float arrays are taken over without a copy.

    Raises:
        LossyError: the schema wants uint16 and a rounded reflectance lies outside 0..6.5535.
    """
    if len(block) > MAX_ROWS_IN_MEMORY:
        raise So2SatError(
            "table", found=f"{len(block):,} rows at once", expected=f"at most {MAX_ROWS_IN_MEMORY:,}"
        )
    columns = [_column(block, field, schema) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(block: PatchBlock, field: pa.Field, schema: pa.Schema) -> pa.Array:
    if field.name == "id":
        return _strings(block.ids)
    if field.name == "label":
        return take_over(block.label, pa.int64())
    if field.name == "sen1":
        return _nested(_present(block.sen1, field), field.type)
    if field.name == "sen2":
        sen2 = _present(block.sen2, field)
        return _nested(digital_numbers(sen2) if stores_digital_numbers(schema) else sen2, field.type)
    values = getattr(_present(block.geo, field), field.name)
    return _strings(values) if field.name == "city" else take_over(values, field.type)


def take_over(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return numbers as an Arrow array on their memory; ``pa.array`` would import pandas, 0.2 s a worker."""
    return pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(np.ascontiguousarray(values))])


def _strings(values: list[str]) -> pa.Array:
    data = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, data)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(data))]
    return pa.Array.from_buffers(pa.string(), len(data), buffers)


def _present(value: Any, field: pa.Field) -> Any:  # noqa: ANN401
    if value is None:
        raise So2SatError(f"column {field.name}", found="not in the source", expected="a source that has it")
    return value


def digital_numbers(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Reflectance -> ``rint(reflectance * 10000)`` as uint16, same shape; exact for k / 10000.

    Raises:
        LossyError: a value outside 0..6.5535, which uint16 cannot hold.
    """
    number = np.rint(np.multiply(reflectance, DN_PER_REFLECTANCE, dtype=np.float64))
    if number.min() < 0 or number.max() > np.iinfo(np.uint16).max:
        raise LossyError(
            "sen2",
            found=f"reflectance from {reflectance.min()} to {reflectance.max()}",
            expected="0 to 6.5535 for uint16",
            remedy="leave --sen2-dtype at float32",
        )
    return number.astype(np.uint16)


@lru_cache(maxsize=16)
def _offsets(num_lists: int, length: int) -> pa.Array:
    return take_over(np.arange(0, (num_lists + 1) * length, length, dtype=np.int32), pa.int32())


def _nested(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """(n, c, h, w) -> list<list<list>> (as an extension array where the schema has the type registered)."""
    num_rows, num_bands, height, width = values.shape
    array = take_over(values, pa.from_numpy_dtype(values.dtype))
    for num_lists, length in ((num_rows * num_bands * height, width), (num_rows * num_bands, height)):
        array = pa.ListArray.from_arrays(_offsets(num_lists, length), array)
    array = pa.ListArray.from_arrays(_offsets(num_rows, num_bands), array)
    return pa.ExtensionArray.from_storage(kind, array) if isinstance(kind, pa.BaseExtensionType) else array


def stores_digital_numbers(schema: pa.Schema) -> bool:
    """Whether ``sen2`` is uint16 (digital numbers) rather than float32 (reflectance)."""
    return "sen2" in schema.names and _value_type(schema.field("sen2").type) == pa.uint16()


def _value_type(kind: pa.DataType) -> pa.DataType:
    kind = views.storage_type(kind)
    while pa.types.is_list(kind):
        kind = kind.value_type
    return kind


def to_block(table: pa.Table) -> PatchBlock:
    """Return the patches of a table; digital numbers become reflectance again.

    Args:
        table: rows of a built file, with ``id`` and ``label`` at least.

    Raises:
        SourceError: nulls, patches of another shape, or no such class.
    """
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    for name, column in columns.items():
        if column.null_count:
            raise SourceError(f"column {name}", found=f"{column.null_count:,} nulls", expected="a value each")
    label = columns["label"].to_numpy()
    if len(label) and not 0 <= label.min() <= label.max() < facts.NUM_CLASSES:
        raise SourceError("column label", found=f"{label.min()} to {label.max()}", expected="0 to 16")
    sen2 = to_array(columns["sen2"], "sen2") if "sen2" in columns else None
    if sen2 is not None and sen2.dtype == np.uint16:
        sen2 = (sen2 / DN_PER_REFLECTANCE).astype(np.float32)
    geo = None
    if "city" in columns:
        numbers = {n: columns[n].to_numpy() for n in ("epsg", "x_ul", "y_ul", "longitude", "latitude")}
        geo = GeoBlock(city=columns["city"].to_pylist(), **numbers)
    return PatchBlock(
        ids=columns["id"].to_pylist(),
        label=label,
        sen1=to_array(columns["sen1"], "sen1") if "sen1" in columns else None,
        sen2=sen2,
        geo=geo,
    )


def to_array(column: pa.Array, name: str = "pixels") -> NDArray[Any]:
    """Array3D column of n patches -> (n, c, 32, 32), a view of the Arrow buffer.

    Args:
        column: of a built file.
        name: of it; of ``sen1`` and ``sen2`` the number of bands is known.

    Raises:
        SourceError: nulls, or patches of another shape.
    """
    values = views.view(column, name)
    shape = (NUM_BANDS.get(name, values.shape[1]), PATCH_SIZE, PATCH_SIZE)
    if values.shape[1:] != shape:
        raise SourceError(f"column {name}", found=f"patches of shape {values.shape[1:]}", expected=f"{shape}")
    return values
