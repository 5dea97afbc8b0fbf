"""Columns of an Arrow table by row number: pixels chunk by chunk, everything else as one array.

What a column needs is made when it is first asked for, and kept.
"""

from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf.convert.patches import PATCH_SIZE
from so2sat_hf.convert.table import NUM_BANDS
from so2sat_hf.convert.views import REMEDY, numbers, view
from so2sat_hf.errors import SourceError
from so2sat_hf.load.arrays import as_index, copy_rows, need_torch, starts_of, strings
from so2sat_hf.load.selection import Wanted, dtypes


class Column(Protocol):
    """One column."""

    def one(self, row: int) -> Any:  # noqa: ANN401
        """Return a copy of the value of a row."""
        ...

    def one_tensor(self, row: int) -> Any:  # noqa: ANN401
        """The same as a tensor, if it is a number or pixels."""
        ...

    def many(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of the values of some rows."""
        ...


def open_columns(table: pa.Table, wanted: Wanted) -> dict[str, Column]:
    """Return the columns wanted.

    Raises:
        SourceError: a column that is neither pixels nor a number nor a string.
    """
    kinds = dtypes(table.schema, wanted.columns)
    columns: dict[str, Column] = {}
    for name, dtype in kinds.items():
        column = table.column(name)
        if dtype.kind == "O":
            columns[name] = Strings(column, name)
        elif pa.types.is_nested(column.type) or isinstance(column.type, pa.BaseExtensionType):
            columns[name] = Pixels(column, name, wanted.bands.get(name), dtype)
        else:
            columns[name] = Numbers(column, name)
    return columns


class Numbers:
    """A column of numbers."""

    def __init__(self, column: pa.ChunkedArray, name: str) -> None:
        self.column, self.name = column, name

    @cached_property
    def values(self) -> NDArray[Any]:
        """All of them: 2.8 MB for 352,366 patches."""
        return numbers(_whole(self.column), self.name)

    def one(self, row: int) -> Any:  # noqa: ANN401
        """Return the number of a row."""
        return self.values[row]

    def one_tensor(self, row: int) -> Any:  # noqa: ANN401
        """Return it as a tensor of no dimension."""
        return need_torch().from_numpy(np.array(self.values[row]))

    def many(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the numbers of some rows."""
        return self.values[rows]


class Strings:
    """A column of strings."""

    def __init__(self, column: pa.ChunkedArray, name: str) -> None:
        self.column, self.name = column, name

    @cached_property
    def values(self) -> pa.Array:
        """All of them, as Arrow has them: 20 bytes each or so."""
        whole = _whole(self.column)
        try:
            whole.validate(full=True)
        except pa.ArrowException as error:
            raise SourceError(
                f"column {self.name}", found=f"damaged ({error})", expected="strings", remedy=REMEDY
            ) from error
        return whole

    def one(self, row: int) -> Any:  # noqa: ANN401
        """Return the string of a row."""
        return self.values[row].as_py()

    one_tensor = one

    def many(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the strings of some rows."""
        return strings(self.values, rows, self.name)


class Pixels:
    """A column of pixels; the files are read where a row is asked for, and nowhere else."""

    def __init__(
        self, column: pa.ChunkedArray, name: str, bands: tuple[int, ...] | None, dtype: np.dtype[Any]
    ) -> None:
        self.name, self.dtype, self.bands, self.index = name, dtype, bands, as_index(bands)
        self.chunks = [chunk for chunk in column.chunks if len(chunk)]
        self.starts = starts_of(self.chunks)
        self.views: list[NDArray[Any] | None] = [None] * len(self.chunks)
        self.shape: tuple[int, ...] | None = None

    def _view(self, part: int) -> NDArray[Any]:
        """Return one chunk as (n, c, h, w), and keep it."""
        found = view(self.chunks[part], self.name)
        shape = self.shape or found.shape[1:]
        if found.shape[1:] != shape or (self.bands is not None and shape[0] != NUM_BANDS[self.name]):
            raise SourceError(
                f"column {self.name}",
                found=f"patches of shape {found.shape[1:]}",
                expected=f"the {NUM_BANDS[self.name]} bands as published" if self.bands else f"{shape}",
            )
        self.shape, self.views[part] = shape, found
        return found

    def one(self, row: int) -> NDArray[Any]:
        """Return (bands, h, w) of a row."""
        part = int(self.starts.searchsorted(row, "right")) - 1
        values = self.views[part]
        if values is None:
            values = self._view(part)
        patch = values[row - int(self.starts[part])]
        if isinstance(self.index, slice):
            return patch[self.index].copy()
        return patch.take(self.index, 0)

    def one_tensor(self, row: int) -> Any:  # noqa: ANN401
        """Return it as a tensor."""
        return need_torch().from_numpy(self.one(row))

    def many(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return (n, bands, h, w) of some rows."""
        which = self.starts.searchsorted(rows, "right") - 1
        for part in set(which.tolist()):
            if self.views[part] is None:
                self._view(part)
        if self.shape is None and self.chunks:
            self._view(0)
        bands, *size = self.shape or (NUM_BANDS.get(self.name, 0), PATCH_SIZE, PATCH_SIZE)
        count = bands if self.bands is None else len(self.bands)
        out = np.empty((len(rows), count, *size), self.dtype)
        copy_rows(self.views, (which, rows - self.starts[which]), self.index, out)
        return out


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
