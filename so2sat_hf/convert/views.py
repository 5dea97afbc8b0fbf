"""Columns of Arrow tables as arrays, without a copy, and what is refused on the way. Pure.

Arrow believes what a mapped file says of itself, and reads memory that is not there if that is wrong: so
batches are :func:`sound` before anything looks into them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf.convert.patches import PATCH_SIZE
from so2sat_hf.errors import SourceError
from so2sat_hf.facts import NUM_CLASSES

REMEDY = "`so2sat verify` tells which files are damaged; build or copy them again"
"""What to do about files of a built folder that cannot be right."""

NUM_BANDS = {"sen1": 8, "sen2": 10}

KINDS: dict[str, tuple[Any, ...]] = {
    "id": (pa.string(),),
    "sen1": (pa.float32(),),
    "sen2": (pa.float32(), pa.uint16()),
    "label": (pa.int64(),),
    "city": (pa.string(),),
    "epsg": (pa.int32(),),
    **dict.fromkeys(("x_ul", "y_ul", "longitude", "latitude"), (pa.float64(),)),
}
"""Column -> what its values, or those of its pixels, may be."""


def check_kinds(schema: pa.Schema, columns: Iterable[str] | None = None) -> None:
    """Refuse columns that are not what the data contract says.

    Args:
        schema: of a file.
        columns: which are going to be read; None: all.

    Raises:
        ValueError: one is missing, there twice, or of another type.
    """
    for name in schema.names if columns is None else columns:
        places = schema.get_all_field_indices(name)
        if len(places) != 1:
            raise ValueError(f"{len(places)} columns {name}")
        kind, depth = storage_type(schema.field(places[0]).type), 0
        while is_list(kind):
            kind, depth = kind.value_type, depth + 1
        if name in KINDS and (depth != 3 * (name in NUM_BANDS) or kind not in KINDS[name]):
            raise ValueError(f"column {name} of type {schema.field(places[0]).type}")


def sound(batch: pa.RecordBatch, columns: Iterable[str] | None = None) -> pa.RecordBatch:
    """Return a batch of a mapped file whose numbers of bytes and strings are true.

    Args:
        batch: nothing of it is read but the ends of lists, and strings.
        columns: which are going to be read; None: all.

    Raises:
        pa.ArrowInvalid: it is damaged.
    """
    batch.validate()
    for name in batch.schema.names if columns is None else columns:
        column = batch.column(name)
        if is_string(column.type):
            column.validate(full=True)
    return batch


def view(column: pa.Array, name: str = "pixels") -> NDArray[Any]:
    """Return an Array3D column of n patches as (n, c, h, w), read-only, without a copy.

    Args:
        column: ``datasets``' extension array, or nested lists; may be a slice.
        name: of the column, for errors.

    Raises:
        SourceError: there are nulls, patches of different shapes, or something else than numbers.
    """
    try:
        values = _view(column, name)
    except (ValueError, pa.ArrowException) as error:
        raise _not_pixels(name, str(error)) from error
    values.flags.writeable = False
    return values


def _view(column: pa.Array, name: str) -> NDArray[Any]:
    array = column.storage if isinstance(column, pa.ExtensionArray) else column
    shape = [len(array)]
    for _ in range(3):
        if not is_list(array.type):
            raise _not_pixels(name, f"type {column.type}")
        if array.null_count:
            raise _not_pixels(name, f"{array.null_count:,} nulls")
        length, array = _level(array, name)
        shape.append(length)
    if array.null_count or not is_number(array.type):
        raise _not_pixels(name, f"{array.null_count:,} null pixels" if array.null_count else str(column.type))
    if not len(array):  # no row tells the shape
        shape = [shape[0], NUM_BANDS.get(name, 0), PATCH_SIZE, PATCH_SIZE]
    return _plain(array).reshape(shape)


def _plain(array: pa.Array) -> NDArray[Any]:
    """Return numbers without nulls as they lie in memory; ``to_numpy`` would import pandas, 0.2 s."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[-1], dtype, len(array), array.offset * dtype.itemsize)


def _level(array: pa.Array, name: str) -> tuple[int, pa.Array]:
    """Return how long each of these lists is, and what is in them."""
    if not len(array):
        return 0, array.values.slice(0, 0)
    offsets = _plain(array.offsets)
    length = int(offsets[1] - offsets[0])
    if not (np.diff(offsets) == length).all():
        raise _not_pixels(name, "lists of different lengths")
    return length, array.values.slice(offsets[0], offsets[-1] - offsets[0])


def _not_pixels(name: str, found: str) -> SourceError:
    return SourceError(
        f"column {name}", found=found, expected="numbers (bands, rows, columns), all patches of one shape"
    )


def numbers(column: pa.Array, name: str = "numbers") -> NDArray[Any]:
    """Return a column of n numbers as (n,), without a copy.

    Raises:
        SourceError: there are nulls, or labels that are no class.
    """
    if column.null_count:
        raise SourceError(f"column {name}", found=f"{column.null_count:,} nulls", expected="a value each")
    values = _plain(column)
    if name == "label" and len(values) and not 0 <= values.min() <= values.max() < NUM_CLASSES:
        wrong = values[(values < 0) | (values >= NUM_CLASSES)]
        raise SourceError(
            f"column {name}", found=f"{wrong[0]} (one of {len(wrong):,})",
            expected=f"0 to {NUM_CLASSES - 1}", remedy=REMEDY,
        )  # fmt: skip
    return values


def storage_type(kind: pa.DataType) -> pa.DataType:
    """Return what an extension type stores."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_list(kind: pa.DataType) -> bool:
    """Whether it is a list, of any size."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def is_string(kind: pa.DataType) -> bool:
    """Whether it is a string, of any size."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether it is a number, whole or not."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
