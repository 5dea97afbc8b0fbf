"""Which splits of version 3 each patch belongs to (``membership.parquet``), and the cells that follow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from so2sat_hf.convert.cells import CULTURE_10, MEMBERSHIP, VERSION_3_SPLITS, Cell
from so2sat_hf.convert.patches import FILE_OF_SPLIT, SPLIT_OF_FILE, Rows, Source
from so2sat_hf.convert.reading import CHECKED
from so2sat_hf.convert.writing import placing
from so2sat_hf.errors import SourceError

TEST, TRAIN, NEITHER = 0, 1, 2
CODES = ("0", "1", "x")
"""Code -> membership as cells spell it, and the order of cells within a split: that of their file names."""

SPLIT_NAMES = ("test", "train", None)
"""Code -> split as the table spells it; None: that version leaves the patch out."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Every patch of version 2, in the order training, validation, testing, and where version 3 has it."""

    rows: Mapping[str, int]
    """File stem -> rows."""

    label: NDArray[np.uint8]
    """(N,) class index: tells whether the table belongs to the files at hand."""

    members: Mapping[str, NDArray[np.uint8]]
    """``random`` or ``block`` -> (N,) 0 in its test, 1 in its train, 2 in neither."""

    version_3_rows: Mapping[str, NDArray[np.int32]]
    """``random`` or ``block`` -> (N,) row in that split's file, -1 where it has none."""

    def of_file(self, stem: str) -> slice:
        """Where the rows of a file are."""
        first = 0
        for name, count in self.rows.items():
            if name == stem:
                return slice(first, first + count)
            first += count
        raise KeyError(stem)

    def left_out(self) -> dict[str, int]:
        """``random`` or ``block`` -> patches in neither its train nor its test, where there are any."""
        counts = {name: int(np.count_nonzero(codes == NEITHER)) for name, codes in self.members.items()}
        return {name: count for name, count in counts.items() if count}

    def write(self, path: Path) -> None:
        """Write ``membership.parquet``; under 5 MB for the published rows.

        Raises:
            FolderError: it cannot be written.
        """
        row = np.concatenate([np.arange(count, dtype=np.int32) for count in self.rows.values()])
        file = np.repeat(np.arange(len(self.rows), dtype=np.int8), list(self.rows.values()))
        columns: dict[str, Any] = {
            "file": pa.DictionaryArray.from_arrays(pa.array(file), pa.array(list(self.rows))),
            "row": pa.array(row),
            "label": pa.array(self.label),
        }
        for name, codes in self.members.items():
            present = codes != NEITHER
            columns[name] = pa.DictionaryArray.from_arrays(
                pa.array(codes.astype(np.int8), mask=~present), pa.array(SPLIT_NAMES[:2])
            )
            columns[f"{name}_row"] = pa.array(self.version_3_rows[name], mask=~present)
        with placing(path) as part:
            pq.write_table(
                pa.table(columns),
                part.absolute(),  # Arrow takes `a:b` for an address
                compression="zstd",
                use_dictionary=["file", "label", *self.members],
                column_encoding={"row": "DELTA_BINARY_PACKED"},
                write_page_checksum=True,
            )


def read_membership(path: Path) -> Membership:
    """Read what :meth:`Membership.write` wrote.

    Raises:
        SourceError: no such file, or another kind of file.
    """
    if not path.is_file():
        raise SourceError(path, found="no such file", expected="a table that `so2sat match` wrote")
    try:
        table = pq.read_table(path, **CHECKED)
        files = table.column("file").cast(pa.string()).to_pylist()
        stems = [stem for stem in SPLIT_OF_FILE if stem in set(files)]
        rows = {stem: files.count(stem) for stem in stems}
        number = np.concatenate([np.arange(count) for count in rows.values()])
        is_ordered = files == [stem for stem in stems for _ in range(rows[stem])]
        if not is_ordered or not np.array_equal(table.column("row").to_numpy(), number):
            raise ValueError("rows are missing or in another order")  # noqa: TRY301
        members, version_3_rows = {}, {}
        for name in VERSION_3_SPLITS:
            if name in table.column_names:
                spelled = table.column(name).cast(pa.string()).to_pylist()
                members[name] = np.array([SPLIT_NAMES.index(split) for split in spelled], np.uint8)
                version_3_rows[name] = table.column(f"{name}_row").fill_null(-1).to_numpy().astype(np.int32)
        label = table.column("label").to_numpy().astype(np.uint8)
    except (KeyError, ValueError, OSError, pa.ArrowException) as error:
        raise SourceError(
            path,
            found=f"cannot be used ({error})",
            expected="a table that `so2sat match` wrote",
            remedy="run `so2sat match` again",
        ) from error
    return Membership(rows, label, members, version_3_rows)


def cells_of(source: Source, membership: Membership | None) -> dict[Cell, Rows]:
    """Cell -> positions in the stored order of its split, for every patch of a source.

    Raises:
        SourceError: the membership belongs to other files, or contradicts the cells of a built folder.
    """
    groups: dict[Cell, Rows] = {}
    if membership is not None:
        _check(source, membership)
    offsets = dict.fromkeys(source.num_rows, 0)
    for cell, count in source.cells.items():
        rows = range(offsets[cell.split], offsets[cell.split] + count)
        offsets[cell.split] += count
        groups |= dict(_refined(source, cell, rows, membership)) if membership else {cell: rows}
    return dict(sorted(groups.items(), key=lambda item: _order(source, item[0])))


def _order(source: Source, cell: Cell) -> tuple[int, ...]:
    versions = (cell.random, cell.block)
    return (
        list(source.num_rows).index(cell.split),
        *(0 if value is None else CODES.index(value) for value in versions),
    )


def _refined(source: Source, cell: Cell, rows: range, membership: Membership) -> Iterator[tuple[Cell, Rows]]:
    """Yield the cells that a cell falls into."""
    numbers = source.hdf5_rows(cell.split)[rows.start : rows.stop]
    place = membership.of_file(FILE_OF_SPLIT[cell.split])
    known = {name: codes[place][numbers] for name, codes in membership.members.items()}
    for name, codes in known.items():
        value = getattr(cell, name)
        if value is not None and not (codes == CODES.index(value)).all():
            raise SourceError(
                "membership",
                found=f"patches of cell {cell.key} that are not {MEMBERSHIP[value]} of {name}",
                expected="what the folder was built with",
                remedy="build from the HDF5 files, or match the same files again",
            )
    empty = np.full(len(numbers), -1)
    random, block = (known.get(name, empty) for name in VERSION_3_SPLITS)
    for pair in sorted(set(zip(random.tolist(), block.tolist(), strict=True))):
        inside = np.flatnonzero((random == pair[0]) & (block == pair[1]))
        new = [CODES[code] if code >= 0 else None for code in pair]
        parts = (new[0] or cell.random, new[1] or cell.block)
        yield Cell(cell.split, *parts), inside + rows.start if len(inside) < len(rows) else rows


def _check(source: Source, membership: Membership) -> None:
    """Refuse a table that was made from other files."""
    if source.layout != CULTURE_10:
        raise SourceError(
            "membership",
            found=f"SOURCE is version 3 {source.layout} by itself",
            expected="the files of version 2 or 4",
            remedy="leave the membership out, or give those files",
        )
    for split, num_rows in source.num_rows.items():
        stem = FILE_OF_SPLIT[split]
        expected = membership.rows.get(stem, 0)
        if expected != num_rows:
            problem = f"{num_rows:,} rows in {stem}, but {expected:,} in the membership"
        else:
            labels = membership.label[membership.of_file(stem)][source.hdf5_rows(split)]
            if np.array_equal(labels, source.labels(split)):
                continue
            problem = f"other classes in {stem} than in the membership"
        raise SourceError(
            "membership",
            found=problem,
            expected="a table that was matched against these files",
            remedy="run `so2sat match` against them",
        )
