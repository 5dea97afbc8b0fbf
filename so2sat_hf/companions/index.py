"""Index: every column but the pixels, one file per split, whose row i is row i of the split.

Beside the columns of the data files it says where each patch lies on the ground (``geometry``, ``bbox``), in
which split of which published version it is, in which file and row its pixels are, the mean of each of its
bands, and what others call it. With geolocation a Parquet file is GeoParquet 1.1, without it plain Parquet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.companions.footprint import BOUNDS, bounds_of, corners_of, extent_of, to_wkb
from so2sat_hf.companions.geoparquet import GatheringWriter, open_writer, with_geo
from so2sat_hf.convert import table as data_table
from so2sat_hf.convert.built import RASTER
from so2sat_hf.convert.cells import CULTURE_10, VERSION_3_SPLITS, Cell
from so2sat_hf.convert.patches import COLUMNS, FILE_OF_SPLIT, GeoBlock, PatchBlock, parse_id
from so2sat_hf.convert.plan import ROW_GROUP_ROWS
from so2sat_hf.convert.table import NUM_BANDS, take_over, to_table
from so2sat_hf.errors import So2SatError

VERSIONS = ("v1", CULTURE_10, "culture_10_v3", *VERSION_3_SPLITS)
"""Columns that name the split of a patch in each published version."""

SPLITS_OF_CULTURE_10 = {
    "v1": {"train": "train", "validation": "validation"},
    CULTURE_10: {"train": "train", "validation": "validation", "test": "test"},
    "culture_10_v3": {"train": "train", "validation": "test", "test": "test"},
}
"""Version -> split of culture 10 -> split of that version. Version 1 has no test, version 3 no validation."""

SPLIT_OF_MEMBERSHIP = {"1": "train", "0": "test"}
"""Membership of a cell in a split of version 3 -> split; nothing where that version leaves patches out."""

FOOTPRINT = {"epsg", "x_ul", "y_ul"}
"""Columns that a footprint is made of."""

DICTIONARY = ("label", "city", "epsg", *VERSIONS, "file", "row_group")
"""Columns with few different values."""


@dataclass(frozen=True, slots=True)
class IndexedShard:
    """A data file, as the index points to it."""

    path: str
    """Where it lies in the dataset repository."""

    rows: int
    """Patches in the file."""

    splits: tuple[str | None, ...]
    """Split of its patches in each of :data:`VERSIONS`; None: in none of them, or not known."""


def splits_of_cell(cell: Cell, layout: str = CULTURE_10) -> dict[str, str | None]:
    """Return the split of a cell's patches in each of :data:`VERSIONS`; None: in none of them, or not known.

    Args:
        cell: of a built folder.
        layout: the config that its split name belongs to.

    >>> tuple(splits_of_cell(Cell("validation", "1", "x")).values())
    ('validation', 'validation', 'test', 'train', None)
    """
    if layout != CULTURE_10:
        return {version: cell.split if version == layout else None for version in VERSIONS}
    culture = {version: splits.get(cell.split) for version, splits in SPLITS_OF_CULTURE_10.items()}
    return culture | {name: SPLIT_OF_MEMBERSHIP.get(getattr(cell, name)) for name in VERSION_3_SPLITS}


def rows_before(split: str, num_rows: Mapping[str, int]) -> int | None:
    """Return how many rows come before a split in train, validation, test: the running number of its row 0.

    Args:
        split: of culture 10.
        num_rows: split -> rows.

    Returns:
        None if a split before it is missing: nobody can count then.

    >>> rows_before("test", {"train": 352_366, "validation": 24_119, "test": 24_188})
    376485
    """
    order = list(FILE_OF_SPLIT)
    before = order[: order.index(split)]
    return sum(num_rows[name] for name in before) if all(name in num_rows for name in before) else None


def features(columns: tuple[str, ...] = COLUMNS, *, with_raster: bool = False) -> Any:  # noqa: ANN401
    """Return the typed columns of the index as ``datasets.Features``.

    Args:
        columns: of the data files, out of :data:`~so2sat_hf.convert.patches.COLUMNS`.
        with_raster: whether the publisher's row and column numbers are there.
    """
    from datasets import Features, Value  # noqa: PLC0415

    kept = dict(data_table.features(_without_pixels(columns)))
    if set(columns) >= FOOTPRINT:
        kept |= {"geometry": Value("binary"), "bbox": {name: Value("float64") for name in BOUNDS}}
    kept |= dict.fromkeys((*VERSIONS, "file"), Value("string"))
    kept |= dict.fromkeys(("row", "row_group"), Value("int32"))
    kept["m_so2sat"] = Value("string")
    kept |= dict.fromkeys(RASTER if with_raster else (), Value("int32"))
    means = [f"mean_{band.name}" for name in NUM_BANDS if name in columns for band in facts.bands(name)]
    return Features(kept | dict.fromkeys(means, Value("float32")))


def _without_pixels(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in COLUMNS if name in columns and name not in NUM_BANDS)


def plan_index(
    cells: Sequence[tuple[Cell, Sequence[tuple[str, int]]]],
    *,
    columns: tuple[str, ...],
    layout: str = CULTURE_10,
    first_number: int | None = None,
    geo: Iterable[GeoBlock] = (),
    raster: NDArray[np.int32] | None = None,
) -> "IndexEncoder":
    """Decide what goes into the index of one split.

    Args:
        cells: of the split, in stored order, each with path and rows of its data files.
        columns: of the data files; ``sen1`` and ``sen2`` become the means of their bands.
        layout: the config that the split belongs to.
        first_number: what :func:`rows_before` says of the split; None: no GEO-Bench ids.
        geo: where all patches of the split lie, in any number of blocks: the extent that GeoParquet states.
        raster: (n, 4) the publisher's :data:`RASTER` of every row of the split's HDF5 file, or None.
    """
    schema = features(columns, with_raster=raster is not None).arrow_schema
    if "geometry" in schema.names:
        schema = with_geo(schema, extent_of(geo))
    return IndexEncoder(
        schema=schema.serialize().to_pybytes(),
        columns=tuple(name for name in COLUMNS if name in columns),
        shards=tuple(
            IndexedShard(path, rows, tuple(splits_of_cell(cell, layout)[version] for version in VERSIONS))
            for cell, shards in cells
            for path, rows in shards
        ),
        first_number=first_number if layout == CULTURE_10 else None,
        raster=raster,
    )


@dataclass(frozen=True, slots=True)
class IndexEncoder:
    """Writes the index of one split: an :class:`~so2sat_hf.convert.encode.Encoder`."""

    schema: bytes
    """Arrow schema of the file as an IPC message."""

    columns: tuple[str, ...]
    """What it needs of a patch: the columns of the data files."""

    shards: tuple[IndexedShard, ...]
    """Data files of the split, in stored order."""

    first_number: int | None = None
    """Running number over train, validation and test of row 0 of the split's HDF5 file; None: not known."""

    raster: NDArray[np.int32] | None = field(default=None, compare=False, repr=False)
    """(n, 4) the publisher's :data:`RASTER` of every row of the split's HDF5 file, or None."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema itself."""
        return pa.ipc.read_schema(pa.py_buffer(self.schema))

    def table(self, block: PatchBlock, start: int) -> pa.Table:
        """Return the rows of a block, the first of which is row ``start`` of the file.

        The table keeps nothing of the block's memory, which the next block may overwrite.

        Raises:
            So2SatError: more rows than the data files of the split have, or a column that the block lacks.
        """
        schema = self.arrow_schema
        kept = [name for name in schema.names if name in COLUMNS]
        same = to_table(_copy(block), pa.schema([schema.field(name) for name in kept]))
        columns = dict(zip(kept, same.columns, strict=True))
        if "geometry" in schema.names and block.geo is not None:
            columns |= _footprints(block.geo, schema.field("bbox").type)
        columns |= self._places(start, start + len(block))
        columns |= self._names([parse_id(patch)[1] for patch in block.ids])
        columns |= _means(block, self.columns)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)

    def writer(self, sink: Any, suffix: str) -> GatheringWriter:  # noqa: ANN401
        """Open a writer for a ``.parquet`` or ``.arrow`` file."""
        return open_writer(sink, self.arrow_schema, suffix=suffix, dictionary=DICTIONARY)

    def _places(self, start: int, stop: int) -> dict[str, pa.Array]:
        """Column -> values that follow from the position in the split: versions, file, row, row group."""
        ends = np.cumsum([shard.rows for shard in self.shards])
        if stop > ends[-1]:
            raise So2SatError("index", found=f"{stop:,} rows", expected=f"{ends[-1]:,}, as in the data files")
        position = np.arange(start, stop)
        shard = np.searchsorted(ends, position, side="right")
        row = (position - np.append(0, ends)[shard]).astype(np.int32)
        choice = _numbers(shard)
        splits = zip(VERSIONS, zip(*(shard.splits for shard in self.shards), strict=True), strict=True)
        return {
            **{version: _strings(names).take(choice) for version, names in splits},
            "file": _strings([shard.path for shard in self.shards]).take(choice),
            "row": _numbers(row),
            "row_group": _numbers(row // np.int32(ROW_GROUP_ROWS)),
        }

    def _names(self, rows: list[int]) -> dict[str, pa.Array]:
        """Column -> what others call these rows of the HDF5 file: GEO-Bench, and the publisher's rasters."""
        first = self.first_number  # GEO-Bench counts from 0 and writes four digits or more
        numbers = [None if first is None else f"id_{first + row:04d}" for row in rows]
        if self.raster is None:
            return {"m_so2sat": _strings(numbers)}
        raster = zip(RASTER, self.raster[rows].T, strict=True)
        return {"m_so2sat": _strings(numbers), **{name: _numbers(column) for name, column in raster}}


def _copy(block: PatchBlock) -> PatchBlock:
    """Return the block without pixels and in memory of its own."""
    geo = block.geo
    if geo is not None:
        names = ("epsg", "x_ul", "y_ul", "longitude", "latitude")
        geo = replace(geo, **{name: getattr(geo, name).copy() for name in names})
    return PatchBlock(ids=block.ids, label=block.label.copy(), geo=geo)


def _footprints(geo: GeoBlock, bbox: pa.StructType) -> dict[str, pa.Array]:
    corners = corners_of(geo)
    wkb = to_wkb(corners)
    offsets = np.arange(0, wkb.size + 1, wkb.shape[1], dtype=np.int32)
    ends = bounds_of(corners)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(wkb)]
    return {
        "geometry": pa.Array.from_buffers(pa.binary(), len(wkb), buffers),
        "bbox": pa.StructArray.from_arrays([_numbers(column) for column in ends.T], fields=list(bbox)),
    }


def _means(block: PatchBlock, columns: tuple[str, ...]) -> dict[str, pa.Array]:
    """Mean of each band over the 32 x 32 stored values, summed in float64."""
    arrays: dict[str, pa.Array] = {}
    for sensor, pixels in (("sen1", block.sen1), ("sen2", block.sen2)):
        if sensor not in columns:
            continue
        if pixels is None:
            raise So2SatError(
                f"means of {sensor}", found="not in the source", expected="a source that has it"
            )
        means = pixels.mean(axis=(2, 3), dtype=np.float64).astype(np.float32)  # (n, bands)
        arrays |= {f"mean_{band.name}": _numbers(means[:, band.index]) for band in facts.bands(sensor)}
    return arrays


def _numbers(values: NDArray[Any]) -> pa.Array:
    return take_over(values, pa.from_numpy_dtype(values.dtype))


def _strings(values: Sequence[str | None]) -> pa.Array:
    """Texts, null where there is none; without ``pa.array``, which would import pandas."""
    data = [b"" if value is None else value.encode() for value in values]
    valid = np.packbits([value is not None for value in values], bitorder="little")
    offsets = np.cumsum([0, *map(len, data)], dtype=np.int32)
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(b"".join(data))]
    return pa.Array.from_buffers(pa.string(), len(data), buffers)
