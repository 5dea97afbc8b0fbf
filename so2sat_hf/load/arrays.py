"""Arrow columns <-> numpy batches: pixels are views of the Arrow buffers, copied once, into a batch.

A batch is a dict of column name -> array over b patches: pixels (b, c, 32, 32) in the dtype that is stored,
numbers (b,), strings (b,) of objects. Needs no ``datasets``: its Array3D columns are read with or without its
extension type registered.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf.convert.patches import PATCH_SIZE
from so2sat_hf.convert.table import NUM_BANDS
from so2sat_hf.convert.views import is_list, is_string, numbers, storage_type, view
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.load.selection import Wanted

Batch = dict[str, NDArray[Any]]
"""Column -> values of b patches."""

Values: TypeAlias = NDArray[Any] | pa.Array
"""Values of a column: pixels or numbers as an array, strings as Arrow has them."""


def strings(column: pa.Array, rows: NDArray[np.int64], name: str = "strings") -> NDArray[Any]:
    """Return some rows of a column of strings as objects.

    Raises:
        SourceError: there are nulls.
    """
    where = np.ascontiguousarray(rows, np.int64)  # pa.array would import pandas, too
    taken = column.take(pa.Array.from_buffers(pa.int64(), len(where), [None, pa.py_buffer(where)]))
    if taken.null_count:
        raise SourceError(f"column {name}", found=f"{taken.null_count:,} nulls", expected="a value each")
    return np.array(taken.to_pylist(), object)


def opened(table: pa.RecordBatch | pa.Table, wanted: Wanted) -> dict[str, list[Values]]:
    """Return the columns wanted as what :func:`scatter` copies from, one value per chunk.

    Checking that all patches have one shape takes 0.3 ms for 1,024 of them, so open a table once.

    Raises:
        SourceError: see :func:`view` and :func:`numbers`.
    """
    found: dict[str, list[Values]] = {}
    for name in wanted.columns:
        column = table.column(name)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        kind = storage_type(column.type)
        if is_list(kind):
            found[name] = [view(chunk, name) for chunk in chunks]
        elif is_string(kind):
            found[name] = list(chunks)
        else:
            found[name] = [numbers(chunk, name) for chunk in chunks]
    return found


def starts_of(parts: Sequence[Any]) -> NDArray[np.int64]:
    """Return the number of the first row of each part, and behind the last one that of all rows."""
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def empty(count: int, wanted: Wanted, dtypes: Mapping[str, np.dtype[Any]]) -> Batch:
    """Return a batch with room for ``count`` patches."""
    batch: Batch = {}
    for name in wanted.columns:
        shape: tuple[int, ...] = (count,)
        if name in wanted.bands:
            bands = wanted.bands[name]
            shape = (count, NUM_BANDS[name] if bands is None else len(bands), PATCH_SIZE, PATCH_SIZE)
        batch[name] = np.empty(shape, dtypes[name])
    return batch


def gather(
    parts: Sequence[NDArray[Any]],
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    bands: Sequence[int] | None = None,
    out: NDArray[Any] | None = None,
    *,
    positions: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Copy patches out of several arrays.

    Args:
        parts: each (n_i, c, h, w), all of one dtype; together they hold the rows 0..n.
        starts: number of the first row of each part; :func:`starts_of`.
        rows: (m,) which, in the order wanted.
        bands: which of the c, in the order wanted; the others are not touched. None: all.
        out: (>= m, bands, h, w), where to.
        positions: (m,) where in ``out``; default: 0..m.

    Returns:
        ``out``.

    Raises:
        IndexError: a row or a band that is not there.
    """
    shape = next((part.shape for part in parts if len(part)), parts[0].shape)[1:]
    if out is None:
        kept = shape[0] if bands is None else len(bands)
        out = np.empty((len(rows), kept, *shape[1:]), parts[0].dtype)
    if not len(rows):
        return out
    stop = starts[len(parts) - 1] + len(parts[-1])
    if rows.min() < 0 or rows.max() >= stop or (bands and not 0 <= min(bands) <= max(bands) < shape[0]):
        raise IndexError(f"rows or bands outside {stop:,} patches of {shape[0]} bands")
    if len(parts) == 1 and positions is None and bands is None:
        np.take(parts[0], rows - starts[0], axis=0, out=out[: len(rows)], mode="clip")
        return out
    which = np.searchsorted(starts[: len(parts)], rows, side="right") - 1
    copy_rows(parts, (which, rows - starts[which]), as_index(bands), out, positions=positions)
    return out


def copy_rows(
    parts: Sequence[NDArray[Any] | None],
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    bands: slice | list[int],
    out: NDArray[Any],
    *,
    positions: NDArray[np.int64] | None = None,
) -> None:
    """Copy patches of several arrays, unchecked; see :func:`gather`.

    Args:
        parts: each (n_i, c, h, w); may be None where nothing is taken from.
        rows: (m,) which part, and (m,) which row of that.
        bands: :func:`as_index`.
        out: where to.
        positions: (m,) where in ``out``; default: 0..m.
    """
    which, inside = rows
    target = range(len(which)) if positions is None else positions.tolist()
    # Patches are so large that one assignment each costs less than a copy in between, of those of a part.
    for position, part, row in zip(target, which.tolist(), inside.tolist(), strict=True):
        if isinstance(bands, slice):
            out[position] = parts[part][row, bands]
        else:
            np.take(parts[part][row], bands, axis=0, out=out[position], mode="clip")


def as_index(bands: Sequence[int] | None) -> slice | list[int]:
    """Return bands that follow each other as a slice: they are copied at once.

    >>> as_index((2, 3, 4)), as_index((2, 1, 0))
    (slice(2, 5, None), [2, 1, 0])
    """
    if bands is None:
        return slice(None)
    run = range(bands[0], bands[0] + len(bands)) if bands else range(0)
    return slice(run.start, run.stop) if tuple(bands) == tuple(run) else list(bands)


def scatter(
    table: pa.RecordBatch | pa.Table | Mapping[str, list[Values]],
    rows: NDArray[np.int64],
    into: Mapping[str, NDArray[Any]],
    positions: NDArray[np.int64],
    wanted: Wanted,
) -> None:
    """Copy rows of a table to their places in a batch.

    Args:
        table: one record batch, a table, or what :func:`opened` made of it.
        rows: (m,) of the table.
        into: a batch, with the columns wanted.
        positions: (m,) where each row goes.
        wanted: what to copy.

    Raises:
        SourceError: the table holds something else than the batch has room for.
    """
    columns = table if isinstance(table, Mapping) else opened(table, wanted)
    for name in wanted.columns:
        room, parts = into[name], columns[name]
        starts = starts_of(parts)
        if isinstance(parts[0], pa.Array):
            room[positions] = strings(pa.chunked_array(parts), rows, name)
            continue
        bands = (NUM_BANDS[name],) if name in wanted.bands else ()
        if any((part.dtype, *part.shape[1:]) != (room.dtype, *bands, *room.shape[2:]) for part in parts):
            raise SourceError(
                f"column {name}",
                found=f"{parts[0].dtype} of shape {parts[0].shape[1:]}",
                expected=f"{room.dtype} of shape {room.shape[1:]}, as in every file",
            )
        if name in wanted.bands:
            gather(parts, starts, rows, wanted.bands[name], room, positions=positions)
        else:
            room[positions] = (parts[0] if len(parts) == 1 else np.concatenate(parts))[rows]


def as_torch(batch: Mapping[str, NDArray[Any]], *, pin: bool = False) -> dict[str, Any]:
    """Return a batch with tensors on the memory of its arrays, and strings as lists.

    Args:
        batch: writable arrays.
        pin: copy the tensors into page-locked memory, from where copying to a GPU need not wait.
    """
    torch = need_torch()
    tensors: dict[str, Any] = {}
    for name, values in batch.items():
        if values.dtype == object:
            tensors[name] = values.tolist()
        else:
            tensor = torch.from_numpy(values)
            tensors[name] = _pinned(tensor) if pin else tensor
    return tensors


def _pinned(tensor: Any) -> Any:  # noqa: ANN401
    try:
        return tensor.pin_memory()
    except RuntimeError as error:
        found = f"memory cannot be page-locked ({str(error).splitlines()[0]})"
        raise So2SatError("pin", found=found, remedy="leave pin at False on a machine without GPU") from error


def need_torch() -> Any:  # noqa: ANN401
    """Return the module ``torch``.

    Raises:
        So2SatError: it is not installed.
    """
    try:
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise So2SatError(
            "tensors",
            found=f"torch cannot be imported ({error})",
            expected="an installed torch",
            remedy="pip install 'so2sat_hf[train]'",
        ) from error
    return torch
