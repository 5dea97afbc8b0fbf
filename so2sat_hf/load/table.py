"""``PatchTable``: any patches of a split by their numbers, from memory-mapped Arrow files.

::

    table = PatchTable("shards", "train", bands=("B04", "B03", "B02"))
    table[5]              # dict of one patch
    table[[7, 3, 5]]      # batch: dict of arrays over three patches
    DataLoader(table, batch_size=256, shuffle=True, num_workers=2)

Nothing is read before it is asked for. A worker process opens the files anew, so that a table can be forked,
pickled and sent about.
"""

import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from so2sat_hf.errors import RowError, So2SatError
from so2sat_hf.load.arrays import as_torch, need_torch
from so2sat_hf.load.columns import Column, open_columns
from so2sat_hf.load.ids import Ids, rows_with
from so2sat_hf.load.mapped import open_mapped
from so2sat_hf.load.selection import wanted

FORMS = ("numpy", "torch")


class PatchTable:
    """Patches by number, for samplers, a stock ``DataLoader`` or a stock ``Trainer``."""

    def __init__(
        self,
        source: str | os.PathLike[str] | Any,  # noqa: ANN401
        split: str = "train",
        *,
        columns: Iterable[str] | None = None,
        bands: Iterable[str] | None = None,
        ids: Ids | None = None,
        form: str = "numpy",
    ) -> None:
        """Open a split.

        Args:
            source: a folder built with ``so2sat build --format arrow``, or a ``datasets.Dataset``, also after
                ``select``, ``filter``, ``shuffle``; a format or transform set on it is passed over.
            split: of the folder: ``train``, or of another version ``random/train``; a Dataset is one already.
            columns: which, ``geo`` for all of the geolocation; default: all.
            bands: names of bands of either sensor; see :func:`~so2sat_hf.load.selection.wanted`.
            ids: only these patches, in stored order; see :data:`~so2sat_hf.load.ids.Ids`.
            form: ``numpy`` or ``torch``.

        Raises:
            FolderError: no built folder.
            SourceError: a file is missing or damaged.
            So2SatError: anything else that is not there.
        """
        if form not in FORMS:
            raise So2SatError("form", found=repr(form), expected=" or ".join(FORMS))
        if form == "torch":
            need_torch()
        self._form = form
        self._mapped = open_mapped(source, split)
        self._wanted = wanted(self._mapped.table.column_names, columns, bands)
        self._rows = self._mapped.rows
        if ids is not None:
            self._rows = self._rows_with(ids)
        self._open()

    def _open(self) -> None:
        self._columns: dict[str, Column] = open_columns(self._mapped.table, self._wanted)
        self._count = self._mapped.table.num_rows if self._rows is None else len(self._rows)

    def _rows_with(self, ids: Ids) -> NDArray[np.int64]:
        """Return the rows of the files that hold these patches, in the order of the table."""
        table, rows = self._mapped.table, self._rows
        if "id" not in table.column_names:
            raise So2SatError(self._mapped.name, found="no column id", expected="one, to find patches by ids")
        present = table.column("id")
        if rows is None:
            return rows_with(ids, present, self._mapped.name)
        return rows[rows_with(ids, present.take(rows), self._mapped.name)]

    @property
    def columns(self) -> tuple[str, ...]:
        """Of every patch, in stored order."""
        return self._wanted.columns

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"PatchTable({self._mapped.name}: {len(self):,} patches of {', '.join(self.columns)})"

    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[Any]) -> dict[str, Any]:
        """Return one patch for a number, or a batch for a slice, list, array or tensor of numbers.

        All of it is copied and may be changed.

        Raises:
            RowError: a number that is not there.
        """
        try:
            number = operator.index(index)  # type: ignore[arg-type]
        except TypeError:
            return self._batch(self._numbers(index))
        if isinstance(index, bool):
            raise _not_a_number(index)
        return self._one(number)

    def __getitems__(self, indices: Sequence[int]) -> "Samples":
        """Return patches as a list of samples; ``DataLoader`` asks so for all of a batch at once."""
        return Samples(self._batch(self._numbers(indices)))

    def _one(self, number: int) -> dict[str, Any]:
        if not -self._count <= number < self._count:
            raise self._out_of_range(number)
        row = number % self._count
        if self._rows is not None:
            row = int(self._rows[row])
        if self._form == "numpy":
            return {name: column.one(row) for name, column in self._columns.items()}
        return {name: column.one_tensor(row) for name, column in self._columns.items()}

    def _batch(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        batch = {name: column.many(rows) for name, column in self._columns.items()}
        return batch if self._form == "numpy" else as_torch(batch)

    def _numbers(self, index: Any) -> NDArray[np.int64]:  # noqa: ANN401
        """Return the rows of the files that an index means."""
        if isinstance(index, slice):
            numbers = np.arange(*index.indices(self._count))
        else:
            try:
                numbers = np.asarray(index)
            except ValueError as error:  # lists of different lengths
                raise _not_a_number(index) from error
            if isinstance(index, Sequence) and not len(index):
                numbers = numbers.astype(np.int64)
            if numbers.dtype == bool and numbers.shape == (self._count,):
                numbers = np.flatnonzero(numbers)
            if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
                raise _not_a_number(index)
            if len(numbers) and not (-self._count <= numbers.min() and numbers.max() < self._count):
                outside = (numbers < -self._count) | (numbers >= self._count)
                raise self._out_of_range(int(numbers[outside][0]))
            numbers = np.where(numbers < 0, numbers + self._count, numbers).astype(np.int64)
        return numbers if self._rows is None else self._rows[numbers]

    def _out_of_range(self, number: int) -> RowError:
        expected = f"0 to {self._count - 1}" if self._count else "no number: it is empty"
        return RowError(self._mapped.name, found=f"no patch {number}", expected=expected)

    def __getstate__(self) -> dict[str, Any]:
        keep = {"_form": self._form, "_wanted": self._wanted, "_mapped": self._mapped}
        return keep | {"_rows": None if self._rows is self._mapped.rows else self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._rows is None:
            self._rows = self._mapped.rows
        self._open()


def _not_a_number(index: object) -> So2SatError:
    return So2SatError(
        "index",
        found=f"{index!r:.60}",
        expected="a number, or a slice, list, array or tensor of numbers",
        remedy="columns are chosen with columns=" if isinstance(index, str) else "",
    )


class Samples(Sequence[dict[str, Any]]):
    """The patches of a batch one by one, for a collate function that wants them so."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays
        """The batch as a whole, for a collate function that can use it."""

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Return the sample of a number as a dict of views, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return {name: values[index] for name, values in self.arrays.items()}
