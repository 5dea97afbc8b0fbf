"""A choice of patches, as ids: a list, a table with a column ``id``, or a file with one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from so2sat_hf.convert.reading import CHECKED
from so2sat_hf.errors import So2SatError, SourceError

Ids: TypeAlias = Any
"""Strings, a table (of Arrow, ``datasets``, pandas or polars) with a column ``id``, or the path of a
Parquet or CSV file with one."""

EXPECTED = 'a list of ids, e.g. ["training/000123"], a table with a column id, or a .parquet or .csv file'


def read_ids(ids: Ids) -> pa.Array:
    """Return ids as an Arrow array of strings, in the order given.

    Raises:
        SourceError: a file that is missing, damaged or without a column ``id``.
        So2SatError: something else than ids.
    """
    if isinstance(ids, str | os.PathLike):
        ids = _read_file(Path(ids))
    names = getattr(ids, "column_names", getattr(ids, "columns", None))
    if names is not None:
        if "id" not in names:
            raise So2SatError("ids", found=f"a table of {', '.join(map(str, names))}", expected="a column id")
        ids = ids["id"]
    try:
        if isinstance(ids, pa.Array | pa.ChunkedArray):
            found = ids
        else:
            found = pa.array([str(text) if isinstance(text, np.str_) else text for text in ids], pa.string())
        found = found.cast(pa.string())
    except (TypeError, pa.ArrowException) as error:
        raise So2SatError("ids", found=f"{type(ids).__name__} ({error})", expected=EXPECTED) from error
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    if found.null_count or not len(found):
        what = f"{found.null_count:,} nulls" if found.null_count else "none at all"
        raise So2SatError("ids", found=what, expected=EXPECTED)
    return found


def _read_file(path: Path) -> pa.Table:
    """Return a table of the column ``id`` of a file."""
    if path.suffix not in (".parquet", ".csv"):
        raise So2SatError(
            "ids", found=repr(str(path)), expected=EXPECTED, remedy="put a single id into a list"
        )
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path, columns=["id"], **CHECKED)
        options = csv.ConvertOptions(include_columns=["id"], column_types={"id": pa.string()})
        return csv.read_csv(path, convert_options=options)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise SourceError(path, found=f"cannot be read ({error})", expected="a column id") from error


def rows_with(
    ids: Ids,
    present: pa.ChunkedArray | pa.Array,
    place: object,
    *,
    elsewhere: Callable[[], pa.ChunkedArray] | None = None,
) -> NDArray[np.int64]:
    """Return the rows of a split that have one of these ids, increasing.

    Args:
        ids: those wanted; their order is irrelevant, and one that comes twice counts once. Ids of other
            splits are passed over, if at least one is of this one.
        present: (n,) the id of every row.
        place: what an error is about.
        elsewhere: returns the ids of the other splits, if these do not show by how an id begins.

    Raises:
        So2SatError: an id of this split that it does not hold, or none of the ids is of this split.
    """
    wanted, present = read_ids(ids), _whole(present).cast(pa.string())
    rows = np.flatnonzero(np.asarray(pc.is_in(present, value_set=wanted)))
    unknown = wanted.filter(pc.invert(pc.is_in(wanted, value_set=present))).unique()
    if len(unknown) and len(rows):
        stems = _stems(present).unique()
        unknown = unknown.filter(pc.is_in(_stems(unknown), value_set=stems))
    if len(unknown) and len(rows) and elsewhere is not None:
        unknown = unknown.filter(pc.invert(pc.is_in(unknown, value_set=_whole(elsewhere()))))
    if len(unknown):
        raise So2SatError(
            place,
            found=f"{len(unknown):,} of {len(wanted.unique()):,} ids are not in it, e.g. {unknown[0]}",
            expected=f"ids like {present[0]}" if len(present) else "any patches at all",
            remedy="take ids from the column `id` of this split",
        )
    return rows.astype(np.int64)


def _stems(ids: pa.Array) -> pa.Array:
    """Return what stands before the row in each id."""
    return pc.replace_substring_regex(ids, pattern="/?[0-9]*$", replacement="")


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
