"""Decide which patches go to which file. Pure: no file is opened here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from so2sat_hf.convert.cells import Cell

NOMINAL_SHARDS = {"train": 64, "validation": 8, "test": 8}
"""Files per published split: 2, 4 or 8 ranks taking every n-th file differ little."""

ROW_GROUP_ROWS = 1024
"""Rows of a Parquet row group or Arrow record batch; 75 MB in memory with all bands."""

SUFFIX = {"parquet": ".parquet", "arrow": ".arrow"}


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive patches of one cell that become one file."""

    cell: Cell
    """Which patches."""

    index: int
    """Position among the shards of the cell, from 0."""

    count: int
    """How many shards the cell has."""

    start: int
    """First patch of the cell, from 0."""

    stop: int
    """Patch after the last."""

    suffix: str
    """``.parquet`` or ``.arrow``."""

    @property
    def split(self) -> str:
        """``train``, ``validation`` or ``test``."""
        return self.cell.split

    @property
    def num_rows(self) -> int:
        """How many patches the file holds."""
        return self.stop - self.start

    @property
    def path(self) -> str:
        """Where the file lies in the dataset repository.

        >>> Shard(Cell("train"), 0, 64, 0, 5506, ".parquet").path
        'data/train/00000-of-00064.parquet'
        >>> Shard(Cell("train", "1", "0"), 2, 9, 800, 1200, ".arrow").path
        'data/train/r1b0-00002-of-00009.arrow'
        """
        tag = f"{self.cell.tag}-" if self.cell.tag else ""
        return f"data/{self.split}/{tag}{self.index:05d}-of-{self.count:05d}{self.suffix}"


def count_shards(nominal: float, num_rows: int, rows_per_shard: int | None = None) -> int:
    """How many files a cell gets.

    Args:
        nominal: its share of the files of the published split.
        num_rows: patches in the cell.
        rows_per_shard: a wish for at most so many rows in a file.

    Returns:
        At least 1. Without a wish the nominal count, but no more than one file for each row group.
    """
    if rows_per_shard is not None:
        return max(1, math.ceil(num_rows / rows_per_shard))
    return max(1, min(round(nominal), math.ceil(num_rows / ROW_GROUP_ROWS)))


def plan_shards(
    cells: Mapping[Cell, int], *, file_format: str = "parquet", rows_per_shard: int | None = None
) -> tuple[Shard, ...]:
    """Spread the patches of every cell evenly over its shards, in order.

    Args:
        cells: cell -> patches; cells of a split follow each other. The published count of files of a split is
            shared out among its cells by their size.
        file_format: ``parquet`` or ``arrow``.
        rows_per_shard: at most so many rows in a file; default: the nominal counts.

    Returns:
        Shards that tile every cell; within a cell they differ by at most one row.
    """
    totals: dict[str, int] = {}
    for cell, num_rows in cells.items():
        totals[cell.split] = totals.get(cell.split, 0) + num_rows
    shards = []
    for cell, num_rows in cells.items():
        share = NOMINAL_SHARDS.get(cell.split, 64) * num_rows / max(1, totals[cell.split])
        count = count_shards(share, num_rows, rows_per_shard)
        bounds = [index * num_rows // count for index in range(count + 1)]
        shards += [
            Shard(cell, index, count, bounds[index], bounds[index + 1], SUFFIX[file_format])
            for index in range(count)
        ]
    return tuple(shards)
