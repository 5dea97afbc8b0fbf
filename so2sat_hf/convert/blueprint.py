"""What a build is going to write: which patches go into which data file, and what goes beside them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from so2sat_hf.convert.cells import Cell
from so2sat_hf.convert.encode import Encoder
from so2sat_hf.convert.patches import Rows, Source
from so2sat_hf.convert.plan import Shard


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The data files of a build."""

    source: Source
    """Where patches come from."""

    columns: tuple[str, ...]
    """Columns of the data files, in order."""

    file_format: str
    """``parquet`` or ``arrow``, for every file of the folder."""

    sen2_dtype: str
    """``float32`` (reflectance) or ``uint16`` (digital numbers)."""

    groups: Mapping[Cell, Rows]
    """Cell -> positions in the stored order of its split."""

    shards: tuple[Shard, ...]
    """The data files, in order."""

    @property
    def layout(self) -> str:
        """The config that the split names belong to."""
        return self.source.layout

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits in order."""
        return tuple(self.source.num_rows)

    def rows_of(self, shard: Shard) -> Rows:
        """Which patches a data file holds: positions in the stored order of its split."""
        return self.groups[shard.cell][shard.start : shard.stop]

    def parts_of(self, split: str) -> tuple[Rows, ...]:
        """All patches of a split in the order of its data files."""
        return tuple(rows for cell, rows in self.groups.items() if cell.split == split)


def cut(parts: Sequence[Rows], start: int, stop: int) -> tuple[Rows, ...]:
    """Return items ``start`` to ``stop`` of the concatenated parts.

    >>> cut((range(3), range(10, 13)), 2, 5)
    (range(2, 3), range(10, 12))
    """
    pieces, first = [], 0
    for rows in parts:
        low, high = max(start - first, 0), min(stop - first, len(rows))
        if low < high:
            pieces.append(rows[low:high])
        first += len(rows)
    return tuple(pieces)


def pick(parts: Sequence[Rows], chosen: Rows) -> tuple[Rows, ...]:
    """Return the items of the concatenated parts at increasing positions.

    >>> pick((range(3), range(10, 13)), np.array([1, 4]))
    (array([1]), array([11]))
    """
    pieces, first = [], 0
    wanted = np.asarray(chosen)
    for rows in parts:
        inside = wanted[(wanted >= first) & (wanted < first + len(rows))] - first
        if len(inside):
            pieces.append(np.asarray(rows)[inside])
        first += len(rows)
    return tuple(pieces)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file beside the data."""

    path: str
    """Where it lies in the dataset repository."""

    split: str
    """``train``, ``validation`` or ``test``."""

    parts: tuple[Rows, ...]
    """Which patches, as in :class:`~so2sat_hf.convert.shard.FileTask`."""

    encoder: Encoder
    """What becomes of them."""


@dataclass(frozen=True, slots=True)
class CompanionPlan:
    """The files of one config beside the data."""

    name: str
    """The config."""

    features: dict[str, Any]
    """Its columns, as ``datasets.Features.to_dict`` has them."""

    files: tuple[PlannedFile, ...]
    """In order."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else decides the bytes. Plain JSON values."""


Planner = Callable[[Blueprint], CompanionPlan | None]
"""Plans one companion of a build; None where the data cannot give it (no optical bands, no picture)."""
