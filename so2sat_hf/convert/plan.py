"""Decide which rows go to which file. Pure: no file is opened here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

NOMINAL_SHARDS = {"train": 64, "validation": 8, "test": 8}
"""Files per published split: 2, 4 or 8 ranks taking every n-th file differ little."""

ROW_GROUP_ROWS = 1024
"""Rows of a Parquet row group or Arrow record batch; 75 MB in memory with all bands."""

SUFFIX = {"parquet": ".parquet", "arrow": ".arrow"}


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive rows of one split that become one file."""

    split: str
    """``train``, ``validation`` or ``test``."""

    index: int
    """Position among the shards of the split, from 0."""

    count: int
    """How many shards the split has."""

    start: int
    """First row of the split, from 0."""

    stop: int
    """Row after the last."""

    suffix: str
    """``.parquet`` or ``.arrow``."""

    @property
    def num_rows(self) -> int:
        """How many patches the file holds."""
        return self.stop - self.start

    @property
    def path(self) -> str:
        """Where the file lies in the dataset repository.

        >>> Shard("train", 0, 64, 0, 5506, ".parquet").path
        'data/train/00000-of-00064.parquet'
        """
        return f"data/{self.split}/{self.index:05d}-of-{self.count:05d}{self.suffix}"


def count_shards(split: str, num_rows: int, rows_per_shard: int | None = None) -> int:
    """How many shards a split gets.

    Without a wish the published splits get their nominal count; a smaller split gets one shard
    for each row group.
    """
    if rows_per_shard is not None:
        return max(1, math.ceil(num_rows / rows_per_shard))
    return max(1, min(NOMINAL_SHARDS.get(split, 64), math.ceil(num_rows / ROW_GROUP_ROWS)))


def plan_shards(
    num_rows: Mapping[str, int], *, file_format: str = "parquet", rows_per_shard: int | None = None
) -> tuple[Shard, ...]:
    """Spread the rows of every split evenly over its shards, in order.

    Args:
        num_rows: split -> rows.
        file_format: ``parquet`` or ``arrow``.
        rows_per_shard: at most so many rows in a file; default: the nominal counts.

    Returns:
        Shards that tile every split; within a split they differ by at most one row.
    """
    shards = []
    for split, total in num_rows.items():
        count = count_shards(split, total, rows_per_shard)
        bounds = [index * total // count for index in range(count + 1)]
        shards += [
            Shard(split, index, count, bounds[index], bounds[index + 1], SUFFIX[file_format])
            for index in range(count)
        ]
    return tuple(shards)
