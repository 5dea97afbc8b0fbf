"""Samples in every form that ``datasets`` and our loaders hand out -> arrays of a batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from so2sat_hf.errors import So2SatError
from so2sat_hf.load.arrays import opened
from so2sat_hf.load.selection import wanted
from so2sat_hf.load.table import Samples

Arrays = Mapping[str, Any]
"""Column -> values of b patches: a numpy array, a tensor, or a list of values one by one."""


def arrays_of(features: Any, columns: Sequence[str]) -> Arrays:  # noqa: ANN401
    """Return some columns of a batch, without copying pixels.

    Args:
        features: a list of samples, each a dict (of Python values, arrays or tensors) or an Arrow table of
            rows; or a ready batch: a dict of arrays, tensors or lists, an Arrow table, or what
            :class:`~so2sat_hf.load.table.PatchTable` gives a DataLoader.
        columns: which.

    Raises:
        So2SatError: no samples, something else than samples, or a column that they do not have.
    """
    if isinstance(features, Samples):
        features = features.arrays
    if isinstance(features, list | tuple) and features and isinstance(features[0], pa.Table):
        features = pa.concat_tables(features)
    if isinstance(features, pa.Table | pa.RecordBatch):
        _check(columns, features.schema.names)
        return _from_arrow(features, columns)
    if isinstance(features, Mapping):
        _check(columns, features)
        return {name: features[name] for name in columns}
    if not isinstance(features, list | tuple) or not features or not isinstance(features[0], Mapping):
        kind = type(features[0] if isinstance(features, list | tuple) and features else features).__name__
        raise So2SatError(
            "batch",
            found=f"{kind}, which is no sample" if features is not None else "nothing",
            expected="a list of samples (dicts or Arrow tables), or a batch of them",
        )
    _check(columns, features[0])
    return {name: [sample[name] for sample in features] for name in columns}


def _check(columns: Sequence[str], found: Any) -> None:  # noqa: ANN401
    missing = [name for name in columns if name not in found]
    if missing:
        raise So2SatError(
            "batch",
            found=f"no column {missing[0]}, only {', '.join(map(str, found))}",
            expected=", ".join(columns),
            remedy="load a config that has it (`culture_10` has all), and set remove_unused_columns=False "
            "in TrainingArguments",
        )


def _from_arrow(table: pa.Table | pa.RecordBatch, columns: Sequence[str]) -> Arrays:
    chunks = opened(table, wanted(table.schema.names, columns, None))
    return {name: _joined(parts) for name, parts in chunks.items()}


def _joined(parts: list[Any]) -> Any:  # noqa: ANN401
    if isinstance(parts[0], pa.Array):
        return [value for part in parts for value in part.to_pylist()]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pixels_of(values: Any, index: Callable[[int], slice | list[int]], name: str) -> torch.Tensor:  # noqa: ANN401
    """Return bands of patches as a tensor of its own or on the memory of a batch, contiguous.

    Args:
        values: (b, c, h, w), or a list of b patches (c, h, w).
        index: count of bands that there are -> which of them.
        name: of the column, for errors.

    Returns:
        (b, bands, h, w): float32 for floats, uint16 for whole numbers.

    Raises:
        So2SatError: patches of different shapes, not numbers, or whole numbers beyond 65,535.
    """
    if isinstance(values, list | tuple):
        return _stacked(values, index, name)
    array = _array(values, name)
    if array.ndim != 4:
        raise _not_pixels(name, f"shape {array.shape}")
    bands = index(array.shape[1])
    return _tensor(array[:, bands] if bands != slice(0, array.shape[1]) else array, name)


def _stacked(patches: Sequence[Any], index: Callable[[int], slice | list[int]], name: str) -> torch.Tensor:
    """Copy the bands of patches one by one, and no other."""
    arrays = [_array(patch, name) for patch in patches]
    first = arrays[0]
    if first.ndim == 4:
        raise So2SatError(
            f"column {name}",
            found="whole batches where single patches are expected",
            expected="one batch: a DataLoader with batch_size=None, as PatchStream and epochs() need it",
            remedy="for a stock Trainer take PatchTable, or load_dataset(..., streaming=True); "
            "So2SatTrainer takes Feed(stream, stream.num_patches)",
        )
    if any(array.ndim != 3 or array.shape != first.shape or array.dtype != first.dtype for array in arrays):
        raise _not_pixels(name, f"patches of shapes {sorted({array.shape for array in arrays})}")
    bands = index(len(first))
    count = bands.stop - bands.start if isinstance(bands, slice) else len(bands)
    out = np.empty((len(arrays), count, *first.shape[1:]), first.dtype)
    for place, array in zip(out, arrays, strict=True):  # np.stack takes twice the time
        place[...] = array[bands]
    return _tensor(out, name)


def _array(values: Any, name: str) -> NDArray[Any]:  # noqa: ANN401
    try:
        array = values.numpy(force=True) if isinstance(values, torch.Tensor) else np.asarray(values)
    except ValueError as error:  # ragged lists
        raise _not_pixels(name, str(error)) from error
    if array.dtype.kind not in "fiu":
        raise _not_pixels(name, f"values of type {array.dtype}")
    return array


def _tensor(array: NDArray[Any], name: str) -> torch.Tensor:
    """Return pixels as a contiguous tensor in the smallest type that holds them exactly."""
    kind = np.float32 if array.dtype.kind == "f" else np.uint16
    if array.dtype != kind and kind is np.uint16 and not 0 <= array.min() <= array.max() <= 65_535:
        raise _not_pixels(name, f"whole numbers from {array.min()} to {array.max()}")
    array = np.ascontiguousarray(array, kind)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _not_pixels(name: str, found: str) -> So2SatError:
    return So2SatError(
        f"column {name}",
        found=found,
        expected="patches (bands, rows, columns) of one shape: floats as stored, or digital numbers from 0 "
        "to 65535",
    )
