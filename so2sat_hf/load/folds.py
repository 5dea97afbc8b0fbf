"""Tables of folds: which patches train and which test, by fold. ``so2sat split`` writes them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from so2sat_hf.convert.cells import SPLITS
from so2sat_hf.convert.reading import CHECKED
from so2sat_hf.errors import So2SatError, SourceError

COLUMNS = ("fold", "split", "id")
SCHEMA = pa.schema([("fold", pa.int64()), ("split", pa.string()), ("id", pa.string())])


def read_folds(path: Path) -> pa.Table:
    """Read a table of folds, Parquet or CSV.

    Raises:
        SourceError: missing, damaged, or with other columns.
    """
    try:
        found = pa.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path, **CHECKED)
        missing = [name for name in COLUMNS if name not in found.column_names]
        if missing:
            raise SourceError(path, found=f"no column {missing[0]}", expected=", ".join(COLUMNS))
        table = found.select(list(COLUMNS)).cast(SCHEMA)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise SourceError(
            path, found=f"cannot be read ({said[0]})", expected="what `so2sat split` wrote"
        ) from error
    for name in COLUMNS:
        if table[name].null_count:
            raise SourceError(path, found=f"{table[name].null_count:,} nulls in {name}", expected="none")
    return table


def read_fold(path: Path, fold: int) -> dict[str, pa.ChunkedArray]:
    """Return split -> ids of one fold.

    Raises:
        SourceError: missing, damaged, or with other columns.
        So2SatError: the table has no such fold.
    """
    table = read_folds(path)
    folds = table["fold"].to_numpy()
    if fold not in folds:
        known = f"{folds.min()} to {folds.max()}" if len(folds) else "any fold at all"
        raise So2SatError(f"fold {fold}", found=f"not in {path}", expected=known)
    mine = table.filter(pa.array(folds == fold))
    names = np.array(mine["split"].to_pylist())
    return {split: mine["id"].filter(pa.array(names == split)) for split in SPLITS if (names == split).any()}
